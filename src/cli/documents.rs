//! `mcpvisor completions` and `mcpvisor man`: what shells and `man` want to know of the command line, made of its declaration.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::shells::{Bash, Fish, Zsh};

use super::Exit;

/// Shell that completes words of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash, with its package `bash-completion`.
    Bash,
    /// Z shell.
    Zsh,
    /// Fish.
    Fish,
}

/// Texts about the command line, and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// Name of each file, and its content.
    files: Vec<(String, Vec<u8>)>,
    /// Directory to write them to. `None` for stdout.
    directory: Option<PathBuf>,
}

/// Returns the script by which a shell completes this command's words, for stdout.
pub(super) fn completions(shell: Shell, command: &mut clap::Command) -> Documents {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => clap_complete::generate(Bash, command, &name, &mut script),
        Shell::Zsh => clap_complete::generate(Zsh, command, &name, &mut script),
        Shell::Fish => clap_complete::generate(Fish, command, &name, &mut script),
    }
    Documents { files: vec![(name, script)], directory: None }
}

/// Returns the man pages of these commands: for a directory a page of each subcommand as well, else those of the commands alone.
pub(super) fn man(commands: Vec<clap::Command>, directory: Option<PathBuf>) -> Documents {
    let mut files = Vec::new();
    for mut command in commands {
        if directory.is_some() {
            command = command.disable_help_subcommand(true);
            command.build();
            pages(&command, &mut files);
        } else {
            files.push(page(&command));
        }
    }
    Documents { files, directory }
}

fn pages(command: &clap::Command, files: &mut Vec<(String, Vec<u8>)>) {
    files.push(page(command));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, files);
    }
}

fn page(command: &clap::Command) -> (String, Vec<u8>) {
    let man = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    // A vector takes everything.
    let _ = man.render(&mut text);
    (man.get_filename(), text)
}

/// Writes the documents. What cannot be written is said on `err`.
pub fn run(documents: &Documents, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    match write(documents, out) {
        Ok(()) => Exit::Graceful,
        // Whoever read has had enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Graceful,
        Err(error) => {
            let _ = writeln!(err, "mcpvisor: {error}");
            Exit::Io
        }
    }
}

fn write(documents: &Documents, out: &mut dyn Write) -> io::Result<()> {
    let Some(directory) = &documents.directory else {
        return documents.files.iter().try_for_each(|(_, text)| out.write_all(text));
    };
    let at = |path: &PathBuf, error: io::Error| {
        io::Error::other(format!("'{}' cannot be written: {error}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
    for (name, text) in &documents.files {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| at(&path, error))?;
    }
    writeln!(
        out,
        "wrote {} to '{}'",
        crate::text::count_of(documents.files.len() as u64, "page"),
        directory.display()
    )
}
