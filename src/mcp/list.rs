//! Pages of the four lists that a server offers.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::method;

/// Kind of list that a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Tools that can be called: `tools/list`.
    Tools,
    /// Resources that can be read: `resources/list`.
    Resources,
    /// Templates for the addresses of resources: `resources/templates/list`.
    Templates,
    /// Prompts that a server offers: `prompts/list`.
    Prompts,
}

impl ListKind {
    /// Returns the method that requests the list.
    pub fn method(self) -> &'static str {
        match self {
            ListKind::Tools => method::TOOLS_LIST,
            ListKind::Resources => method::RESOURCES_LIST,
            ListKind::Templates => method::TEMPLATES_LIST,
            ListKind::Prompts => method::PROMPTS_LIST,
        }
    }

    /// Returns the capability that announces the list.
    pub fn capability(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Resources | ListKind::Templates => "resources",
            ListKind::Prompts => "prompts",
        }
    }

    /// Returns the member of the result that holds the entries.
    pub(super) fn member(self) -> &'static str {
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
    /// The entries of this page, each raw JSON.
    pub entries: Vec<Box<RawValue>>,
    /// Cursor of the next page, if there is one.
    pub next: NextPage,
    /// Time for which the server says that the page is good, in milliseconds; `None` if it does not say.
    pub ttl_ms: Option<u64>,
}

/// A page's reference to the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextPage {
    /// This is the last page.
    None,
    /// The next page has this cursor; the empty string is a cursor like any other.
    At(String),
    /// The cursor is not a string; this is its JSON, cut to 40 characters.
    Unusable(String),
}

/// Reads a page, or returns what is wrong with it.
pub fn read_page(kind: ListKind, result: &[u8]) -> Result<ListPage, String> {
    let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(result)
        .map_err(|_| format!("{} did not answer with an object", kind.method()))?;
    let entries = members
        .get(kind.member())
        .ok_or_else(|| format!("{} answered without '{}'", kind.method(), kind.member()))?;
    let entries = serde_json::from_str(entries.get())
        .map_err(|_| format!("{} answered '{}' that is not an array", kind.method(), kind.member()))?;
    let next = match members.get("nextCursor").map(|raw| (raw, serde_json::from_str(raw.get()))) {
        None | Some((_, Ok(None))) => NextPage::None,
        Some((_, Ok(Some(cursor)))) => NextPage::At(cursor),
        Some((raw, Err(_))) => NextPage::Unusable(raw.get().chars().take(40).collect()),
    };
    let ttl_ms = members.get("ttlMs").and_then(|raw| serde_json::from_str(raw.get()).ok());
    Ok(ListPage { entries, next, ttl_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_entries_raw_and_the_empty_cursor() {
        let page = read_page(ListKind::Tools, br#"{"tools":[{"name" : "a"}],"nextCursor":""}"#).unwrap();
        assert_eq!(page.entries[0].get(), r#"{"name" : "a"}"#);
        assert_eq!(page.next, NextPage::At(String::new()));
        let last = read_page(ListKind::Tools, br#"{"tools":[],"nextCursor":null,"ttlMs":500}"#).unwrap();
        assert_eq!((last.next, last.ttl_ms, page.ttl_ms), (NextPage::None, Some(500), None));
        let odd = read_page(ListKind::Tools, br#"{"tools":[],"nextCursor":7}"#).unwrap();
        assert_eq!(odd.next, NextPage::Unusable("7".to_owned()));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(read_page(ListKind::Prompts, b"[]").unwrap_err().contains("prompts/list"));
        assert!(read_page(ListKind::Templates, b"{}").unwrap_err().contains("resourceTemplates"));
        assert!(read_page(ListKind::Tools, br#"{"tools":5}"#).unwrap_err().contains("not an array"));
    }
}
