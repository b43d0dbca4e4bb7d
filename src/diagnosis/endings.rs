//! Faults that are known by how a server ended. Pure.

use std::borrow::Cow;

use super::patterns::{PATTERNS, Pattern};
use super::{Diagnosis, Ended, ExitFacts};

/// Ids of the diagnoses that are made here.
pub(super) const IDS: [&str; 18] = [
    "command-not-found",
    "control-group",
    "windows-command",
    "not-executable",
    "interpreter-missing",
    "not-a-program",
    "directory-missing",
    "reference-unresolved",
    "machine-limit",
    "memory",
    "killed",
    "crashed",
    "stdout-noise",
    "usage",
    "ends-at-once",
    "install-timeout",
    "start-timeout",
    "unresponsive",
];

/// Longest line that is compared with the patterns, in bytes.
const MAX_LINE: usize = 2_000;
/// Commands and endings that only Windows has.
const WINDOWS: [&str; 5] = ["cmd", "cmd.exe", "powershell", "powershell.exe", "pwsh.exe"];
const WINDOWS_ENDS: [&str; 4] = [".cmd", ".bat", ".exe", ".ps1"];

fn told(id: &'static str, fix: impl Into<Cow<'static, str>>) -> Diagnosis {
    Diagnosis { id, cause: None, fix: fix.into(), line: None }
}

/// Returns what is wrong with a command that could not be started.
pub(super) fn of_spawn(
    command: &str,
    errno: &str,
    what: &str,
    searched: Option<&str>,
    near: Option<&str>,
) -> Option<Diagnosis> {
    if is_for_windows(command) {
        return Some(told("windows-command", windows_fix(command)));
    }
    if what.contains(" refers to ") {
        return Some(told(
            "reference-unresolved",
            "Set the variable where the daemon is started (under systemd `Environment=` or `EnvironmentFile=`), make the file that is named, or correct the reference; it is looked up at each start.",
        ));
    }
    if what.starts_with("working directory") {
        return Some(told(
            "directory-missing",
            "Make that directory, let the daemon's user enter it, or correct `cwd`; `~` and variables of a shell mean nothing there.",
        ));
    }
    if what.starts_with("a control group") || what.starts_with("the child's control group") {
        return Some(told(
            "control-group",
            "Something else has removed or limits the control groups below the daemon's (`cat /proc/$(pidof mcpvisor)/cgroup`, under systemd `Delegate=yes`). It is tried again; `[server] cgroups = false` does without them.",
        ));
    }
    let is_of_command = what.starts_with("command ") || what.starts_with('\'');
    Some(match errno {
        "ENOENT" | "ENOTDIR" if what.starts_with("the interpreter") => told(
            "interpreter-missing",
            "Install that interpreter, correct the first line (`#!`) of the script, or name an interpreter as `command` and the script as its first argument. A `\\r` at its end are line ends of Windows: `sed -i 's/\\r$//' FILE`.",
        ),
        "ENOENT" | "ENOTDIR" if is_of_command => {
            told("command-not-found", not_found_fix(command, searched, near))
        }
        "EACCES" | "EPERM" if what.ends_with("is not a file") => {
            told("not-executable", "`command` is a directory: name the program in it.")
        }
        "EACCES" | "EPERM" if is_of_command => told(
            "not-executable",
            "Make it executable (`chmod +x FILE`) and its directories open to the daemon's user, or name its interpreter as `command` and the file as first argument. A file system mounted `noexec` runs nothing.",
        ),
        "ENOEXEC" => told(
            "not-a-program",
            "Begin a script with its interpreter (`#!/usr/bin/env node`), or name that as `command`; of a program get the build for this machine's processor (`uname -m`).",
        ),
        "EAGAIN" | "EMFILE" | "ENFILE" | "ENOMEM" => told(
            "machine-limit",
            "This machine, or the daemon's user, is at a limit of processes, open files or memory: raise it (`TasksMax=`, `LimitNPROC=`, `LimitNOFILE=`), or end what is not needed. It is tried again.",
        ),
        _ => return None,
    })
}

