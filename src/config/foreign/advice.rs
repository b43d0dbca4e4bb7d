//! Advice on valid entries that are likely to behave differently here than in the client they were written for:
//! commands of another system, paths relative to another directory, a command with its arguments in it. Pure;
//! looks at the entry and at nothing else.

use serde_json::{Map, Value};

use super::look::Look;

/// Warns of such signs in a command, its arguments and its directory.
pub(super) fn give(raw: &Map<String, Value>, look: &mut Look<'_, '_>) {
    let Some(command) = raw.get("command").and_then(Value::as_str).filter(|text| !text.trim().is_empty())
    else {
        return;
    };
    let args: Vec<&str> = match raw.get("args") {
        Some(Value::Array(args)) => args.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(text) = of_windows(command, &args) {
        look.warn("command", text);
    } else if is_command_line(command) {
        let first = command.split_whitespace().next().unwrap_or_default();
        let text = format!(
            "has blanks in it and is one program's name here; if it is {first:?} with arguments, these belong into args"
        );
        look.warn("command", text);
    } else if command.contains('/') && !is_absolute(command) {
        look.warn("command", RELATIVE);
    }
    let has_cwd = raw.get("cwd").is_some_and(Value::is_string);
    let script = scripts_argument(command, &args);
    for (at, text) in args.iter().enumerate() {
        let place = format!("args[{at}]");
        if is_windows_path(text) {
            look.warn(&place, "is a Windows path, which is none here");
        } else if !has_cwd && script != Some(at) && is_relative_file(command, &args, at) {
            look.warn(&place, RELATIVE);
        }
    }
    if let Some(cwd) = raw.get("cwd").and_then(Value::as_str)
        && !is_absolute(cwd)
    {
        look.warn(
            "cwd",
            if is_windows_path(cwd) { "is a Windows path, which is none here" } else { RELATIVE },
        );
    }
    inherited(command, &args, raw, look);
}

const RELATIVE: &str =
    "is relative to the daemon's directory, not to the file's: write the whole path, or cwd";

/// Returns the index of the argument that is a shell's script. Its words are the shell's, and so are its
/// placeholders. `None` if there is none.
pub(super) fn scripts_argument(command: &str, args: &[&str]) -> Option<usize> {
    let shell = matches!(base_name(command), "sh" | "bash" | "dash" | "zsh" | "ash" | "ksh");
    let flag =
        args.iter().position(|arg| arg.starts_with('-') && !arg.starts_with("--") && arg.ends_with('c'))?;
    (shell && flag + 1 < args.len()).then_some(flag + 1)
}

fn base_name(command: &str) -> &str {
    command.rsplit(['/', '\\']).next().unwrap_or(command)
}

fn is_absolute(path: &str) -> bool {
    // The value of a placeholder is unknown here; most are absolute paths.
    path.starts_with('/') || path.starts_with("${")
}

fn of_windows(command: &str, args: &[&str]) -> Option<String> {
    let base = base_name(command).to_ascii_lowercase();
    if matches!(base.as_str(), "cmd" | "cmd.exe") {
        let rest: Vec<&str> = args.iter().copied().skip_while(|arg| arg.starts_with('/')).collect();
        let instead = match rest.split_first() {
            Some((program, _)) => format!("write {program:?} as the command, and what is behind it as args"),
            None => "write the program itself".to_owned(),
        };
        return Some(format!("is a Windows command; {instead}"));
    }
    if matches!(base.as_str(), "powershell" | "powershell.exe" | "pwsh.exe" | "wsl.exe" | "wsl") {
        return Some("is a Windows command; write the program itself".to_owned());
    }
    for ending in [".cmd", ".bat", ".exe", ".ps1"] {
        if let Some(stem) = base.strip_suffix(ending) {
            return Some(format!("is a Windows program; here it may be called {stem:?}"));
        }
    }
    is_windows_path(command).then(|| "is a Windows path, which is none here".to_owned())
}

/// Reports whether a text is a Windows path: it begins with a drive (`C:\…`), `\\`, `.\` or `%APPDATA%`.
fn is_windows_path(text: &str) -> bool {
    let mut chars = text.chars();
    let drive = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.next() == Some(':')
        && matches!(chars.next(), Some('\\' | '/'));
    drive || text.starts_with("\\\\") || text.starts_with(".\\") || text.starts_with("%APPDATA%")
}

/// Reports whether a command with blanks is more likely a line for a shell than a path with blanks. It is never
/// split, since paths contain blanks as often.
fn is_command_line(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let first = words.next().unwrap_or_default();
    let mut rest = words.peekable();
    let any = rest.peek().is_some();
    any && (!first.contains('/')
        || rest.any(|word| word.starts_with('-') || matches!(word, "&&" | "|" | ";")))
}

/// Extensions of files that programs are told to run or to read.
const ENDINGS: [&str; 14] = [
    ".js", ".mjs", ".cjs", ".ts", ".py", ".rb", ".php", ".jar", ".sh", ".json", ".toml", ".yaml", ".yml",
    ".db",
];

fn is_relative_file(command: &str, args: &[&str], at: usize) -> bool {
    let text = args[at];
    if text.starts_with(['/', '-', '~', '@', '$', '{']) || text.contains("://") || text.contains(' ') {
        return false;
    }
    if text == "." || text.starts_with("./") || text.starts_with("../") {
        return true;
    }
    let runs_files = matches!(
        base_name(command),
        "node"
            | "python"
            | "python3"
            | "ruby"
            | "php"
            | "bun"
            | "deno"
            | "java"
            | "tsx"
            | "ts-node"
            | "sh"
            | "bash"
    );
    let has_ending = ENDINGS.iter().any(|ending| text.ends_with(ending));
    has_ending
        && (text.contains('/')
            || (runs_files && args[..at].iter().all(|arg| arg.starts_with('-') || *arg == "run")))
}

/// Warns of containers that are to get a variable by its name alone: their environment is only what `env`
/// lists.
fn inherited(command: &str, args: &[&str], raw: &Map<String, Value>, look: &mut Look<'_, '_>) {
    if !matches!(base_name(command), "docker" | "podman" | "nerdctl") {
        return;
    }
    let env = raw.get("env").and_then(Value::as_object);
    for (at, pair) in args.windows(2).enumerate() {
        let [flag, name] = pair else { continue };
        let named = matches!(*flag, "-e" | "--env") && crate::process::is_variable(name);
        if named && !env.is_some_and(|env| env.contains_key(*name)) {
            let text = format!(
                "hands on {name}, which is not in env: servers get nothing else; add {name:?}: \"${{env:{name}}}\""
            );
            look.warn(&format!("args[{}]", at + 1), text);
        }
    }
}
