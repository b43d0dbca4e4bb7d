//! Adds an entry to a mapping at the top of a text of YAML; everything else stays as it is. Pure.

use serde_json::Value;

/// Returns the text with this entry as the first one of the mapping, which is made if it is not there. `None` if it is
/// written in a way that cannot be added to. Whether the text then says what it should is for the caller to check.
pub(super) fn add(text: &str, container: &str, name: &str, entry: &Value) -> Option<String> {
    let crlf = text.contains("\r\n");
    let finish = |text: String| if crlf { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text };
    let heads = |line: &&str| {
        let rest = line.strip_prefix(container).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(':'))
    };
    let mut at = 0;
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        at += line.len();
        if !heads(&line) {
            continue;
        }
        let rest = line.split_once(':')?.1.trim();
        (rest.is_empty() || rest.starts_with('#')).then_some(())?;
        let is_entry = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let first = lines.find(is_entry);
        let indent =
            first.map(|line| line.len() - line.trim_start_matches(' ').len()).filter(|indent| *indent > 0);
        let end = if line.ends_with('\n') { "" } else { "\n" };
        let block = block(name, entry, indent.unwrap_or(2));
        return Some(finish(format!("{}{end}{block}{}", &text[..at], &text[at..])));
    }
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Some(finish(format!("{text}{end}{container}:\n{}", block(name, entry, 2))))
}

/// Returns the lines of an entry below its mapping, each indented so far. Texts are written as JSON has them, which YAML
/// reads, unless they are plain words.
pub(super) fn block(name: &str, entry: &Value, indent: usize) -> String {
    let mut out = format!("{}{}:\n", " ".repeat(indent), scalar(&Value::from(name)));
    push_members(&mut out, entry, indent * 2);
    out
}

fn push_members(out: &mut String, value: &Value, indent: usize) {
    let blanks = " ".repeat(indent);
    for (member, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => {
                out.push_str(&format!("{blanks}{member}:\n"));
                push_members(out, value, indent + 2);
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(scalar).collect();
                out.push_str(&format!("{blanks}{member}: [{}]\n", items.join(", ")));
            }
            value => out.push_str(&format!("{blanks}{member}: {}\n", scalar(value))),
        }
    }
}

fn scalar(value: &Value) -> String {
    let plain = value.as_str().filter(|text| {
        let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let means_more = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
        is_word
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !means_more.contains(&&*text.to_lowercase())
    });
    plain.map_or_else(|| value.to_string(), str::to_owned)
}
