//! Translates placeholders in the texts of an entry from every client's notation to this gateway's own:
//! `${env:NAME}`, `${env:NAME:-default}`, `${file:/path}`. Pure. Places, which are not secret, are inserted at
//! once; variables and files are resolved when a child is started.

use std::path::Path;

use super::client;
use crate::config::Environment;
use crate::process::is_variable;

/// Member that a text belongs to, which decides what may be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    Command,
    Argument,
    Variable,
    Directory,
    /// Address or header of a remote server.
    Remote,
}

/// Values that placeholders may refer to.
pub(super) struct Around<'a> {
    env: &'a dyn Environment,
    home: Option<String>,
    workspace: String,
    /// Directory of the file.
    directory: String,
    /// `true` if `{env:NAME}` and `{file:path}` without a dollar are placeholders.
    pub(super) bare_braces: bool,
}

/// A text in this gateway's notation, with warnings and problems as sentences that follow its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) warnings: Vec<String>,
    pub(super) problems: Vec<String>,
}

/// Longest name that is searched between double braces, in bytes.
const MAX_NAME: usize = 200;

/// Names whose values only the client knows that the file belongs to.
const CLIENTS_OWN: [&str; 3] = ["CLAUDE_PLUGIN_ROOT", "extensionPath", "__dirname"];

impl<'a> Around<'a> {
    pub(super) fn new(path: &Path, env: &'a dyn Environment, bare_braces: bool) -> Around<'a> {
        let home = env.var("HOME").and_then(|home| home.into_string().ok()).filter(|home| !home.is_empty());
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let workspace = text(client::workspace(path));
        let directory = path.parent().map(text).unwrap_or_default();
        Around { env, home, workspace, directory, bare_braces }
    }

    /// Reports whether a variable is set now.
    pub(super) fn is_set(&self, name: &str) -> bool {
        is_variable(name) && self.env.var(name).is_some()
    }

    /// Translates the placeholders of a text.
    pub(super) fn translate(&self, text: &str, spot: Spot) -> Translated {
        let mut out = Translated::default();
        let rest = self.tilde(text, spot, &mut out);
        let mut reader = Reader { around: self, spot, out, rest };
        while reader.step() {}
        let mut out = reader.out;
        let is_path = matches!(spot, Spot::Command | Spot::Directory);
        if is_path && out.problems.is_empty() && (out.text == "~" || out.text.starts_with("~/")) {
            out.problems.push(PUT_TOGETHER.to_owned());
        }
        out
    }

    /// Inserts the home directory for a `~` at the start of a path, as shells do, and returns the rest of the
    /// text.
    fn tilde<'t>(&self, text: &'t str, spot: Spot, out: &mut Translated) -> &'t str {
        let begins = text == "~" || text.starts_with("~/");
        if !begins {
            if spot != Spot::Remote && (text.contains("=~/") || text.replace("{file:~/", "").contains(":~/"))
            {
                out.warnings.push(NO_TILDE.to_owned());
            }
            return text;
        }
        match (spot, &self.home) {
            (Spot::Command | Spot::Directory, Some(home)) => {
                out.text.push_str(&as_text(home));
                &text[1..]
            }
            (Spot::Command | Spot::Directory, None) => {
                out.problems.push("begins with ~, and HOME is not set".to_owned());
                text
            }
            _ => {
                out.warnings.push(NO_TILDE.to_owned());
                text
            }
        }
    }
}

/// Message for a placeholder that makes a `~` a `~/`. Stored and read again, the text would become the home
/// directory.
const PUT_TOGETHER: &str = "has a placeholder that makes its ~ a ~/, which no shell would read as the home \
     directory; write ${HOME} for that, or ./~ for what is called ~";

const NO_TILDE: &str = "has a ~ that stays as it is, since no shell reads it; write ${HOME}";

struct Reader<'r, 't> {
    around: &'r Around<'r>,
    spot: Spot,
    out: Translated,
    rest: &'t str,
}