/// Reports whether a command is one that only Windows has.
pub(super) fn is_for_windows(command: &str) -> bool {
    let lower = command.to_ascii_lowercase();
    let has_drive = lower.as_bytes().get(1..3).is_some_and(|sign| sign == b":\\" || sign == b":/");
    WINDOWS.contains(&lower.as_str())
        || has_drive
        || WINDOWS_ENDS.iter().any(|end| lower.ends_with(end))
        || (command.contains('\\') && !command.contains('/'))
}

fn windows_fix(command: &str) -> Cow<'static, str> {
    let lower = command.to_ascii_lowercase();
    if lower.starts_with("cmd") || lower.starts_with("powershell") {
        return "The definition is for Windows. Leave out `cmd /c`: the word behind it is the command, for example `\"command\": \"npx\", \"args\": [\"-y\", …]`.".into();
    }
    match WINDOWS_ENDS.iter().find_map(|end| lower.strip_suffix(end)).filter(|name| is_plain(name)) {
        Some(name) => format!("The definition is for Windows. Here the command is called '{name}'.").into(),
        None => "The definition is for Windows: give the program's name, or its path with `/`.".into(),
    }
}

/// Reports whether a name can be shown as one of a program.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn not_found_fix(command: &str, searched: Option<&str>, near: Option<&str>) -> String {
    let near = near.map(|near| format!("Did you mean '{near}'? ")).unwrap_or_default();
    let package = match command {
        "uvx" | "uv" => " uv is installed by `pip install uv`, or as https://docs.astral.sh/uv says.",
        "npx" | "npm" | "node" => " They come with Node: `apt install nodejs npm`, or https://nodejs.org.",
        "docker" => " It is in Docker's package for this system (on Debian `docker.io`).",
        "python" => " Debian calls it python3.",
        _ => "",
    };
    match searched {
        Some(path) => format!(
            "{near}Install it, give its absolute path as `command` (`command -v NAME` in your shell says it), or set PATH in the server's `env`; it was looked for in {path}.{package}"
        ),
        None => format!("{near}Correct the path in `command`, or install what belongs there.{package}"),
    }
}

/// Returns what an end proves whatever was written.
pub(super) fn of_certain(facts: &ExitFacts<'_>) -> Option<Diagnosis> {
    match facts.ended {
        Ended::OutOfMemory => Some(told(
            "memory",
            "Raise `mcpvisor.limits.memory` of the server, or have it use less; `mcpvisor status SERVER` says what it uses while it runs.",
        )),
        Ended::Unresponsive => Some(told(
            "unresponsive",
            "It hung and was replaced. See what it did last (`mcpvisor logs SERVER --previous`); if it works for long without answering pings, set `mcpvisor.probe` to false or its interval higher.",
        )),
        _ => None,
    }
}

/// Returns the first pattern that the output matches. What a server wrote before it was ready is all about that; of
/// one that was ready, only the most telling of its last lines counts.
pub(super) fn of_output(facts: &ExitFacts<'_>) -> Option<Diagnosis> {
    let line = facts.line.as_slice();
    let candidates: Vec<&str> = match facts.opened {
        true => line.to_vec(),
        false => line.iter().chain(facts.stderr).chain(facts.stdout).copied().collect(),
    };
    let lowered: Vec<String> =
        candidates.iter().map(|line| line[..line.floor_char_boundary(MAX_LINE)].to_lowercase()).collect();
    PATTERNS.iter().find_map(|pattern| {
        let is_near = pattern.near.is_empty() || lowered.iter().any(|line| has_any(line, pattern.near));
        let matching = candidates.iter().zip(&lowered).filter(|(_, lower)| has_any(lower, pattern.any));
        let mut found = matching.filter(|_| is_near).filter_map(|(line, _)| of_line(pattern, line));
        // The error itself says more than the code that threw it.
        let first = found.next()?;
        if is_error(&first) { Some(first) } else { Some(found.find(is_error).unwrap_or(first)) }
    })
}

