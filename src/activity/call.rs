//! One call, in the form in which it is kept: a small value of fixed size, whose names are shared. Pure.

use std::sync::Arc;

use crate::access::{CallerTag, DialectName, RequestId};
use crate::telemetry::metrics::Kind;

/// Longest name of a tool that is kept whole, in bytes: as long as MCP lets one be.
const MAX_TOOL: usize = 128;
/// Longest name that has its place in the call itself.
const SHORT: usize = 30;

/// Server of a call, which may be gone when the call is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTag {
    /// Its id; `None` if the caller named one that there was not.
    pub id: Option<Arc<str>>,
    /// Its name then; that which the caller wrote if there was none.
    pub name: Arc<str>,
}

/// A call that has ended.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who called.
    pub caller: CallerTag,
    /// Server that was called.
    pub server: Arc<ServerTag>,
    /// Tool that was called; empty for what is no tool.
    pub tool: ToolName,
    /// Id of the request that it was made in.
    pub request: RequestId,
    /// Time when it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// Duration in microseconds; an hour and more is as long as this can say.
    pub took_us: u32,
    /// Outcome: `ok`, `tool_error`, `cancelled`, or the name of an error.
    pub outcome: &'static str,
    /// Kind of request.
    pub kind: Kind,
    /// Dialect that it was made in.
    pub dialect: DialectName,
    /// `true` if it may have reached the server, and counts as used.
    pub reached: bool,
}

/// Name of a tool, cut to 128 bytes. Most have their place in the call and cost no memory of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolName {
    /// Length and bytes of a short name.
    Short(u8, [u8; SHORT]),
    /// A longer name.
    Long(Box<str>),
}

impl Default for ToolName {
    fn default() -> ToolName {
        ToolName::Short(0, [0; SHORT])
    }
}

impl From<&str> for ToolName {
    fn from(name: &str) -> ToolName {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(name.as_bytes());
                ToolName::Short(length, bytes)
            }
            _ => ToolName::Long(cut(name).into()),
        }
    }
}

impl ToolName {
    /// Returns the name; empty for what is no tool.
    pub fn as_str(&self) -> &str {
        match self {
            ToolName::Short(length, bytes) => {
                std::str::from_utf8(&bytes[..usize::from(*length).min(SHORT)]).unwrap_or_default()
            }
            ToolName::Long(name) => name,
        }
    }

    /// Reports whether it is this name; compares bytes only.
    pub fn is(&self, name: &str) -> bool {
        match self {
            ToolName::Short(length, bytes) => bytes[..usize::from(*length).min(SHORT)] == *name.as_bytes(),
            ToolName::Long(long) => **long == *cut(name),
        }
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

    #[test]
    fn a_call_is_as_small_as_the_documents_say() {
        assert!(size_of::<Call>() <= 96, "{}: docs/limits.md says 96 bytes", size_of::<Call>());
    }

    proptest! {
        #[test]
        fn a_name_comes_back_whole_or_cut_at_a_character(name in "\\PC{0,80}") {
            let kept = ToolName::from(&*name);
            prop_assert!(name.starts_with(kept.as_str()) && kept.is(&name));
            prop_assert!(kept.as_str().len() <= MAX_TOOL);
            prop_assert!(name.len() > MAX_TOOL || kept.as_str() == name);
        }
    }
}
