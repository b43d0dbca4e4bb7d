//! `docs/cli-reference.md` is what the declaration of the command line says.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use super::{McpServer, Mcpvisor};

const FILE: &str = "docs/cli-reference.md";
const HEAD: &str = "# Every command and flag\n\n\
    Made of the flags' declarations by a test (`UPDATE_CLI_REFERENCE=1 cargo test --lib the_reference_of_the_command_line`). How they are used, with \
    their output: [cli.md](cli.md). `mcpvisor help COMMAND` says the same, and so do the man pages (`mcpvisor man | man -l -`).\n";

/// Appends a command and those below it.
fn describe(command: &Command, path: &str, out: &mut String) {
    let path = format!("{path}{}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let _ = write!(out, "\n## {path}\n\n{about}\n\n```text\n{}\n```\n", usage.trim());
    let shown: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    if !shown.is_empty() {
        out.push_str("\n| argument | variable | meaning |\n|---|---|---|\n");
    }
    for arg in shown {
        let _ = writeln!(out, "| {} | {} | {} |", spelling(arg), variable(arg), meaning(arg));
    }
    if let Some(after) = command.get_after_help() {
        let _ = write!(out, "\n{}\n", escaped(&after.to_string()));
    }
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        describe(below, &format!("{path} "), out);
    }
}

fn spelling(arg: &Arg) -> String {
    let names: Vec<String> =
        [arg.get_short().map(|s| format!("-{s}")), arg.get_long().map(|l| format!("--{l}"))]
            .into_iter()
            .flatten()
            .collect();
    let value = if arg.get_action().takes_values() {
        arg.get_value_names()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    } else {
        String::new()
    };
    let repeated = if matches!(arg.get_action(), ArgAction::Append) { " …" } else { "" };
    format!("`{}`{repeated}", [names.join(", "), value].join(" ").trim().replace('|', "\\|"))
}

fn variable(arg: &Arg) -> String {
    arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default()
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if arg.get_action().takes_values() && !values.is_empty() {
        let _ = write!(text, " ({})", values.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(text, "; `{}` otherwise", defaults.join(" "));
    }
    escaped(&text)
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[test]
fn the_reference_of_the_command_line_is_what_its_declaration_says() {
    let mut text = HEAD.to_owned();
    for mut command in [Mcpvisor::command(), McpServer::command()] {
        command = command.disable_help_subcommand(true).disable_help_flag(true).disable_version_flag(true);
        command.build();
        describe(&command, "", &mut text);
    }
    if std::env::var_os("UPDATE_CLI_REFERENCE").is_some() {
        std::fs::write(FILE, &text).expect("written");
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    let first = kept.lines().zip(text.lines()).find(|(kept, made)| kept != made);
    assert!(
        kept == text,
        "{FILE} is not what the flags say; make it anew with UPDATE_CLI_REFERENCE=1. First difference: {first:?}"
    );
}

#[test]
fn every_shell_gets_a_script_that_names_the_commands() {
    use super::documents::{Shell, completions};
    for (shell, sign) in [
        (Shell::Bash, "complete -F"),
        (Shell::Zsh, "#compdef mcpvisor"),
        (Shell::Fish, "complete -c mcpvisor"),
    ] {
        let mut script = Vec::new();
        let exit = crate::cli::documents::run(
            &completions(shell, &mut Mcpvisor::command()),
            &mut script,
            &mut Vec::new(),
        );
        let script = String::from_utf8(script).expect("UTF-8");
        assert_eq!(exit, crate::cli::Exit::Graceful);
        assert!(
            script.contains(sign) && script.contains("restart") && script.contains("rotate"),
            "{shell:?}"
        );
    }
}

#[test]
fn man_pages_are_written_for_every_command_that_help_shows() {
    use super::documents::man;
    let dir = tempfile::tempdir().expect("a directory");
    let target = dir.path().join("man1");
    let documents = man(vec![Mcpvisor::command(), McpServer::command()], Some(target.clone()));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(crate::cli::documents::run(&documents, &mut out, &mut err), crate::cli::Exit::Graceful);
    for page in ["mcpvisor.1", "mcp-server.1", "mcpvisor-call.1", "mcpvisor-keys-create.1"] {
        let text = std::fs::read_to_string(target.join(page)).expect(page);
        assert!(text.starts_with(".ie") && text.contains(".TH"), "{page}");
    }
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "").expect("written");
    let documents = man(vec![Mcpvisor::command()], Some(blocked.join("man1")));
    assert_eq!(crate::cli::documents::run(&documents, &mut out, &mut err), crate::cli::Exit::Io);
    assert!(String::from_utf8(err).expect("UTF-8").contains("cannot be written"));
}
