//! Times as both dialects write them: RFC 3339, UTC, whole seconds (contract, section 3).

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time, UtcOffset};

thread_local! {
    /// The last second that was written on this thread, and how. Formatting costs more than
    /// the rest of an answer's envelope, and most calls end in the same second as another.
    static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// A moment as `2026-11-22T15:45:00Z`. Moments before 1970 are written as 1970.
pub(super) fn timestamp(at: SystemTime) -> String {
    format_second(unix_seconds(at))
}

/// Appends the present moment to a JSON text, without quotes.
pub(super) fn push_now(out: &mut Vec<u8>) {
    let now = unix_seconds(SystemTime::now());
    LAST.with_borrow_mut(|(second, text)| {
        if *second != now {
            *second = now;
            *text = format_second(now);
        }
        out.extend_from_slice(text.as_bytes());
    });
}

/// Reads a moment as RFC 3339 writes it, or a date: its first second, or its last one with `end_of_day`.
/// None beyond the calendar: an offset can lead there, and it could not be written any more.
pub(super) fn parse_moment(text: &str, end_of_day: bool) -> Option<SystemTime> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        let end = Date::MAX.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp() + 86_399;
        return (0..=end).contains(&moment.unix_timestamp()).then(|| moment.into());
    }
    let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    let time = if end_of_day { Time::from_hms(23, 59, 59).ok()? } else { Time::MIDNIGHT };
    Some(date.with_time(time).assume_utc().into())
}

/// Whole seconds for `Retry-After`: rounded up, at least one.
pub(super) fn retry_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Whole seconds since 1970; moments before it are 1970.
pub(super) fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn format_second(second: u64) -> String {
    let moment =
        i64::try_from(second).ok().and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
    let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).to_offset(UtcOffset::UTC);
    // Years beyond 9999 are the only ones that RFC 3339 cannot write, and `time` has none.
    moment.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_whole_seconds_in_utc() {
        let at = UNIX_EPOCH + Duration::from_millis(1_795_362_300_999);
        assert_eq!(timestamp(at), "2026-11-22T15:45:00Z");
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn now_is_written_like_any_other_moment() {
        let mut out = Vec::new();
        push_now(&mut out);
        let again = timestamp(SystemTime::now());
        assert_eq!(out.len(), again.len());
        assert!(out.ends_with(b"Z") && out.as_slice() <= again.as_bytes());
    }

    #[test]
    fn moments_and_dates_are_read() {
        let at = |text: &str, end| parse_moment(text, end).map(timestamp);
        assert_eq!(at("2026-11-22T15:45:00Z", true).as_deref(), Some("2026-11-22T15:45:00Z"));
        assert_eq!(at("2026-11-22T15:45:00+01:00", true).as_deref(), Some("2026-11-22T14:45:00Z"));
        assert_eq!(at("2026-11-22", true).as_deref(), Some("2026-11-22T23:59:59Z"));
        assert_eq!(at("2026-11-22", false).as_deref(), Some("2026-11-22T00:00:00Z"));
        for bad in [
            "",
            "x",
            "2026-13-01",
            "2026-02-30",
            "20261122",
            "2026-W01-1",
            "2026-11-22T15:45:00",
            "2026-326",
            "9999-12-31T23:59:59-00:01",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(at(bad, true), None, "{bad}");
        }
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        for (wait_ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_500, 60)] {
            assert_eq!(retry_seconds(Duration::from_millis(wait_ms)), seconds);
        }
    }
}
