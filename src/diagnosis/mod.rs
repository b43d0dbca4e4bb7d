//! What the end of a server means, and what to do about it: known faults of Node, Python, npm, uv, shells, the dynamic
//! linker, Docker, Java and of the definition itself, as a table. Pure: plain facts go in, a fault with its fix comes out. What the
//! server wrote is untrusted: it is shown, and never made part of a command.

mod endings;
mod patterns;
mod remote;
mod subject;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use remote::of_remote;

/// A fault that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Id of the fault, which stays the same when sentences change, for example `node-module-missing`.
    pub id: &'static str,
    /// What is wrong, as the continuation of "…: "; `None` if the cause of the end says it already.
    pub cause: Option<String>,
    /// What to do next: one or two sentences.
    pub fix: Cow<'static, str>,
    /// Line of the output that shows it; `None` if it was recognised by something else.
    pub line: Option<String>,
}

/// How a server's process ended, or what kept it from beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<'a> {
    /// It could not be started.
    NotSpawned {
        /// Symbol of the operating system's error; empty if that was not asked.
        errno: &'a str,
        /// The attempt, in words.
        what: &'a str,
        /// Where the command was looked for; `None` if it was not.
        searched: Option<&'a str>,
        /// Name of a program there that the command was probably meant to be.
        near: Option<&'a str>,
    },
    /// It ended with this exit code.
    Exited(i32),
    /// It was ended by this signal.
    Signalled(i32),
    /// The kernel ended it at its memory limit.
    OutOfMemory,
    /// Its start took too long; `true` if it was still being fetched or built.
    StartTimeout(bool),
    /// It answered the handshake otherwise than MCP requires.
    BadHandshake,
    /// It wrote to stdout what is no message, or closed a pipe.
    BrokeProtocol,
    /// It did not answer any more.
    Unresponsive,
}

/// What is known of a server that has ended.
#[derive(Debug, Clone, Copy)]
pub struct ExitFacts<'a> {
    /// The end.
    pub ended: Ended<'a>,
    /// `true` if it had been ready before.
    pub opened: bool,
    /// Command of its definition.
    pub command: &'a str,
    /// Most telling line of its output; `None` if there is none.
    pub line: Option<&'a str>,
    /// Lines on stderr, oldest first.
    pub stderr: &'a [&'a str],
    /// Lines on stdout that were no messages.
    pub stdout: &'a [&'a str],
    /// `true` if its definition limits its memory.
    pub memory_limited: bool,
}

impl<'a> ExitFacts<'a> {
    /// Returns what is known of a server that never ran, and so never wrote anything.
    pub fn before_start(ended: Ended<'a>, command: &'a str) -> ExitFacts<'a> {
        ExitFacts {
            ended,
            opened: false,
            command,
            line: None,
            stderr: &[],
            stdout: &[],
            memory_limited: false,
        }
    }
}

/// Returns the fault that the facts show; `None` if they match none that is known.
pub fn diagnose(facts: &ExitFacts<'_>) -> Option<Diagnosis> {
    if let Ended::NotSpawned { errno, what, searched, near } = facts.ended {
        return endings::of_spawn(facts.command, errno, what, searched, near);
    }
    endings::of_certain(facts).or_else(|| endings::of_output(facts)).or_else(|| endings::of_end(facts))
}

/// Returns the fix for a definition that cannot be used.
pub fn of_definition() -> Diagnosis {
    Diagnosis {
        id: "definition",
        cause: None,
        fix: "Mend the entry: `mcpvisor edit SERVER`, or its servers file, which is read again when it changes.".into(),
        line: None,
    }
}

/// Every id that a diagnosis can have, in the order of the reference.
pub fn ids() -> impl Iterator<Item = &'static str> {
    let mut seen = std::collections::BTreeSet::new();
    let of_patterns = patterns::PATTERNS.iter().map(|pattern| pattern.id);
    of_patterns
        .chain(endings::IDS)
        .chain(remote::IDS)
        .chain(["definition"])
        .filter(move |id| seen.insert(*id))
}
