//! Values in words: ages, lengths, numbers of things, states. Pure.

use std::time::Duration;

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::screen::Colour;
use crate::text;
pub(super) use crate::text::shell_word;

/// Reads a moment as the API writes it; `None` for anything else.
pub(super) fn moment(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

/// Returns how long ago a moment of the API was, such as `3m12s`; `-` without one.
pub(super) fn age(value: &Value, now: OffsetDateTime) -> String {
    moment(value).map_or_else(|| "-".to_owned(), |at| length((now - at).whole_seconds()))
}

/// Returns a moment of the API and how long ago it was: `2026-11-30T08:00:00Z (3m12s ago)`.
pub(super) fn since(value: &Value, now: OffsetDateTime) -> String {
    let text = value.as_str().unwrap_or("-");
    match moment(value) {
        Some(at) if at > now => format!("{text} (in {})", length((at - now).whole_seconds())),
        Some(at) => format!("{text} ({} ago)", length((now - at).whole_seconds())),
        None => text.to_owned(),
    }
}

/// Returns a number of seconds by its two largest units: `45s`, `3m12s`, `2h5m`, `3d4h`.
pub(super) fn length(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |large: i64, unit: char, small: i64, smaller: char| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{smaller}"),
    };
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => two(minutes, 'm', seconds % 60, 's'),
        3600..86400 => two(hours, 'h', minutes % 60, 'm'),
        _ => two(days, 'd', hours % 24, 'h'),
    }
}

/// Reads a length of time: `500ms`, `30s`, `5m`, `2h`, `7d`, or a number of seconds.
///
/// # Errors
/// A text that says what would be right.
pub(super) fn read_length(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 6] =
        [("ms", 1), ("", 1_000), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    text::read_length(text, &UNITS)
        .ok_or_else(|| format!("{text:?} is no length of time: write 30s, 5m, 2h or 7d"))
}

/// Reads the age or the moment that a flag gives, to the second, as the API has moments.
///
/// # Errors
/// A text that says what would be right.
pub(super) fn read_moment(flag: &str, text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(at);
    }
    let wrong =
        || format!("{flag} {text:?} must be an age such as 10m, or a moment such as 2026-11-30T08:00:00Z");
    let age = read_length(text).map_err(|_| wrong())?;
    let since = now.checked_sub(time::Duration::try_from(age).map_err(|_| wrong())?).ok_or_else(wrong)?;
    Ok(since.replace_nanosecond(0).unwrap_or(since))
}

/// Returns the parameters of a query for the ends of a span, each an age, a moment or a day.
///
/// # Errors
/// A text that says what would be right.
pub(super) fn read_span(
    (since, until): (Option<&str>, Option<&str>),
    now: OffsetDateTime,
) -> Result<Vec<(&'static str, String)>, String> {
    let mut pairs = Vec::new();
    for (flag, name, given) in [("--since", "since", since), ("--until", "until", until)] {
        let Some(given) = given else { continue };
        // The API knows where a day ends.
        let is_day = Date::parse(given, format_description!("[year]-[month]-[day]")).is_ok();
        let moment = match is_day {
            true => given.to_owned(),
            false => read_moment(flag, given, now)?.format(&Rfc3339).map_err(|error| error.to_string())?,
        };
        pairs.push((name, moment));
    }
    Ok(pairs)
}

/// Returns a number of bytes: `812 B`, `12.3 KiB`, `45.0 MiB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let (mut value, mut unit) = (number as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Returns the colour of a server's state.
pub(super) fn colour_of(state: &str) -> Option<Colour> {
    match state {
        "ready" => Some(Colour::Green),
        "starting" | "stopping" | "degraded" => Some(Colour::Yellow),
        "backoff" | "failed" | "unauthorized" | "exited" => Some(Colour::Red),
        "disabled" | "stopped" | "idle" => Some(Colour::Dim),
        _ => None,
    }
}

/// Returns a scalar as text; nothing for `null` and for what has members.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// Returns the first line of a text that says something.
pub(super) fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lengths_have_their_two_largest_units() {
        for (seconds, text) in [
            (-3, "0s"),
            (59, "59s"),
            (60, "1m"),
            (192, "3m12s"),
            (7500, "2h5m"),
            (86400, "1d"),
            (273_600, "3d4h"),
        ] {
            assert_eq!(length(seconds), text);
        }
    }

    #[test]
    fn lengths_are_read_with_their_unit() {
        for (text, ms) in [("7", 7000), ("500ms", 500), ("2m", 120_000), ("1d", 86_400_000)] {
            assert_eq!(read_length(text), Ok(Duration::from_millis(ms)));
        }
        for text in ["", "m", "-1s", "1.5h", "3w", "99999999999999999999", "9999999999999999999d"] {
            assert!(read_length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ends_of_a_span_are_ages_moments_and_days() {
        let now = OffsetDateTime::from_unix_timestamp(1_796_025_600).expect("a moment");
        let span = |since, until| read_span((Some(since), until), now);
        assert_eq!(span("1m", None), Ok(vec![("since", "2026-11-30T07:59:00Z".to_owned())]));
        assert_eq!(
            span("2026-11-29", Some("2026-11-30T09:00:00+01:00")),
            Ok(vec![("since", "2026-11-29".to_owned()), ("until", "2026-11-30T09:00:00+01:00".to_owned())])
        );
        assert!(span("yesterday", None).is_err_and(|told| told.contains("--since \"yesterday\" must be")));
    }

    #[test]
    fn a_name_in_a_command_is_one_word() {
        for (name, word) in [("git", "git"), ("a b", "'a b'"), ("$(x);'y", "'$(x);'\\''y'"), ("", "''")] {
            assert_eq!(shell_word(name), word);
        }
    }

    #[test]
    fn moments_are_told_with_their_distance() {
        let now = OffsetDateTime::from_unix_timestamp(1_796_025_600).expect("a moment");
        assert_eq!(since(&json!("2026-11-30T07:59:55Z"), now), "2026-11-30T07:59:55Z (5s ago)");
        assert_eq!(since(&json!("2026-11-30T08:01:00Z"), now), "2026-11-30T08:01:00Z (in 1m)");
        assert_eq!((since(&Value::Null, now), age(&Value::Null, now)), ("-".to_owned(), "-".to_owned()));
        assert_eq!(
            (bytes(812), bytes(12_595), bytes(1 << 30)),
            ("812 B".into(), "12.3 KiB".into(), "1.0 GiB".into())
        );
    }
}
