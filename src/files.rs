//! Reads files named by a user or a setting: regular files only, of bounded length, within a time limit. A pipe
//! without a writer, a device and a mount that hangs are ordinary errors, and none of them blocks the caller.
//!
//! The operating system does not time out some of these operations, so a separate thread waits for them. When
//! the time is over the thread is left behind: only the disk can wake it. The number of such threads is
//! limited.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::makedev;

/// Longest time that reading a file may take.
pub const FILE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most threads that may wait for disks that do not answer.
const MAX_STUCK: usize = 16;

/// Reason that a file is not read. Worded to follow the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The operating system reported an error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The path names a directory.
    #[error("is a directory")]
    Directory,
    /// The path names a pipe, a device or a socket.
    #[error("is not a regular file")]
    NotRegular,
    /// The file is longer than this number of bytes.
    #[error("is longer than {}", size(*.0))]
    TooLong(u64),
    /// The file was not read within this time.
    #[error("did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// An earlier attempt timed out, and its thread still waits for the same path.
    #[error("has not answered for a while: the disk hangs that it is on")]
    StillSilent,
    /// Too many other paths do not answer.
    #[error("is not read, since {MAX_STUCK} others do not answer")]
    TooManySilent,
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

impl From<Unreadable> for io::Error {
    fn from(unreadable: Unreadable) -> io::Error {
        let kind = match &unreadable {
            Unreadable::Io(_) => io::ErrorKind::Other,
            Unreadable::Directory => io::ErrorKind::IsADirectory,
            Unreadable::NotRegular => io::ErrorKind::InvalidInput,
            Unreadable::TooLong(_) => io::ErrorKind::FileTooLarge,
            Unreadable::Silent(_) | Unreadable::StillSilent | Unreadable::TooManySilent => {
                io::ErrorKind::TimedOut
            }
        };
        match unreadable {
            Unreadable::Io(error) => error,
            other => io::Error::new(kind, format!("it {other}")),
        }
    }
}

/// Reads a regular file of at most `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, Unreadable> {
    let own = path.to_owned();
    within(path, FILE_TIMEOUT, move || read_now(open(&own)?, most))?
}

/// Reads as [`read`] does, and accepts a pipe that the shell made of a command's output (`<(command)`), and
/// `/dev/null`, the usual name for an empty file.
pub fn read_or_piped(path: &Path, most: u64) -> Result<Vec<u8>, Unreadable> {
    let own = path.to_owned();
    within(path, FILE_TIMEOUT, move || {
        let file = open_any(&own)?;
        if is_null(&file.metadata()?) {
            return Ok(Vec::new());
        }
        let is_handed_on = own.starts_with("/dev/fd") || own.starts_with("/proc");
        if is_handed_on && file.metadata()?.file_type().is_fifo() {
            // The pipe's writer may take its time.
            fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).map_err(io::Error::from)?;
            return read_now(file, most);
        }
        read_now(regular(file)?, most)
    })?
}

/// Opens a regular file for reading. May wait for a disk, and for nothing else.
pub fn open(path: &Path) -> Result<File, Unreadable> {
    regular(open_any(path)?)
}

/// Opens any kind of file for reading. Without `O_NONBLOCK`, opening a pipe waits for its other end.
fn open_any(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

fn regular(file: File) -> Result<File, Unreadable> {
    let metadata: Metadata = file.metadata()?;
    match metadata.is_dir() {
        true => Err(Unreadable::Directory),
        false if metadata.is_file() => Ok(file),
        false => Err(Unreadable::NotRegular),
    }
}

/// Reports whether the file is the null(4) device, under any name.
fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == makedev(1, 3)
}

/// Reads an open file of at most `most` bytes.
pub fn read_now(file: File, most: u64) -> Result<Vec<u8>, Unreadable> {
    let expected = file.metadata().map_or(0, |metadata| metadata.len().min(most));
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(Unreadable::TooLong(most)) } else { Ok(bytes) }
}

