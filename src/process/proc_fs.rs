//! Process data from `/proc`. Everything here is a snapshot that may be out of date at once.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

/// Buffer size, more than the 52 numbers and the name of 64 bytes of a line of `/proc/PID/stat` can take.
const MAX_STAT_LINE: usize = 2048;

/// Needed fields of a line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: u8,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// Start time, in clock ticks since boot.
    pub(super) started: u64,
}

impl Stat {
    /// Reports whether the process has ended and only waits to be reaped by its parent.
    pub(super) fn is_zombie(self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Returns the ids of all processes. An error, for example because no more files can be opened, says nothing about
/// their existence.
pub(super) fn pids() -> io::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Returns the parent of every process.
pub(super) fn parents() -> io::Result<HashMap<i32, i32>> {
    Ok(pids()?.into_iter().filter_map(|pid| Some((pid, stat(pid)?.parent))).collect())
}

/// Reads a process's state, parent, group and start time; `None` if it is gone.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&stat_line(pid)?)
}

/// Reads the line of `/proc/PID/stat` in one call: the file reports no length, and finding it out bit by bit takes five
/// calls for each process. The name of a process need not be valid text.
fn stat_line(pid: i32) -> Option<String> {
    let mut buffer = [0; MAX_STAT_LINE];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Reports whether the environment a process was started with has this `NAME=value` entry, or, with `prefix`, one that
/// begins with it. A process of another user counts as having none.
pub(super) fn has_variable(pid: i32, entry: &str, prefix: bool) -> bool {
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    environ.split(|&byte| byte == 0).any(|variable| {
        if prefix { variable.starts_with(entry.as_bytes()) } else { variable == entry.as_bytes() }
    })
}

/// Reports whether the environment a process was started with has a variable of this name.
pub(super) fn has_name(pid: i32, name: &str) -> bool {
    has_variable(pid, &format!("{name}="), true)
}

/// Origin of the mark in the environment a process was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// This installation's mark.
    Own,
    /// The mark of another installation.
    Foreign,
    /// No mark.
    None,
}

/// Reads a process's mark: the variable `name`, whose entry begins with `own` if it is ours.
pub(super) fn mark(pid: i32, name: &str, own: &str) -> Mark {
    match has_variable(pid, own, true) {
        true => Mark::Own,
        false if has_name(pid, name) => Mark::Foreign,
        false => Mark::None,
    }
}

/// Returns a soft limit of a process, by its name in `/proc/PID/limits`; `None` if it is unlimited or the process is
/// gone.
pub(super) fn limit(pid: i32, name: &str) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Reports whether a process has given up gaining privileges (`no_new_privs`), which is irrevocable.
pub(super) fn gains_no_privileges(pid: i32) -> bool {
    // The file begins with the name of the process, which need not be valid text.
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .split(|byte| *byte == b'\n')
        .any(|line| line.strip_prefix(b"NoNewPrivs:").is_some_and(|value| value.trim_ascii() == b"1"))
}

/// Returns the open descriptors of a process, each with the target of its link. Empty if they may not be examined.
pub(super) fn descriptors(pid: i32) -> impl Iterator<Item = (i32, PathBuf)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?))
    })
}

/// Returns the name of a process's program, as far as the kernel keeps it; `None` if it is gone.
pub(super) fn name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// Fields of a line of `/proc/PID/stat` that say what a process takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FullStat {
    /// User plus system time, in clock ticks.
    pub(super) cpu_ticks: u64,
    pub(super) threads: u64,
    /// Start time, in clock ticks since boot.
    pub(super) started: u64,
    pub(super) virtual_bytes: u64,
    pub(super) resident_pages: u64,
}

impl FullStat {
    /// Returns user plus system time.
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_secs_f64(self.cpu_ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Returns the resident memory, in bytes.
    pub(super) fn resident_bytes(&self) -> u64 {
        self.resident_pages * rustix::param::page_size() as u64
    }
}

/// Reads what a process takes; `None` if it is gone.
pub(super) fn full_stat(pid: i32) -> Option<FullStat> {
    parse_full_stat(&stat_line(pid)?)
}

/// Returns the resident memory of a process, in bytes, and its CPU time; `None` if it is gone.
pub(super) fn usage(pid: i32) -> Option<(u64, Duration)> {
    full_stat(pid).map(|stat| (stat.resident_bytes(), stat.cpu()))
}

fn parse_full_stat(line: &str) -> Option<FullStat> {
    // Fields 14, 15, 20 and 22 to 24 of the line; the first after the name is field 3.
    let mut fields = line[line.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let threads = fields.nth(4)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    let (virtual_bytes, resident_pages) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(FullStat { cpu_ticks: user + system, threads, started, virtual_bytes, resident_pages })
}

fn parse_stat(line: &str) -> Option<Stat> {
    // The name in parentheses may itself contain blanks and parentheses: count from the last one.
    let mut fields = line[line.rfind(')')? + 1..].split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // Field 22 of the line; the state was field 3, the group field 5.
    let started = fields.nth(16)?.parse().ok()?;
    Some(Stat { state, parent, group, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b) (c) S 1 42 42 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 1 0 98765 1000 2";
        let stat = parse_stat(line).unwrap();
        assert_eq!(stat, Stat { state: b'S', parent: 1, group: 42, started: 98765 });
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn usage_is_read_from_its_fields() {
        let line = "7 (a) S 1 42 42 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 3 0 98765 1000 2 99";
        let full =
            FullStat { cpu_ticks: 11, threads: 3, started: 98765, virtual_bytes: 1000, resident_pages: 2 };
        assert_eq!(parse_full_stat(line), Some(full));
        let (rss, _) = usage(std::process::id().cast_signed()).unwrap();
        assert!(rss > 100_000);
    }

    #[test]
    fn a_process_whose_name_is_no_text_is_seen_like_any_other() {
        use std::os::unix::ffi::OsStrExt;
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join(std::ffi::OsStr::from_bytes(b"\xff) Z 1"));
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut process = std::process::Command::new(program).arg("60").spawn().unwrap();
        let pid = process.id().cast_signed();
        let (seen, memory) = (stat(pid), usage(pid));
        process.kill().unwrap();
        process.wait().unwrap();
        let seen = seen.unwrap();
        assert_eq!((seen.parent, seen.is_zombie()), (std::process::id().cast_signed(), false));
        assert!(memory.is_some());
    }

    #[test]
    fn finds_itself() {
        let own = std::process::id().cast_signed();
        assert!(pids().unwrap().contains(&own));
        assert!(!stat(own).unwrap().is_zombie());
        assert!(stat(own).unwrap().started > 0);
    }
}