impl<'t> Reader<'_, 't> {
    /// Translates the next piece; returns `false` at the end.
    fn step(&mut self) -> bool {
        let Some(at) = self.rest.find(['$', '{', '%']) else {
            self.out.text.push_str(self.rest);
            return false;
        };
        let (before, rest) = self.rest.split_at(at);
        self.out.text.push_str(before);
        self.rest = rest;
        match rest.as_bytes()[0] {
            b'$' => self.dollars(),
            b'{' => self.brace(),
            _ => self.percent(),
        }
        true
    }

    fn literal(&mut self, length: usize) {
        let (piece, rest) = self.rest.split_at(length);
        self.out.text.push_str(piece);
        self.rest = rest;
    }

    fn warn(&mut self, text: String) {
        if !self.out.warnings.contains(&text) {
            self.out.warnings.push(text);
        }
    }

    fn problem(&mut self, text: String) {
        if !self.out.problems.contains(&text) {
            self.out.problems.push(text);
        }
    }

    /// Handles dollar signs. Before a brace two of them stand for one, both in the input and in the output.
    fn dollars(&mut self) {
        let count = self.rest.len() - self.rest.trim_start_matches('$').len();
        if !self.rest[count..].starts_with('{') {
            self.bare_name(count);
            return self.literal(count);
        }
        self.literal(count - count % 2);
        if count % 2 == 1 {
            return self.placeholder();
        }
        // The brace belongs to the literal dollar.
        self.literal(1);
    }

    /// Warns of `$NAME`: some clients replace it by a variable, this gateway does not.
    fn bare_name(&mut self, dollars: usize) {
        let name = leading_name(&self.rest[dollars..]);
        if dollars == 1 && name.len() > 1 && name.starts_with(|c: char| c.is_ascii_uppercase()) {
            let name = name.to_owned();
            self.warn(format!("has ${name}, which stays as it is; write ${{{name}}} for the variable"));
        }
    }

    /// Handles a `${`.
    fn placeholder(&mut self) {
        if self.rest.starts_with("${{") {
            let end = self.rest.find("}}").map_or(self.rest.len(), |at| at + 2);
            self.problem(format!(
                "has {}, which only its client can fill in; {INSTEAD}",
                shown(&self.rest[..end])
            ));
            return self.literal(end);
        }
        let Some(end) = self.rest.find('}') else {
            let length = self.rest.len();
            return self.literal(length);
        };
        let (whole, inside) = (&self.rest[..=end], &self.rest["${".len()..end]);
        match self.meaning(whole, inside) {
            Some(text) => {
                self.out.text.push_str(&text);
                self.rest = &self.rest[end + 1..];
            }
            None => self.literal(end + 1),
        }
    }

    /// Returns the replacement for a placeholder. `None` if it stays unchanged.
    fn meaning(&mut self, whole: &str, inside: &str) -> Option<String> {
        if let Some((kind, what)) = inside.split_once(':').filter(|(kind, _)| is_variable(kind)) {
            if let Some(default) = what.strip_prefix('-') {
                return self.variable(whole, kind, Some(default));
            }
            return self.of_kind(whole, kind, what);
        }
        if let Some((kind, _)) = inside.split_once('.').filter(|(kind, _)| is_variable(kind)) {
            self.needs_a_person(whole, kind);
            return None;
        }
        if let Some(place) = self.place(inside) {
            return Some(as_text(&place));
        }
        if is_variable(inside) {
            return self.variable(whole, inside, None);
        }
        let name = leading_name(inside);
        if !name.is_empty() && inside[name.len()..].starts_with(['-', '=', '+', '?', '#', '%', '^', ',']) {
            let form = format!("${{{name}}} or ${{{name}:-default}}");
            self.problem(format!("has {}, which no shell reads here; write {form}", shown(whole)));
        } else if !inside.trim().is_empty() {
            self.warn(format!("has {}, which is not known here and stays as it is", shown(whole)));
        }
        None
    }

    /// Returns a place that is known here. It is not secret, so it is inserted.
    fn place(&self, inside: &str) -> Option<String> {
        let around = self.around;
        let workspace = &around.workspace;
        match inside {
            "userHome" => around.home.clone(),
            "HOME" if self.spot != Spot::Variable => around.home.clone(),
            "workspaceFolder" | "workspaceRoot" | "workspace" => Some(workspace.clone()),
            "CLAUDE_PROJECT_DIR" if !around.is_set(inside) => Some(workspace.clone()),
            "workspaceFolderBasename" => {
                Some(Path::new(workspace).file_name()?.to_string_lossy().into_owned())
            }
            "pathSeparator" | "/" => Some("/".to_owned()),
            _ => None,
        }
    }

    fn variable(&mut self, whole: &str, name: &str, default: Option<&str>) -> Option<String> {
        if default.is_some_and(|default| default.contains("${")) {
            let text =
                format!("has {}, whose default refers to something; write one or the other", shown(whole));
            self.problem(text);
            return None;
        }
        if CLIENTS_OWN.contains(&name) && default.is_none() && !self.around.is_set(name) {
            let text = "which only the client knows that installed it; write the path";
            self.problem(format!("has {}, {text}", shown(whole)));
            return None;
        }
        let default = default.map(|default| format!(":-{default}")).unwrap_or_default();
        Some(format!("${{env:{name}{default}}}"))
    }

    fn of_kind(&mut self, whole: &str, kind: &str, what: &str) -> Option<String> {
        match kind {
            // Its own word for what each member stores.
            "env" | "principal" => None,
            "file" => self.file(what),
            "workspaceFolder" => Some(as_text(&self.around.workspace)),
            "input" | "promptString" | "prompt" => {
                self.problem(format!("has {}, which asks a person; {INSTEAD}", shown(whole)));
                None
            }
            "cmd" | "command" | "shell" | "exec" => {
                let text = "which would run a program; nothing is run to make a definition";
                self.problem(format!("has {}, {text}: {INSTEAD}", shown(whole)));
                None
            }
            "config" | "secrets" | "secret" | "keyring" | "user_config" => {
                self.needs_a_person(whole, kind);
                None
            }
            _ => {
                self.warn(format!("has {}, which is not known here and stays as it is", shown(whole)));
                None
            }
        }
    }

    fn needs_a_person(&mut self, whole: &str, kind: &str) {
        self.problem(format!("has {}: {kind} is known to its client only; {INSTEAD}", shown(whole)));
    }

    /// Returns a reference to a file below the home directory. Errors of the path are reported when the
    /// reference is resolved.
    fn file(&self, path: &str) -> Option<String> {
        let home = self.around.home.as_ref()?;
        path.strip_prefix("~/").map(|below| format!("${{file:{home}/{below}}}"))
    }

    /// Handles a brace without a dollar.
    fn brace(&mut self) {
        if self.rest.starts_with("{{") {
            return self.double_brace();
        }
        let named = ["{env:", "{file:"].into_iter().find(|prefix| self.rest.starts_with(prefix));
        let named = named.and_then(|prefix| Some((prefix, self.rest.find('}')?)));
        let Some((prefix, end)) = named else { return self.literal(1) };
        let (whole, what) = (&self.rest[..=end], &self.rest[prefix.len()..end]);
        if !self.around.bare_braces {
            let text = format!(
                "has {}, which stays as it is; write ${} for what it stands for",
                shown(whole),
                shown(whole)
            );
            self.warn(text);
            return self.literal(end + 1);
        }
        let reference = match prefix {
            "{env:" => format!("${{env:{what}}}"),
            _ => format!("${{file:{}}}", self.around.absolute(what)),
        };
        self.out.text.push_str(&reference);
        self.rest = &self.rest[end + 1..];
    }

    /// Handles `{{NAME}}`, which the client fills in for each of its users. Templates in lower case belong to
    /// many other programs and stay.
    fn double_brace(&mut self) {
        // A name is short, while a text may consist of braces only.
        let head = &self.rest.as_bytes()[..self.rest.len().min(MAX_NAME)];
        let end = memchr::memmem::find(head, b"}}").map_or(0, |at| at + 2);
        let inside = self.rest.get(2..end.saturating_sub(2)).unwrap_or_default().trim();
        if inside.starts_with(|c: char| c.is_ascii_uppercase())
            && inside.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        {
            let whole = shown(&self.rest[..end]);
            self.problem(format!("has {whole}, which its client fills in for each of its users; {INSTEAD}"));
            return self.literal(end);
        }
        self.literal(2);
    }

    /// Warns of `%NAME%`, a variable on Windows.
    fn percent(&mut self) {
        let name = leading_name(&self.rest[1..]);
        let is_one = name.len() > 1 && self.rest[1 + name.len()..].starts_with('%');
        if is_one && name.starts_with(|c: char| c.is_ascii_uppercase()) {
            let name = name.to_owned();
            self.warn(format!("has %{name}%, which stays as it is; write ${{{name}}} for the variable"));
            return self.literal(name.len() + 2);
        }
        self.literal(1);
    }
}

