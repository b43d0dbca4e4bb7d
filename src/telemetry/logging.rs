//! The log: one line per event on stderr, for people, with time, level, message and fields.
//!
//! A logged text stays on its line: control characters, and those that reorder text, are written as escapes,
//! since much of the text comes from a child or a client.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::text::misleads;

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Most detailed level of the daemon's own events. Of other crates never more than warnings.
    pub level: Level,
    /// Directives by module, such as `info,mcpvisor::child=trace`, that replace `level`.
    pub directives: Option<String>,
}

/// Detail of the log; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Events that need a person's attention.
    Error,
    /// Events that may need attention.
    Warn,
    /// Normal events: starts, stops, changes.
    #[default]
    Info,
    /// Single calls and decisions.
    Debug,
    /// All events, down to the finest detail.
    Trace,
}

impl Level {
    /// All levels, from the least to the most detailed.
    pub const ALL: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// Returns the level's name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// Reason that the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The directives cannot be parsed, for this reason.
    #[error("log directives: {0}")]
    Directives(String),
    /// Another part of this process has set up a log before.
    #[error("a log is set up already")]
    AlreadySet,
}

/// Sends the events of this process to stderr from now on. Works once in the life of a process.
///
/// # Errors
/// Directives that cannot be parsed, or a second call.
pub fn init(settings: &Settings) -> Result<(), LoggingError> {
    let subscriber = subscriber(settings, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::AlreadySet)
}

/// Checks that log directives can be parsed.
///
/// # Errors
/// The reason that they cannot, for people.
pub fn check_directives(directives: &str) -> Result<(), String> {
    filter(directives).map(drop)
}

/// Makes the subscriber that turns events into lines for a writer.
fn subscriber<W>(settings: &Settings, writer: W) -> Result<impl Subscriber + Send + Sync, LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter(&directives(settings)).map_err(LoggingError::Directives)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .fmt_fields(Fields)
        .event_format(Line)
        // The layer would report on stderr, and panic if stderr is what fails.
        .log_internal_errors(false);
    Ok(tracing_subscriber::registry().with(filter).with(lines))
}

/// Reads directives: levels, modules and `module=level`, separated by commas; blanks around them and nothing between two
/// commas are ignored. `Err` is the reason against them.
fn filter(directives: &str) -> Result<Targets, String> {
    let parts: Vec<&str> = directives.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &parts {
        let (module, level) = part.split_once('=').unwrap_or((part, "trace"));
        let is_module = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
        if module.is_empty() || !module.chars().all(is_module) {
            return Err(format!("'{part}' names no module, as mcpvisor::child=debug does"));
        }
        if level.is_empty() {
            return Err(format!("'{part}' names no level: off, error, warn, info, debug or trace"));
        }
    }
    if parts.is_empty() {
        return Ok(Targets::new());
    }
    parts.join(",").parse().map_err(|error: ParseError| error.to_string())
}

fn directives(settings: &Settings) -> String {
    settings.directives.clone().unwrap_or_else(|| {
        let others = settings.level.min(Level::Warn);
        format!("{},mcpvisor={}", others.name(), settings.level.name())
    })
}

/// RFC 3339 in UTC, down to the millisecond.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Format of one event as a line: time, level, message, the event's fields, and those of the spans around it
/// from the innermost out.
struct Line;

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
        let now = OffsetDateTime::from(clock::wall_clock()).format(TIME).map_err(|_| fmt::Error)?;
        write!(writer, "{now} {:<5} ", event.metadata().level())?;
        let mut visitor = Visitor::default();
        event.record(&mut visitor);
        writer.write_str(visitor.message.trim_end())?;
        writer.write_str(&visitor.fields)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                writer.write_str(fields.as_str())?;
            }
        }
        writer.write_char('\n')
    }
}

/// Format of fields as ` name=value`, each with its leading blank.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor::default();
        fields.record(&mut visitor);
        if !visitor.message.is_empty() {
            write!(writer, " {}", visitor.message)?;
        }
        writer.write_str(&visitor.fields)
    }
}

#[derive(Default)]
struct Visitor {
    message: String,
    fields: String,
}

impl Visitor {
    fn note(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            escape(value, &mut self.message);
            return;
        }
        self.fields.push(' ');
        self.fields.push_str(field.name());
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
}

