//! Start of a program that is to outlive this one: the daemon that a command has found missing.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::unistd::setsid;

use super::inherited::close_on_exec;

/// Starts a program in a session of its own, with this directory and the caller's environment without the variables
/// `without`. It reads nothing, writes to `log` only, and holds nothing open that the caller has open, so that whoever
/// waits for the caller's pipes to close does not wait for it.
///
/// # Errors
/// If the program cannot be run.
pub fn start_detached(
    program: &Path,
    arguments: &[&str],
    directory: &Path,
    without: &[&str],
    log: File,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    for name in without {
        command.env_remove(name);
    }
    // SAFETY: setsid and close_range are async-signal-safe system calls, and nothing is allocated or locked.
    unsafe { command.pre_exec(leave) };
    command.spawn()
}

/// Leaves the caller's session, and has the kernel close what else is open once the program runs.
fn leave() -> io::Result<()> {
    setsid()?;
    // Kernels before 5.11 do not know how. Our own descriptors close by themselves there, and those that were left open to
    // us stay open.
    let _ = close_on_exec();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_has_a_session_and_an_output_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = File::create(dir.path().join("log")).expect("made");
        let script = "ps -o sid= -p $$ | tr -d ' '; echo $$; pwd; echo ${PATH:+set} ${HOME:-unset}; ls /proc/self/fd | wc -l";
        let mut child = start_detached(Path::new("/bin/sh"), &["-c", script], dir.path(), &["HOME"], log)
            .expect("started");
        assert!(child.wait().expect("our own child").success());
        let said = std::fs::read_to_string(dir.path().join("log")).expect("written");
        let lines: Vec<&str> = said.lines().collect();
        let place = dir.path().canonicalize().expect("there").display().to_string();
        assert_eq!(lines[0], lines[1], "it leads its session: {said}");
        // The three, and the directory that `ls` reads.
        assert_eq!(lines[2..], [&place, "set unset", "4"], "{said}");
    }
}
