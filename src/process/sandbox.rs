//! The sandbox of a server: it may read and run what its user may, except for the daemon's own directory, and write
//! only below a directory of its own. Enforced by Landlock (landlock(7)), which its descendants inherit and cannot
//! remove.
//!
//! Landlock can only allow. To keep one directory closed, everything beside it is allowed: its siblings, those of its
//! parent, and so on. Entries created there later are not among them.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};
use nix::libc;

use super::SpawnError;
use super::spawn::Command;

/// Required version of the kernel's interface: the first that also keeps files from being truncated (6.2).
const NEEDED: ABI = ABI::V3;
/// Devices that programs usually write to.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/urandom"];
/// Variables for the locations of disposable files, with their directories in the sandbox.
const DIRECTORIES: [(&str, &str); 7] = [
    ("TMPDIR", "tmp"),
    ("XDG_CACHE_HOME", "cache"),
    // Place where `uvx` and `pipx run` keep the environments that they make (uv 0.13.9, pipx 1.18.4); relative ones are
    // not taken.
    ("XDG_DATA_HOME", "data"),
    ("XDG_STATE_HOME", "state"),
    // Packages that are installed without bytecode are compiled at every start unless it can be kept.
    ("PYTHONPYCACHEPREFIX", "cache/python"),
    ("npm_config_cache", "cache/npm"),
    ("UV_CACHE_DIR", "cache/uv"),
];

/// Maximum number of entries beside the closed directory and its ancestors. More than that are not worth examining for
/// each start.
const MAX_BESIDE: usize = 20_000;

/// Confines the program that `command` will run to writing below `directory`, which is created if it does not exist,
/// and keeps it from reading `private`, except below `directory`. Returns the variables that point below it.
pub(super) fn confine(
    command: &mut Command,
    directory: &Path,
    private: &Path,
) -> Result<Vec<(&'static str, PathBuf)>, SpawnError> {
    let what = || format!("the sandbox's directory '{}' cannot be made", directory.display());
    let variables: Vec<(&str, PathBuf)> =
        DIRECTORIES.iter().map(|(name, below)| (*name, directory.join(below))).collect();
    for (_, path) in &variables {
        fs::create_dir_all(path).map_err(|error| SpawnError::new(what(), &error))?;
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        .map_err(|error| SpawnError::new(what(), &error))?;
    let ruleset = rules(directory, private).map_err(|reason| SpawnError {
        what: format!("sandbox \"fs\" needs Landlock of Linux 6.2 or later: {reason}"),
        errno: "EOPNOTSUPP".to_owned(),
        permanent: true,
        searched: None,
    })?;
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The rules were made
    // before; `landlock_restrict_self` is a plain system call on an open descriptor that the
    // closure owns, and nothing here allocates, locks or panics.
    unsafe {
        command.before_exec(move || {
            match libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    Ok(variables)
}

fn rules(directory: &Path, private: &Path) -> Result<OwnedFd, String> {
    let (writing, reading) = (AccessFs::from_write(NEEDED), AccessFs::from_read(NEEDED));
    let text = |error: landlock::RulesetError| error.to_string();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(writing | reading)
        .and_then(Ruleset::create)
        .map_err(text)?
        .add_rule(PathBeneath::new(open(directory)?, writing | reading))
        .map_err(text)?
        // Names may be listed everywhere: otherwise, not even `/` could be listed.
        .add_rule(PathBeneath::new(open(Path::new("/"))?, AccessFs::ReadDir))
        .map_err(text)?;
    for (path, is_directory) in beside(private).map_err(|error| error.to_string())? {
        // An entry that has disappeared needs no rule, and one that its user may not open gets none.
        let Ok(file) = PathFd::new(&path) else { continue };
        let allowed = if is_directory { reading } else { reading & AccessFs::from_file(NEEDED) };
        ruleset = ruleset.add_rule(PathBeneath::new(file, allowed)).map_err(text)?;
    }
    let to_a_file: BitFlags<AccessFs> = writing & AccessFs::from_file(NEEDED);
    for device in DEVICES.into_iter().filter(|device| Path::new(device).exists()) {
        ruleset = ruleset.add_rule(PathBeneath::new(open(Path::new(device))?, to_a_file)).map_err(text)?;
    }
    Option::<OwnedFd>::from(ruleset).ok_or_else(|| "the kernel enforces nothing".to_owned())
}

/// Returns everything outside a directory: its siblings and those of its ancestors, each with `true` if it is a
/// directory. Links are left out, because the target of one is among them elsewhere, or is the closed directory.
fn beside(closed: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let closed = closed.canonicalize()?;
    let mut found = Vec::new();
    for within in closed.ancestors() {
        let Some(above) = within.parent() else { break };
        // A directory that may not be listed has no entries that could be named here.
        let Ok(entries) = fs::read_dir(above) else { continue };
        for entry in entries.flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            if let Ok(kind) = kind
                && path != within
                && !kind.is_symlink()
            {
                found.push((path, kind.is_dir()));
            }
            if found.len() > MAX_BESIDE {
                let reason = format!(
                    "more than {MAX_BESIDE} entries stand beside the data directory and the ones above it; put it \
                     where there are fewer"
                );
                return Err(io::Error::other(reason));
            }
        }
    }
    Ok(found)
}

fn open(path: &Path) -> Result<PathFd, String> {
    PathFd::new(path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_a_directory_is_what_stands_beside_it_and_its_parents() {
        let outer = tempfile::tempdir().expect("a directory");
        let root = outer.path().canonicalize().expect("there");
        for name in ["a/closed/inside", "a/beside", "b"] {
            fs::create_dir_all(root.join(name)).expect("made");
        }
        std::os::unix::fs::symlink("closed", root.join("a/link")).expect("made");
        let found = beside(&root.join("a/closed")).expect("listed");
        let below: Vec<_> = found.iter().filter_map(|(path, _)| path.strip_prefix(&root).ok()).collect();
        assert_eq!(below, [Path::new("a/beside"), Path::new("b")]);
        assert!(
            found.contains(&(PathBuf::from("/usr"), true))
                && !found.iter().any(|(path, _)| path == Path::new("/"))
        );
        assert_eq!(beside(&root.join("a/link")).expect("listed"), found, "a link to it is the same place");
    }
}