impl Visit for Visitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the lines that are logged meanwhile, without their time.
    fn logged(settings: &Settings, log: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = subscriber(settings, move || writer.clone()).expect("good settings");
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).expect("UTF-8");
        text.lines()
            .map(|line| {
                let (time, rest) = line.split_once(' ').expect("a time");
                assert_eq!(time.len(), "2026-11-22T15:22:16.123Z".len(), "{line}");
                rest.to_owned()
            })
            .collect()
    }

    #[test]
    fn a_line_has_level_message_fields_and_the_spans_around_it() {
        let lines = logged(&Settings::default(), || {
            let outer = tracing::info_span!("outer", server = "git");
            let _outer = outer.enter();
            let inner = tracing::info_span!("inner", incarnation = 3);
            let _inner = inner.enter();
            tracing::warn!(code = 7, reason = "two words", "child exited");
        });
        assert_eq!(lines, ["WARN  child exited code=7 reason=\"two words\" incarnation=3 server=git"]);
    }

    #[test]
    fn nothing_logged_leaves_its_line_or_steers_a_terminal() {
        let evil = "a\n2026-11-22T15:22:16.123Z ERROR fake\u{1b}[31m\r\u{9b}\u{202e}\u{2028}";
        let lines = logged(&Settings::default(), || {
            tracing::info!(text = evil, shown = %evil, debugged = ?evil, "said {evil}");
            let span = tracing::info_span!("span", inside = evil);
            let _span = span.enter();
            tracing::info!("in a span");
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        for line in &lines {
            assert!(
                !line.contains(|c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}')),
                "{line}"
            );
        }
        assert!(lines[0].starts_with("INFO  said a\\n2026-"), "{}", lines[0]);
        assert!(lines[1].contains("inside=\"a\\n"), "{}", lines[1]);
    }

    #[test]
    fn quotes_inside_a_value_cannot_start_another_field() {
        let lines = logged(&Settings::default(), || tracing::info!(name = "x\" level=\"y", empty = "", "m"));
        assert_eq!(lines, [r#"INFO  m name="x\" level=\"y" empty="""#]);
    }

    #[test]
    fn the_level_holds_for_the_daemon_and_others_only_warn() {
        let log = || {
            tracing::debug!(target: "mcpvisor::child", "ours");
            tracing::info!(target: "hyper", "theirs");
            tracing::warn!(target: "hyper", "their warning");
        };
        let at = |level| logged(&Settings { level, directives: None }, log);
        assert_eq!(at(Level::Debug), ["DEBUG ours", "WARN  their warning"]);
        assert_eq!(at(Level::Info), ["WARN  their warning"]);
        assert!(at(Level::Error).is_empty());
        for text in ["hyper=info", ",hyper=info,", " hyper=info , mcpvisor=off"] {
            let directives = Settings { level: Level::Error, directives: Some(text.into()) };
            assert_eq!(logged(&directives, log), ["INFO  theirs", "WARN  their warning"], "{text}");
        }
        for text in ["", ",", "off"] {
            let directives = Settings { level: Level::Info, directives: Some(text.into()) };
            assert!(logged(&directives, log).is_empty(), "{text}");
        }
    }

    #[test]
    fn bad_directives_are_refused() {
        assert!(check_directives("info,mcpvisor::child=trace").is_ok());
        for bad in ["mcpvisor=loud", "[x]=debug", "mcpvisor[call]=debug", "mcpvisor=", "*=info", "=info"] {
            assert!(check_directives(bad).is_err(), "{bad}");
        }
        let settings = Settings { directives: Some("a=b=c".into()), ..Settings::default() };
        assert!(matches!(subscriber(&settings, io::stderr), Err(LoggingError::Directives(_))));
    }

    /// Runs itself again in a process whose stderr has no reader.
    #[test]
    fn a_broken_stderr_breaks_nothing_else() {
        const INNER: &str = "MCPVISOR_TEST_BROKEN_STDERR";
        const NAME: &str = "telemetry::logging::tests::a_broken_stderr_breaks_nothing_else";
        if std::env::var_os(INNER).is_some() {
            init(&Settings::default()).expect("the first log of this process");
            // Waits until the other end of the pipe is closed.
            io::copy(&mut io::stdin(), &mut io::sink()).expect("stdin ends");
            assert!(io::Write::write(&mut io::stderr(), b"x").is_err(), "stderr is broken");
            tracing::error!("nobody reads this");
            return;
        }
        let mut inner = std::process::Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", NAME, "--nocapture"])
            .env(INNER, "1")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it runs");
        drop(inner.stderr.take());
        drop(inner.stdin.take());
        assert!(inner.wait().expect("it ends").success());
    }
}