/// Reports whether a line begins as an error of Node, Python or npm does.
fn is_error(known: &Diagnosis) -> bool {
    let first = known.line.as_deref().unwrap_or_default().split([':', ' ']).next().unwrap_or_default();
    first.ends_with("Error") || first == "npm" || first == "error"
}

fn has_any(line: &str, texts: &[&str]) -> bool {
    texts.iter().any(|text| line.contains(text))
}

fn of_line(pattern: &Pattern, line: &str) -> Option<Diagnosis> {
    let subject = pattern.subject.of(line);
    let needs = pattern.cause.contains("{}") || pattern.fix.contains("{}");
    if needs && subject.is_none() {
        return None;
    }
    let subject = subject.unwrap_or_default();
    let fix = match pattern.fix.contains("{}") {
        true => Cow::Owned(pattern.fix.replace("{}", &subject)),
        false => Cow::Borrowed(pattern.fix),
    };
    let cause = (!pattern.cause.is_empty()).then(|| pattern.cause.replace("{}", &subject));
    Some(Diagnosis { id: pattern.id, cause, fix, line: Some(line.trim().to_owned()) })
}

/// Returns what the end alone suggests.
pub(super) fn of_end(facts: &ExitFacts<'_>) -> Option<Diagnosis> {
    let noise = !facts.opened && !facts.stdout.is_empty();
    Some(match facts.ended {
        Ended::Signalled(9) if facts.memory_limited => told(
            "memory",
            "It was probably ended for its memory: raise `mcpvisor.limits.memory`, or see who sent the signal (`journalctl -k`).",
        ),
        Ended::Signalled(9) => told(
            "killed",
            "Somebody, or the kernel for want of memory, has killed it: `journalctl -k | grep -i oom` says whether. mcpvisor starts it again.",
        ),
        Ended::Signalled(4 | 6 | 7 | 8 | 11) => told(
            "crashed",
            "The program itself is at fault, or was built for another processor: install its newest version, and tell its authors with its last lines (`mcpvisor logs SERVER --previous`).",
        ),
        Ended::BrokeProtocol | Ended::BadHandshake | Ended::Exited(_) | Ended::StartTimeout(false)
            if noise && !has_usage(facts) =>
        {
            Diagnosis {
                cause: Some("it writes to stdout what is no message, where only messages may be".to_owned()),
                line: facts.stdout.first().map(|line| line.trim().to_owned()),
                ..told(
                    "stdout-noise",
                    "Have it log to stderr (`console.error`, `print(…, file=sys.stderr)`, or an argument such as `--quiet`), and see whether it speaks MCP over stdio at all.",
                )
            }
        }
        Ended::Exited(_) if !facts.opened && has_usage(facts) => Diagnosis {
            cause: Some("it wants other arguments".to_owned()),
            line: facts.line.map(str::to_owned),
            ..told(
                "usage",
                "Correct `args`: run the command by hand, or with `--help`, to see what it wants; a server for MCP often needs an argument such as `stdio` or a path.",
            )
        },
        Ended::Exited(0) if !facts.opened => told(
            "ends-at-once",
            "It ends without having served: see whether the command is that of a server (not of an installer or a client), and whether it wants an argument such as `stdio`.",
        ),
        Ended::StartTimeout(true) => told(
            "install-timeout",
            "Fetch it once by hand as the daemon's user, so that the next start finds it in the cache, see whether its registry is reached, or raise `mcpvisor.install_timeout`.",
        ),
        Ended::StartTimeout(false) => told(
            "start-timeout",
            "It runs and says nothing: it may wait for something (a login, a database, an unwritable cache), or be no MCP server for stdio. Run its command by hand; if it is only slow, raise `mcpvisor.start_timeout`.",
        ),
        _ => return None,
    })
}

/// Reports whether it wrote how it is to be used.
fn has_usage(facts: &ExitFacts<'_>) -> bool {
    let begins =
        |line: &&str| line.trim_start().get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("usage:"));
    facts.stderr.iter().chain(facts.stdout).any(begins)
}
