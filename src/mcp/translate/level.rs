//! Severities of log messages (RFC 5424, section 6.2.1; spec 2025-11-25, server/utilities/logging).

use super::members::Members;
use crate::jsonrpc::Raw;
use crate::text::json_string;

/// Severity of a log message, the least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

const NAMES: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl Level {
    /// Reads a level by its name; `None` for a name that is none.
    pub fn named(name: &str) -> Option<Level> {
        let at = NAMES.iter().position(|known| *known == name)?;
        u8::try_from(at).ok().map(Level)
    }

    /// Reads a member that names a level; `None` if it does not.
    pub fn read(raw: Raw<'_>) -> Option<Level> {
        json_string(raw).and_then(|name| Level::named(&name))
    }

    /// Returns the level of a log message from its `params`; one that cannot be read counts as `info`.
    pub fn of_message(params: &str) -> Level {
        let level = Members::read(params).and_then(|params| params.get("level").and_then(Level::read));
        level.unwrap_or(Level(1))
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0).min(NAMES.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_known_by_their_names_and_ordered_by_severity() {
        let all: Vec<Level> = NAMES.iter().filter_map(|name| Level::named(name)).collect();
        assert!(all.len() == NAMES.len() && all.is_sorted());
        assert_eq!(all.iter().map(|level| level.name()).collect::<Vec<_>>(), NAMES);
        assert_eq!((Level::named("Debug"), Level::named("warn")), (None, None));
        assert_eq!(Level::of_message(r#"{"level":"error","data":1}"#).name(), "error");
        assert_eq!(Level::of_message("[]").name(), "info");
    }
}
