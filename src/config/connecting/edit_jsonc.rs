//! Sets a member in a text of JSON, with or without comments and trailing commas: everything else stays as it is, byte for
//! byte. Pure; the text was checked before, so that what is not understood here is only left alone.

use serde_json::{Value, json};

/// Returns the text with this member in the object that `container` leads to, which is made if it is not there. `None` if
/// there is something else in its place.
pub(super) fn set(text: &str, container: &[&str], name: &str, value: &Value) -> Option<String> {
    let is_empty = text.trim_start_matches('\u{feff}').trim().is_empty();
    let text = if is_empty { format!("{text}{{}}\n") } else { text.to_owned() };
    let style = Style::of(&text);
    let mut at = skip(&text, text.len() - text.trim_start_matches('\u{feff}').len());
    for (depth, step) in container.iter().enumerate() {
        let object = Object::read(&text, at)?;
        match object.member(step) {
            Some(member) => at = member.value.0,
            None => {
                let inner = json!({ name: value });
                let inner =
                    container[depth + 1..].iter().rev().fold(inner, |inner, step| json!({ *step: inner }));
                return Some(object.with(&text, step, &inner, &style));
            }
        }
    }
    let object = Object::read(&text, at)?;
    match object.member(name) {
        None => Some(object.with(&text, name, value, &style)),
        Some(Member { value: (start, end), .. }) => {
            let indent = indent_before(&text, *start);
            let new = style.written(value, &indent);
            Some(format!("{}{new}{}", &text[..*start], &text[*end..]))
        }
    }
}

/// How a text is laid out.
struct Style {
    /// Indentation of one level.
    unit: String,
    line_end: &'static str,
}

impl Style {
    fn of(text: &str) -> Style {
        let indented = text.lines().find(|line| {
            let rest = line.trim_start_matches([' ', '\t']);
            rest.len() < line.len() && rest.starts_with('"')
        });
        let unit = indented.map(|line| &line[..line.len() - line.trim_start().len()]);
        let unit = match unit {
            Some(unit) if unit.starts_with('\t') => "\t".to_owned(),
            Some(unit) => unit.to_owned(),
            None => "  ".to_owned(),
        };
        Style { unit, line_end: if text.contains("\r\n") { "\r\n" } else { "\n" } }
    }

    /// Writes a value whose first line stands behind something on a line with this indentation.
    fn written(&self, value: &Value, indent: &str) -> String {
        let pretty = format!("{value:#}");
        let mut lines = pretty.lines();
        let mut out = lines.next().unwrap_or_default().to_owned();
        for line in lines {
            let levels = (line.len() - line.trim_start().len()) / 2;
            out.push_str(self.line_end);
            out.push_str(indent);
            out.push_str(&self.unit.repeat(levels));
            out.push_str(line.trim_start());
        }
        out
    }
}

/// Returns the indentation of the line that a position is on.
fn indent_before(text: &str, at: usize) -> String {
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let rest = &text[line..at];
    rest[..rest.len() - rest.trim_start_matches([' ', '\t']).len()].trim_start_matches('\u{feff}').to_owned()
}

struct Member {
    name: String,
    /// Where the name begins.
    start: usize,
    /// Where the value begins and ends.
    value: (usize, usize),
}

/// An object in a text.
struct Object {
    /// Position of its brace.
    open: usize,
    members: Vec<Member>,
    /// `true` if there is a comma behind the last member.
    has_comma: bool,
    /// Position of the closing brace.
    close: usize,
}

impl Object {
    /// Reads the object that begins here. `None` if there is none.
    fn read(text: &str, open: usize) -> Option<Object> {
        let bytes = text.as_bytes();
        (bytes.get(open) == Some(&b'{')).then_some(())?;
        let mut object = Object { open, members: Vec::new(), has_comma: false, close: 0 };
        let mut at = skip(text, open + 1);
        loop {
            if *bytes.get(at)? == b'}' {
                object.close = at;
                return Some(object);
            }
            let start = at;
            let end = end_of_value(text, start)?;
            let name: String = serde_json::from_str(&text[start..end]).ok()?;
            let colon = skip(text, end);
            (bytes.get(colon) == Some(&b':')).then_some(())?;
            let begin = skip(text, colon + 1);
            let end = end_of_value(text, begin)?;
            object.members.push(Member { name, start, value: (begin, end) });
            at = skip(text, end);
            object.has_comma = bytes.get(at) == Some(&b',');
            if object.has_comma {
                at = skip(text, at + 1);
            }
        }
    }

    /// Returns the member of this name. Of several the last one counts.
    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| member.name == name)
    }

    /// Returns the text with one more member, behind the last one.
    fn with(&self, text: &str, name: &str, value: &Value, style: &Style) -> String {
        let Object { open, members, has_comma, close } = self;
        let (open, close) = (*open, *close);
        let name = Value::from(name).to_string();
        let inside = &text[open + 1..close];
        let outer = indent_before(text, open);
        let Some(last) = members.last() else {
            let indent = format!("{outer}{}", style.unit);
            let new = format!("{}{indent}{name}: {}", style.line_end, style.written(value, &indent));
            // What is inside is blanks and comments.
            let kept = inside.trim_end_matches([' ', '\t', '\r', '\n']);
            return format!("{}{kept}{new}{}{outer}{}", &text[..=open], style.line_end, &text[close..]);
        };
        let comma = if *has_comma { "" } else { "," };
        let (before, behind) = (&text[..last.value.1], &text[last.value.1..close]);
        if !inside.contains('\n') {
            let kept = behind.trim_end();
            let rest = &behind[kept.len()..];
            return format!("{before}{comma}{kept} {name}: {value}{rest}{}", &text[close..]);
        }
        let is_first_on_line = text[..members[0].start].trim_end_matches([' ', '\t']).ends_with('\n');
        let indent = match is_first_on_line {
            true => indent_before(text, members[0].start),
            false => format!("{outer}{}", style.unit),
        };
        let own_comma = if *has_comma { "," } else { "" };
        let kept = behind.trim_end_matches([' ', '\t', '\r', '\n']);
        let new = format!("{}{indent}{name}: {}{own_comma}", style.line_end, style.written(value, &indent));
        let rest = &behind[kept.len()..];
        let rest = if rest.contains('\n') { rest.to_owned() } else { format!("{}{outer}", style.line_end) };
        format!("{before}{comma}{kept}{new}{rest}{}", &text[close..])
    }
}

/// Returns the position of the next thing that is neither blank nor comment.
fn skip(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        at += blank;
        let rest = &text[at..];
        let comment = if rest.starts_with("//") {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.get(2..).and_then(|inner| inner.find("*/")).map_or(rest.len(), |end| end + 4)
        } else {
            0
        };
        if comment == 0 {
            return at;
        }
        at += comment;
    }
}

/// Returns the position behind the value that begins here. `None` if it has no end.
fn end_of_value(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (start, 0usize);
    loop {
        match *bytes.get(at)? {
            b'"' => at = end_of_string(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' => {
                (depth > 0).then_some(())?;
                at += 1;
            }
            _ => {
                let length = text[at..].find(|c: char| ",:{}[]\" \t\r\n/".contains(c));
                at += length.filter(|length| *length > 0)?;
            }
        }
        if depth == 0 {
            return Some(at);
        }
        at = skip(text, at);
    }
}

fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
