//! References in the texts of a server's definition: `${env:NAME}`, `${env:NAME:-default}`,
//! `${file:/absolute/path}` and `${principal:NAME}`. Pure: splits a text into its pieces; the caller supplies the value of a reference.
//!
//! Everything else is literal, also other kinds such as `${HOME}`: they mean something to other programs. Of the
//! dollars right before a brace two stand for one, so `$${env:X}` is the text `${env:X}` and `$$${env:X}` a dollar with
//! a reference behind it. Other dollars stay as they are.

use std::fmt;
use std::path::Path;

/// Target of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference<'v> {
    /// A variable of the daemon's environment.
    Variable {
        /// Name of the variable.
        name: &'v str,
        /// Text to use if the variable is not set or empty; `None` if there is no default.
        default: Option<&'v str>,
    },
    /// The content of a file, by its absolute path.
    File(&'v str),
    /// A secret that the member has stored whose child it is, by its name.
    Principal(&'v str),
}

impl fmt::Display for Reference<'_> {
    /// Writes the reference as in a value, without its default: that may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Variable { name, .. } => write!(f, "${{env:{name}}}"),
            Reference::File(path) => write!(f, "${{file:{path}}}"),
            Reference::Principal(name) => write!(f, "${{principal:{name}}}"),
        }
    }
}

/// A malformed reference. The message names the kind and the rule, and nothing of the value: what looks like the start
/// of a reference may be part of a secret.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// The closing brace is missing.
    #[error("has a \"${{{0}:\" without \"}}\"; write \"$${{{0}:\" for the text itself")]
    Unclosed(&'static str),
    /// The name is not a valid variable name, or the default contains a reference.
    #[error(
        "has a \"${{env:…}}\" that names no variable: letters, digits and '_', not starting with a digit, \
         and behind \":-\" a default without references; write \"$${{env:\" for the text itself"
    )]
    Name,
    /// The path is not absolute or contains NUL.
    #[error(
        "has a \"${{file:…}}\" without an absolute path, such as \"${{file:/run/secrets/token}}\"; \
         write \"$${{file:\" for the text itself"
    )]
    Path,
    /// The name is not a valid name of a secret.
    #[error(
        "has a \"${{principal:…}}\" that names no secret: letters, digits and '_', not starting with a digit; \
         write \"$${{principal:\" for the text itself"
    )]
    SecretName,
}

/// A piece of a value: literal text or a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'v> {
    /// Text that stands for itself.
    Literal(&'v str),
    /// Reference to be replaced.
    Reference(Reference<'v>),
}

/// Splits a value into its pieces, in order.
pub(super) fn pieces(value: &str) -> Pieces<'_> {
    Pieces { rest: value }
}

/// The iterator returned by [`pieces`]. Ends after the first error.
pub(super) struct Pieces<'v> {
    rest: &'v str,
}

impl<'v> Iterator for Pieces<'v> {
    type Item = Result<Piece<'v>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        // The first dollars that are followed by a brace.
        let braced = self.rest.find("${").map(|at| self.rest[..at].trim_end_matches('$').len());
        match braced {
            None => Some(Ok(self.literal(self.rest.len()))),
            Some(0) => Some(self.dollars()),
            Some(at) => Some(Ok(self.literal(at))),
        }
    }
}

impl<'v> Pieces<'v> {
    fn literal(&mut self, length: usize) -> Piece<'v> {
        let (piece, rest) = self.rest.split_at(length);
        self.rest = rest;
        Piece::Literal(piece)
    }

    /// Reads dollars before a brace: half of the pairs, and after them the reference if a dollar is left.
    fn dollars(&mut self) -> Result<Piece<'v>, Malformed> {
        let count = self.rest.len() - self.rest.trim_start_matches('$').len();
        let pairs = count / 2;
        if pairs > 0 {
            let piece = &self.rest[..pairs];
            self.rest = &self.rest[2 * pairs..];
            return Ok(Piece::Literal(piece));
        }
        let inside = &self.rest["${".len()..];
        for (kind, prefix) in [("env", "env:"), ("file", "file:"), ("principal", "principal:")] {
            let Some(named) = inside.strip_prefix(prefix) else { continue };
            let Some((named, rest)) = named.split_once('}') else {
                self.rest = "";
                return Err(Malformed::Unclosed(kind));
            };
            self.rest = rest;
            return reference(kind, named).inspect_err(|_| self.rest = "").map(Piece::Reference);
        }
        Ok(self.literal("${".len()))
    }
}

fn reference<'v>(kind: &str, named: &'v str) -> Result<Reference<'v>, Malformed> {
    if kind == "file" {
        let good = Path::new(named).is_absolute() && !named.contains('\0');
        return if good { Ok(Reference::File(named)) } else { Err(Malformed::Path) };
    }
    if kind == "principal" {
        return if is_variable(named) { Ok(Reference::Principal(named)) } else { Err(Malformed::SecretName) };
    }
    let (name, default) = match named.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (named, None),
    };
    // A reference inside a default would end at its own brace and leave the rest behind.
    let nested = default.is_some_and(|default| default.contains("${"));
    if is_variable(name) && !nested {
        Ok(Reference::Variable { name, default })
    } else {
        Err(Malformed::Name)
    }
}

/// Reports whether a text is a valid variable name: ASCII letters, digits and `_`, not starting with a digit.
pub fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns the references of a text, in order, up to the first malformed one.
pub fn references(value: &str) -> impl Iterator<Item = Reference<'_>> {
    pieces(value).map_while(Result::ok).filter_map(|piece| match piece {
        Piece::Reference(reference) => Some(reference),
        Piece::Literal(_) => None,
    })
}

