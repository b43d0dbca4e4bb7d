//! What can be found out about a process without starting it: whether its program is there and can be run, and whether
//! what it will want to write can be written. Reads, and changes nothing.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::host::{HostSettings, Spec};
use super::{SpawnError, resolve, user};

/// What was found out about a process.
#[derive(Debug, Clone)]
pub struct Examination {
    /// What would keep it from being started; `None` if nothing would.
    pub refused: Option<SpawnError>,
    /// Program that would be run; `None` if there is none.
    pub program: Option<PathBuf>,
    /// Its home directory; `None` without HOME.
    pub home: Option<PathBuf>,
    /// Directory that keeps what its launcher fetches, and why it cannot be written; `None` if it can, or if the command is
    /// no such launcher.
    pub unwritable: Option<(PathBuf, String)>,
    /// Names of the variables that it would have.
    pub variables: BTreeSet<String>,
}

/// Names of a launcher, the variable that says where it keeps what it fetches, and variables below whose values it does
/// otherwise.
type Cache = (&'static [&'static str], &'static str, &'static [(&'static str, &'static str)]);

/// Launchers, and the variables that say where they keep what they fetch: of itself, and below another directory.
const CACHES: [Cache; 2] = [
    (&["npx", "npm"], "npm_config_cache", &[("HOME", ".npm")]),
    (&["uvx", "uv"], "UV_CACHE_DIR", &[("XDG_CACHE_HOME", "uv"), ("HOME", ".cache/uv")]),
];

/// Looks at a process that would be started by a host with these settings.
pub fn examine(settings: &HostSettings, spec: &Spec) -> Examination {
    let own = |wanted: &str| {
        let given = spec.env.iter().rev().find(|(name, _)| name == wanted);
        let base = settings.base_env.iter().find(|(name, _)| name == wanted);
        given.map(|(_, value)| OsString::from(value)).or_else(|| base.map(|(_, value)| value.clone()))
    };
    let found =
        settings.program(spec).and_then(|program| interpreted(&program, own("PATH")).map(|()| program));
    let (program, refused) = match found {
        Ok(program) => (Some(program), None),
        Err(error) => (None, Some(error)),
    };
    let names = spec.env.iter().map(|(name, _)| name.clone());
    let base = settings.base_env.iter().filter_map(|(name, _)| name.to_str().map(str::to_owned));
    Examination {
        refused,
        program,
        home: own("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
        unwritable: cache(&spec.command, own)
            .and_then(|cache| why_unwritable(&cache).map(|why| (cache, why))),
        variables: names.chain(base).collect(),
    }
}

/// Checks that the interpreter of a script is there.
fn interpreted(program: &Path, path: Option<OsString>) -> Result<(), SpawnError> {
    let Some((interpreter, argument)) = resolve::interpreter(program) else { return Ok(()) };
    let shown = program.display();
    if !Path::new(&interpreter).exists() {
        return Err(SpawnError {
            what: format!("the interpreter '{interpreter}' that '{shown}' names does not exist"),
            errno: "ENOENT".to_owned(),
            permanent: true,
            searched: None,
        });
    }
    match argument.filter(|name| interpreter.ends_with("/env") && !name.starts_with('-')) {
        Some(name) => resolve::resolve(&name, path.as_deref(), None).map(drop).map_err(|error| SpawnError {
            what: format!("'{name}', by which '{shown}' is run, was not found in PATH"),
            ..error
        }),
        None => Ok(()),
    }
}

/// Returns the directory that a launcher keeps what it fetches in; `None` if the command is none.
fn cache(command: &str, own: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let program = Path::new(command).file_name().and_then(OsStr::to_str)?;
    let (_, itself, below) = CACHES.iter().find(|(programs, ..)| programs.contains(&program))?;
    let given = own(itself).filter(|path| !path.is_empty()).map(PathBuf::from);
    given.or_else(|| {
        below.iter().find_map(|(variable, steps)| {
            own(variable).filter(|path| !path.is_empty()).map(|path| Path::new(&path).join(steps))
        })
    })
}

/// Returns why nothing can be written into a directory, which may have yet to be made; `None` if something can.
fn why_unwritable(directory: &Path) -> Option<String> {
    let there = directory.ancestors().find(|path| path.exists())?;
    if !there.is_dir() {
        return Some(format!("'{}' is not a directory", there.display()));
    }
    let error = user::check_writable(there).err()?;
    Some(format!("'{}' cannot be written: {error}", there.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(home: &str) -> HostSettings {
        HostSettings {
            instance: "x".to_owned(),
            base_env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("HOME".into(), home.into())],
            own_command: None,
            cgroups: false,
            sandboxes: PathBuf::new(),
            private: PathBuf::new(),
            alone: false,
        }
    }

    fn spec(command: &str) -> Spec {
        Spec {
            command: command.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            secrets: Vec::new(),
            cwd: None,
            limits: super::super::Limits::default(),
            sandbox: None,
        }
    }

    #[test]
    fn a_program_is_looked_for_as_it_would_be_at_a_start() {
        let found = examine(&settings("/tmp"), &spec("sh"));
        assert!(found.refused.is_none() && found.program.is_some_and(|path| path.ends_with("sh")));
        let missing = examine(&settings("/tmp"), &spec("no-such-command"));
        assert!(missing.refused.is_some_and(|error| error.errno == "ENOENT"));
        let elsewhere = Spec { env: vec![("PATH".to_owned(), "/nowhere".to_owned())], ..spec("sh") };
        let searched = examine(&settings("/tmp"), &elsewhere).refused.and_then(|error| error.searched);
        assert_eq!(searched.map(|searched| searched.path).as_deref(), Some("/nowhere"));
    }

    #[test]
    fn the_interpreter_of_a_script_is_looked_for_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            use std::os::unix::fs::PermissionsExt;
            let path = directory.path().join("script");
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            examine(&settings("/tmp"), &spec(path.to_str().unwrap())).refused.map(|error| error.what)
        };
        assert_eq!(of("#!/bin/sh\n"), None);
        assert_eq!(of("#!/usr/bin/env sh\n"), None);
        assert_eq!(of("#!/usr/bin/env -S sh\n"), None, "too much to know");
        assert!(of("#!/no/such\n").is_some_and(|what| what.starts_with("the interpreter '/no/such'")));
        assert!(of("#!/usr/bin/env nosuchinterp\n").is_some_and(|what| what.starts_with("'nosuchinterp'")));
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_found_and_one_yet_to_be_made_is_none() {
        let of = |command: &str, home: &str| examine(&settings(home), &spec(command)).unwritable;
        assert_eq!(of("npx", "/tmp/not-there-yet"), None);
        assert!(
            of("npx", "/dev/null")
                .is_some_and(|(path, why)| path.ends_with(".npm") && why.contains("not a directory"))
        );
        // Not a folder that only rights protect: the tests may run as root.
        assert!(of("/usr/bin/uvx", "/dev/null").is_some_and(|(path, _)| path.ends_with(".cache/uv")));
        assert_eq!(of("sh", "/dev/null"), None);
    }
}
