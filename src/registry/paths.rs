//! Files that callers of the API name: kept inside a root directory, regular, of bounded size, written whole or
//! not at all.
//!
//! A path is resolved first, symbolic links included, and then compared with the root. Paths that lie outside
//! are refused before they are opened, whether or not the file exists.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::access::Principal;
use crate::files::{self, Unreadable};
use crate::store::{is_reserved, write_private};

/// Maximum size of a file that is read, in bytes: 16 MiB.
pub(super) const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Limit on where the paths of a caller may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Only into the configured directory.
    Confined,
    /// Anywhere but into the daemon's own files: the caller is the daemon's own user, who could read and write
    /// the file without asking.
    Anywhere,
}

impl Reach {
    /// Returns the limit for a caller: only the local operator may go anywhere.
    pub fn of(caller: &Principal) -> Reach {
        if caller.is_local_operator() { Reach::Anywhere } else { Reach::Confined }
    }
}

/// Directories that limit the files callers may name.
#[derive(Debug, Clone)]
pub(super) struct Confinement {
    /// Directory in which paths must lie; relative ones begin there.
    pub(super) root: PathBuf,
    /// Directory of the daemon, whose own files are never written for a caller.
    pub(super) data_dir: PathBuf,
}

impl Confinement {
    /// Reads a file that a caller named. Gives up after 5 s if the file system does not answer, since other
    /// changes wait.
    pub(super) fn read(&self, path: &str, reach: Reach) -> Result<Vec<u8>, Error> {
        let (own, named) = (self.clone(), path.to_owned());
        let read =
            files::within(&self.root.join(path), files::FILE_TIMEOUT, move || own.read_now(&named, reach));
        read.unwrap_or_else(|silent| Err(Error::FileRead { reason: format!("it {silent}") }))
    }

    fn read_now(&self, path: &str, reach: Reach) -> Result<Vec<u8>, Error> {
        let failed = |error: io::Error| Error::FileRead { reason: reason(&error) };
        let root = self.root.canonicalize().map_err(failed)?;
        let wanted = root.join(path);
        let resolved = wanted.canonicalize().or_else(|error| {
            self.refuse_outside(&root, nearest_existing(&wanted).as_deref(), reach)?;
            Err(match error.kind() {
                io::ErrorKind::NotFound => Error::FileNotFound { path: path.to_owned() },
                _ => failed(error),
            })
        })?;
        self.refuse_outside(&root, Some(&resolved), reach)?;
        if reach == Reach::Anywhere && self.is_own_file(&resolved) {
            return Err(Error::FileRead { reason: OWN_FILES.to_owned() });
        }
        read_regular(&resolved).map_err(failed)
    }

    /// Writes a file that a caller named: replaced as a whole, readable for its owner only, since a
    /// definition's environment holds secrets. Directories are not made. Gives up after 5 s if the disk does
    /// not answer; should it answer later, the file is written then.
    pub(super) fn write(&self, path: &str, content: &[u8], reach: Reach) -> Result<(), Error> {
        let (own, named, content) = (self.clone(), path.to_owned(), content.to_vec());
        let write = move || own.write_now(&named, &content, reach);
        let written = files::within(&self.root.join(path), files::FILE_TIMEOUT, write);
        written.unwrap_or_else(|silent| Err(Error::FileWrite { reason: format!("it {silent}") }))
    }

    fn write_now(&self, path: &str, content: &[u8], reach: Reach) -> Result<(), Error> {
        let failed = |error: io::Error| Error::FileWrite { reason: reason(&error) };
        let root = self.root.canonicalize().map_err(failed)?;
        let wanted = root.join(path);
        let target = match wanted.canonicalize() {
            Ok(existing) => existing,
            Err(error) => {
                self.refuse_outside(&root, nearest_existing(&wanted).as_deref(), reach)?;
                new_file(&wanted, path, error).map_err(failed)?
            }
        };
        self.refuse_outside(&root, Some(&target), reach)?;
        if self.is_own_file(&target) {
            return Err(Error::FileWrite { reason: OWN_FILES.to_owned() });
        }
        check_target(&target).map_err(failed)?;
        write_private(&target, content).map_err(failed)
    }

    fn refuse_outside(&self, root: &Path, resolved: Option<&Path>, reach: Reach) -> Result<(), Error> {
        if reach == Reach::Anywhere || resolved.is_some_and(|resolved| resolved.starts_with(root)) {
            return Ok(());
        }
        Err(Error::OutsideRoot { root: self.root.display().to_string() })
    }

    fn is_own_file(&self, path: &Path) -> bool {
        let data_dir = self.data_dir.canonicalize().unwrap_or_else(|_| self.data_dir.clone());
        let own = path.strip_prefix(data_dir).ok().and_then(|inside| inside.components().next());
        own.is_some_and(|name| is_reserved(name.as_os_str()))
    }
}

/// Reason given for refusing one of the daemon's own files.
const OWN_FILES: &str = "the daemon keeps its own files there";

