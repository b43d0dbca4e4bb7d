//! Programs that were started in a terminal.

use std::process::Command;

/// Starts the program that its arguments name in a terminal, which is killed with it. A shell gives its programs
/// SIGHUP as it is by default, also where the tests themselves were started by `nohup`.
pub(crate) fn in_a_terminal() -> Command {
    const SCRIPT: &str =
        "import pty, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); pty.spawn(sys.argv[1:])";
    let mut terminal = Command::new("python3");
    terminal.args(["-c", SCRIPT]);
    terminal
}
