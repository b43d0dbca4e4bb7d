//! A program that a person works with, in the terminal of this process.

use std::io;
use std::path::Path;
use std::process::Command;

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
