//! Answers of the gateway to requests that a child pushes. Every request gets an answer: a child that waits
//! for one hangs for ever.

use std::borrow::Cow;

use bytes::Bytes;

use super::method;

/// Answer to a pushed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A result as raw JSON on one line.
    Result(Bytes),
    /// An error: its code and its message.
    Error(i32, Cow<'static, str>),
}

/// Returns the answer to a request of this method in the name of a client that cannot be asked. No client capability is
/// declared to children, so only `ping` and, for servers that ask anyway, an empty list of roots get a result.
pub fn answer(asked: &str) -> Answer {
    match asked {
        method::PING => Answer::Result(Bytes::from_static(b"{}")),
        "roots/list" => Answer::Result(Bytes::from_static(b"{\"roots\":[]}")),
        "sampling/createMessage" => Answer::Error(-32601, "this client does not support sampling".into()),
        "elicitation/create" => Answer::Error(-32601, "this client does not support elicitation".into()),
        _ => Answer::Error(-32601, "Method not found".into()),
    }
}
