//! Finder of the tool that an endpoint means when it refuses a request: by its place in the list, or by its name.
//! Pure.

/// Returns the index in `names` of the tool that a refusal is about. `None` if it names none of them, or several
/// and does not say that they are tools.
pub(super) fn blamed(refusal: &str, names: &[String]) -> Option<usize> {
    let known = |at: &usize| *at < names.len();
    // Gemini counts within the one list of its `tools`.
    let placed = ["function_declarations", "functionDeclarations", "tools"]
        .iter()
        .find_map(|list| number_after(refusal, list))
        .filter(known);
    placed.or_else(|| announced(refusal, names)).or_else(|| quoted(refusal, names))
}

/// Returns the number in `list[3]`, `list.3` or `list → 3`, as the whole word `list`.
fn number_after(text: &str, list: &str) -> Option<usize> {
    text.match_indices(list).find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let rest =
            text[at + list.len()..].trim_start_matches(['[', '.', '(', ' ', '-', '>', '→', '\'', ',', '/']);
        let is_apart = rest.len() < text.len() - at - list.len();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        // Digits that begin a longer word are no index.
        let ends = !rest[digits..].starts_with(|c: char| c.is_alphabetic());
        if is_apart && ends { rest[..digits].parse().ok() } else { None }
    })
}

/// Finds a known name right after the word `function` or `tool`.
fn announced(text: &str, names: &[String]) -> Option<usize> {
    let words = ["function", "tool", "Function", "Tool"];
    let mut found = words.iter().flat_map(|word| text.match_indices(word).map(|(at, word)| at + word.len()));
    found.find_map(|at| {
        let rest = text[at..].trim_start_matches([' ', ':', '=']);
        let rest = rest.strip_prefix("name").map_or(rest, |rest| rest.trim_start_matches([' ', ':', '=']));
        let name = rest.trim_start_matches(QUOTES);
        let word = word_of(name);
        // "Function call is …" does not refer to a tool that is called `call`.
        let is_apart = name.len() < rest.len() || !name[word.len()..].starts_with(' ');
        is_apart.then(|| place(word, names)).flatten()
    })
}

/// Finds a known name between quotes, if it is the only one.
fn quoted(text: &str, names: &[String]) -> Option<usize> {
    let mut found: Vec<usize> = Vec::new();
    for (at, quote) in text.match_indices(QUOTES) {
        let rest = &text[at + quote.len()..];
        let word = word_of(rest);
        if rest[word.len()..].starts_with(QUOTES) && !KINDS.contains(&word) {
            found.extend(place(word, names));
        }
    }
    found.sort_unstable();
    found.dedup();
    if found.len() == 1 { found.pop() } else { None }
}

/// Types in schemas; in quotes they are types rather than tools.
const KINDS: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];
const QUOTES: [char; 3] = ['\'', '"', '`'];

/// Returns the name that a text begins with, made of the letters that names of tools have.
fn word_of(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    &text[..end.unwrap_or(text.len())]
}

fn place(name: &str, names: &[String]) -> Option<usize> {
    names.iter().position(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> Vec<String> {
        ["search", "object", "odd", "get-it", "good"].map(str::to_owned).into()
    }

    #[test]
    fn a_tool_is_known_by_its_place_or_its_name() {
        for (refusal, at) in [
            ("Invalid 'tools[2].function.description': string too long", 2),
            ("Invalid schema for function 'odd': None is not of type 'object'", 2),
            ("tools.4.custom.input_schema: JSON schema is invalid", 4),
            (
                "* GenerateContentRequest.tools[0].function_declarations[3].parameters.properties[a]: missing field",
                3,
            ),
            ("body.tools.1.function.parameters: Input should be a valid dictionary", 1),
            ("invalid JSON schema for tool get-it, tools[3].function.parameters: no", 3),
            ("Failed to parse tool odd: unsupported schema", 2),
            ("the schema of \"odd\" is too deep", 2),
            ("Tool: 'good' has no parameters", 4),
            ("function name: `search` is reserved", 0),
        ] {
            assert_eq!(blamed(refusal, &names()), Some(at), "{refusal}");
        }
    }

    #[test]
    fn what_names_no_tool_or_several_blames_none() {
        for refusal in [
            "context_length_exceeded",
            "Unrecognized schema: true at #/properties/kids/items",
            "'array' is not valid under any of the given schemas",
            "messages[3].tool_calls[0].function.arguments is not JSON",
            "Invalid 'tools[9].function.name'",
            "Invalid 'tools': array too long. Expected at most 128, but got 130 instead.",
            "either 'odd' or 'good'",
            "search the odd thing",
            "Function good is what a model needs",
            "[] is not of type 'object'",
            "tools2 is not known",
            "",
        ] {
            assert_eq!(blamed(refusal, &names()), None, "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn no_refusal_is_too_strange(refusal in "(tools|function|'odd'|\\[|\\.|[0-9]|\\PC){0,20}") {
            if let Some(at) = blamed(&refusal, &names()) {
                prop_assert!(at < names().len());
            }
        }
    }
}
