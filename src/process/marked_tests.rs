//! Test support for code that starts processes: a host with a mark of its own, and a view of the marked processes.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use super::{Host, HostSettings, MARK_VARIABLE};

/// Deadline for anything that is going to happen at all, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// All processes of one test.
pub(crate) struct Marked {
    pub(crate) host: Host,
    needle: String,
}

impl Marked {
    pub(crate) fn new() -> Marked {
        let instance = format!("test-{}", uuid::Uuid::new_v4());
        let base_env = vec![(OsString::from("PATH"), std::env::var_os("PATH").unwrap_or_default())];
        let needle = format!("{MARK_VARIABLE}={instance}.");
        let settings = HostSettings {
            instance,
            base_env,
            own_command: None,
            cgroups: false,
            sandboxes: std::env::temp_dir(),
            private: std::env::temp_dir().join("none"),
            // Other tests of this process start processes, too.
            alone: false,
        };
        Marked { host: Host::new(settings).unwrap(), needle }
    }

    /// Returns the ids of the living processes that carry the mark.
    pub(crate) fn alive(&self) -> Vec<String> {
        let marked = |pid: &String| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(self.needle.as_bytes()))
        };
        let pids = fs::read_dir("/proc").unwrap();
        pids.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(marked).collect()
    }

    /// Waits until `count` processes are alive, and returns the time that took.
    pub(crate) async fn wait(&self, what: &str, count: usize) -> Duration {
        let start = Instant::now();
        while self.alive().len() != count {
            assert!(start.elapsed() < DEADLINE, "{what}: there are {:?}, not {count}", self.alive());
            // Orphans that the kernel reparented to us are ours to reap, as in the daemon.
            self.host.reap_adopted();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        start.elapsed()
    }
}
