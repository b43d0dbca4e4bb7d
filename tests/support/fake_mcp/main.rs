//! `fake-mcp`: a scripted MCP server for the tests and benches. By default it is a fast, correct
//! server; every flag adds one fault that a real server has been seen to have. Nothing a client
//! sends makes it panic: like the common SDKs, it drops what it cannot read.

mod answers;
mod call;
mod converse;
mod feed;
mod flags;
mod grandchild;
mod output;
mod server;
mod stats;
mod timer;
mod tools;
mod wire;

use std::io;
use std::process::ExitCode;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use flags::Command;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flags = match flags::parse(&arguments) {
        Ok(Command::Serve(flags)) => flags,
        Ok(Command::Help) => {
            print!("{}", flags::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Grandchild(role)) => return grandchild::run(role),
        Err(problem) => {
            eprintln!("fake-mcp: {problem} (see fake-mcp --help)");
            return ExitCode::from(2);
        }
    };
    if let Some(code) = flags.exit {
        eprintln!("fake-mcp: exiting with code {code}, as told");
        return ExitCode::from(code);
    }
    // Blocked before any thread starts, so that every thread inherits it: as good as ignored.
    if flags.ignore_term {
        let stubborn: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        if let Err(error) = stubborn.thread_block() {
            eprintln!("fake-mcp: cannot block signals: {error}");
            return ExitCode::from(2);
        }
    }
    let ignore_eof = flags.ignore_eof;
    server::Server::new(*flags).run(io::stdin().lock());
    if ignore_eof {
        park_for_ever();
    }
    ExitCode::SUCCESS
}

/// Keeps this thread from ever doing anything again.
pub(crate) fn park_for_ever() -> ! {
    loop {
        thread::park();
    }
}

/// Ends the process at once, from any thread and without goodbye: what a crash looks like.
#[expect(clippy::disallowed_methods, clippy::exit, reason = "a crash on demand has no main to return to")]
pub(crate) fn die(code: i32) -> ! {
    std::process::exit(code)
}
