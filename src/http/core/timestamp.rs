//! Times as both dialects write them: RFC 3339, UTC, whole seconds (`docs/http-api.md`, G2.4).

use std::time::{Duration, SystemTime};

use crate::clock;
use crate::unix_time;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time, UtcOffset};

/// Formats a time as `2026-11-22T15:45:00Z`. Times before 1970 are written as 1970.
pub(in crate::http) fn timestamp(at: SystemTime) -> String {
    format_second(unix_time::seconds(at))
}

/// Length of a time as it is written here, in bytes.
pub(in crate::http) const SECOND_LENGTH: usize = "2026-11-22T15:45:00Z".len();

/// Appends the current time to a JSON text, without quotes.
pub(in crate::http) fn push_now(out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = moment(unix_time::seconds(clock::wall_clock())).format_into(out, &Rfc3339);
}

/// The last second that can be written: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// Reads a time in RFC 3339 format, or a date: its first second, or its last one with `end_of_day`. Times before
/// 1970 become 1970. `None` if the text is neither, or if the time is after 9999 in UTC, which an offset can
/// cause, because it could not be written again.
pub(in crate::http) fn parse_moment(text: &str, end_of_day: bool) -> Option<SystemTime> {
    let moment = match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(moment) => moment,
        Err(_) => {
            // The year has exactly four digits: with a sign the date would be of another calendar.
            let plain = text.len() == "2026-11-28".len() && text.starts_with(|c: char| c.is_ascii_digit());
            let date =
                Date::parse(text, format_description!("[year]-[month]-[day]")).ok().filter(|_| plain)?;
            let time = if end_of_day { Time::from_hms(23, 59, 59).ok()? } else { Time::MIDNIGHT };
            date.with_time(time).assume_utc()
        }
    };
    let seconds = u64::try_from(moment.unix_timestamp()).unwrap_or(0);
    (seconds <= LAST_SECOND).then(|| unix_time::from_seconds(seconds))
}

/// Returns whole seconds for `Retry-After`: rounded up, at least one.
pub(in crate::http) fn retry_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Formats a second since 1970. Seconds that cannot be written become the last one that can.
pub(in crate::http) fn format_second(second: u64) -> String {
    moment(second).format(&Rfc3339).unwrap_or_default()
}

/// Formats a millisecond since 1970 as `2026-11-22T15:45:00.123Z`.
pub(in crate::http) fn format_milli(milli: u64) -> String {
    let mut text = format_second(milli / 1000);
    text.truncate(SECOND_LENGTH - 1);
    text + &format!(".{:03}Z", milli % 1000)
}

fn moment(second: u64) -> OffsetDateTime {
    let moment = i64::try_from(second.min(LAST_SECOND))
        .ok()
        .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
    moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).to_offset(UtcOffset::UTC)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn moments_are_whole_seconds_in_utc() {
        let at = UNIX_EPOCH + Duration::from_millis(1_795_362_300_999);
        assert_eq!(timestamp(at), "2026-11-22T15:45:00Z");
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn moments_of_calls_have_milliseconds() {
        assert_eq!(format_milli(1_795_362_300_009), "2026-11-22T15:45:00.009Z");
    }

    #[test]
    fn now_is_written_like_any_other_moment() {
        let mut out = Vec::new();
        push_now(&mut out);
        let again = timestamp(clock::wall_clock());
        assert_eq!((out.len(), again.len()), (SECOND_LENGTH, SECOND_LENGTH));
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
        ] {
            assert_eq!(at(bad, true), None, "{bad}");
        }
    }

    #[test]
    fn at_the_calendars_edges_a_moment_is_read_as_it_is_written_or_refused() {
        let at = |text: &str| parse_moment(text, true).map(timestamp);
        for (text, read) in [
            ("9999-12-31", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59+14:00", "9999-12-31T09:59:59Z"),
            ("2026-12-31T23:59:60Z", "2026-12-31T23:59:59Z"),
            ("2038-01-19T03:14:08Z", "2038-01-19T03:14:08Z"),
            ("2106-02-07T06:28:16Z", "2106-02-07T06:28:16Z"),
            ("2024-02-29", "2024-02-29T23:59:59Z"),
            ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z"),
            ("0001-01-01", "1970-01-01T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("0000-01-01T00:00:00+23:59", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(read), "{text}");
        }
        for text in [
            "9999-12-31T23:59:59-00:01",
            "10000-01-01",
            "+10000-01-01",
            "+9999-12-31",
            "-0001-01-01",
            "-001-01-01",
            "10000-01-01T00:00:00Z",
            "2026-02-29",
            "2025-02-29T00:00:00Z",
            "2026-06-15T12:00:60Z",
            "2026-12-31T24:00:00Z",
            "2026-12-31T23:59:61Z",
            "2026-11-28T00:00:00+24:00",
            "99999999999999999999",
            "18446744073709551615",
            "-1",
            "NaN",
            "infinity",
            "2026-11-28T00:00:00",
            "２０２６-11-28",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
        for second in [LAST_SECOND + 1, u64::from(u32::MAX) * 1_000, i64::MAX as u64, u64::MAX] {
            assert_eq!(format_second(second), "9999-12-31T23:59:59Z", "{second}");
        }
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        for (wait_ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_500, 60)] {
            assert_eq!(retry_seconds(Duration::from_millis(wait_ms)), seconds);
        }
    }
}
