//! Numbers of hours and days since 1970, and of the first days of weeks and months, in UTC. Pure.

use time::{Date, Month, OffsetDateTime, UtcOffset};

/// Returns the number of the minute since 1970.
pub(crate) fn minute_of(unix_seconds: u64) -> u32 {
    u32::try_from(unix_seconds / 60).unwrap_or(u32::MAX)
}

/// Returns the number of the hour since 1970 that a minute belongs to.
pub(super) fn hour_of_minute(minute: u32) -> u32 {
    minute / 60
}

/// Returns the number of the hour since 1970.
pub(crate) fn hour_of(unix_seconds: u64) -> u32 {
    u32::try_from(unix_seconds / 3600).unwrap_or(u32::MAX)
}

/// Returns the number of the day since 1970 that an hour belongs to.
pub(super) fn day_of_hour(hour: u32) -> u32 {
    hour / 24
}

/// Returns the number of the day since 1970.
pub(crate) fn day_of(unix_seconds: u64) -> u32 {
    u32::try_from(unix_seconds / 86_400).unwrap_or(u32::MAX)
}

/// Returns the first second of a day, since 1970.
pub(super) fn start_of_day(day: u32) -> u64 {
    u64::from(day) * 86_400
}

fn date(day: u32) -> Date {
    let moment =
        i64::try_from(start_of_day(day)).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    // Days after the last valid date count as that date.
    moment.unwrap_or(Date::MAX.midnight().assume_utc()).to_offset(UtcOffset::UTC).date()
}

fn number(date: Date) -> u32 {
    let seconds = date.midnight().assume_utc().unix_timestamp();
    u64::try_from(seconds).map_or(0, day_of)
}

/// Returns the first day of the month that a day is in.
pub(crate) fn first_of_month(day: u32) -> u32 {
    number(date(day).replace_day(1).unwrap_or(Date::MIN))
}

/// Returns the first day of the month after the one that a day is in.
pub(super) fn next_month(day: u32) -> u32 {
    let date = date(day);
    let (year, month) = match date.month() {
        Month::December => (date.year() + 1, Month::January),
        month => (date.year(), month.next()),
    };
    // Fallback for the month after the last valid one.
    let end = || number(Date::MAX).saturating_add(1);
    Date::from_calendar_date(year, month, 1).map_or_else(|_| end(), number)
}

/// Returns the Monday of the week that a day is in.
pub(super) fn monday(day: u32) -> u32 {
    day - u32::from(date(day).weekday().number_days_from_monday()).min(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_know_their_months_and_weeks() {
        // 2026-11-25, a Wednesday.
        let day = day_of(1_795_564_800);
        assert_eq!(date(day).to_string(), "2026-11-25");
        assert_eq!(date(first_of_month(day)).to_string(), "2026-11-01");
        assert_eq!(date(next_month(day)).to_string(), "2026-12-01");
        assert_eq!(date(next_month(next_month(day))).to_string(), "2027-01-01");
        assert_eq!(date(monday(day)).to_string(), "2026-11-23");
        assert_eq!(monday(monday(day)), monday(day));
        assert_eq!(day_of_hour(hour_of(start_of_day(day))), day);
    }
}