/// Returns the only reference of a value; `None` if there is any other text.
pub fn sole_reference(value: &str) -> Option<Reference<'_>> {
    let mut pieces = pieces(value);
    match (pieces.next(), pieces.next()) {
        (Some(Ok(Piece::Reference(reference))), None) => Some(reference),
        _ => None,
    }
}

/// Checks that every reference of a value is well-formed.
///
/// # Errors
/// Returns the first malformed one.
pub fn check_references(value: &str) -> Result<(), Malformed> {
    pieces(value).try_for_each(|piece| piece.map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: &str) -> Result<String, Malformed> {
        pieces(value)
            .map(|piece| match piece? {
                Piece::Literal(text) => Ok(text.to_owned()),
                Piece::Reference(Reference::Variable { name, default: None }) => Ok(format!("<{name}>")),
                Piece::Reference(Reference::Variable { name, default: Some(text) }) => {
                    Ok(format!("<{name}|{text}>"))
                }
                Piece::Reference(Reference::File(path)) => Ok(format!("<{path}>")),
                Piece::Reference(Reference::Principal(name)) => Ok(format!("<of principal {name}>")),
            })
            .collect()
    }

    #[test]
    fn references_are_found_and_everything_else_stays() {
        for (value, read) in [
            ("", ""),
            ("plain", "plain"),
            ("${env:A}", "<A>"),
            ("x${env:A_1}y${file:/a b/c}z", "x<A_1>y</a b/c>z"),
            ("${env:A}${env:B}", "<A><B>"),
            ("a${principal:TOKEN}b$${principal:TOKEN}", "a<of principal TOKEN>b${principal:TOKEN}"),
            ("${env:A:-}${env:B:-a b:-c}", "<A|><B|a b:-c>"),
            (
                "${HOME} ${foo} ${foo:bar} ${} ${env} ${input:key} $HOME",
                "${HOME} ${foo} ${foo:bar} ${} ${env} ${input:key} $HOME",
            ),
            ("${ENV:A} ${ env:A} {env:A}", "${ENV:A} ${ env:A} {env:A}"),
            ("pa$$word$ $$", "pa$$word$ $$"),
            ("$${env:A}", "${env:A}"),
            ("$$${env:A}", "$<A>"),
            ("$$$${env:A}", "$${env:A}"),
            ("$${foo}", "${foo}"),
            ("${foo${env:A}}", "${foo<A>}"),
            ("${", "${"),
            ("ü${env:A}ü", "ü<A>ü"),
        ] {
            assert_eq!(shown(value).as_deref(), Ok(read), "{value}");
        }
    }

    #[test]
    fn a_malformed_reference_is_told_with_the_rule_and_without_the_value() {
        for (value, malformed) in [
            ("a${env:", Malformed::Unclosed("env")),
            ("${file:/a", Malformed::Unclosed("file")),
            ("${env:}", Malformed::Name),
            ("${env:1A}", Malformed::Name),
            ("${env:A-B}", Malformed::Name),
            ("${env:A:b}", Malformed::Name),
            ("${env::-b}", Malformed::Name),
            ("${env:A:-${env:B}}", Malformed::Name),
            ("${env:${env:A}}", Malformed::Name),
            ("${file:relative}", Malformed::Path),
            ("${file:}", Malformed::Path),
            ("${principal:}", Malformed::SecretName),
            ("${principal:A:-b}", Malformed::SecretName),
            ("${principal:A", Malformed::Unclosed("principal")),
            ("${env:A}${file:~/x}", Malformed::Path),
        ] {
            assert_eq!(check_references(value), Err(malformed), "{value}");
        }
        let said = check_references("${env:s3cret").unwrap_err().to_string();
        assert_eq!(said, "has a \"${env:\" without \"}\"; write \"$${env:\" for the text itself");
    }

    /// Reports whether a text begins with dollars followed by a brace.
    fn is_braced(text: &str) -> bool {
        text.starts_with('$') && text.trim_start_matches('$').starts_with('{')
    }

    /// Escapes a text so that it stands for itself.
    fn escaped(text: &str) -> String {
        let mut out = String::new();
        for (at, c) in text.char_indices() {
            out.push(c);
            if is_braced(&text[at..]) {
                out.push('$');
            }
        }
        out
    }

    proptest! {
        #[test]
        fn any_text_can_be_written(text in "(\\PC|[${}:]|\\$\\{env:|\\$\\{file:/|\\$\\{principal:){0,30}") {
            prop_assert_eq!(shown(&escaped(&text)), Ok(text));
        }

        #[test]
        fn what_has_no_brace_behind_a_dollar_is_itself(text in "(\\PC|\\$){0,30}") {
            prop_assume!(!text.contains("${"));
            prop_assert_eq!(shown(&text), Ok(text));
        }

        #[test]
        fn references_between_texts_are_all_found(parts in prop::collection::vec(("[a-z$]{0,5}", "[A-Z_][A-Z0-9_]{0,5}"), 0..6)) {
            let value: String = parts.iter().map(|(text, name)| format!("{}.${{env:{name}}}", escaped(text))).collect();
            let read: String = parts.iter().map(|(text, name)| format!("{text}.<{name}>")).collect();
            prop_assert_eq!(shown(&value), Ok(read));
        }

        #[test]
        fn no_text_makes_it_panic_or_go_on_for_ever(text in "(\\PC|[${}:/]|\\$\\{env:|\\$\\{file:|\\$\\{principal:){0,60}") {
            prop_assert!(pieces(&text).count() <= text.len() + 1);
        }
    }
}
