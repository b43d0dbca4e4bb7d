//! The daemon under the command name of the `/api` reference, with that reference's defaults.

use std::process::ExitCode;

use mcpvisor::app;
use mcpvisor::cli::Program;

fn main() -> ExitCode {
    app::main(Program::McpServer)
}
