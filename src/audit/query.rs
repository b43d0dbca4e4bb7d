//! Queries of the audit: which entries are asked for.

use serde::Deserialize;

/// Filter for entries; an unset field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Action to match, exactly or as a prefix followed by a dot.
    pub action: Option<String>,
    /// Outcome to match, by its name.
    pub outcome: Option<String>,
    /// Id of the member to match.
    pub member_id: Option<String>,
    /// Id of the key to match.
    pub key_id: Option<String>,
    /// First second to match, as an entry writes it: RFC 3339, UTC.
    pub since: Option<String>,
    /// Last second to match, in the same form.
    pub until: Option<String>,
}

impl AuditQuery {
    pub(super) fn takes(&self, line: &str) -> bool {
        #[derive(Deserialize)]
        struct Seen<'a> {
            #[serde(borrow, default)]
            at: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            action: std::borrow::Cow<'a, str>,
            outcome: &'a str,
            member_id: Option<std::borrow::Cow<'a, str>>,
            key_id: Option<std::borrow::Cow<'a, str>>,
        }
        let Ok(seen) = serde_json::from_str::<Seen<'_>>(line) else { return false };
        let of_action = |wanted: &String| {
            let rest = seen.action.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // Moments that are written alike are in the order of their texts.
        self.since.as_ref().is_none_or(|since| *seen.at >= **since)
            && self.until.as_ref().is_none_or(|until| *seen.at <= **until)
            && self.action.as_ref().is_none_or(of_action)
            && self.outcome.as_ref().is_none_or(|wanted| wanted == seen.outcome)
            && self.member_id.as_ref().is_none_or(|wanted| seen.member_id.as_deref() == Some(wanted))
            && self.key_id.as_ref().is_none_or(|wanted| seen.key_id.as_deref() == Some(wanted))
    }
}
