//! `mcpvisor edit`: a server's definition as JSON, in an editor or from a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::console::Console;
use super::json as pretty;
use super::words::shell_word;
use crate::cli::client::Problem;
use crate::files;
use crate::nearest::closest;

/// Function that has a person edit a file by an editor, and returns whether it ended well.
pub type Editor = dyn Fn(&str, &Path) -> io::Result<bool>;

/// Longest definition, in bytes: more than the daemon takes unless it is told to.
const MAX_DEFINITION: u64 = 16 * 1024 * 1024;
/// Members of a definition that the API takes.
const MEMBERS: [&str; 7] = ["command", "args", "env", "url", "type", "headers", "mcpvisor"];

/// Edit to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Name of the server.
    pub server: String,
    /// File with the definition, `-` for stdin. `None` for an editor.
    pub file: Option<PathBuf>,
}

/// Has the definition edited, and stores what was changed. Nothing is stored that was not changed.
pub(super) async fn run(console: &Console, edit: &Edit, editor: &Editor) -> Result<(), Problem> {
    let server = edit.server.as_str();
    let url = console.daemon.server(server, "")?;
    let before = match console.daemon.ask(Method::GET, url.clone(), None).await {
        Ok(before) => before,
        Err(problem) => return Err(console.explained(server, problem).await),
    };
    let draft = match &edit.file {
        Some(file) => Draft { text: read(file)?, path: None },
        None => Draft::of_editor(&before, editor)?,
    };
    let changed = serde_json::from_str(&draft.text).map_err(|error| format!("this is no JSON: {error}"));
    let changed = changed.and_then(|after| changes(&before, &after));
    let Some(body) = changed.map_err(|told| draft.kept(Problem::Usage(told)))? else {
        draft.remove();
        console.screen.remark("nothing was changed");
        return Ok(());
    };
    let stored = console.daemon.ask(Method::PUT, url, Some(&body)).await;
    stored.map_err(|problem| draft.kept(problem))?;
    draft.remove();
    let names: Vec<&str> = body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    console.screen.remark(&format!(
        "changed {} of {server}; `mcpvisor status {}` says how the change fares",
        names.join(", "),
        shell_word(server)
    ));
    Ok(())
}

fn read(file: &Path) -> Result<String, Problem> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().take(MAX_DEFINITION).read_to_string(&mut text)?;
        return Ok(text);
    }
    let told = |error: &dyn std::fmt::Display| Problem::Usage(format!("{} {error}", file.display()));
    let bytes = files::read_or_piped(file, MAX_DEFINITION).map_err(|error| told(&error))?;
    String::from_utf8(bytes).map_err(|_| told(&"is not UTF-8"))
}

/// What a person wrote.
struct Draft {
    text: String,
    /// File in which it is kept until it is stored. `None` if it is the person's own.
    path: Option<PathBuf>,
}

impl Draft {
    fn of_editor(before: &Value, editor: &Editor) -> Result<Draft, Problem> {
        let mut shown = before.clone();
        // A name cannot be changed.
        shown.as_object_mut().map(|members| members.shift_remove("name"));
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let line = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
        let path = make(&pretty::indented(&shown.to_string()))?;
        let ended = editor(&line, &path);
        let draft = Draft { text: String::new(), path: Some(path.clone()) };
        match ended {
            Ok(true) => Ok(Draft { text: read(&path)?, ..draft }),
            Ok(false) => {
                draft.remove();
                Err(Problem::refused(format!("{line} ended badly, so nothing was changed")))
            }
            Err(error) => {
                draft.remove();
                Err(Problem::Usage(format!("the editor {line:?} cannot be run: {error}; name one by EDITOR")))
            }
        }
    }

    /// Adds to a problem where the work of a person is.
    fn kept(&self, problem: Problem) -> Problem {
        let Some(path) = &self.path else { return problem };
        let kept = format!("\n  what you wrote is in {}; take it up by --file", path.display());
        match problem {
            Problem::Usage(told) => Problem::Usage(told + &kept),
            Problem::Refused(mut refusal) => {
                refusal.told += &kept;
                Problem::Refused(refusal)
            }
            problem => problem,
        }
    }

