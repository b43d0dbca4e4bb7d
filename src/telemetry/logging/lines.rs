//! The form of a line: for people or for programs, with a priority for the journal. Pure, but for the time.

use std::fmt::{self, Write as _};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::Format;
use crate::clock;
use crate::text::misleads;

/// RFC 3339 in UTC, down to the millisecond.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Members that each line for programs has. A field of one of these names gets another.
const OWN_MEMBERS: [&str; 4] = ["time", "level", "target", "message"];

/// Format of one event as a line: time, level, message, the event's fields, and those of the spans around it
/// from the innermost out.
pub(super) struct Line {
    pub(super) format: Format,
    pub(super) to_journal: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level();
        if self.to_journal {
            write!(writer, "<{}>", priority(*level))?;
        }
        let now = || OffsetDateTime::from(clock::wall_clock()).format(TIME).map_err(|_| fmt::Error);
        let mut visitor = Visitor { format: self.format, ..Visitor::default() };
        event.record(&mut visitor);
        match self.format {
            Format::Text => {
                if !self.to_journal {
                    write!(writer, "{} ", now()?)?;
                }
                write!(writer, "{level:<5} {}{}", visitor.message.trim_end(), visitor.fields)?;
            }
            Format::Json => {
                let (target, level) = (event.metadata().target(), level.as_str().to_ascii_lowercase());
                write!(writer, r#"{{"time":"{}","level":"{level}","target":"{target}""#, now()?)?;
                write!(writer, r#","message":{}{}"#, quoted(&visitor.message), visitor.fields)?;
            }
        }
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                writer.write_str(fields.as_str())?;
            }
        }
        writer.write_str(if self.format == Format::Json { "}\n" } else { "\n" })
    }
}

/// Returns the priority of syslog, as the journal reads it at the head of a line (sd-daemon(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Format of the fields of a span as they are to stand in a line: ` name=value`, or `,"name":value`.
pub(super) struct Fields(pub(super) Format);

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { format: self.0, ..Visitor::default() };
        fields.record(&mut visitor);
        if !visitor.message.is_empty() && self.0 == Format::Text {
            write!(writer, " {}", visitor.message)?;
        }
        writer.write_str(&visitor.fields)
    }
}

#[derive(Default)]
struct Visitor {
    format: Format,
    /// The message: as it is for programs, harmless already for people.
    message: String,
    fields: String,
}

impl Visitor {
    fn note(&mut self, field: &Field, value: &str) {
        match (self.format, field.name()) {
            (Format::Text, "message") => escape(value, &mut self.message),
            (Format::Json, "message") => self.message.push_str(value),
            (Format::Text, name) => self.note_text(name, value),
            (Format::Json, name) => self.note_member(name, &quoted(value)),
        }
    }

    fn note_text(&mut self, name: &str, value: &str) {
        self.fields.push(' ');
        self.fields.push_str(name);
        self.fields.push('=');
        let plain =
            !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '='));
        if plain {
            escape(value, &mut self.fields);
        } else {
            self.fields.push('"');
            escape(&value.replace('\\', "\\\\").replace('"', "\\\""), &mut self.fields);
            self.fields.push('"');
        }
    }

    fn note_member(&mut self, name: &str, json: &str) {
        let mark = if OWN_MEMBERS.contains(&name) { "_" } else { "" };
        let _ = write!(self.fields, r#","{name}{mark}":{json}"#);
    }

    /// Notes a value that is written alike in text and in JSON.
    fn note_plain(&mut self, field: &Field, value: &str) {
        match self.format {
            Format::Text => self.note(field, value),
            Format::Json => self.note_member(field.name(), value),
        }
    }
}

impl Visit for Visitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note_plain(field, &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note_plain(field, &value.to_string());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.note_plain(field, &value.to_string());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.note_plain(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note_plain(field, if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.note_plain(field, &format!("{value:?}")),
            // JSON has no such numbers.
            false => self.note(field, &format!("{value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, &format!("{value:?}"));
    }
}

/// Appends a text, with every character that could leave the line or steer a terminal written as an escape.
pub fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        if misleads(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// Returns a text as a string of JSON, with every such character as an escape, too.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if misleads(c) || c.is_control() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
