//! Environment variables that the daemon reads, and the only code that reads them. The environment is passed in
//! as a trait, so that everything else is a function of its arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Flags;
use super::problem::Problems;
use super::values;

/// Same as `--config`. Empty variables count as unset, here and below.
pub const ENV_CONFIG: &str = "MCPVISOR_CONFIG";
/// Same as `--servers`: paths, separated by `:`.
pub const ENV_SERVERS: &str = "MCPVISOR_SERVERS";
/// Same as `--host`.
pub const ENV_HOST: &str = "MCPVISOR_HOST";
/// Same as `--port`.
pub const ENV_PORT: &str = "MCPVISOR_PORT";
/// Same as `--data-dir`.
pub const ENV_DATA_DIR: &str = "MCPVISOR_DATA_DIR";
/// Same as `--debug`: `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`.
pub const ENV_DEBUG: &str = "MCPVISOR_DEBUG";
/// Log directives by module, which replace the log level.
pub const ENV_LOG: &str = "MCPVISOR_LOG";

/// Environment of the process: its variables and its working directory.
pub trait Environment {
    /// Returns the variable's value. `None` if it is not set.
    fn var(&self, name: &str) -> Option<OsString>;
    /// Returns the directory that relative paths start from.
    fn working_dir(&self) -> PathBuf;
}

/// The real environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    /// Returns the working directory; `.` if it was removed meanwhile, which makes each use of it fail with an
    /// error of its own.
    fn working_dir(&self) -> PathBuf {
        std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
    }
}

/// Reads the variables that correspond to flags.
pub(super) fn flags_from(env: &dyn Environment, problems: &mut Problems) -> Flags {
    let servers = set(env, ENV_SERVERS)
        .map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    Flags {
        config: set(env, ENV_CONFIG).map(PathBuf::from),
        servers,
        host: text(env, ENV_HOST, problems)
            .and_then(|host| noted(ENV_HOST, &host, values::host(&host).ok_or(values::HOST), problems)),
        port: text(env, ENV_PORT, problems).and_then(|port| {
            let number = port.parse().map_err(|_| values::PORT);
            noted(ENV_PORT, &port, number, problems)
        }),
        data_dir: set(env, ENV_DATA_DIR).map(PathBuf::from),
        debug: text(env, ENV_DEBUG, problems).and_then(|word| {
            let switch = match word.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Ok(true),
                "0" | "false" | "no" | "off" => Ok(false),
                _ => Err("\"1\" or \"0\" (or true/false, yes/no, on/off)"),
            };
            noted(ENV_DEBUG, &word, switch, problems)
        }),
        ..Flags::default()
    }
}

/// Reads the log directives. `None` if they are unset or invalid.
pub(super) fn log_directives(env: &dyn Environment, problems: &mut Problems) -> Option<String> {
    let directives = text(env, ENV_LOG, problems)?;
    match crate::telemetry::logging::check_directives(&directives) {
        Ok(()) => Some(directives),
        Err(reason) => {
            problems
                .source(ENV_LOG, format!("must be log directives such as \"info,mcpvisor=debug\": {reason}"));
            None
        }
    }
}

/// Variable in which systemd names the journal's end of stderr.
const ENV_JOURNAL: &str = "JOURNAL_STREAM";

/// Reports whether stderr leads to the journal.
pub(super) fn logs_to_journal(env: &dyn Environment) -> bool {
    let stream = set(env, ENV_JOURNAL).and_then(|stream| stream.into_string().ok());
    stream.is_some_and(|stream| crate::telemetry::logging::leads_to_journal(&stream))
}

/// Returns `$XDG_DATA_HOME/mcpvisor`, else `$HOME/.local/share/mcpvisor`, else `/var/lib/mcpvisor`. As the XDG
/// base directory specification requires, a relative `XDG_DATA_HOME` is ignored.
pub(super) fn default_data_dir(env: &dyn Environment) -> PathBuf {
    let absolute = |name| set(env, name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| Path::new("/var/lib").to_owned())
        .join("mcpvisor")
}

/// File name of the Unix socket.
const SOCKET: &str = "mcpvisor.sock";

/// Returns the default path of the Unix socket. For the user's default data directory it is in
/// `$XDG_RUNTIME_DIR`, which the user's session provides for sockets, if that is set; otherwise in the data
/// directory, so that each daemon has its own.
pub(super) fn default_socket(env: &dyn Environment, data_dir: &Path) -> PathBuf {
    let runtime_dir = set(env, "XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    match runtime_dir {
        Some(runtime_dir) if data_dir == default_data_dir(env) => runtime_dir.join(SOCKET),
        _ => data_dir.join(SOCKET),
    }
}

