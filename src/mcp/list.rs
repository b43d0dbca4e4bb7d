//! Pages of the four lists.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::method;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `prompts/list`.
    Prompts,
}

impl ListKind {
    /// The method that lists.
    pub fn method(self) -> &'static str {
        match self {
            ListKind::Tools => method::TOOLS_LIST,
            ListKind::Resources => method::RESOURCES_LIST,
            ListKind::Templates => method::TEMPLATES_LIST,
            ListKind::Prompts => method::PROMPTS_LIST,
        }
    }

    /// The capability that announces it.
    pub fn capability(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Resources | ListKind::Templates => "resources",
            ListKind::Prompts => "prompts",
        }
    }

    /// The member of the result that holds the entries.
    fn member(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Resources => "resources",
            ListKind::Templates => "resourceTemplates",
            ListKind::Prompts => "prompts",
        }
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct ListPage {
    /// The entries, each raw JSON.
    pub entries: Vec<Box<RawValue>>,
    /// Where the next page starts; the empty string is a cursor like any other.
    pub next_cursor: Option<String>,
}

/// Reads a page, or says what is wrong with it.
pub fn read_page(kind: ListKind, result: &[u8]) -> Result<ListPage, String> {
    let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(result)
        .map_err(|_| format!("{} did not answer with an object", kind.method()))?;
    let entries = members
        .get(kind.member())
        .ok_or_else(|| format!("{} answered without '{}'", kind.method(), kind.member()))?;
    let entries = serde_json::from_str(entries.get())
        .map_err(|_| format!("{} answered '{}' that is not an array", kind.method(), kind.member()))?;
    let next_cursor =
        members.get("nextCursor").and_then(|raw| serde_json::from_str(raw.get()).ok()).flatten();
    Ok(ListPage { entries, next_cursor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_entries_raw_and_the_empty_cursor() {
        let page = read_page(ListKind::Tools, br#"{"tools":[{"name" : "a"}],"nextCursor":""}"#).unwrap();
        assert_eq!(page.entries[0].get(), r#"{"name" : "a"}"#);
        assert_eq!(page.next_cursor.as_deref(), Some(""));
        let last = read_page(ListKind::Tools, br#"{"tools":[],"nextCursor":null}"#).unwrap();
        assert_eq!(last.next_cursor, None);
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(read_page(ListKind::Prompts, b"[]").unwrap_err().contains("prompts/list"));
        assert!(read_page(ListKind::Templates, b"{}").unwrap_err().contains("resourceTemplates"));
        assert!(read_page(ListKind::Tools, br#"{"tools":5}"#).unwrap_err().contains("not an array"));
    }
}
