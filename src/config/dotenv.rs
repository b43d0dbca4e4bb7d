//! Reads `.env` files, in the grammar of python-dotenv, which reads them for the users of the `/api` reference:
//! `export`, quotes, comments, values over several lines in quotes, `${NAME}` and `${NAME:-default}`, and no
//! other dollar sign. Pure. A line that cannot be parsed is skipped, and only that line.

use std::collections::HashMap;

/// Longest value after its references are resolved, in bytes: they can be nested.
const MAX_VALUE: usize = 64 * 1024;

/// Content of a `.env` file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DotEnv {
    /// Values by name. `None` for a name without a `=`, which is known and has no value.
    values: HashMap<String, Option<String>>,
    lines: Vec<Line>,
}

/// A line that looks like a definition of a variable, even if it is not parsed as one.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    name: String,
    number: usize,
    /// Reason to show if the variable ends up without a value.
    lost: String,
}

impl DotEnv {
    /// Reads a file's bytes: UTF-8 or UTF-16 with or without a byte order mark; characters of other encodings
    /// become U+FFFD. `outside` gives the variables that take precedence over those of the file in references.
    pub(super) fn read(bytes: &[u8], outside: &dyn Fn(&str) -> Option<String>) -> DotEnv {
        let text = decoded(bytes);
        let bindings = bindings(&text);
        let mut found = DotEnv::default();
        for binding in &bindings {
            let Ok((name, value)) = &binding.read else { continue };
            let value = value.as_ref().and_then(|value| resolved(value, &found.values, outside));
            found.values.insert(name.clone(), value);
        }
        found.lines = lines(&text, &bindings);
        found
    }

    /// Returns the value of a variable. `None` if the file does not set it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_deref()
    }

    /// Returns the number of the last line that names a variable, counted from 1.
    pub(super) fn line(&self, name: &str) -> Option<usize> {
        self.lines.iter().rev().find(|line| line.name == name).map(|line| line.number)
    }

    /// Returns the line and the reason if the file names a variable without giving it a value.
    pub(super) fn lost(&self, name: &str) -> Option<(usize, &str)> {
        if self.get(name).is_some() {
            return None;
        }
        let line = self.lines.iter().rev().find(|line| line.name == name)?;
        Some((line.number, &line.lost))
    }
}

fn decoded(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// One statement: its place, and a name and a value if it could be parsed.
struct Binding {
    /// Byte offsets of its start and its end (exclusive).
    from: usize,
    to: usize,
    read: Result<(String, Option<String>), &'static str>,
}

fn bindings(text: &str) -> Vec<Binding> {
    let (mut reader, mut found) = (Reader { text, at: 0 }, Vec::new());
    loop {
        reader.skip(char::is_whitespace);
        if reader.rest().is_empty() {
            return found;
        }
        let from = reader.at;
        let read = reader.binding();
        if read.is_err() {
            reader.skip(|c| !is_end(c));
        }
        let read = match read {
            Ok(None) => continue,
            Ok(Some(read)) => Ok(read),
            Err(reason) => Err(reason),
        };
        found.push(Binding { from, to: reader.at, read });
    }
}

fn is_end(c: char) -> bool {
    c == '\n' || c == '\r'
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() && !is_end(c)
}

/// Cursor in a text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let skipped = &rest[..rest.find(|c| !is(c)).unwrap_or(rest.len())];
        self.at += skipped.len();
        skipped
    }

    /// Reads a statement up to the end of its line. `None` for a comment.
    fn binding(&mut self) -> Result<Option<(String, Option<String>)>, &'static str> {
        let rest = self.rest();
        if rest.strip_prefix("export").is_some_and(|rest| rest.starts_with(is_blank)) {
            self.at += "export".len();
            self.skip(is_blank);
        }
        let name = match self.rest().chars().next() {
            Some('#') => None,
            Some('\'') => Some(self.quoted_name()?),
            _ => Some(self.skip(|c| !c.is_whitespace() && c != '=' && c != '#')),
        };
        if name.is_some_and(str::is_empty) {
            return Err("there is no name before the '='");
        }
        self.skip(is_blank);
        let value = match self.rest().starts_with('=') {
            true => {
                self.at += 1;
                let is_apart = !self.skip(is_blank).is_empty();
                // A `#` directly after the `=` is part of the value, one after blanks begins a comment.
                let is_empty = is_apart && self.rest().starts_with('#');
                Some(if is_empty { String::new() } else { self.value()? })
            }
            false => None,
        };
        self.skip(is_blank);
        if self.rest().starts_with('#') {
            self.skip(|c| !is_end(c));
        }
        if !self.rest().is_empty() && !self.rest().starts_with(is_end) {
            return Err("there is more text behind the value");
        }
        Ok(name.map(|name| (name.to_owned(), value)))
    }

    fn quoted_name(&mut self) -> Result<&'a str, &'static str> {
        let inner = &self.rest()[1..];
        let length = inner.find('\'').ok_or("the quote before the name is not closed")?;
        self.at += length + 2;
        Ok(&inner[..length])
    }

    fn value(&mut self) -> Result<String, &'static str> {
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let inner = self.quoted(quote).ok_or("its quote is not closed")?;
                Ok(unescaped(inner, quote))
            }
            _ => Ok(without_comment(self.skip(|c| !is_end(c))).trim_end().to_owned()),
        }
    }

    /// Reads the text between quotes. A character after a backslash does not end it.
    fn quoted(&mut self, quote: char) -> Option<&'a str> {
        let inner = &self.rest()[1..];
        let mut is_escaped = false;
        let end = inner.find(|c| {
            let is_end = c == quote && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let length = end?;
        self.at += length + 2;
        Some(&inner[..length])
    }
}

