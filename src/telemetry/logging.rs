//! The log: one line per event on stderr, for people or as JSON, with time, level, message and fields. Which events are logged
//! can be changed while the daemon runs.
//!
//! A logged text stays on its line: control characters, and those that reorder text, are written as escapes,
//! since much of the text comes from a child or a client.

mod lines;

use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use tracing::Subscriber;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, reload};

pub use self::lines::escape;
use self::lines::{Fields, Line};

/// Target of the lines about single calls. They are logged only if they are asked for by name.
pub const CALLS: &str = "mcpvisor::calls";

/// What changes which events are logged; empty until there is a log.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Most detailed level of the daemon's own events. Of other crates never more than warnings.
    pub level: Level,
    /// Directives by module, such as `info,mcpvisor::child=trace`, that replace `level`.
    pub directives: Option<String>,
    /// Whether each call gets a line.
    pub calls: bool,
    /// Form of a line.
    pub format: Format,
    /// `true` if the lines go to the journal, which has the time of each by itself and reads its priority from it.
    pub to_journal: bool,
}

/// Form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: time, level, message, and fields as `name=value`.
    #[default]
    Text,
    /// For programs: a JSON object.
    Json,
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
    let (subscriber, filter) = subscriber(settings, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::AlreadySet)?;
    let _ = FILTER.set(filter);
    Ok(())
}

/// Logs from now on what these settings say: their level, their directives and whether calls get lines. The form of the lines
/// stays.
///
/// # Errors
/// Directives that cannot be parsed.
pub fn change(settings: &Settings) -> Result<(), LoggingError> {
    let filter = filter(&directives(settings)).map_err(LoggingError::Directives)?;
    if let Some(known) = FILTER.get() {
        known.reload(filter).map_err(|error| LoggingError::Directives(error.to_string()))?;
    }
    Ok(())
}

/// Reports whether stderr is the stream that systemd has connected to the journal: `stream` is `JOURNAL_STREAM`, the numbers
/// of its device and of its inode (systemd.exec(5)).
pub fn leads_to_journal(stream: &str) -> bool {
    let numbers = stream
        .split_once(':')
        .and_then(|(device, inode)| Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?)));
    let own =
        std::io::stderr().as_fd().try_clone_to_owned().and_then(|own| std::fs::File::from(own).metadata());
    own.is_ok_and(|own| numbers == Some((own.dev(), own.ino())))
}

/// Checks that log directives can be parsed.
///
/// # Errors
/// The reason that they cannot, for people.
pub fn check_directives(directives: &str) -> Result<(), String> {
    filter(directives).map(drop)
}