    fn remove(&self) {
        // One that cannot be removed is readable for its owner only.
        let _ = self.path.as_ref().map(fs::remove_file);
    }
}

/// Makes a file with this text that nobody else can read: values of `env` may be secrets.
fn make(text: &str) -> io::Result<PathBuf> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    for number in 0..100 {
        let path = directory.join(format!("mcpvisor-edit-{}-{number}.json", std::process::id()));
        // One that is there already is somebody else's.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Returns what to send to make one definition of another; `None` if they are the same.
///
/// # Errors
/// A text that names the member, and what would be right.
fn changes(before: &Value, after: &Value) -> Result<Option<Value>, String> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Err("a definition is a JSON object".to_owned());
    };
    let mut body = Map::new();
    for (name, value) in after {
        if name == "name" && before.get(name) != Some(value) {
            return Err(
                "a server cannot be given another name; add one under it, and remove this one".to_owned()
            );
        }
        if name != "name" && !MEMBERS.contains(&name.as_str()) {
            let told = match closest(name, MEMBERS) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("these can: {}", MEMBERS.join(", ")),
            };
            return Err(format!("{name:?} cannot be changed here; {told}"));
        }
        if before.get(name) != Some(value) {
            body.insert(name.clone(), value.clone());
        }
    }
    let has =
        |definition: &Map<String, Value>, name: &str| definition.get(name).is_some_and(|value| value != "");
    if !has(after, "command") && !has(after, "url") {
        return Err("it needs a command or a url".to_owned());
    }
    // What has gone is cleared, unless it goes with the other way to reach the server.
    if has(before, "url") == has(after, "url") {
        for (name, empty) in [("args", json!([])), ("env", json!({})), ("headers", json!({}))] {
            if before.get(name).is_some_and(|value| *value != empty) && !after.contains_key(name) {
                body.insert(name.to_owned(), empty);
            }
        }
    }
    Ok((!body.is_empty()).then_some(Value::Object(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before() -> Value {
        json!({"name": "a", "command": "x", "args": ["1"], "env": {"T": "[REDACTED]"}})
    }

    #[test]
    fn only_what_was_changed_is_sent() {
        assert_eq!(changes(&before(), &before()), Ok(None));
        let without_name = json!({"command": "x", "args": ["1"], "env": {"T": "[REDACTED]"}});
        assert_eq!(changes(&before(), &without_name), Ok(None));
        let other = json!({"command": "x", "args": ["1", "2"], "env": {"T": "[REDACTED]"}});
        assert_eq!(changes(&before(), &other), Ok(Some(json!({"args": ["1", "2"]}))));
        assert_eq!(changes(&before(), &json!({"command": "x"})), Ok(Some(json!({"args": [], "env": {}}))));
        assert_eq!(
            changes(&before(), &json!({"url": "https://h/mcp"})),
            Ok(Some(json!({"url": "https://h/mcp"})))
        );
    }

    #[test]
    fn what_cannot_be_changed_is_named() {
        for (after, part) in [
            (json!([]), "a definition is a JSON object"),
            (json!({"name": "b", "command": "x"}), "cannot be given another name"),
            (json!({"comand": "x"}), "\"comand\" cannot be changed here; did you mean \"command\"?"),
            (json!({"args": []}), "needs a command or a url"),
        ] {
            let told = changes(&before(), &after).expect_err(part);
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_draft_is_for_its_owner_only_and_takes_nobody_s_place() {
        use std::os::unix::fs::PermissionsExt as _;
        let (one, other) = (make("{}").expect("made"), make("{}").expect("made"));
        assert_ne!(one, other);
        assert_eq!(fs::metadata(&one).expect("there").permissions().mode() & 0o777, 0o600);
        for path in [one, other] {
            fs::remove_file(path).expect("removed");
        }
    }
}
