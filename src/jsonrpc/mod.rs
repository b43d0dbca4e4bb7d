//! Wire format: JSON-RPC 2.0 messages as lines of UTF-8. No IO, no MCP.
//!
//! Payloads (`params`, `result`, `error.data`) are never parsed here: they are slices of the frame they
//! came in, and are spliced into the frame they leave in.

mod depth;
mod framing;
mod mending;
mod message;
mod scan;
mod too_long;

pub use crate::text::Raw;
pub use depth::{MAX_DEPTH, too_deep};
pub use framing::{Framer, Line, Oversize, TooLong};
pub use mending::{Mended, mend};
pub use message::{
    Incoming, RpcError, classify, lone_answer, one_line, own_id, present, push_error, push_notification,
    push_request, push_result, push_string,
};
pub use scan::{Reader, members, only_element, plain_string, whole};
pub use too_long::id_of_answer;
