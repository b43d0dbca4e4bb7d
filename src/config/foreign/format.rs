//! Parses the text of a file into its value, in any notation: JSON (with comments and trailing commas), TOML,
//! YAML where it is requested. Pure.

use std::path::Path;

use serde_json::Value;

use super::{ImportError, jsonc, yaml};
use crate::config::json;
use crate::config::problem::Position;

/// Notation of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Format {
    Json,
    Toml,
    Yaml,
}

/// Value of a file, with its notation.
pub(super) struct Parsed {
    pub(super) value: Value,
    /// Paths of members that occur more than once; of each the last one counts.
    pub(super) repeated: Vec<String>,
    pub(super) format: Format,
}

impl Format {
    /// Returns the notation by the file's extension, else by the first line of its text.
    pub(super) fn of(path: &Path, text: &str) -> Format {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("json" | "jsonc" | "json5") => Format::Json,
            Some("toml") => Format::Toml,
            Some("yaml" | "yml") => Format::Yaml,
            _ => Format::by_first_line(text),
        }
    }

    fn by_first_line(text: &str) -> Format {
        let blank = |line: &&str| line.is_empty() || line.starts_with('#');
        let Some(first) = text.lines().map(str::trim).find(|line| !blank(line)) else { return Format::Json };
        let key = |end: char| {
            first.split_once(end).is_some_and(|(key, _)| {
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | ' ');
                !key.trim().is_empty() && key.chars().all(plain)
            })
        };
        let table = first.strip_prefix('[').is_some_and(|rest| {
            rest.trim_start_matches('[').starts_with(|c: char| c.is_ascii_alphabetic()) && rest.contains(']')
        });
        match () {
            () if first.starts_with(['{', '/']) => Format::Json,
            () if table || key('=') => Format::Toml,
            () if first == "---" || first.starts_with("- ") || (key(':') && !first.starts_with('"')) => {
                Format::Yaml
            }
            () => Format::Json,
        }
    }
}

/// Parses a text of this notation. In JSON no member may be there twice.
pub(in crate::config) fn parse_text(format: Format, text: &str) -> Result<Value, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Json => {
            let parsed = parse_json(text)?;
            match parsed.repeated.first() {
                Some(place) => Err(ImportError::of(place.as_str(), "is written twice")),
                None => Ok(parsed.value),
            }
        }
        Format::Toml => parse_toml(text),
        Format::Yaml => yaml::parse(text),
    }
}

fn parse_json(text: &str) -> Result<json::Parsed, ImportError> {
    let refused = |(at, reason)| ImportError::at(at, format!("is not valid JSON: {reason}"));
    json::parse(&jsonc::blanked(text)).map_err(refused)
}

fn parse_toml(text: &str) -> Result<Value, ImportError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map(|span| Position::of(text, span.start));
        ImportError {
            position: at,
            place: String::new(),
            reason: format!("is not valid TOML: {}", error.message()),
        }
    })
}

/// Parses a text. `yaml` allows YAML as well, which is meant for files that are imported once, not for those
/// that are read again and again.
pub(super) fn parse(path: &Path, text: &str, yaml: bool) -> Result<Parsed, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let format = Format::of(path, text);
    let plain = |value| Parsed { value, repeated: Vec::new(), format };
    match format {
        Format::Json => {
            let parsed = parse_json(text)?;
            Ok(Parsed { value: parsed.value, repeated: parsed.repeated, format })
        }
        Format::Toml => parse_toml(text).map(plain),
        Format::Yaml if yaml => yaml::parse(text).map(plain),
        Format::Yaml => Err(ImportError::whole(
            "is YAML, which is not read here; \"mcpvisor import --from FILE\" makes a servers file of it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notation_is_known_by_name_or_first_line() {
        let of = |name: &str, text: &str| Format::of(Path::new(name), text);
        assert_eq!(of("x.toml", "{}"), Format::Toml);
        assert_eq!(of("x.YML", "{}"), Format::Yaml);
        for (text, format) in [
            ("{\"a\": 1}", Format::Json),
            ("// c\n{}", Format::Json),
            ("[1]", Format::Json),
            ("[\"a\"]", Format::Json),
            ("", Format::Json),
            ("# c\n[mcp_servers.x]\n", Format::Toml),
            ("[[x]]\n", Format::Toml),
            ("model = \"x\"", Format::Toml),
            ("---\na: 1", Format::Yaml),
            ("extensions:\n  a: 1", Format::Yaml),
            ("nonsense", Format::Json),
        ] {
            assert_eq!(of("config", text), format, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_notation_and_place() {
        let refused = |name: &str, text: &str| {
            let refusal = parse(Path::new(name), text, false).err().expect("refused");
            (refusal.position.map(|at| (at.line, at.column)), refusal.reason)
        };
        assert_eq!(
            refused("f.json", "{\n \"mcpServers\": {,}\n}"),
            (Some((2, 17)), "is not valid JSON: key must be a string".to_owned())
        );
        assert_eq!(refused("f.json", "{ /* ü */ \"a\": x}").0, Some((1, 16)));
        let (at, reason) = refused("f.toml", "a = 1\nb = \n");
        assert!(
            at.is_some_and(|(line, _)| line == 2) && reason.starts_with("is not valid TOML: "),
            "{reason}"
        );
        assert!(refused("f.yaml", "a: 1").1.starts_with("is YAML"));
    }
}