/// Paths that a thread is stuck at.
static STUCK: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn stuck() -> MutexGuard<'static, Vec<PathBuf>> {
    STUCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs work that may wait for a disk for ever, but waits for it no longer than `patience`. `path` is the file
/// that the work waits for: while it has not answered, no other call waits for it.
///
/// # Errors
/// If the time is over. The work then goes on if it ever can, and its result is dropped. Also if an earlier
/// call still waits for this path, or 16 (`MAX_STUCK`) others do.
pub fn within<T: Send + 'static>(
    path: &Path,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unreadable> {
    {
        let stuck = stuck();
        if stuck.iter().any(|waited_for| waited_for == path) {
            return Err(Unreadable::StillSilent);
        }
        if stuck.len() >= MAX_STUCK {
            return Err(Unreadable::TooManySilent);
        }
    }
    let (sender, receiver) = sync_channel(1);
    let own = path.to_owned();
    let run = move || {
        let result = work();
        let mut stuck = stuck();
        // The path is in the list only if the caller has given up.
        if let Some(at) = stuck.iter().position(|waited_for| *waited_for == own) {
            stuck.swap_remove(at);
        }
        let _ = sender.send(result);
    };
    thread::Builder::new().name("file".to_owned()).spawn(run)?;
    if let Ok(result) = receiver.recv_timeout(patience) {
        return Ok(result);
    }
    let mut stuck = stuck();
    // The result may have arrived just now.
    if let Ok(result) = receiver.try_recv() {
        return Ok(result);
    }
    stuck.push(path.to_owned());
    Err(Unreadable::Silent(patience))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SOON: Duration = Duration::from_millis(20);

    fn fifo(dir: &Path) -> PathBuf {
        let path = dir.join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        path
    }

    #[test]
    fn only_regular_files_of_bounded_length_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"text").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"text");
        let refused = |path: &Path, most| read(path, most).expect_err("refused").to_string();
        assert_eq!(refused(&path, 3), "is longer than 0 KiB");
        assert_eq!(refused(dir.path(), 4), "is a directory");
        assert_eq!(refused(&fifo(dir.path()), 4), "is not a regular file");
        for device in ["/dev/zero", "/dev/null"] {
            assert_eq!(refused(Path::new(device), 4), "is not a regular file");
        }
        assert!(refused(&dir.path().join("gone"), 4).starts_with("No such file"));
        // A pipe is refused outside the places where the shell's pipes may be.
        assert!(matches!(read_or_piped(&dir.path().join("fifo"), 4), Err(Unreadable::NotRegular)));
    }

    #[test]
    fn a_pipe_that_was_handed_on_is_read_to_its_end() {
        use std::io::Write as _;
        use std::os::fd::AsRawFd as _;
        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        let written = thread::spawn(move || writer.write_all(b"from a command").unwrap());
        assert_eq!(read_or_piped(&path, 100).unwrap(), b"from a command");
        written.join().unwrap();
    }

    #[test]
    fn nobody_waits_for_what_does_not_answer_and_nobody_waits_for_it_twice() {
        let path = PathBuf::from(format!("a disk that hangs {}", uuid::Uuid::new_v4()));
        let (release, held) = sync_channel::<()>(0);
        let first = within(&path, SOON, move || held.recv().is_err());
        assert!(matches!(first, Err(Unreadable::Silent(_))), "{first:?}");
        let again = within(&path, SOON, || ());
        assert!(matches!(again, Err(Unreadable::StillSilent)), "{again:?}");
        let other = PathBuf::from("another");
        assert!(matches!(within(&other, FILE_TIMEOUT, || 7), Ok(7)), "others are read");
        drop(release);
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while matches!(within(&path, FILE_TIMEOUT, || ()), Err(Unreadable::StillSilent)) {
            assert!(std::time::Instant::now() < end, "it answers again");
            thread::yield_now();
        }
    }
}
