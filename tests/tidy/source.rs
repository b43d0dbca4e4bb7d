//! Rust source as the tidy tests read it: without comments, texts and tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A file of the repository.
pub(crate) struct Source {
    /// Its path from the repository's root, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// The text with comments and the contents of literals blanked out; same length, same lines.
    pub(crate) code: String,
    /// The same without what is compiled for tests only; empty for a file of tests.
    pub(crate) product: String,
}

impl Source {
    /// All `.rs` files below a folder, sorted by path. Each is read once, for all tests.
    pub(crate) fn below(folder: &str) -> impl Iterator<Item = &'static Source> {
        static READ: Mutex<BTreeMap<String, &'static Source>> = Mutex::new(BTreeMap::new());
        let files = files_below(folder).into_iter().filter(|path| path.ends_with(".rs"));
        let mut known = READ.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |path: String| -> &'static Source {
            known.entry(path).or_insert_with_key(|path| Box::leak(Box::new(Source::new(path, read(path)))))
        };
        files.map(read).collect::<Vec<_>>().into_iter()
    }

    pub(crate) fn new(path: &str, text: String) -> Source {
        let code = blank_literals(&text);
        let name = path.rsplit('/').next().unwrap_or_default();
        let tests = name == "tests.rs" || name.ends_with("_tests.rs");
        let product = if tests { String::new() } else { without(&code, "#[cfg(test)]") };
        Source { path: path.to_owned(), text, code, product }
    }

    /// The folder or file below `src/` that this file belongs to, as a module's name.
    pub(crate) fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split(['/', '.']).next().unwrap_or_default()
    }

    /// The top folder that this file is in.
    pub(crate) fn folder(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// How many modules this file is below the crate's root.
    pub(crate) fn depth(&self) -> usize {
        let below = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        below.split('/').filter(|part| !["lib", "main", "mod"].contains(part)).count()
    }

    /// `path:line` for a place in the text.
    pub(crate) fn at(&self, place: usize) -> String {
        at(&self.path, &self.text, place)
    }
}

/// `path:line` for a place in a file's text.
pub(crate) fn at(path: &str, text: &str, place: usize) -> String {
    format!("{path}:{}", text[..place].matches('\n').count() + 1)
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's text, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder, what was installed or built there excepted, sorted.
pub(crate) fn files_below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap_or_else(|error| panic!("{folder:?}: {error}"))
        {
            let entry = entry.expect("a readable folder");
            let path = folder.join(entry.file_name());
            let name = entry.file_name();
            let is_installed = ["node_modules", "venv", "target", ".git"].iter().any(|known| name == *known)
                || name.to_string_lossy().starts_with("venv-");
            if is_installed {
                continue;
            }
            match entry.file_type().expect("a file type") {
                kind if kind.is_file() => found.push(path.to_str().expect("UTF-8").to_owned()),
                kind if kind.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Every place where a path begins with this name: `name::…`, or `use name` as a whole. With
/// a leading `::` it counts as well; as a later segment (`x::name`) or a member it does not.
pub(crate) fn paths_from<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    words(code, name).filter(move |&at| {
        let (before, after) = (code[..at].trim_end(), code[at + name.len()..].trim_start());
        let begins = match before.strip_suffix("::") {
            Some(outer) => !outer.ends_with(|c: char| is_word(c) || c == '>'),
            None => !before.ends_with('.'),
        };
        let used = before.ends_with("use") && (after.starts_with(';') || after.starts_with("as "));
        begins && (after.starts_with("::") || used)
    })
}

/// Every place of a text that is not part of a longer word.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let starts = word.starts_with(is_word);
    let ends = word.ends_with(is_word);
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !(starts && code[..at].ends_with(is_word) || ends && code[at + word.len()..].starts_with(is_word))
    })
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names right behind a prefix such as `crate::`, also those of a grouped
/// `use crate::{a, b::{c, d}}`, each with its place.
pub(crate) fn names_below<'a>(code: &'a str, prefix: &str) -> Vec<(usize, &'a str)> {
    let mut names = Vec::new();
    for at in words(code, prefix) {
        let mut item = at + prefix.len();
        if !code[item..].starts_with('{') {
            names.push((at, first_word(&code[item..])));
            continue;
        }
        let end = end_of_group(code, item) - 1;
        item += 1;
        while item < end {
            names.push((at, first_word(code[item..end].trim_start())));
            item = end_of_item(code, item, end) + 1;
        }
    }
    names.retain(|(_, name)| !name.is_empty());
    names
}

/// Where the next comma is that is in no inner group; `end` when there is none.
pub(crate) fn end_of_item(code: &str, from: usize, end: usize) -> usize {
    let mut at = from;
    while let Some(found) = code[at..end].find(['{', ',']) {
        at += found;
        if code[at..].starts_with(',') {
            return at;
        }
        at = end_of_group(code, at);
    }
    end
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Where the group of brackets that begins at `at` ends: behind its last one.
pub(crate) fn end_of_group(code: &str, at: usize) -> usize {
    let mut depth = 0usize;
    for (place, c) in code[at..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + place + c.len_utf8();
        }
    }
    code.len()
}

