//! One call, in the form in which it is kept: a small value of fixed size, whose names are shared. Pure.

use std::ops::Deref;
use std::sync::Arc;

use crate::access::{CallerTag, DialectName, RequestId};
use crate::telemetry::metrics::Kind;

/// Longest name of a tool that is kept whole, in bytes: as long as MCP lets one be.
const MAX_TOOL: usize = 128;

/// Server of a call, which may be gone when the call is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerTag {
    /// Its id; `None` if the caller named one that there was not.
    pub id: Option<Arc<str>>,
    /// Its name then; that which the caller wrote if there was none.
    pub name: Arc<str>,
}

/// What is called: a tool of a server, or what is no tool. One for all calls of it that are near in time.
#[derive(Debug, PartialEq, Eq)]
pub struct Called {
    server: Arc<ServerTag>,
    /// At most [`MAX_TOOL`] bytes.
    name: Box<str>,
}

impl Called {
    /// Creates it for a tool, whose name is cut to 128 bytes, or for what is counted by the name of its method.
    pub fn new(server: Arc<ServerTag>, name: &str) -> Called {
        Called { server, name: cut(name).into() }
    }

    /// Returns the server, as it was called then.
    pub fn server(&self) -> &ServerTag {
        &self.server
    }
}

/// A call that has ended, as it is looked at.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who called.
    pub caller: CallerTag,
    /// Everything else.
    pub facts: CallFacts,
}

/// What there is to say of a call beside who made it.
#[derive(Debug, Clone)]
pub struct CallFacts {
    /// What was called.
    pub called: Arc<Called>,
    /// Id of the request that it was made in.
    pub request: RequestId,
    /// Time when it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// Outcome: `ok`, `tool_error`, `cancelled`, or the name of an error.
    pub outcome: &'static str,
    /// Duration in microseconds; an hour and more is as long as this can say.
    pub took_us: u32,
    /// Kind of request.
    pub kind: Kind,
    /// Dialect that it was made in.
    pub dialect: DialectName,
    /// `true` if it may have reached the server, and counts as used.
    pub reached: bool,
}

impl Deref for Call {
    type Target = CallFacts;

    fn deref(&self) -> &CallFacts {
        &self.facts
    }
}

impl CallFacts {
    /// Returns the server that was called.
    pub fn server(&self) -> &ServerTag {
        &self.called.server
    }

    /// Returns the time when it ended, in milliseconds since 1970.
    pub(super) fn ended_ms(&self) -> u64 {
        self.started_ms.saturating_add(u64::from(self.took_us) / 1000)
    }

    /// Returns the name of the tool that was called, cut to 128 bytes; empty for what is no tool.
    pub fn tool(&self) -> &str {
        if self.kind == Kind::Tool { &self.called.name } else { "" }
    }

    /// Reports whether it is a call of this tool.
    pub fn is_of_tool(&self, name: &str) -> bool {
        self.tool() == cut(name)
    }
}

/// Cuts a name to [`MAX_TOOL`] bytes, between two characters.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_TOOL)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_comes_back_whole_or_cut_at_a_character(name in "\\PC{0,80}") {
            let server = Arc::new(ServerTag { id: None, name: "s".into() });
            let kept = Called::new(server, &name).name;
            prop_assert!(name.starts_with(&*kept) && *kept == *cut(&name));
            prop_assert!(kept.len() <= MAX_TOOL);
            prop_assert!(name.len() > MAX_TOOL || *kept == *name);
        }
    }
}
