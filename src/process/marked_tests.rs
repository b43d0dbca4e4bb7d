//! For tests of whoever starts processes: a host with a mark of its own, and a look at what carries it.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use super::{Host, HostSettings, MARK_VARIABLE};

/// Long enough for anything that is going to happen at all, on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Everything that one test starts.
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
            // Other tests of this process do, too.
            alone: false,
        };
        Marked { host: Host::new(settings).unwrap(), needle }
    }

    /// The processes that carry the mark and are alive.
    pub(crate) fn alive(&self) -> Vec<String> {
        let marked = |pid: &String| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(self.needle.as_bytes()))
        };
        let pids = fs::read_dir("/proc").unwrap();
        pids.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(marked).collect()
    }

    /// Waits until so many are alive, and says how long that took.
    pub(crate) async fn wait(&self, what: &str, count: usize) -> Duration {
        let start = Instant::now();
        while self.alive().len() != count {
            assert!(start.elapsed() < DEADLINE, "{what}: there are {:?}, not {count}", self.alive());
            // Orphans that the kernel gave to us are ours to reap, as in the daemon.
            self.host.reap_adopted();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        start.elapsed()
    }
}
