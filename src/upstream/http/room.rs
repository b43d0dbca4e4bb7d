//! Room for the long answers of one server that are being read at the same time. Short ones need none; one that may become
//! longer waits until there is room for all of it, so that a server cannot fill the memory by answering every call at once
//! (`remote-upstreams.md`, R49).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest part of an answer that is held without room for it, in bytes.
const SHORT: usize = 64 * 1024;
/// Bytes of one place.
const PLACE: usize = 1024;

/// The room of one server: as much as its longest answer may have.
#[derive(Clone)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    longest: usize,
}

/// Room that one answer has, until this is dropped.
pub(super) type RoomPermit = OwnedSemaphorePermit;

impl Room {
    /// Makes room for an answer of this length.
    pub(super) fn new(longest: usize) -> Room {
        Room { places: Arc::new(Semaphore::new(longest.div_ceil(PLACE))), longest }
    }

    /// Returns the length of the longest answer, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Waits for the room that an answer needs of which `so_far` bytes are there, unless it has that already; `announced` is
    /// its whole length, where it is known. Cancel safe.
    pub(super) async fn hold(&self, held: &mut Option<RoomPermit>, so_far: usize, announced: Option<usize>) {
        let length = announced.unwrap_or(so_far);
        if held.is_some() || length <= SHORT {
            return;
        }
        // Asking for more later, two of them could wait for each other.
        let whole = announced.unwrap_or(self.longest).min(self.longest);
        let places = u32::try_from(whole.div_ceil(PLACE)).unwrap_or(u32::MAX);
        // It is never closed.
        *held = self.places.clone().acquire_many_owned(places).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    const LONGEST: usize = 1024 * 1024;

    fn begins(room: &Room, held: &mut Option<RoomPermit>, so_far: usize, announced: Option<usize>) -> bool {
        let holding = std::pin::pin!(room.hold(held, so_far, announced));
        holding.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn short_answers_need_no_room_and_long_ones_have_it_one_after_the_other() {
        let room = Room::new(LONGEST);
        let (mut one, mut other, mut short) = (None, None, None);
        assert!(begins(&room, &mut one, SHORT + 1, None) && one.is_some());
        assert!(begins(&room, &mut one, LONGEST, None), "it has room already");
        assert!(begins(&room, &mut short, 0, Some(SHORT)) && short.is_none());
        assert!(!begins(&room, &mut other, 0, Some(SHORT + 1)), "there is none");
        drop(one);
        assert!(begins(&room, &mut other, 0, Some(SHORT + 1)));
        assert!(begins(&room, &mut short, 0, Some(SHORT + 1)), "their length is known, so both have room");
        drop((other, short));
        assert!(begins(&room, &mut None, 0, Some(usize::MAX)), "no length is more than there is");
    }
}
