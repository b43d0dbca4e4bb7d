//! What a line is about: the name, the path, the port or the variable in it. Pure.

use crate::text::cut;

/// Longest subject that is shown, in characters.
const MAX_SUBJECT: usize = 120;

/// How the subject of a line is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// There is none.
    None,
    /// What stands in the first quotes: `'…'`, `"…"`, `` `…` `` or `‘…’`.
    Quoted,
    /// The word behind this text.
    After(&'static str),
    /// The word before this text.
    Before(&'static str),
    /// The last number behind a colon, or the last word that is a number: a port.
    Port,
    /// A name in capitals with an underscore, as of an environment variable.
    Variable,
}

impl Subject {
    /// Returns the subject of a line; `None` if it is not there.
    pub(super) fn of(self, line: &str) -> Option<String> {
        let found = match self {
            Subject::None => return None,
            Subject::Quoted => quoted(line),
            Subject::After(text) => line.split_once(text).and_then(|(_, rest)| word(rest)),
            Subject::Before(text) => {
                let before = line[..line.find(text)?].trim_end();
                before.rsplit([' ', '\t']).next().map(|word| word.trim_matches(QUOTES))
            }
            Subject::Port => port(line),
            Subject::Variable => variable(line),
        };
        found.filter(|text| !text.is_empty()).map(|text| cut(text.to_owned(), MAX_SUBJECT))
    }
}

const QUOTES: [char; 7] = ['\'', '"', '`', '\u{2018}', '\u{2019}', ':', ','];

fn quoted(line: &str) -> Option<&str> {
    let begin = line.find(['\'', '"', '`', '\u{2018}'])?;
    let quote = line[begin..].chars().next()?;
    let end = if quote == '\u{2018}' { '\u{2019}' } else { quote };
    let rest = &line[begin + quote.len_utf8()..];
    rest.find(end).map(|length| &rest[..length])
}

fn word(rest: &str) -> Option<&str> {
    let word = rest.split_whitespace().next()?;
    Some(word.trim_matches(QUOTES).trim_end_matches(['.', ')', ';']))
}

fn port(line: &str) -> Option<&str> {
    let is_port = |text: &&str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let parts = line.split([' ', ':', ',', ')', '(', '\'', ']']).filter(|part| !part.is_empty());
    // `[Errno 98]` is no port.
    let parts = parts.scan("", |before, part| Some((std::mem::replace(before, part), part)));
    parts.filter(|(before, _)| !before.ends_with("Errno")).map(|(_, part)| part).filter(is_port).last()
}

/// Returns the first name in capitals that has an underscore and is no symbol of an error.
pub(super) fn variable(line: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let names = line.split(|c: char| !is_part(c) && !c.is_ascii_lowercase());
    names.into_iter().find(|name| {
        name.len() > 4
            && name.contains('_')
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(is_part)
            && !name.starts_with("ERR_")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_found_where_real_programs_put_them() {
        let of = |subject: Subject, line: &str| subject.of(line).unwrap_or_default();
        assert_eq!(of(Subject::Quoted, "Error: Cannot find module 'express'"), "express");
        assert_eq!(of(Subject::Quoted, "/usr/bin/env: \u{2018}tsx\u{2019}: No such file"), "tsx");
        assert_eq!(of(Subject::Before(": not found"), "sh: 1: nosuchcmd: not found"), "nosuchcmd");
        assert_eq!(
            of(Subject::After("No module named "), "ModuleNotFoundError: No module named 'yaml'"),
            "yaml"
        );
        assert_eq!(
            of(Subject::Port, "Error: listen EADDRINUSE: address already in use 127.0.0.1:45871"),
            "45871"
        );
        assert_eq!(of(Subject::Port, "OSError: [Errno 98] Address already in use"), "");
        assert_eq!(
            of(
                Subject::Port,
                "[Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use"
            ),
            "8000"
        );
        assert_eq!(
            of(Subject::Variable, "Error: BRAVE_API_KEY environment variable is required"),
            "BRAVE_API_KEY"
        );
        assert_eq!(of(Subject::Variable, "Error [ERR_MODULE_NOT_FOUND]: gone"), "");
        assert_eq!(of(Subject::Variable, "KeyError: 'WEATHER_API_KEY'"), "WEATHER_API_KEY");
    }

    proptest::proptest! {
        #[test]
        fn no_line_breaks_the_search_and_subjects_are_short(line in "\\PC{0,300}") {
            let all = [Subject::Quoted, Subject::After("a"), Subject::Before("b"), Subject::Port, Subject::Variable];
            for subject in all {
                proptest::prop_assert!(subject.of(&line).is_none_or(|text| text.chars().count() <= MAX_SUBJECT + 1));
            }
        }
    }
}
