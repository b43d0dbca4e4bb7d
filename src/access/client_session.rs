//! Session of an MCP client, as far as others need to tell it apart from the member's other callers.

use std::sync::atomic::{AtomicBool, Ordering};

/// Session of an MCP client that a principal calls in.
#[derive(Debug)]
pub struct ClientSession {
    number: u64,
    is_over: AtomicBool,
    has_belongings: AtomicBool,
}

impl ClientSession {
    /// Creates a session with a number that no other session has.
    pub fn new(number: u64) -> ClientSession {
        ClientSession { number, is_over: AtomicBool::new(false), has_belongings: AtomicBool::new(false) }
    }

    /// Returns its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Announces that something is made that has to go with it; reports whether it is over, and nothing may be made.
    pub fn is_over_for_more(&self) -> bool {
        // In this order, so that of a maker and the end one sees the other.
        self.has_belongings.store(true, Ordering::SeqCst);
        self.is_over.load(Ordering::SeqCst)
    }

    /// Ends it; reports whether there may be something that has to go with it.
    pub fn end(&self) -> bool {
        let was_over = self.is_over.swap(true, Ordering::SeqCst);
        !was_over && self.has_belongings.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_before_the_end_goes_with_it_and_nothing_is_made_after() {
        let (used, unused) = (ClientSession::new(1), ClientSession::new(2));
        assert!(!used.is_over_for_more() && used.end());
        assert!(used.is_over_for_more() && !used.end(), "once");
        assert!(!unused.end() && unused.is_over_for_more());
    }
}
