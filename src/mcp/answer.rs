//! Answers of the gateway to requests that a child pushes. Every request gets an answer: a child that waits
//! for one hangs for ever.

use super::method;

/// Answer to a pushed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A result as raw JSON.
    Result(&'static str),
    /// An error: its code and its message.
    Error(i32, &'static str),
}

/// Returns the answer to a request of this method. No client capability is declared to children, so only
/// `ping` and, for servers that ask anyway, an empty list of roots get a result.
pub fn answer(asked: &str) -> Answer {
    match asked {
        method::PING => Answer::Result("{}"),
        "roots/list" => Answer::Result("{\"roots\":[]}"),
        "sampling/createMessage" => Answer::Error(-32601, "this client does not support sampling"),
        "elicitation/create" => Answer::Error(-32601, "this client does not support elicitation"),
        _ => Answer::Error(-32601, "Method not found"),
    }
}
