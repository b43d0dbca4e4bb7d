//! Query strings: decoded, and only with names that the route knows. A filter that is ignored would give another
//! answer than the one asked for, so an unknown name is a problem. Of a repeated one the last counts
//! (`docs/http-api.md`, G4).

use axum::http::request::Parts;

use crate::nearest::closest;

/// The longest part of a name that is repeated to a caller, in characters.
const MAX_SHOWN: usize = 100;
/// The most problems that one answer names.
const MAX_PROBLEMS: usize = 10;

/// Names that a route knows in a query; attached to each of its requests.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Known(pub(in crate::http) &'static [&'static str]);

/// Pairs of a query, in their order.
pub(in crate::http) type Pairs = Vec<(String, String)>;

/// A problem of a parameter, worded to follow its name, and as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Problem {
    pub(in crate::http) name: String,
    pub(in crate::http) reason: String,
    pub(in crate::http) sentence: String,
}

/// Reads the query of a request to a route; a request that came past the list of routes may have no parameters.
pub(in crate::http) fn of(parts: &Parts) -> Result<Pairs, Vec<Problem>> {
    read(parts.uri.query(), parts.extensions.get::<Known>().map_or(&[], |known| known.0))
}

/// Reads a query. `Err` holds all problems, up to `MAX_PROBLEMS`.
pub(in crate::http) fn read(query: Option<&str>, known: &[&str]) -> Result<Pairs, Vec<Problem>> {
    let (mut pairs, mut problems) = (Pairs::new(), Vec::new());
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (decode(name), decode(value)) {
            (Some(name), _) if !known.contains(&&*name) => problems.push(unknown(&name, known)),
            (Some(name), Some(value)) => pairs.push((name, value)),
            (decoded, _) => problems.push(undecodable(decoded.as_deref().unwrap_or(name))),
        }
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    if problems.is_empty() { Ok(pairs) } else { Err(problems) }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let name: String = name.chars().take(MAX_SHOWN).collect();
    let hint = match (closest(&name, known.iter().copied()), known) {
        (Some(near), _) => format!("did you mean '{near}'?"),
        (None, []) => "this route takes none".to_owned(),
        (None, known) => format!("there are {}", known.join(", ")),
    };
    let reason = format!("is no parameter of this route; {hint}");
    let sentence = format!("Unknown parameter '{name}'; {hint}");
    Problem { name, reason, sentence }
}

fn undecodable(name: &str) -> Problem {
    let name: String = name.chars().take(MAX_SHOWN).collect();
    let reason = "must be UTF-8, with %XX for what is not plain".to_owned();
    let sentence = format!("The parameter '{name}' cannot be decoded: it {reason}");
    Problem { name, reason, sentence }
}

/// Decodes a part of a query as a form writes it: `+` is a blank, `%XX` a byte. `None` if the bytes are not UTF-8
/// or a `%` is followed by something else.
pub(in crate::http) fn decode(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sentences(query: &str, known: &[&str]) -> Vec<String> {
        read(Some(query), known).expect_err(query).into_iter().map(|problem| problem.sentence).collect()
    }

    #[test]
    fn pairs_are_decoded_and_known() {
        let pairs = read(Some("a=1&&b=x+y%20%C3%BC&a=2&c"), &["a", "b", "c"]).expect("good");
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x y \u{fc}"), ("a", "2"), ("c", "")]);
        assert_eq!(read(None, &[]), Ok(vec![]));
        assert_eq!(read(Some(""), &[]), Ok(vec![]));
    }

    #[test]
    fn what_is_not_known_or_cannot_be_decoded_is_named() {
        let known = ["page", "per_page", "status"];
        assert_eq!(
            sentences("statsu=active", &known),
            ["Unknown parameter 'statsu'; did you mean 'status'?"]
        );
        assert_eq!(sentences("x=1", &known), ["Unknown parameter 'x'; there are page, per_page, status"]);
        assert_eq!(sentences("x=1", &[]), ["Unknown parameter 'x'; this route takes none"]);
        for bad in ["status=%", "status=%f", "status=%zz", "status=%ff"] {
            let said = sentences(bad, &known);
            assert!(said[0].starts_with("The parameter 'status' cannot be decoded"), "{bad}: {said:?}");
        }
        assert_eq!(sentences("%ff=1&y=2", &known).len(), 2);
        assert_eq!(sentences(&"x=1&".repeat(50), &known).len(), MAX_PROBLEMS);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text in "\\PC{0,20}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode(&encoded), Some(text));
        }

        #[test]
        fn no_query_panics(query in "[a-f%+&=\\PC]{0,60}") {
            drop(read(Some(&query), &["a"]));
        }
    }
}