/// Removes a comment, which begins with a `#` after white space.
fn without_comment(value: &str) -> &str {
    let begins = |at: &usize| value[..*at].chars().next_back().is_some_and(char::is_whitespace);
    let comment = value.match_indices('#').map(|(at, _)| at).find(begins);
    comment.map_or(value, |at| &value[..at])
}

fn unescaped(inner: &str, quote: char) -> String {
    let (mut out, mut chars) = (String::with_capacity(inner.len()), inner.chars().peekable());
    while let Some(c) = chars.next() {
        let escaped = chars.peek().copied().filter(|_| c == '\\').and_then(|next| match next {
            '\\' | '\'' => Some(next),
            _ if quote == '\'' => None,
            '"' => Some('"'),
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            _ => None,
        });
        if escaped.is_some() {
            chars.next();
        }
        out.push(escaped.unwrap_or(c));
    }
    out
}

/// Resolves `${NAME}` and `${NAME:-default}` in a value. `None` if the result is too long.
fn resolved(
    value: &str,
    earlier: &HashMap<String, Option<String>>,
    outside: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let (mut out, mut rest) = (String::new(), value);
    while let Some(at) = rest.find("${") {
        let inner = &rest[at + 2..];
        // A name ends at the brace, or at the colon of a default, and contains neither.
        let name = &inner[..inner.find(['}', ':']).unwrap_or(inner.len())];
        let behind = &inner[name.len()..];
        let (default, length) = match behind.strip_prefix(":-").and_then(|rest| rest.split_once('}')) {
            Some((default, _)) => (default, name.len() + 2 + default.len() + 1),
            None if behind.starts_with('}') => ("", name.len() + 1),
            None => {
                out.push_str(&rest[..at + 2]);
                rest = inner;
                continue;
            }
        };
        out.push_str(&rest[..at]);
        match (outside(name), earlier.get(name)) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(value)) => out.push_str(value.as_deref().unwrap_or_default()),
            (None, None) => out.push_str(default),
        }
        rest = &inner[length..];
        if out.len() > MAX_VALUE {
            return None;
        }
    }
    out.push_str(rest);
    (out.len() <= MAX_VALUE).then_some(out)
}

/// Returns every line that looks like a definition of a variable, however it was parsed.
fn lines(text: &str, bindings: &[Binding]) -> Vec<Line> {
    let (mut found, mut at, mut number) = (Vec::new(), 0, 0);
    for line in text.split_inclusive(['\n', '\r']) {
        // The second character of a `\r\n`.
        let is_rest = line == "\n" && text[..at].ends_with('\r');
        number += usize::from(!is_rest);
        let begin = at + line.len() - line.trim_start().len();
        at += line.len();
        let Some(name) = name_in(line) else { continue };
        let within = bindings.iter().find(|binding| (binding.from..binding.to).contains(&begin));
        let lost = match within {
            Some(Binding { from, read: Ok(_), .. }) if *from == begin => {
                format!("it is taken back later, or what it refers to is longer than {MAX_VALUE} bytes")
            }
            Some(Binding { from, read: Err(reason), .. }) if *from == begin => (*reason).to_owned(),
            Some(Binding { from, .. }) => {
                let opened = text[..*from].matches('\n').count() + 1;
                format!("it is between the quotes that line {opened} opens")
            }
            None => "it is no statement".to_owned(),
        };
        found.push(Line { name, number, lost });
    }
    found
}

