//! Adds a table at the end of a text of TOML; everything before it stays as it is. Pure.

use serde_json::Value;

/// Returns the text with a table for this entry behind it. Whether that says what it should is for the caller to check: an
/// entry that is there already would then be there twice.
pub(super) fn add(text: &str, container: &str, name: &str, entry: &Value) -> Option<String> {
    let table = table(container, name, entry);
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let table = table.replace('\n', line_end);
    let kept = text.trim_end_matches(['\n', '\r']);
    match kept.trim_start_matches('\u{feff}').is_empty() {
        true => Some(format!("{text}{table}")),
        false => {
            let end = &text[kept.len()..];
            let end = if end.is_empty() { line_end } else { end };
            Some(format!("{kept}{end}{line_end}{table}"))
        }
    }
}

/// Returns the table of an entry, whose members are texts and lists of texts.
pub(super) fn table(container: &str, name: &str, entry: &Value) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let key = if is_bare { name.to_owned() } else { quoted(name) };
    let mut out = format!("[{container}.{key}]\n");
    for (member, value) in entry.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => quoted(text),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().filter_map(Value::as_str).map(quoted).collect();
                format!("[{}]", items.join(", "))
            }
            other => other.to_string(),
        };
        out.push_str(&format!("{member} = {value}\n"));
    }
    out
}

/// Writes a basic string. The escapes of JSON are escapes of TOML, but for DEL, which TOML does not take as it is.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
