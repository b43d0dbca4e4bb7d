//! The search for the holder of a file's lock: a running daemon, or a leftover of one that was killed. A child that was
//! started at the wrong moment has the lock with the open file, and a server can take it by itself for any reason.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::pidfd::{self, send};
use super::proc_fs;
use super::secondary_mark::SecondaryMarks;
use super::tree::MARK_VARIABLE;

/// Time killed holders get to end.
const GRACE: Duration = Duration::from_secs(5);

/// A process that holds a lock and is not a leftover.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("process {pid} ({name}) holds it")]
pub struct LockHolder {
    /// Process id at the time of the look.
    pub pid: i32,
    /// Name of its program, as in `/proc/PID/comm`; empty if it has ended meanwhile.
    pub name: String,
}

/// Ends the processes that hold the lock (`flock`) of a file, if all of them are leftovers of this installation, and
/// returns their number: 0 if `/proc` shows no holder. `instance` is the installation's id, if it is known. Blocks for
/// a few seconds at most.
///
/// # Errors
/// If a process that is not a leftover holds it; nothing is ended then.
pub fn end_leftover_holders(file: &Path, instance: Option<&str>) -> Result<usize, LockHolder> {
    let holders = holders(file);
    let entry =
        instance.map(|instance| (format!("{MARK_VARIABLE}={instance}."), SecondaryMarks::of(instance)));
    let is_left = |pid: i32| {
        entry
            .as_ref()
            .is_some_and(|(mark, brands)| proc_fs::has_variable(pid, mark, true) || brands.is_on(pid))
    };
    if let Some(&pid) = holders.iter().find(|pid| !is_left(**pid)) {
        return Err(LockHolder { pid, name: proc_fs::name(pid).unwrap_or_default() });
    }
    let mut ended = Vec::with_capacity(holders.len());
    for pid in holders {
        // Checked again once the handle is open: the pid may have been recycled before.
        if let Ok(handle) = pidfd::open(pid)
            && is_left(pid)
            && send(&handle, Signal::SIGKILL)
        {
            ended.push(handle);
        }
    }
    pidfd::await_end(&ended, GRACE);
    Ok(ended.len())
}

/// Returns the processes that have the file open with a lock on it. Another user's are not seen.
fn holders(file: &Path) -> Vec<i32> {
    let (Ok(file), Ok(metadata)) = (file.canonicalize(), file.metadata()) else { return Vec::new() };
    let own = std::process::id().cast_signed();
    let mut pids = proc_fs::pids().unwrap_or_default();
    pids.retain(|&pid| pid != own && has_locked(pid, &file, metadata.ino()));
    pids
}

fn has_locked(pid: i32, file: &Path, inode: u64) -> bool {
    // The name is compared and the file itself not accessed: it may be on a disk that hangs.
    proc_fs::descriptors(pid).filter(|(_, target)| target == file).any(|(number, _)| {
        fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"))
            .is_ok_and(|told| told.lines().any(|line| is_lock_of(line, inode)))
    })
}

/// Reports whether a line of `/proc/PID/fdinfo/FD` names a `flock` on the file with this inode.
fn is_lock_of(line: &str, inode: u64) -> bool {
    let Some(lock) = line.strip_prefix("lock:") else { return false };
    // "1: FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF"
    let words: Vec<&str> = lock.split_ascii_whitespace().collect();
    let of = words.get(5).and_then(|place| place.rsplit(':').next()?.parse().ok());
    words.get(1) == Some(&"FLOCK") && of == Some(inode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    #[test]
    fn a_lock_is_read_from_its_line() {
        let line = "lock:\t1: FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF";
        assert!(is_lock_of(line, 123_456) && !is_lock_of(line, 12_345));
        for other in ["", "pos:\t0", "lock:", "lock:\t1: POSIX  ADVISORY  WRITE 4711 fd:01:123456 0 EOF"] {
            assert!(!is_lock_of(other, 123_456), "{other}");
        }
    }

    /// Starts a process that holds the lock of a file, with this mark.
    fn holding(file: &Path, mark: &str) -> std::process::Child {
        let holder = Command::new("flock")
            .arg(file)
            .args(["sleep", "600"])
            .env(MARK_VARIABLE, mark)
            .stdin(Stdio::null())
            .spawn()
            .expect("util-linux is there");
        let end = Instant::now() + Duration::from_secs(20);
        // The command that `flock` starts has the lock as well, and says for a moment of its own that it has no mark.
        let is_marked = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|part| part == mark.as_bytes())
        };
        while holders(file).iter().filter(|pid| is_marked(pid)).count() < 2 {
            assert!(Instant::now() < end, "the lock is taken");
            std::thread::yield_now();
        }
        holder
    }

    #[test]
    fn only_leftovers_are_ended_and_any_other_holder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock");
        fs::write(&file, b"").unwrap();
        assert_eq!(end_leftover_holders(&file, Some("a")), Ok(0), "nobody holds it");
        let instance = uuid::Uuid::new_v4().to_string();
        let mut holder = holding(&file, &format!("{instance}.7"));
        // A process that is not known to be a leftover is none.
        for other in [None, Some("another")] {
            let refused = end_leftover_holders(&file, other).expect_err("it is not ours");
            assert!(refused.name == "flock" || refused.name == "sleep", "{refused}");
        }
        assert!(holder.try_wait().unwrap().is_none());
        assert!(end_leftover_holders(&file, Some(&instance)).expect("all are leftovers") > 0);
        assert!(holders(&file).is_empty());
        assert!(!holder.wait().unwrap().success());
    }
}