/// Blanks every item behind a mark such as `#[cfg(test)]`: up to its `;`, or to the end of its braces; a field up to
/// its comma. The code is formatted, and its literals are blanked.
pub(crate) fn without(code: &str, mark: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = 0;
    while let Some(found) = code[rest..].find(mark) {
        let begin = rest + found;
        kept.push_str(&code[rest..begin]);
        let end = end_of_marked(code, begin + mark.len());
        kept.push_str(&blank(&code[begin..end]));
        rest = end;
    }
    kept + &code[rest..]
}

fn end_of_marked(code: &str, mut at: usize) -> usize {
    let item = code[at..].trim_start();
    let name = item.split_once(") ").filter(|_| item.starts_with("pub(")).map_or(item, |(_, name)| name);
    let name = name.trim_start_matches("pub ");
    let behind = &name[first_word(name).len()..];
    if behind.starts_with(':') && !behind.starts_with("::") {
        return code[at..].find(",\n").map_or(code.len(), |comma| at + comma + 1);
    }
    loop {
        let Some(next) = code[at..].find(['(', '[', '{', ';']) else { return code.len() };
        let attribute = code[at..at + next].trim_end().ends_with('#');
        at += next;
        let (braces, end) = (code[at..].starts_with('{'), code[at..].starts_with(';'));
        at = if end { at + 1 } else { end_of_group(code, at) };
        if (braces || end) && !attribute {
            return at;
        }
    }
}

/// Blanks comments and what is inside of string and character literals.
fn blank_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let after_word = out.ends_with(is_word);
        let (kept, blanked) = if rest.starts_with("//") {
            (0, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (0, end_of_comment(rest))
        } else if let Some(hashes) = raw_string(rest).filter(|_| !after_word) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = rest.find('"').map_or(rest.len(), |quote| quote + 1);
            (0, rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len()))
        } else if rest.starts_with('"') {
            (1, end_of_string(rest, '"') - 1)
        } else if rest.starts_with('\'') && is_char(rest) {
            (1, end_of_string(rest, '\'') - 1)
        } else {
            (rest.chars().next().map_or(1, char::len_utf8), 0)
        };
        out.push_str(&rest[..kept]);
        out.push_str(&blank(&rest[kept..kept + blanked]));
        at += kept + blanked;
    }
    out
}

/// Blanks of the same length in bytes, with the same line ends.
pub(crate) fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// How many `#` a raw string that begins here has; `None` when none begins.
fn raw_string(text: &str) -> Option<usize> {
    let text = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let quote = text.trim_start_matches('#');
    quote.starts_with('"').then_some(text.len() - quote.len())
}

/// Tells a character from a lifetime.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// Where a literal with escapes ends: behind its closing quote.
fn end_of_string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn end_of_comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_texts_and_tests_are_not_product_code() {
        let text = r####"
            // crate::a
            /* crate::b /* nested */ crate::c */
            use crate::{d, e::{f, g}};
            fn h<'a>(x: &'a str) -> char { let _ = ("crate::i \" crate::j", r#"crate::" k"#); '"' }
            #[cfg(test)]
            #[path = "x.rs"]
            mod tests { use crate::l; fn m() { {} } }
            #[cfg(test)]
            mod n;
            fn o() { crate::p::q(); x.push(mycrate::r); }
            struct S {
                #[cfg(test)]
                pub(crate) seen: crate::t::T<u8, u8>,
                kept: crate::u::U,
            }
        "####;
        let source = Source::new("src/x.rs", text.to_owned());
        let names: Vec<&str> =
            names_below(&source.product, "crate::").into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["d", "e", "p", "u"]);
        assert_eq!(source.product.lines().count(), text.lines().count());
        assert!(source.product.contains("fn o()") && !source.product.contains("mod n"));
        assert!(source.code.contains("crate::l"));
        assert_eq!(source.at(text.find("fn o").expect("there")), "src/x.rs:11");
    }

    #[test]
    fn a_crate_is_named_where_a_path_begins_with_it() {
        let found = |code: &'static str| paths_from(code, "nix").count();
        assert_eq!(found("use nix::sys; nix::libc::A; ::nix::B; fn f(_: &nix::C) {} use nix;"), 5);
        assert_eq!(found("use std::os::unix::fs; x::nix::y; self.nix::<A>(); let nix = 1; unix::nix();"), 0);
    }

    #[test]
    fn files_know_their_module_and_depth() {
        let place = |path| {
            let source = Source::new(path, String::new());
            (source.module().to_owned(), source.depth())
        };
        assert_eq!(place("src/signals.rs"), ("signals".to_owned(), 1));
        assert_eq!(place("src/http/mod.rs"), ("http".to_owned(), 1));
        assert_eq!(place("src/http/plexmcp/errors.rs"), ("http".to_owned(), 3));
        assert_eq!(place("src/lib.rs"), ("lib".to_owned(), 0));
    }
}
