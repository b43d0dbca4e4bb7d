//! How far a process is that is not ready yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::upstream::probe::Activity;
use crate::upstream::start_phase::StartPhase;

/// Time a launcher may take to find that nothing needs to be installed.
const LAUNCHING: Duration = Duration::from_secs(2);

/// Derives the phase of a child that is not ready yet. Pure. A launcher that takes long while its server is silent is
/// installing. Any other silent child is only slow: most servers log before they answer.
fn start_phase(heard: bool, launcher: bool, age: Duration) -> StartPhase {
    match heard {
        true => StartPhase::Handshake,
        false if launcher && age >= LAUNCHING => StartPhase::Installing,
        false => StartPhase::Spawned,
    }
}

/// A view of a child that is starting. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone)]
pub struct ProcessStart {
    activity: Arc<Activity>,
    /// `true` while a launcher is at work that may have to fetch the server.
    launcher: Arc<AtomicBool>,
}

impl ProcessStart {
    pub(super) fn new(activity: Arc<Activity>, launcher: bool) -> ProcessStart {
        ProcessStart { activity, launcher: Arc::new(AtomicBool::new(launcher)) }
    }

    /// Records whether the launcher is still alone at work.
    pub(super) fn set_launching(&self, launching: bool) {
        self.launcher.store(launching, Ordering::Relaxed);
    }

    /// Reports whether any bytes came from the child.
    pub(super) fn was_heard(&self) -> bool {
        self.activity.was_heard()
    }

    /// Returns the current phase.
    pub fn phase(&self) -> StartPhase {
        let launcher = self.launcher.load(Ordering::Relaxed);
        start_phase(self.activity.was_heard(), launcher, self.activity.age())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_that_takes_its_time_is_installing_until_its_server_speaks() {
        let (soon, later) = (Duration::from_millis(100), LAUNCHING);
        assert_eq!(start_phase(false, true, soon), StartPhase::Spawned);
        assert_eq!(start_phase(false, true, later), StartPhase::Installing);
        assert_eq!(start_phase(false, false, later), StartPhase::Spawned, "it is only slow");
        assert_eq!(start_phase(true, true, later), StartPhase::Handshake);
    }
}
