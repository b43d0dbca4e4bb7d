//! One request of a handshake: how it is made, and what may come of it instead of an answer. The first lists are read by
//! such requests, too, and those that are read again later.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{Call, Link, Outcome, too_long};
use crate::jsonrpc::RpcError;

/// Failure of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeError {
    /// The child ended or closed a pipe.
    Gone,
    /// The start deadline passed.
    TimedOut {
        /// Method that had not been answered.
        phase: &'static str,
        /// Time the child had had.
        after: Duration,
        /// `true` if the launcher was still fetching or building the server.
        installing: bool,
    },
    /// The child answered, but not as MCP requires; the text says why.
    Refused(String),
}

/// Makes one request of the handshake: returns its result or the child's error, or fails with the end of the handshake.
/// The caller fills in the time of a timeout.
pub(super) async fn ask(
    link: &Link,
    method: &'static str,
    members: Bytes,
    deadline: Instant,
) -> Result<Result<Bytes, RpcError>, HandshakeError> {
    let limits = Link::within(deadline, Instant::now());
    match link.call(Call::new(method, members), limits).await {
        Outcome::Result(result) => Ok(Ok(result)),
        Outcome::Error(error) => Ok(Err(error)),
        Outcome::Unusable(reason) => Err(HandshakeError::Refused(format!("{method}: {reason}"))),
        Outcome::TooLong { length, limit } => {
            Err(HandshakeError::Refused(format!("{method}: {}", too_long(length, limit))))
        }
        Outcome::TimedOut { .. } => {
            Err(HandshakeError::TimedOut { phase: method, after: Duration::ZERO, installing: false })
        }
        Outcome::Refused(refusal) => {
            Err(HandshakeError::Refused(format!("{method}: it {}", refusal.sentence)))
        }
        Outcome::Gone { .. } => Err(HandshakeError::Gone),
    }
}

/// Returns the reason for a handshake that ends by a child's error.
pub(super) fn refusal(method: &str, error: &RpcError) -> String {
    format!("{method} was answered with error {}: {}", error.code, error.message)
}
