//! Processes that the daemon starts for itself and that belong to no tree: they must be taken neither for strays nor
//! for orphans to be reaped.

use std::collections::BTreeSet;
use std::io;
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ids of the running ones. Locked while one is spawned, so that none can be examined before it is in here.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn own() -> MutexGuard<'static, BTreeSet<i32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process of the daemon's own. The owner must wait for its end before dropping it.
#[derive(Debug)]
pub struct OwnChild(Child);

/// Starts a process of the daemon's own and registers its id.
pub fn spawn_own(command: &mut Command) -> io::Result<OwnChild> {
    let mut own = own();
    let child = command.spawn()?;
    own.insert(child.id().cast_signed());
    Ok(OwnChild(child))
}

/// Reports whether the daemon started this process for itself.
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