/// Makes the subscriber that turns events into lines for a writer, and what changes its filter.
fn subscriber<W>(
    settings: &Settings,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync, reload::Handle<Targets, Registry>), LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter(&directives(settings)).map_err(LoggingError::Directives)?;
    // Which events a place in the code may log is asked once, and again after a change.
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .fmt_fields(Fields(settings.format))
        .event_format(Line { format: settings.format, to_journal: settings.to_journal })
        // The layer would report on stderr, and panic if stderr is what fails.
        .log_internal_errors(false);
    Ok((tracing_subscriber::registry().with(filter).with(lines), handle))
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
    let given = settings.directives.clone().unwrap_or_else(|| {
        let others = settings.level.min(Level::Warn);
        format!("{},mcpvisor={}", others.name(), settings.level.name())
    });
    if given.contains(CALLS) {
        return given;
    }
    format!("{given},{CALLS}={}", if settings.calls { "info" } else { "off" })
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

    /// Returns what is logged meanwhile.
    fn written(settings: &Settings, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let (subscriber, _) = subscriber(settings, move || writer.clone()).expect("good settings");
        tracing::subscriber::with_default(subscriber, log);
        let text = buffer.0.lock().unwrap().clone();
        String::from_utf8(text).expect("UTF-8")
    }

    /// Returns the lines that are logged meanwhile, without their time.
    fn logged(settings: &Settings, log: impl FnOnce()) -> Vec<String> {
        written(settings, log)
            .lines()
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
        let at = |level| logged(&Settings { level, ..Settings::default() }, log);
        assert_eq!(at(Level::Debug), ["DEBUG ours", "WARN  their warning"]);
        assert_eq!(at(Level::Info), ["WARN  their warning"]);
        assert!(at(Level::Error).is_empty());
        for text in ["hyper=info", ",hyper=info,", " hyper=info , mcpvisor=off"] {
            let directives =
                Settings { level: Level::Error, directives: Some(text.into()), ..Settings::default() };
            assert_eq!(logged(&directives, log), ["INFO  theirs", "WARN  their warning"], "{text}");
        }
        for text in ["", ",", "off"] {
            let directives = Settings { directives: Some(text.into()), ..Settings::default() };
            assert!(logged(&directives, log).is_empty(), "{text}");
        }
    }

    #[test]
    fn calls_have_lines_only_if_they_are_asked_for() {
        let log = || tracing::info!(target: CALLS, tool = "t", "call");
        let with = |directives: Option<&str>, calls| {
            let directives = directives.map(str::to_owned);
            logged(&Settings { level: Level::Trace, directives, calls, ..Settings::default() }, log)
        };
        for directives in [None, Some("trace"), Some("mcpvisor=debug"), Some("mcpvisor::calls=off")] {
            assert!(with(directives, false).is_empty(), "{directives:?}");
        }
        for (directives, calls) in [(None, true), (Some("warn"), true), (Some("mcpvisor::calls=info"), false)]
        {
            assert_eq!(with(directives, calls), ["INFO  call tool=t"], "{directives:?}");
        }
    }

    #[test]
    fn what_is_logged_can_be_changed_in_between() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let (subscriber, handle) =
            subscriber(&Settings::default(), move || writer.clone()).expect("good settings");
        tracing::subscriber::with_default(subscriber, || {
            for level in ["info", "debug", "info"] {
                handle.reload(filter(&format!("mcpvisor={level}")).expect("good")).expect("it is there");
                tracing::debug!("at {level}");
            }
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).expect("UTF-8");
        assert!(text.lines().count() == 1 && text.contains("at debug"), "{text}");
    }

    #[test]
    fn a_line_for_programs_is_one_json_object_however_evil_the_text() {
        let json = Settings { format: Format::Json, ..Settings::default() };
        let evil = "a\n\"\\\u{1b}[31m\u{202e}\u{e0041}";
        let text = written(&json, || {
            let span = tracing::info_span!("outer", server = "git", incarnation = 3);
            let _inside = span.enter();
            tracing::warn!(
                code = -7,
                ms = 1.5,
                us = 9_u128,
                good = true,
                level = "mine",
                said = evil,
                "child {evil}"
            );
            tracing::info!("plain");
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(!text.contains(|c: char| c != '\n' && crate::text::misleads(c)), "{text:?}");
        assert_eq!(lines.len(), 2, "{text}");
        let first = &lines[0];
        assert_eq!((&first["level"], &first["level_"]), (&"warn".into(), &"mine".into()), "{first}");
        assert_eq!((&first["said"], &first["message"]), (&evil.into(), &format!("child {evil}").into()));
        assert_eq!((&first["code"], &first["ms"], &first["good"]), (&(-7).into(), &1.5.into(), &true.into()));
        assert_eq!(first["us"], 9, "{first}");
        assert_eq!((&first["server"], &first["incarnation"]), (&"git".into(), &3.into()));
        assert!(first["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{first}");
        assert_eq!(lines[1]["message"], "plain");
    }

    #[test]
    fn the_journal_gets_priorities_and_no_second_time() {
        let journal = Settings { to_journal: true, level: Level::Debug, ..Settings::default() };
        let log = || {
            tracing::error!(target: "mcpvisor", "e");
            tracing::warn!(target: "mcpvisor", "w");
            tracing::info!(target: "mcpvisor", code = 1, "i");
            tracing::debug!(target: "mcpvisor", "d");
        };
        assert_eq!(written(&journal, log), "<3>ERROR e\n<4>WARN  w\n<6>INFO  i code=1\n<7>DEBUG d\n");
        let json = written(&Settings { format: Format::Json, ..journal }, log);
        assert!(json.starts_with("<3>{") && json.contains("\n<6>{"), "{json}");
    }

    #[test]
    fn only_the_stream_that_systemd_names_is_the_journal() {
        let own = std::fs::File::from(io::stderr().as_fd().try_clone_to_owned().expect("a stderr"));
        let own = own.metadata().expect("it is known");
        assert!(leads_to_journal(&format!("{}:{}", own.dev(), own.ino())));
        for other in [format!("{}:{}", own.dev(), own.ino() + 1), String::new(), "8:x".into(), "1".into()] {
            assert!(!leads_to_journal(&other), "{other}");
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
