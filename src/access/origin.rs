//! Where a request came from: the dialect that it was made in, and its id. For whoever records what came of it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Dialect that a request was made in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DialectName {
    /// `/v1`.
    PlexMcp,
    /// `/api`.
    McpCli,
    /// `/mcp`.
    Mcp,
    /// None of them.
    #[default]
    Other,
}

impl DialectName {
    /// Returns the dialect's name.
    pub fn name(self) -> &'static str {
        match self {
            DialectName::PlexMcp => "plexmcp",
            DialectName::McpCli => "mcp_cli",
            DialectName::Mcp => "mcp",
            DialectName::Other => "other",
        }
    }
}

/// Id of a request: the client's own if it sent a good one, else a number of this run of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestId {
    /// Number, which counts up. Ids name lines and protect nothing, so they need not be unguessable.
    Own(u64),
    /// Text that the client sent.
    Given(Arc<str>),
}

/// Length of an own id as text.
const OWN: usize = "req_00000000_00000000000".len();

impl Default for RequestId {
    fn default() -> RequestId {
        RequestId::Own(0)
    }
}

impl RequestId {
    /// Returns a new id, and its number.
    pub fn next() -> (RequestId, u64) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        (RequestId::Own(number), number)
    }

    /// Returns an own id as text: `req_`, eight hexadecimal digits for this run of the daemon, and eleven of its number.
    pub fn own_text(number: u64) -> [u8; OWN] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        static RUN: OnceLock<u64> = OnceLock::new();
        let run = *RUN.get_or_init(|| RandomState::new().hash_one(std::process::id()));
        let mut id = *b"req_00000000_00000000000";
        let (head, tail) = id.split_at_mut(12);
        for (digits, mut value) in [(&mut head[4..], run), (&mut tail[1..], number)] {
            for place in digits.iter_mut().rev() {
                *place = DIGITS[(value & 0xf) as usize];
                value >>= 4;
            }
        }
        id
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestId::Own(number) => {
                f.write_str(std::str::from_utf8(&RequestId::own_text(*number)).unwrap_or_default())
            }
            RequestId::Given(text) => f.write_str(text),
        }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Dialect that it was made in.
    pub dialect: DialectName,
    /// Its id.
    pub request: RequestId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_id_counts_up_and_has_the_run_and_the_number_in_it() {
        let ((first, _), (_, second)) = (RequestId::next(), RequestId::next());
        assert!(matches!(first, RequestId::Own(first) if first < second));
        let text = RequestId::Own(0xabc).to_string();
        assert!(text.starts_with("req_") && text.ends_with("_00000000abc") && text.len() == OWN, "{text}");
        assert_eq!(RequestId::Given("mine".into()).to_string(), "mine");
        // An id takes no more than a text: a call keeps one.
        assert_eq!(size_of::<RequestId>(), size_of::<Arc<str>>());
    }
}
