//! The daemon under test as a process: as whom it runs and how it is started.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::output::Output;
use crate::support::canaries;

/// Which program is run, and as whom; as the tests' own user for `None`.
pub(super) struct Runner {
    program: PathBuf,
    user: Option<u32>,
    /// Where a copy of the program is.
    _place: Option<TempDir>,
}

impl Runner {
    pub(super) fn own() -> Runner {
        Runner { program: env!("CARGO_BIN_EXE_mcpvisor").into(), user: None, _place: None }
    }

    /// Gives a user the directory of a test, and a copy of the program: where it was built, others may not
    /// be let in.
    pub(super) fn of_user(directory: &Path, uid: u32) -> Runner {
        let place = tempfile::tempdir().expect("a temporary directory");
        let program = place.path().join("mcpvisor");
        // Not by our own process: what another test starts just then would hold it open for writing, and what is
        // held so cannot be run.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_mcpvisor")).arg(&program).status();
        assert!(copied.expect("cp can be run").success(), "the program can be copied");
        let mut all = vec![place.path().to_owned(), program.clone(), directory.to_owned()];
        while let Some(path) = all.pop() {
            std::os::unix::fs::chown(&path, Some(uid), Some(uid)).expect("only root can play other users");
            if path.is_dir() {
                all.extend(
                    fs::read_dir(&path).expect("readable").map(|entry| entry.expect("readable").path()),
                );
            }
        }
        Runner { program, user: Some(uid), _place: Some(place) }
    }
}

/// Starts the daemon, by a shell that is to become it if there is a script, and keeps what it writes.
pub(super) fn spawn(
    runner: &Runner,
    shell: Option<&str>,
    data: &Path,
    arguments: &[String],
    variables: &[(String, String)],
    output: &Arc<Output>,
) -> (Child, Vec<JoinHandle<()>>) {
    let daemon = runner.program.as_path();
    let mut command = Command::new(if shell.is_some() { Path::new("/bin/sh") } else { daemon });
    if let Some(script) = shell {
        command.args(["-c", script]).arg(daemon);
    }
    if let Some(uid) = runner.user {
        command.uid(uid).gid(uid);
    }
    command.args(arguments).current_dir(data).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", data);
    command.envs(canaries::variables());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the daemon can be started");
    let out = output.follow("out", process.stdout.take().expect("piped"));
    let err = output.follow("err", process.stderr.take().expect("piped"));
    (process, vec![out, err])
}

/// The address in a line such as `out: listening on http://127.0.0.1:4711/`.
pub(super) fn address_in(line: &str) -> Option<SocketAddr> {
    let line = line.strip_prefix("out: ")?;
    let rest = line.split_once("http://").or_else(|| line.split_once("https://"))?.1;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}
