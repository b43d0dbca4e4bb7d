//! YAML, for files that are imported once. The library limits depth, aliases and their expansion.

use serde_json::Value;

use super::ImportError;
use crate::config::problem::Position;

/// Parses a text. An error contains nothing of the text, which may be a secret.
pub(super) fn parse(text: &str) -> Result<Value, ImportError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let number = |of: u64| usize::try_from(of).unwrap_or(usize::MAX);
        let position = error.location();
        let position = position.map(|at| Position { line: number(at.line()), column: number(at.column()) });
        ImportError { position, place: String::new(), reason: "is not valid YAML".to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_forms_that_clients_write_are_read() {
        let text = "a:\n  b: [x, 1]\n  c: { d: quiet }\n  e: ${{ secrets.E }}\n  f: \"{{G}}\"\n  h: true\n";
        let read = parse(text).expect("YAML");
        assert_eq!(
            read,
            json!({"a": {"b": ["x", 1], "c": {"d": "quiet"}, "e": "${{ secrets.E }}", "f": "{{G}}", "h": true}})
        );
    }

    #[test]
    fn an_error_has_its_line_and_nothing_of_the_text() {
        let refusal = parse("a: 1\nb: [s3cret, }\n").expect_err("no YAML");
        assert_eq!(refusal.position.map(|at| at.line), Some(2));
        assert!(!refusal.reason.contains("s3cret"), "{}", refusal.reason);
    }

    #[test]
    fn a_few_lines_that_stand_for_a_great_many_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let below = format!("*a{}", n - 1);
            text.push_str(&format!("a{n}: &a{n} [{}]\n", [below.as_str(); 9].join(", ")));
        }
        assert!(parse(&text).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
