//! The output of a command: in which form it is written, and what stands between foreign text and a terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::{json, yaml};
use crate::cli::client::Problem;
use crate::text::visible;

/// Form of an output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// What the API said, as one document of JSON.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Colour of a text on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// All is well.
    Green,
    /// Something is about to change.
    Yellow,
    /// Something is wrong.
    Red,
    /// Beside the point.
    Dim,
    /// To the point.
    Bold,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Red => "31",
            Colour::Dim => "2",
            Colour::Bold => "1",
        }
    }
}

/// Way in which text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Number of columns of the terminal. `None` if the output goes elsewhere: then nothing is cut.
    pub(super) width: Option<usize>,
    /// `true` if words may have colours.
    pub(super) colours: bool,
}

impl Style {
    /// Style of an output that is no terminal.
    #[cfg(test)]
    pub(super) const PLAIN: Style = Style { width: None, colours: false };

    /// Returns a text of ours in a colour, if there are any.
    pub(super) fn paint(&self, colour: Colour, text: &str) -> String {
        match self.colours {
            true => format!("\u{1b}[{}m{text}\u{1b}[0m", colour.code()),
            false => text.to_owned(),
        }
    }

    /// Returns a text of several lines that a server or a client said: as it is where a program reads it, and unable to steer
    /// where a terminal does.
    pub(super) fn foreign<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.width {
            Some(_) => visible(text, true),
            None => Cow::Borrowed(text),
        }
    }
}

/// Returns the number of columns that a text takes on a terminal.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The output of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Form of the output.
    pub(super) format: Format,
    /// Way in which text is written.
    pub(super) style: Style,
    /// Number of lines of the terminal.
    height: usize,
}

/// Columns and lines of a terminal that does not say how many it has.
const USUAL_SIZE: (u16, u16) = (80, 24);

impl Screen {
    /// Returns the output of this process. Colours are for terminals, and not where `NO_COLOR` is set
    /// (<https://no-color.org>) or `TERM` is `dumb`.
    pub(super) fn of_stdout(format: Format) -> Screen {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let is_plain = is_set("NO_COLOR").is_some() || is_set("TERM").is_some_and(|term| term == "dumb");
        let size = terminal_size::terminal_size_of(io::stdout());
        let (width, height) = size.map_or(USUAL_SIZE, |(width, height)| (width.0, height.0));
        let width = is_terminal.then_some(usize::from(width));
        let style = Style { width, colours: is_terminal && !is_plain };
        Screen { format, style, height: usize::from(height) }
    }

    /// Returns the number of lines of the terminal.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// Reports whether people read it.
    pub(super) fn is_terminal(&self) -> bool {
        self.style.width.is_some()
    }

    /// Returns a document in the form that was asked for; `table` makes the text for people.
    pub(super) fn text(&self, document: &Value, table: impl FnOnce(&Style) -> String) -> String {
        match self.format {
            Format::Table => table(&self.style),
            Format::Json => json::indented(&document.to_string()),
            Format::Yaml => yaml::text(document),
        }
    }

    /// Writes a document in the form that was asked for.
    pub(super) fn show(&self, document: &Value, table: impl FnOnce(&Style) -> String) -> Result<(), Problem> {
        self.write(&self.text(document, table))
    }

    /// Writes an item as it comes; as JSON, and as YAML, which that is, each on a line of its own.
    pub(super) fn show_item(&self, json: &str, text: impl FnOnce(&Style) -> String) -> Result<(), Problem> {
        match self.format {
            Format::Table => self.write(&text(&self.style)),
            Format::Json | Format::Yaml => self.write(&format!("{}\n", json::safe(json))),
        }
    }

    /// Writes a text as it is.
    pub(super) fn write(&self, text: &str) -> Result<(), Problem> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Writes a remark beside the output.
    pub(super) fn remark(&self, text: &str) {
        // What cannot be said does not keep the command from its work.
        let _ = writeln!(io::stderr(), "{}", visible(text, true));
    }

    /// Writes the next picture of something that is watched: in place of the one before on a terminal, as far as it has
    /// lines; else behind it.
    pub(super) fn picture(&self, text: &str) -> Result<(), Problem> {
        match self.is_terminal() {
            true => self.write(&format!("\u{1b}[H\u{1b}[2J{}", top(text, self.height))),
            false => self.write(text),
        }
    }
}

/// Returns the first lines of a text, and how many more there are; the last line of a terminal is for its cursor.
pub(super) fn top(text: &str, height: usize) -> String {
    let (all, most) = (text.lines().count(), height.saturating_sub(1).max(2));
    if all <= most {
        return text.to_owned();
    }
    let shown: Vec<&str> = text.lines().take(most - 1).collect();
    format!("{}\n… {} more lines\n", shown.join("\n"), all - shown.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_no_higher_than_its_terminal() {
        assert_eq!(top("a\nb\nc\n", 4), "a\nb\nc\n");
        assert_eq!(top("a\nb\nc\nd\n", 4), "a\nb\n… 2 more lines\n");
    }

    #[test]
    fn foreign_text_is_as_it_is_for_programs_and_harmless_on_a_terminal() {
        let terminal = Style { width: Some(80), colours: true };
        assert_eq!(Style::PLAIN.foreign("\u{1b}[2J\n"), "\u{1b}[2J\n");
        assert_eq!(terminal.foreign("\u{1b}[2J\n"), "\\u{1b}[2J\n");
        assert_eq!(terminal.paint(Colour::Red, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Style::PLAIN.paint(Colour::Red, "x"), "x");
    }
}
