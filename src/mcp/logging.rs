//! Reports of a server by the protocol: `notifications/message`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::json_text;

/// Maximum length of a report that is shown, in characters.
const MAX_REPORT: usize = 4096;

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    level: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    logger: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Formats a report as one line: `level logger: data`, a string as its text and any other value as JSON
/// (spec 2025-11-25, server/utilities/logging). `None` for invalid params.
pub fn read_log_message(params: &[u8]) -> Option<String> {
    let params: Params<'_> = serde_json::from_slice(params).ok()?;
    let data = json_text(params.data.get()).unwrap_or_else(|| params.data.get().to_owned());
    let level = params.level.as_deref().unwrap_or("info");
    let logger = params.logger.filter(|logger| !logger.is_empty());
    let logger = logger.map(|logger| format!(" {logger}")).unwrap_or_default();
    let line = format!("{level}{logger}: {data}").replace(['\n', '\r'], " ");
    Some(line.chars().take(MAX_REPORT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_with_its_level_first() {
        let read = |params: &str| read_log_message(params.as_bytes());
        let whole = r#"{"level":"warning","logger":"db","data":"slow\nvery"}"#;
        assert_eq!(read(whole).as_deref(), Some("warning db: slow very"));
        assert_eq!(read(r#"{"level":"error","data":{"code":7}}"#).as_deref(), Some(r#"error: {"code":7}"#));
        assert_eq!(read(r#"{"data":"x"}"#).as_deref(), Some("info: x"));
        assert_eq!(read(r#"{"level":"info"}"#), None);
        assert_eq!(read("7"), None);
        let long = format!(r#"{{"data":"{}"}}"#, "x".repeat(10_000));
        assert_eq!(read(&long).map(|line| line.len()), Some(MAX_REPORT));
    }
}
