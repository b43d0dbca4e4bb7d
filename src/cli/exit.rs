//! Exit codes of the process, and nothing else. Numbers above 63 are those of BSD's `sysexits.h`.

use std::process::ExitCode;

/// An exit code. A test checks the list in `docs/configuration.md` against this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: stopped in order, or carried out the command.
    Graceful,
    /// 1: a defect of the daemon.
    Internal,
    /// 1: `doctor` found something.
    Findings,
    /// 2: the command line is invalid.
    Usage,
    /// 3: stopped, but calls or children had to be cut off.
    Forced,
    /// 4: the daemon did not do what a command asked of it.
    Refused,
    /// 5: the tool that was called answered with an error.
    ToolFailed,
    /// 69: no daemon answers.
    Unreachable,
    /// 74: input or output failed: the store, or an address to listen on.
    Io,
    /// 75: what was waited for did not come about in time.
    TimedOut,
    /// 78: the configuration is wrong.
    Config,
}

impl Exit {
    /// All exit codes.
    pub const ALL: [Exit; 11] = [
        Exit::Graceful,
        Exit::Internal,
        Exit::Findings,
        Exit::Usage,
        Exit::Forced,
        Exit::Refused,
        Exit::ToolFailed,
        Exit::Unreachable,
        Exit::Io,
        Exit::TimedOut,
        Exit::Config,
    ];

    /// Returns the number that the parent process sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Graceful => 0,
            Exit::Internal | Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Forced => 3,
            Exit::Refused => 4,
            Exit::ToolFailed => 5,
            Exit::Unreachable => 69,
            Exit::Io => 74,
            Exit::TimedOut => 75,
            Exit::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_lists_every_code() {
        let reference = include_str!("../../docs/configuration.md");
        for exit in Exit::ALL {
            assert!(reference.contains(&format!("\n| {} | ", exit.code())), "{exit:?} is not listed");
        }
    }
}
