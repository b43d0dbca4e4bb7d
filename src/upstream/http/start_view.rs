//! How far a remote server is that is not ready yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::upstream::start_phase::StartPhase;

const PHASES: [StartPhase; 3] = [StartPhase::Probing, StartPhase::Handshake, StartPhase::Listing];

/// A view of a remote server that is being opened. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone, Default)]
pub struct RemoteStart(Arc<AtomicU8>);

impl RemoteStart {
    /// Records the step that is under way.
    pub(super) fn set(&self, phase: StartPhase) {
        let index = PHASES.iter().position(|known| *known == phase).unwrap_or_default();
        self.0.store(u8::try_from(index).unwrap_or_default(), Ordering::Relaxed);
    }

    /// Returns the current phase.
    pub fn phase(&self) -> StartPhase {
        PHASES[usize::from(self.0.load(Ordering::Relaxed)).min(PHASES.len() - 1)]
    }
}
