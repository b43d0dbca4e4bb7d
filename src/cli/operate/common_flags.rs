//! Flags that commands of an operator share.

use clap::Args;

use super::screen::Format;
use super::{Action, Doctor, Operate};
use crate::cli::client_flags::AccessLine;

/// The daemon, and the form of the output.
#[derive(Debug, Args)]
pub(in crate::cli) struct Common {
    #[command(flatten)]
    access: AccessLine,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
}

impl Common {
    /// Returns the look at what is wrong with this daemon, in this form.
    pub(in crate::cli) fn examining(self, server: Option<String>) -> Doctor {
        Doctor { access: self.access.into(), format: self.output, server }
    }

    /// Returns a command for this daemon, in this form.
    pub(super) fn with(self, action: Action) -> Operate {
        Operate { access: self.access.into(), format: self.output, action }
    }
}
