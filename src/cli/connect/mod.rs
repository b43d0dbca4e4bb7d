//! `mcpvisor connect`: puts this gateway into the configuration file of an MCP client. Shows what it would change; writes it
//! only if told to, with a backup, and takes it back.

mod difference;
mod writing;

use std::io::Write;
use std::path::{Path, PathBuf};

use self::difference::difference;
use self::writing::{Undone, read_if_there, undo, write};
use super::Exit;
use super::daemon::Place;
use crate::config::{Environment, Flags, Link, Target, Uneditable, Way, daemon_place, list_problems};

/// Program that clients start where a path of this machine means nothing to others.
const PROGRAM: &str = "mcpvisor";
/// Name of the entry for all servers.
const ALL: &str = "mcpvisor";
/// Environment variable with the key, unless another one is named; the one that `mcpvisor stdio` reads.
const KEY_VARIABLE: &str = "MCPVISOR_KEY";

/// Options of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connect {
    /// Client to connect.
    pub client: String,
    /// Server or group to offer. `None` for all servers.
    pub server: Option<String>,
    /// `true` to write the file.
    pub write: bool,
    /// `true` to take back what was written last.
    pub undo: bool,
    /// `true` for the file of the project in the working directory.
    pub project: bool,
    /// `true` to have the client start a command though it speaks HTTP.
    pub stdio: bool,
    /// Address of the daemon. `None` for the usual one.
    pub url: Option<String>,
    /// Name of the environment variable with the key. `None` for the usual one, where a key is needed.
    pub key_variable: Option<String>,
}

/// Reason that nothing is done.
struct Refused(Exit, String);

impl Refused {
    fn usage(text: impl Into<String>) -> Refused {
        Refused(Exit::Usage, text.into())
    }
}

/// Shows, writes or takes back a connection. `own` is this program. What is done goes to `out`, errors to `err`.
pub fn run(
    connect: &Connect,
    own: &Path,
    env: &dyn Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let told = work(connect, own, env).and_then(|told| {
        let written = out.write_all(told.as_bytes());
        written.map_err(|error| Refused(Exit::Io, format!("cannot be written: {error}")))
    });
    match told {
        Ok(()) => Exit::Graceful,
        Err(Refused(exit, reason)) => {
            let _ = writeln!(err, "mcpvisor: {reason}");
            exit
        }
    }
}

fn work(connect: &Connect, own: &Path, env: &dyn Environment) -> Result<String, Refused> {
    let target = Target::named(&connect.client).map_err(Refused::usage)?;
    let path = path_of(target, connect, env)?;
    let shown = path.display();
    let failed = |error: std::io::Error| Refused(Exit::Io, format!("{shown}: {error}"));
    if connect.undo {
        return Ok(match undo(&path).map_err(failed)? {
            Undone::Restored => format!("{shown} is what it was before\n"),
            Undone::Removed => format!("{shown} is removed, which was not there before\n"),
        });
    }
    let (link, remarks) = link(target, connect, own, env)?;
    let before = read_if_there(&path).map_err(failed)?;
    let text = before.as_deref().unwrap_or_default();
    let after = target.edit(&path, text, &link).map_err(|refused| match refused {
        Uneditable::Unreadable(reason) => {
            Refused(Exit::Config, format!("{reason}; the file is left as it is"))
        }
        Uneditable::Unsafe(reason) => {
            let snippet = target.snippet(&link);
            Refused(Exit::Config, format!("{reason}; add this by hand:\n\n{snippet}"))
        }
    })?;
    if after == text && before.is_some() {
        return Ok(format!("{shown} has this entry already; nothing is changed\n{remarks}"));
    }
    let there = if before.is_some() { "" } else { ", which is not there yet" };
    let changes = difference(text, &after);
    if !connect.write {
        return Ok(format!("{shown}{there}, would be changed:\n{changes}{remarks}write it with --write\n"));
    }
    let backup = write(&path, before.as_deref(), &after).map_err(failed)?;
    let backup =
        backup.map_or_else(String::new, |backup| format!("; what it had is in {}", backup.display()));
    Ok(format!("{shown} is changed{backup}:\n{changes}{remarks}take it back with --undo\n"))
}

