//! A look into `/proc`: who is alive, who belongs to a test, who was not reaped.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    start_time: u64,
}

/// What `/proc/PID/stat` says.
struct Stat {
    state: char,
    parent: i32,
    session: i32,
    start_time: u64,
}

impl Process {
    /// The process that has this number now. Panics when there is none.
    pub(crate) fn of(pid: i64) -> Process {
        let pid = i32::try_from(pid).expect("a process id");
        let stat = stat(pid).unwrap_or_else(|| panic!("there is no process {pid}"));
        Process { pid, start_time: stat.start_time }
    }

    /// Whether it is still there. A zombie is: somebody has forgotten to reap it.
    pub(crate) fn is_there(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start_time == self.start_time)
    }

    /// Whether it still runs: a zombie does not.
    pub(crate) fn runs(self) -> bool {
        self.is_there() && fs::read(format!("/proc/{}/cmdline", self.pid)).is_ok_and(|line| !line.is_empty())
    }

    /// The session it belongs to.
    pub(crate) fn session(self) -> i32 {
        stat(self.pid).expect("the process lives").session
    }

    /// Sends SIGKILL, if it is still there.
    pub(crate) fn kill(self) {
        if self.is_there() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }
}

/// The processes whose environment holds this text, as `pid command line`.
pub(crate) fn with_environment(needle: &str) -> Vec<(i32, String)> {
    let holds = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|entry| entry == needle.as_bytes())
    };
    pids().into_iter().filter(holds).map(|pid| (pid, command_line(pid))).collect()
}

/// The dead children of a process that it has not reaped.
pub(crate) fn zombies_of(parent: u32) -> Vec<i32> {
    let is_zombie =
        |pid: &i32| stat(*pid).is_some_and(|s| s.state == 'Z' && u32::try_from(s.parent) == Ok(parent));
    pids().into_iter().filter(is_zombie).collect()
}

/// The parent of a process; `None` when there is no such process.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    stat(pid).map(|stat| stat.parent)
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn command_line(pid: i32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', " ")
}

/// The command's name may hold blanks and brackets, so the fields are counted from the last one.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}
