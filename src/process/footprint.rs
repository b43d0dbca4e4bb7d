//! Resources of the machine that the daemon's own process holds, read from `/proc`.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::proc_fs;

/// Resources that a process holds, without its children.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    /// User plus system time.
    pub cpu: Duration,
    /// Number of threads.
    pub threads: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Number of open file descriptors.
    pub open_files: u64,
    /// Limit on open file descriptors; `None` if there is none.
    pub max_files: Option<u64>,
    /// Start, in seconds since 1970.
    pub started: u64,
}

impl Footprint {
    /// Reads those of the daemon itself; `None` if `/proc` is not to be read.
    pub fn own() -> Option<Footprint> {
        let pid = std::process::id().cast_signed();
        let stat = proc_fs::full_stat(pid)?;
        // The directory itself is open while it is read.
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
        Some(Footprint {
            cpu: stat.cpu(),
            threads: stat.threads,
            virtual_bytes: stat.virtual_bytes,
            resident_bytes: stat.resident_bytes(),
            open_files: u64::try_from(open_files).ok()?,
            max_files: getrlimit(Resource::Nofile).current,
            started: started(stat.started / rustix::param::clock_ticks_per_second())?,
        })
    }
}

/// Returns when the daemon started, in seconds since 1970: the first answer for ever, because the machine's boot moves when
/// its clock is set.
fn started(seconds_after_boot: u64) -> Option<u64> {
    static STARTED: OnceLock<u64> = OnceLock::new();
    match STARTED.get() {
        Some(started) => Some(*started),
        None => booted().map(|booted| *STARTED.get_or_init(|| booted + seconds_after_boot)),
    }
}

/// Returns when the machine was booted, in seconds since 1970.
fn booted() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn the_daemon_knows_what_it_holds_itself() {
        let before = Footprint::own().unwrap();
        let files: Vec<_> = (0..3).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let now = Footprint::own().unwrap();
        assert!(now.cpu >= before.cpu && now.threads >= 1 && !files.is_empty());
        assert!(now.virtual_bytes >= now.resident_bytes && now.resident_bytes > 100_000);
        assert!(now.open_files >= 6 && now.max_files.is_none_or(|most| most >= now.open_files));
        assert_eq!(now.started, before.started);
        let age = SystemTime::UNIX_EPOCH + Duration::from_secs(now.started);
        assert!(age.elapsed().is_ok_and(|age| age < Duration::from_secs(24 * 3600)), "it has begun today");
    }
}
