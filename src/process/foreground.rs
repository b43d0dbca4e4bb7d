//! A program that a person works with, in the terminal of this process.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program on a file, with this process's terminal and environment, and waits until it ends. `line` is its name and
/// its arguments, separated by blanks; no shell sees it. Returns whether it ended well.
///
/// # Errors
/// If the program cannot be run.
pub fn run_in_foreground(line: &str, file: &Path) -> io::Result<bool> {
    let mut words = line.split_whitespace();
    let program = words.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(Command::new(program).args(words).arg(file).status()?.success())
}

/// Starts the browser of this desktop at an address and leaves it to itself: `$BROWSER`, or what the desktop has. Returns `false`
/// if there is neither. Neither sees more than the address.
///
/// # Errors
/// If it cannot be started.
pub fn open_in_browser(address: &str) -> io::Result<bool> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let program = match set("BROWSER") {
        Some(program) => program,
        None if set("DISPLAY").is_some() || set("WAYLAND_DISPLAY").is_some() => "xdg-open".into(),
        None => return Ok(false),
    };
    let mut command = Command::new(program);
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_run_on_a_file_and_its_end_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a b");
        assert!(run_in_foreground("touch -c", &file).expect("run") && !file.exists());
        assert!(run_in_foreground("touch", &file).expect("run") && file.exists());
        assert!(!run_in_foreground("test -d", &file).expect("run"));
        assert!(
            run_in_foreground("no-such-program", &file).is_err() && run_in_foreground(" ", &file).is_err()
        );
    }
}