/// Returns the file to change: of those that the client may have the first that is there, else the first.
fn path_of(target: &Target, connect: &Connect, env: &dyn Environment) -> Result<PathBuf, Refused> {
    let home = env.var("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let project = connect.project.then(|| env.working_dir());
    let places = target.places(home.as_deref(), project.as_deref());
    let places = places.ok_or_else(|| match connect.project {
        true => Refused::usage(format!("{} has no file of projects; leave --project out", target.name())),
        false => Refused::usage("HOME is not set to a directory, below which the client's file is"),
    })?;
    let first = places.iter().find(|place| place.exists()).or(places.first());
    first.cloned().ok_or_else(|| Refused::usage(format!("{} has no file that is known", target.name())))
}

/// Returns the connection, with remarks for whoever sets it up.
fn link(
    target: &Target,
    connect: &Connect,
    own: &Path,
    env: &dyn Environment,
) -> Result<(Link, String), Refused> {
    let mut remarks = String::new();
    let mut remark = |text: &str| remarks.push_str(&format!("note: {text}\n"));
    if let Some(variable) = connect.key_variable.as_deref().filter(|name| !is_variable(name)) {
        let shown: String = variable.chars().take(3).collect();
        return Err(Refused::usage(format!(
            "--key-variable names the environment variable that has the key, such as {KEY_VARIABLE}, and not the key \
             (found \"{shown}…\"): a key in a file can be read by whoever reads the file"
        )));
    }
    let place = connect.url.as_deref().map(|url| Place::given(None, Some(url)));
    let is_remote = place.as_ref().is_some_and(|place| !place.is_this_machine());
    let variable = connect.key_variable.clone().or_else(|| is_remote.then(|| KEY_VARIABLE.to_owned()));
    let name = connect.server.clone().unwrap_or_else(|| ALL.to_owned());
    // Zed knows no reference to a variable, but what it starts has its environment.
    let has_no_reference = target.id == "zed" && variable.is_some();
    if target.speaks_http && !connect.stdio && !has_no_reference {
        let place = match place {
            Some(place) => place,
            None => usual_place(env)?,
        };
        let endpoint = place.endpoint(connect.server.as_deref()).map_err(Refused::usage)?;
        if let Some(variable) = &variable {
            remark(&format!(
                "{} takes the key from its environment variable {variable}: set it where that is started",
                target.name()
            ));
        } else {
            remark("the daemon must run; with --stdio the client starts it where it does not");
        }
        let way = Way::Url { url: endpoint.to_string(), key: variable };
        target.remark.into_iter().for_each(&mut remark);
        return Ok((Link { name, way }, remarks));
    }
    let program = match connect.project {
        true => PROGRAM.to_owned(),
        false => own.to_str().unwrap_or(PROGRAM).to_owned(),
    };
    let mut arguments = vec!["stdio".to_owned()];
    arguments.extend(connect.server.clone());
    if let Some(place) = place {
        place.endpoint(None).map_err(Refused::usage)?;
        arguments.extend(["--url".to_owned(), place.url]);
    }
    if let Some(variable) = variable {
        if variable != KEY_VARIABLE {
            return Err(Refused::usage(format!("\"mcpvisor stdio\" takes its key from {KEY_VARIABLE} only")));
        }
        remark(&format!(
            "the command takes the key from {KEY_VARIABLE}: set it where {} is started, or, where others cannot read \
             the file, as a member of \"env\" of the entry",
            target.name()
        ));
    }
    target.remark.into_iter().for_each(&mut remark);
    Ok((Link { name, way: Way::Command { program, arguments } }, remarks))
}

/// Returns the address of a daemon of this user with the settings of the environment.
fn usual_place(env: &dyn Environment) -> Result<Place, Refused> {
    let found = daemon_place(&Flags::default(), env);
    let found =
        found.map_err(|problems| Refused(Exit::Config, list_problems(&problems).trim_end().to_owned()))?;
    if found.port == 0 {
        let text = "the daemon listens on any free port, which no file can name: give --url or --stdio";
        return Err(Refused::usage(text));
    }
    let scheme = if found.tls { "https" } else { "http" };
    Ok(Place::given(None, Some(&format!("{scheme}://127.0.0.1:{}", found.port))))
}

/// Reports whether a text can be the name of an environment variable, and is no key.
fn is_variable(text: &str) -> bool {
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !text.starts_with("pk_")
}

#[cfg(test)]
mod tests;
