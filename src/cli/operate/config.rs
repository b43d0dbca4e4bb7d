//! `mcpvisor config`: JSON Schemas for editors, and the settings that are in force. Asks no daemon.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::screen::{Format, Screen, Style};
use super::table::{Cell, Fit, Table};
use super::words::plain;
use crate::cli::Exit;
use crate::config::{self, Environment, Flags};

/// A file that has a schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The configuration file, TOML.
    #[default]
    Config,
    /// Servers files, JSON.
    Servers,
}

/// What to tell of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigAction {
    /// The JSON Schema of a file.
    Schema(SchemaOf),
    /// The settings that are in force with these flags, in this form.
    Show(Flags, Format),
}

/// Tells it on stdout; problems of the configuration go to stderr.
pub fn run(action: &ConfigAction, env: &dyn Environment) -> Exit {
    let text = match action {
        ConfigAction::Schema(of) => {
            let schema = match of {
                SchemaOf::Config => config::config_schema(),
                SchemaOf::Servers => config::servers_schema(),
            };
            format!("{schema:#}\n")
        }
        ConfigAction::Show(flags, format) => match config::effective(flags, env) {
            Ok(settings) => {
                let document = json!(settings);
                Screen::of_stdout(*format).text(&document, |style| table(&document, style))
            }
            Err(problems) => {
                let _ = io::stderr().write_all(config::list_problems(&problems).as_bytes());
                return Exit::Config;
            }
        },
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Io,
        _ => Exit::Graceful,
    }
}

fn table(settings: &Value, style: &Style) -> String {
    let mut table = Table::new(&[("SETTING", Fit::Whole), ("VALUE", Fit::Cut(12)), ("ORIGIN", Fit::Cut(12))]);
    for setting in settings.as_array().into_iter().flatten() {
        let cell = |member: &str| Cell::from(plain(&setting[member]));
        table.row([cell("setting"), cell("value"), cell("origin")]);
    }
    table.text(style)
}
