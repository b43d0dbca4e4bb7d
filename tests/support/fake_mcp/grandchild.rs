//! Grandchildren: processes that a stopped server must not leave behind. Each ignores SIGTERM and
//! ends by itself after ten minutes, so that a failing test does not burden the machine for ever.

use std::io::{self, Read};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

/// What a grandchild process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Does nothing, and is hard to end.
    Sleeper,
    /// Leaves session and group, starts a sleeper, prints its process id and exits.
    Escape,
}

/// How `spawn_child` starts one.
pub(crate) struct Wanted {
    /// Leave the session and the process group, and be nobody's child any more.
    pub(crate) escape: bool,
    /// Start without any environment: no marker to be found by.
    pub(crate) clear_env: bool,
    /// Keep the server's stdout open: its end says nothing about the server then.
    pub(crate) hold_stdout: bool,
}

/// The life of a process started with `--grandchild…`.
pub(crate) fn run(role: Role) -> ExitCode {
    match role {
        Role::Sleeper => {
            let stubborn: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
            if stubborn.thread_block().is_err() {
                return ExitCode::FAILURE;
            }
            thread::sleep(Duration::from_secs(600));
            ExitCode::SUCCESS
        }
        Role::Escape => {
            match nix::unistd::setsid().map_err(io::Error::from).and_then(|_| sleeper(false, false)) {
                Ok(pid) => {
                    println!("{pid}");
                    ExitCode::SUCCESS
                }
                Err(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Starts a grandchild and returns its process id.
pub(crate) fn start(wanted: &Wanted) -> io::Result<u32> {
    if !wanted.escape {
        return sleeper(wanted.clear_env, wanted.hold_stdout);
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--grandchild-escape").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if wanted.clear_env {
        command.env_clear();
    }
    let mut between = command.spawn()?;
    let mut answer = String::new();
    if let Some(mut stdout) = between.stdout.take() {
        stdout.read_to_string(&mut answer)?;
    }
    between.wait()?;
    answer.trim().parse().map_err(|_| io::Error::other("the process in between did not name a process id"))
}

fn sleeper(clear_env: bool, hold_stdout: bool) -> io::Result<u32> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--grandchild").stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(if hold_stdout { Stdio::inherit() } else { Stdio::null() });
    if clear_env {
        command.env_clear();
    }
    // Not waited for: it is to outlive us, and when it dies first, a zombie of ours is part of the play.
    Ok(command.spawn()?.id())
}
