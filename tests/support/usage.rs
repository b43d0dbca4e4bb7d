//! What a process uses, read from `/proc`: CPU time, memory, files, threads. Of the process alone,
//! its children not included.

use std::fs;
use std::time::Duration;

/// `/proc/PID/stat` counts CPU time in these; 100 on every platform the daemon is for.
const TICKS_PER_SECOND: u64 = 100;

/// A reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Resident memory now, in KiB.
    pub(crate) resident: u64,
    /// The most that it was since the peak was forgotten, or ever, in KiB.
    pub(crate) peak: u64,
    pub(crate) files: usize,
    pub(crate) threads: u64,
}

impl Usage {
    /// Has the process's peak begin anew with what it uses now. Where the kernel cannot do that, the peak
    /// goes on from the start, which is no less.
    pub(crate) fn forget_peak(pid: u32) {
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }

    /// Reads it now. Panics when there is no such process.
    pub(crate) fn of(pid: u32) -> Usage {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let status = read("status");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.unwrap_or_else(|| panic!("no {name} in {status}"))
        };
        let stat = read("stat");
        // The command may hold blanks and brackets, so the fields are counted from its last one.
        let after = stat.rsplit_once(')').expect("a command").1;
        let ticks =
            after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks"));
        let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("our own process").count();
        Usage {
            cpu: Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS_PER_SECOND),
            resident: field("VmRSS:"),
            peak: field("VmHWM:"),
            files,
            threads: field("Threads:"),
        }
    }
}