/// Returns the nearest directory above a path that exists, resolved.
fn nearest_existing(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find_map(|above| above.canonicalize().ok())
}

/// Returns the place where a file that does not exist would be made: its directory exists, and nothing else,
/// such as a link to nowhere, has its name.
fn new_file(wanted: &Path, written: &str, error: io::Error) -> io::Result<PathBuf> {
    if error.kind() != io::ErrorKind::NotFound {
        return Err(error);
    }
    let (Some(parent), Some(name)) = (wanted.parent(), wanted.file_name()) else {
        return Err(error);
    };
    if written.ends_with('/') {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let target = parent.canonicalize()?.join(name);
    match target.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("it is a symbolic link to nothing")),
    }
}

/// Checks that a file may be written here: there is nothing or a regular file, and the file system is one that
/// keeps files.
fn check_target(target: &Path) -> io::Result<()> {
    match target.symlink_metadata() {
        Ok(metadata) => check_regular(&metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = target.parent().unwrap_or(target).metadata()?;
            if is_kernel_made(&parent) { Err(not_regular()) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}

fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    check_regular(&path.symlink_metadata()?)?;
    let file = files::open(path)?;
    check_regular(&file.metadata()?)?;
    files::read_now(file, MAX_FILE).map_err(|error| match error {
        Unreadable::TooLong(most) => io::Error::other(format!("it is larger than {} MiB", most >> 20)),
        other => other.into(),
    })
}

fn check_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if !metadata.is_file() || is_kernel_made(metadata) { Err(not_regular()) } else { Ok(()) }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file")
}

/// Reports whether the kernel makes up the file while it is read, as under `/proc` and `/sys`: such files
/// report themselves as regular. A directory of that name without a mount is on the same device as `/`.
fn is_kernel_made(metadata: &Metadata) -> bool {
    let device = |path: &str| fs::metadata(path).ok().map(|metadata| metadata.dev());
    let own = Some(metadata.dev());
    own != device("/") && (own == device("/proc") || own == device("/sys"))
}

/// Returns the operating system's words without its number, as the references show them.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::IsADirectory => "Is a directory".to_owned(),
        _ => {
            let text = error.to_string();
            text.split_once(" (os error ").map_or(text.as_str(), |(words, _)| words).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    /// Root with a file in it, a file outside, and the daemon's directory inside the root.
    struct Place {
        outer: tempfile::TempDir,
        confinement: Confinement,
    }

    impl Place {
        fn new() -> Place {
            let outer = tempfile::tempdir().unwrap();
            let root = outer.path().join("root");
            let data_dir = root.join("data");
            fs::create_dir_all(data_dir.join("store")).unwrap();
            fs::write(root.join("in.json"), b"inside").unwrap();
            fs::write(outer.path().join("out.json"), b"canary").unwrap();
            symlink(outer.path().join("out.json"), root.join("leads-out")).unwrap();
            symlink("in.json", root.join("leads-in")).unwrap();
            symlink("nothing", root.join("leads-nowhere")).unwrap();
            symlink(outer.path(), root.join("dir-out")).unwrap();
            assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
            Place { confinement: Confinement { root, data_dir }, outer }
        }

        fn absolute(&self, name: &str) -> String {
            self.outer.path().join(name).display().to_string()
        }

        fn read(&self, path: &str) -> Result<String, String> {
            let content = self.confinement.read(path, Reach::Confined).map_err(|error| error.to_string())?;
            Ok(String::from_utf8(content).unwrap())
        }

        fn write(&self, path: &str) -> Result<(), String> {
            self.confinement.write(path, b"new", Reach::Confined).map_err(|error| error.to_string())
        }

        fn outside(&self) -> String {
            format!("File path is outside the configured root '{}'", self.confinement.root.display())
        }
    }

    #[test]
    fn files_inside_the_root_are_read() {
        let place = Place::new();
        for path in ["in.json", "./in.json", "data/../in.json", "leads-in", &place.absolute("root/in.json")] {
            assert_eq!(place.read(path).as_deref(), Ok("inside"), "{path}");
        }
    }

    #[test]
    fn what_leads_out_of_the_root_is_refused_whether_or_not_it_exists() {
        let place = Place::new();
        let absolute =
            [place.absolute("out.json"), place.absolute("none.json"), place.absolute("none/none.json")];
        let relative = ["../out.json", "../none.json", "leads-out", "dir-out/out.json", "dir-out/none.json"];
        let system = ["/etc/passwd", "/proc/self/environ", "/none"];
        let all = absolute.iter().map(String::as_str).chain(relative).chain(system);
        for path in all {
            assert_eq!(place.read(path), Err(place.outside()), "{path}");
            assert_eq!(place.write(path), Err(place.outside()), "{path}");
        }
        assert_eq!(fs::read(place.outer.path().join("out.json")).unwrap(), b"canary");
        assert_eq!(fs::read_dir(place.outer.path()).unwrap().count(), 2, "nothing was made outside");
    }

    #[test]
    fn only_regular_files_are_read() {
        let place = Place::new();
        assert_eq!(place.read("none.json"), Err("File 'none.json' not found".into()));
        assert_eq!(place.read("none/../../out.json"), Err("File 'none/../../out.json' not found".into()));
        assert_eq!(place.read("fifo"), Err("Failed to read file: it is not a regular file".into()));
        assert_eq!(place.read("data"), Err("Failed to read file: Is a directory".into()));
        assert_eq!(place.read("in.json/x"), Err("Failed to read file: Not a directory".into()));
        assert_eq!(
            place.read("a\0b").unwrap_err(),
            "Failed to read file: file name contained an unexpected NUL byte"
        );
    }

    #[test]
    fn what_the_kernel_makes_up_is_no_file_even_where_everything_is_allowed() {
        let place = Place::new();
        let anywhere = Confinement { root: "/".into(), ..place.confinement.clone() };
        let error = anywhere.read("/proc/self/environ", Reach::Confined).unwrap_err().to_string();
        assert_eq!(error, "Failed to read file: it is not a regular file");
        let error = anywhere.write("/proc/self/comm", b"x", Reach::Confined).unwrap_err().to_string();
        assert_eq!(error, "Failed to write to file: it is not a regular file");
        assert_eq!(anywhere.read(&place.absolute("out.json"), Reach::Confined).unwrap(), b"canary");
    }

    #[test]
    fn the_daemon_s_own_user_may_name_files_anywhere_but_among_the_daemon_s_own() {
        let place = Place::new();
        let own = &place.confinement;
        let absolute = place.absolute("out.json");
        for path in [absolute.as_str(), "../out.json", "leads-out", "dir-out/out.json"] {
            assert_eq!(own.read(path, Reach::Anywhere).unwrap(), b"canary", "{path}");
        }
        own.write(&place.absolute("new.json"), b"x", Reach::Anywhere).unwrap();
        assert_eq!(fs::read(place.outer.path().join("new.json")).unwrap(), b"x");
        fs::write(own.data_dir.join("owner.key"), b"k").unwrap();
        symlink(own.data_dir.join("owner.key"), place.outer.path().join("leads-to-key")).unwrap();
        let by_link = place.absolute("leads-to-key");
        for path in ["data/owner.key", "data/store/../owner.key", by_link.as_str()] {
            for error in [
                own.read(path, Reach::Anywhere).unwrap_err(),
                own.write(path, b"x", Reach::Anywhere).unwrap_err(),
            ] {
                assert!(error.to_string().ends_with(OWN_FILES), "{path}: {error}");
            }
        }
        assert!(own.read("/proc/self/environ", Reach::Anywhere).is_err(), "the kernel's are no files");
        let none = own.read(&place.absolute("none.json"), Reach::Anywhere).unwrap_err();
        assert!(none.to_string().ends_with("not found"), "{none}");
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let place = Place::new();
        let file = fs::File::create(place.confinement.root.join("big")).unwrap();
        file.set_len(MAX_FILE).unwrap();
        assert_eq!(place.read("big").map(|content| content.len() as u64), Ok(MAX_FILE));
        file.set_len(MAX_FILE + 1).unwrap();
        assert_eq!(place.read("big"), Err("Failed to read file: it is larger than 16 MiB".into()));
    }

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let place = Place::new();
        let root = &place.confinement.root;
        let files = || fs::read_dir(root).unwrap().count();
        fs::set_permissions(root.join("in.json"), fs::Permissions::from_mode(0o644)).unwrap();
        let before = files();
        place.write("leads-in").expect("written through the link");
        assert_eq!(fs::read(root.join("in.json")).unwrap(), b"new");
        assert!(root.join("leads-in").symlink_metadata().unwrap().is_symlink(), "the link itself stays");
        assert_eq!(files(), before, "nothing temporary is left");
        place.write("other.json").expect("made");
        for name in ["in.json", "other.json"] {
            assert_eq!(fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn only_regular_files_are_written_and_never_the_daemons_own() {
        let place = Place::new();
        let failed = |reason: &str| Err(format!("Failed to write to file: {reason}"));
        assert_eq!(place.write("fifo"), failed("it is not a regular file"));
        assert_eq!(place.write("data"), failed("Is a directory"));
        assert_eq!(place.write("new/"), failed("Is a directory"));
        assert_eq!(place.write("none/f.json"), failed("No such file or directory"));
        assert_eq!(place.write("in.json/x"), failed("Not a directory"));
        assert_eq!(place.write("leads-nowhere"), failed("it is a symbolic link to nothing"));
        for own in ["data/owner.key", "data/lock", "data/store/db", "data/store/../store/db"] {
            assert_eq!(place.write(own), failed("the daemon keeps its own files there"), "{own}");
        }
        place.write("data/config.json").expect("beside them there is room");
    }
}
