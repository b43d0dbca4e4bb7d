//! The daemon.

use std::process::ExitCode;

use mcpvisor::app;
use mcpvisor::cli::Program;

fn main() -> ExitCode {
    app::main(Program::Mcpvisor)
}
