//! The command line, parsed into values. Two programs share it: `mcpvisor` with subcommands, and `mcp-server`,
//! which is `mcpvisor serve` with other defaults.
//!
//! Flags that an environment variable can replace leave that to [`crate::config`], which also reads the
//! configuration file: only there is a wrong variable reported together with every other problem.

pub mod add;
pub mod ask;
pub mod backup;
mod client;
mod client_flags;
pub mod connect;
mod daemon;
pub mod demo_server;
pub mod documents;
mod exit;
mod flags;
pub mod import;
pub mod login;
pub mod operate;
pub mod stdio;

use std::io::Write;

pub use client::Access;
pub use exit::Exit;
pub use flags::{Command, EarlyExit, Program, StoreAction, parse};

use crate::config::{
    Config, ConfigProblem, Environment, Flags, describe, entry_problems, group_problems, list_problems, load,
    warnings,
};

/// Runs `serve --check`: writes every problem of the configuration to `err`, or a description of what would run
/// to `out`. It is strict: a server that the daemon would only quarantine is a problem. Settings that may not
/// have the intended effect give warnings on `err`. `places` returns the problems of this machine that would
/// keep the daemon from starting. Starts nothing and changes nothing.
pub fn check(
    flags: &Flags,
    env: &dyn Environment,
    places: &dyn Fn(&Config) -> Vec<ConfigProblem>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let loaded = load(flags, env).and_then(|config| {
        let mut problems = entry_problems(&config.servers);
        problems.extend(group_problems(&config, |_| false));
        problems.extend(places(&config));
        if !problems.is_empty() {
            let _ = err.write_all(warnings(&config, env).as_bytes());
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    });
    let (written, exit) = match loaded {
        Ok(config) => {
            let warned = err.write_all(warnings(&config, env).as_bytes());
            (warned.and_then(|()| out.write_all(describe(&config).as_bytes())), Exit::Graceful)
        }
        Err(problems) => (err.write_all(list_problems(&problems).as_bytes()), Exit::Config),
    };
    if written.is_err() { Exit::Io } else { exit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_support::MapEnvironment;

    fn run(env: &MapEnvironment) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = check(&Flags::default(), env, &|_| Vec::new(), &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (exit, text(out), text(err))
    }

    #[test]
    fn check_shows_what_would_run_or_all_problems() {
        let (exit, out, err) = run(&MapEnvironment::new(&[("MCPVISOR_PORT", "8000")]));
        assert_eq!((exit, err.as_str()), (Exit::Graceful, ""));
        assert!(out.contains("http://127.0.0.1:8000\n"), "{out}");

        let (exit, out, err) = run(&MapEnvironment::new(&[("MCPVISOR_PORT", "x"), ("MCPVISOR_DEBUG", "x")]));
        assert_eq!((exit, out.as_str()), (Exit::Config, ""));
        assert!(err.ends_with("2 problems in 2 places\n"), "{err}");
    }

    #[test]
    fn check_warns_of_references_that_lead_nowhere_and_refuses_malformed_ones() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("s.json");
        let write = |env: &str| {
            let text = format!(r#"{{"mcpServers": {{"git": {{"command": "git", "env": {env}}}}}}}"#);
            std::fs::write(&file, text).expect("written");
        };
        let env =
            MapEnvironment::new(&[("MCPVISOR_SERVERS", file.to_str().expect("UTF-8")), ("SET", "s3cret")]);
        write(r#"{"A": "${env:SET}", "B": "x ${env:GONE}", "C": "${file:/no/such}"}"#);
        let (exit, out, err) = run(&env);
        assert_eq!(exit, Exit::Graceful);
        assert!(out.starts_with("configuration is valid\n") && !(out + &err).contains("s3cret"));
        let place = format!("warning: {}: mcpServers.git.env", file.display());
        assert_eq!(
            err,
            format!(
                "{place}.B refers to ${{env:GONE}}, which is not set\n\
                 {place}.C refers to ${{file:/no/such}}, which cannot be read (ENOENT)\n"
            )
        );
        write(r#"{"A": "${env:SET", "B": "${file:relative}", "C": "${other:x}"}"#);
        let (exit, out, err) = run(&env);
        assert_eq!((exit, out.as_str()), (Exit::Config, ""));
        assert!(err.contains("mcpServers.git.env.A has a \"${env:\" without \"}\""), "{err}");
        assert!(err.contains("mcpServers.git.env.B has a \"${file:…}\" without an absolute path"), "{err}");
        assert!(err.ends_with("2 problems in 1 place\n"), "{err}");
    }

    #[test]
    fn a_full_disk_under_the_output_is_an_io_problem() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let exit =
            check(&Flags::default(), &MapEnvironment::new(&[]), &|_| Vec::new(), &mut Full, &mut Vec::new());
        assert_eq!(exit, Exit::Io);
    }
}