impl Around<'_> {
    /// Makes a path absolute as opencode does: relative to the home directory or to that of the file.
    fn absolute(&self, path: &str) -> String {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(below), Some(home)) => format!("{home}/{below}"),
            _ if path.starts_with('/') => path.to_owned(),
            _ => format!("{}/{}", self.directory, path.trim_start_matches("./")),
        }
    }
}

/// Advice for values that only a person or another program knows.
const INSTEAD: &str = "write ${env:NAME} or ${file:/path}";

/// Escapes a path so that no part of it is read as a reference.
fn as_text(place: &str) -> String {
    let mut text = String::with_capacity(place.len());
    let mut dollars = 0;
    for c in place.chars() {
        if c == '{' {
            text.extend(std::iter::repeat_n('$', dollars));
        }
        dollars = if c == '$' { dollars + 1 } else { 0 };
        text.push(c);
    }
    text
}

fn leading_name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &text[..end] }
}

/// Returns a placeholder in a form that may be shown: short, and without a default, which may be a secret.
fn shown(placeholder: &str) -> String {
    let named = placeholder.split(":-").next().unwrap_or(placeholder);
    let cut = named.len() < placeholder.len();
    let mut text: String = named.chars().take(60).collect();
    if cut || text.len() < named.len() {
        text.push_str("…}");
    }
    text
}

#[cfg(test)]
#[path = "placeholder_tests.rs"]
mod tests;
