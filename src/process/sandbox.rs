//! The sandbox of a server: it may read and run what its user may, and write only below a directory
//! of its own. Held by Landlock (landlock(7)), which whatever it starts inherits and cannot shed.
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
use tokio::process::Command;

use super::SpawnError;

/// The kernel's interface that is needed: the first that also keeps files from being truncated (6.2).
const NEEDED: ABI = ABI::V3;
/// Devices that programs write to as a matter of course.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/urandom"];
/// The variables that say where programs put what they may lose.
const DIRECTORIES: [(&str, &str); 4] = [
    ("TMPDIR", "tmp"),
    ("XDG_CACHE_HOME", "cache"),
    ("npm_config_cache", "cache/npm"),
    ("UV_CACHE_DIR", "cache/uv"),
];

/// Confines the program that `command` will run to writing below `directory`, which is made if it is
/// not there. Says which variables point below it.
pub(super) fn confine(
    command: &mut Command,
    directory: &Path,
) -> Result<Vec<(&'static str, PathBuf)>, SpawnError> {
    let what = || format!("the sandbox's directory '{}' cannot be made", directory.display());
    let variables: Vec<(&str, PathBuf)> =
        DIRECTORIES.iter().map(|(name, below)| (*name, directory.join(below))).collect();
    for (_, path) in &variables {
        fs::create_dir_all(path).map_err(|error| SpawnError::new(what(), &error))?;
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        .map_err(|error| SpawnError::new(what(), &error))?;
    let ruleset = rules(directory).map_err(|reason| SpawnError {
        what: format!("sandbox \"fs\" needs Landlock of Linux 6.2 or later: {reason}"),
        errno: "EOPNOTSUPP".to_owned(),
        permanent: true,
    })?;
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The rules were made
    // before; `landlock_restrict_self` is a plain system call on an open descriptor that the
    // closure owns, and nothing here allocates, locks or panics.
    unsafe {
        command.pre_exec(move || {
            match libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    Ok(variables)
}

fn rules(directory: &Path) -> Result<OwnedFd, String> {
    let writing = AccessFs::from_write(NEEDED);
    let text = |error: landlock::RulesetError| error.to_string();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(writing)
        .and_then(Ruleset::create)
        .map_err(text)?
        .add_rule(PathBeneath::new(open(directory)?, writing))
        .map_err(text)?;
    let to_a_file: BitFlags<AccessFs> = writing & AccessFs::from_file(NEEDED);
    for device in DEVICES.into_iter().filter(|device| Path::new(device).exists()) {
        ruleset = ruleset.add_rule(PathBeneath::new(open(Path::new(device))?, to_a_file)).map_err(text)?;
    }
    Option::<OwnedFd>::from(ruleset).ok_or_else(|| "the kernel enforces nothing".to_owned())
}

fn open(path: &Path) -> Result<PathFd, String> {
    PathFd::new(path).map_err(|error| error.to_string())
}
