//! Processes that the daemon starts for itself, which are nobody's tree: they must be taken neither for
//! strays nor for orphans, whose end nobody waits for.

use std::collections::BTreeSet;
use std::io;
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Those that run. Held while one is spawned, so that none can be looked at before it is in here.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn own() -> MutexGuard<'static, BTreeSet<i32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process of the daemon's own. Whoever has it waits for its end before letting go of it.
#[derive(Debug)]
pub struct OwnChild(Child);

/// Starts a process of the daemon's own.
pub fn spawn_own(command: &mut Command) -> io::Result<OwnChild> {
    let mut own = own();
    let child = command.spawn()?;
    own.insert(child.id().cast_signed());
    Ok(OwnChild(child))
}

/// Whether a process is one that the daemon started for itself.
pub(super) fn is_own(pid: i32) -> bool {
    own().contains(&pid)
}

impl Deref for OwnChild {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for OwnChild {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        own().remove(&self.0.id().cast_signed());
    }
}