/// Returns the name that a line appears to set.
fn name_in(line: &str) -> Option<String> {
    let line = line.trim_start();
    let rest = line.strip_prefix("export").filter(|rest| rest.starts_with(is_blank)).unwrap_or(line);
    let name = rest.split_once('=')?.0.trim().trim_matches('\'');
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> DotEnv {
        DotEnv::read(text.as_bytes(), &|name| (name == "HOME").then(|| "/home/u".to_owned()))
    }

    #[test]
    fn a_value_is_what_python_dotenv_makes_of_it() {
        for (text, value) in [
            ("K=sk-abc", "sk-abc"),
            ("export K=\"sk-abc\" # mine", "sk-abc"),
            ("export\tK = 'sk-abc'  #mine", "sk-abc"),
            ("'K'=v", "v"),
            ("  K =  v w  ", "v w"),
            ("K=sk-a$bc", "sk-a$bc"),
            ("K=\"sk-a$bc\"", "sk-a$bc"),
            ("K=a#b", "a#b"),
            ("K=a #b", "a"),
            ("K= #b", ""),
            ("K=#b", "#b"),
            ("K=\"a # b\"", "a # b"),
            ("K='a\\'b\\n'", "a'b\\n"),
            ("K=\"a\\\"b\\n\\z\"", "a\"b\n\\z"),
            ("K='a\\\\'", "a\\"),
            ("K='one\ntwo'", "one\ntwo"),
            ("K=", ""),
            ("K=a\rJ=b", "a"),
            ("K=1\nK=2", "2"),
            ("A=x\nK=${A}-${HOME}-${NO}-${NO:-d}-${A:-d}", "x-/home/u--d-x"),
            ("K=${A", "${A"),
            ("K=${A:x}", "${A:x}"),
            ("K='${HOME}'", "/home/u"),
        ] {
            assert_eq!(read(text).get("K"), Some(value), "{text:?}");
        }
    }

    #[test]
    fn a_bad_line_costs_itself_only() {
        for before in
            ["NAME=O'Brien", "X=\"abc", "X=\"abc\\\"", "= v", "X=\"a\" b", "'X", "X Y", "# caf\u{fffd}"]
        {
            let found = read(&format!("{before}\nK=v\n"));
            assert_eq!(
                (found.get("K"), found.line("K"), found.lost("K")),
                (Some("v"), Some(2), None),
                "{before}"
            );
        }
    }

    #[test]
    fn what_is_named_and_cannot_be_had_is_said_with_its_line() {
        for (text, line, said) in [
            ("A=1\nK=\"abc\n", 2, "its quote is not closed"),
            ("X=\"abc\n\nK=\"v\"\n", 3, "between the quotes that line 1 opens"),
            ("K=\"a\" b", 1, "more text behind the value"),
            ("export K", 0, ""),
            ("A=${B}\r\nX='\r\nK=v'\r\n", 3, "between the quotes that line 2 opens"),
        ] {
            let told = read(text);
            let lost = told.lost("K").map(|(line, said)| (line, said.to_owned()));
            assert_eq!(lost.as_ref().map_or(0, |lost| lost.0), line, "{text:?}");
            assert!(lost.is_none_or(|lost| lost.1.contains(said)), "{text:?}");
        }
        let nested: String = std::iter::once("A0=xxxxxxxxxx\n".to_owned())
            .chain((1..40).map(|n| format!("A{n}=${{A{0}}}${{A{0}}}\n", n - 1)))
            .chain(std::iter::once("K=${A39}${A12}${A12}\n".to_owned()))
            .collect();
        let told = read(&nested);
        assert_eq!((told.get("K"), told.lost("K").map(|lost| lost.0)), (None, Some(41)));
    }

    #[test]
    fn encodings_and_marks_do_not_lose_the_rest() {
        let text = "# ü\nK=v\n";
        let wide = |mark: u16, of: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(mark).chain(text.encode_utf16()).flat_map(of).collect()
        };
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
            b"K=v\n# caf\xE9".to_vec(),
            b"# caf\xE9\nK=v".to_vec(),
            wide(0xFEFF, u16::to_le_bytes),
            wide(0xFEFF, u16::to_be_bytes),
        ] {
            assert_eq!(DotEnv::read(&bytes, &|_| None).get("K"), Some("v"), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(text in "([KA]=|export |\"|'|#|\\\\|\\$\\{|\\}|:-|\r|\n| |\\PC){0,40}") {
            let found = read(&text);
            prop_assert!(found.values.values().flatten().all(|value| value.len() <= MAX_VALUE));
        }
    }
}
