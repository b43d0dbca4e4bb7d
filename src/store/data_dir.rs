//! The data directory: made private, locked for one daemon at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::StoreError;

const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Name of the lock file in a data directory; the daemon holds its lock.
pub const LOCK: &str = "lock";
/// Name of the database.
pub(super) const STORE: &str = "store";

/// An open data directory. As long as one clone lives, no other process can open it.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    lock: Arc<File>,
}

impl DataDir {
    /// Creates the directory if it is missing, closes it to other users (mode 0700, also an existing one), and locks
    /// it. A second daemon gets [`StoreError::Locked`].
    pub fn open(path: &Path) -> Result<DataDir, StoreError> {
        DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(path).map_err(|error| {
            match error.kind() {
                io::ErrorKind::AlreadyExists => StoreError::NotADirectory { path: path.to_owned() },
                _ => StoreError::io("create the data directory", path, &error),
            }
        })?;
        let path = path
            .canonicalize()
            .map_err(|error| StoreError::io("resolve the data directory", path, &error))?;
        make_private(&path)?;
        let lock = lock(&path)?;
        Ok(DataDir { path, lock: Arc::new(lock) })
    }

    /// Opens a directory with the lock that its holder passed to this process, as returned by [`DataDir::handed_on`].
    /// Anything else is refused as [`StoreError::Locked`].
    pub fn open_handed_on(path: &Path, lock: File) -> Result<DataDir, StoreError> {
        let path = path
            .canonicalize()
            .map_err(|error| StoreError::io("resolve the data directory", path, &error))?;
        let identity = |metadata: io::Result<fs::Metadata>| {
            metadata.map(|it| (it.dev(), it.ino())).map_err(|error| StoreError::io("look at", &path, &error))
        };
        if identity(lock.metadata())? != identity(fs::metadata(path.join(LOCK)))? {
            return Err(StoreError::Locked { path });
        }
        Ok(DataDir { path, lock: Arc::new(lock) })
    }

    /// Returns a directory on a simulated disk, which nobody else can open.
    #[cfg(test)]
    pub(crate) fn simulated(path: &Path) -> DataDir {
        let nothing = File::open("/dev/null").expect("there");
        DataDir { path: path.to_owned(), lock: Arc::new(nothing) }
    }

    /// Returns the lock, for a process that is started to examine the directory. It is the same lock: as long as one of
    /// the two lives, nobody else gets it.
    pub fn handed_on(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Returns the path of the directory, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the database.
    pub(super) fn store_path(&self) -> PathBuf {
        self.path.join(STORE)
    }
}

fn make_private(path: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(path)
        .map_err(|error| StoreError::io("read the mode of the data directory", path, &error))?
        .permissions()
        .mode()
        & 0o7777;
    if mode == PRIVATE_DIR {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(PRIVATE_DIR))
        .map_err(|error| StoreError::io("make private (mode 0700) the data directory", path, &error))?;
    tracing::warn!(path = %path.display(), was = format!("{mode:04o}"), "data directory made private, mode 0700");
    Ok(())
}

/// Time to wait for a lock that is held. A daemon that was killed leaves it to a child that was between fork and exec
/// at that time, until that child's exec.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval of the attempts.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Takes the lock. It is the kernel's (`flock`), so it ends with the process in any case. Children do not inherit it:
/// the file is closed on exec.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_FILE)
        .open(&path)
        .map_err(|error| StoreError::io("create the lock file", &path, &error))?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // The kernel has no lock with a deadline; nothing else happens before this is settled.
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::park_timeout(LOCK_RETRY_INTERVAL)
            }
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::reopen;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_missing_directory_is_made_private_with_its_parents() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        let dir = DataDir::open(&path).expect("made");
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&outer.path().join("a")), 0o700);
        assert_eq!(mode(&path.join("lock")), 0o600);
    }

    #[test]
    fn an_open_directory_is_closed_to_others() {
        let outer = tempfile::tempdir().unwrap();
        fs::set_permissions(outer.path(), Permissions::from_mode(0o755)).unwrap();
        DataDir::open(outer.path()).expect("opened");
        assert_eq!(mode(outer.path()), 0o700);
    }

    #[test]
    fn a_second_opener_is_refused_until_the_first_is_gone() {
        let outer = tempfile::tempdir().unwrap();
        let first = DataDir::open(outer.path()).unwrap();
        let clone = first.clone();
        drop(first);
        let refused = DataDir::open(outer.path()).expect_err("in use");
        assert_eq!(refused, StoreError::Locked { path: clone.path().to_owned() });
        drop(clone);
        reopen(|| DataDir::open(outer.path())).expect("free again");
    }

    #[test]
    fn a_lock_that_was_handed_on_opens_its_directory_and_no_other() {
        let (outer, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = DataDir::open(outer.path()).unwrap();
        let second =
            DataDir::open_handed_on(outer.path(), first.handed_on().unwrap()).expect("the same lock");
        let _other = DataDir::open(other.path()).unwrap();
        let refused = DataDir::open_handed_on(other.path(), first.handed_on().unwrap());
        assert!(matches!(refused, Err(StoreError::Locked { .. })), "{refused:?}");
        drop(first);
        let refused = DataDir::open(outer.path());
        assert!(matches!(refused, Err(StoreError::Locked { .. })), "the second still has it");
        drop(second);
        reopen(|| DataDir::open(outer.path())).expect("free again");
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("file");
        fs::write(&path, b"").unwrap();
        assert_eq!(DataDir::open(&path).unwrap_err(), StoreError::NotADirectory { path: path.clone() });
        let below = DataDir::open(&path.join("below")).unwrap_err();
        assert!(matches!(below, StoreError::Io { kind: io::ErrorKind::NotADirectory, .. }), "{below:?}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        // The kernel lets nobody make a directory here, not even root.
        let error = DataDir::open(Path::new("/proc/mcpvisor-data")).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot create the data directory '/proc/mcpvisor-data': "),
            "{error}"
        );
    }
}
