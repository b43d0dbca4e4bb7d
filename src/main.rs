//! The daemon under its own name, `mcpvisor`.

use std::process::ExitCode;

use mcpvisor::app;
use mcpvisor::cli::Program;

fn main() -> ExitCode {
    app::main(Program::Mcpvisor)
}