fn set(env: &dyn Environment, name: &str) -> Option<OsString> {
    env.var(name).filter(|value| !value.is_empty())
}

fn text(env: &dyn Environment, name: &str, problems: &mut Problems) -> Option<String> {
    match set(env, name)?.into_string() {
        Ok(text) => Some(text),
        Err(_) => {
            problems.source(name, "must be UTF-8 text");
            None
        }
    }
}

fn noted<T>(name: &str, found: &str, read: Result<T, &str>, problems: &mut Problems) -> Option<T> {
    read.map_err(|expected| problems.source(name, format!("must be {expected} (found {found:?})"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_support::MapEnvironment;
    use std::os::unix::ffi::OsStringExt as _;

    #[test]
    fn every_wrong_variable_is_reported() {
        let mut env = MapEnvironment::new(&[
            (ENV_HOST, "a b"),
            (ENV_PORT, "65536"),
            (ENV_DEBUG, "perhaps"),
            (ENV_LOG, "mcpvisor=loud"),
        ]);
        env.vars.insert("MCPVISOR_HOST2".into(), OsString::from_vec(vec![0xff]));
        let mut problems = Problems::default();
        flags_from(&env, &mut problems);
        log_directives(&env, &mut problems);
        assert_eq!(text(&env, "MCPVISOR_HOST2", &mut problems), None);
        let lines = problems.lines();
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert_eq!(lines[1], "MCPVISOR_PORT: must be a whole number from 0 to 65535 (found \"65536\")");
        for (line, name) in lines.iter().zip([ENV_HOST, ENV_PORT, ENV_DEBUG, ENV_LOG, "MCPVISOR_HOST2"]) {
            assert!(line.starts_with(&format!("{name}: must be ")), "{line}");
        }
    }

    #[test]
    fn empty_variables_count_as_unset() {
        let env = MapEnvironment::new(&[
            (ENV_CONFIG, ""),
            (ENV_SERVERS, ""),
            (ENV_HOST, ""),
            (ENV_PORT, ""),
            (ENV_DATA_DIR, ""),
            (ENV_DEBUG, ""),
        ]);
        let mut problems = Problems::default();
        assert_eq!(flags_from(&env, &mut problems), Flags::default());
        assert!(problems.lines().is_empty());
    }

    #[test]
    fn the_data_directory_follows_xdg_then_home_then_the_system() {
        let dir = |vars: &[(&str, &str)]| default_data_dir(&MapEnvironment::new(vars));
        let home = ("HOME", "/home/u");
        assert_eq!(dir(&[("XDG_DATA_HOME", "/x"), home]), Path::new("/x/mcpvisor"));
        assert_eq!(dir(&[("XDG_DATA_HOME", "x"), home]), Path::new("/home/u/.local/share/mcpvisor"));
        assert_eq!(dir(&[home]), Path::new("/home/u/.local/share/mcpvisor"));
        assert_eq!(dir(&[]), Path::new("/var/lib/mcpvisor"));
    }

    #[test]
    fn the_socket_is_beside_the_session_s_or_beside_the_data() {
        let session = ("XDG_RUNTIME_DIR", "/run/user/7");
        let home = ("HOME", "/home/u");
        let at = |vars: &[(&str, &str)], data_dir: &str| {
            default_socket(&MapEnvironment::new(vars), Path::new(data_dir)).display().to_string()
        };
        let default = "/home/u/.local/share/mcpvisor";
        assert_eq!(at(&[home, session], default), "/run/user/7/mcpvisor.sock");
        assert_eq!(at(&[home], default), format!("{default}/mcpvisor.sock"));
        assert_eq!(at(&[home, ("XDG_RUNTIME_DIR", "run")], default), format!("{default}/mcpvisor.sock"));
        assert_eq!(at(&[home, session], "/srv/m"), "/srv/m/mcpvisor.sock", "a second daemon has its own");
    }

    #[test]
    fn servers_files_are_separated_by_colons() {
        let env = MapEnvironment::new(&[(ENV_SERVERS, "a.json::/b/c.json")]);
        let flags = flags_from(&env, &mut Problems::default());
        assert_eq!(flags.servers, [PathBuf::from("a.json"), PathBuf::from("/b/c.json")]);
    }
}
