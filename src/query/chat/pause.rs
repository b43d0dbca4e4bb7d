//! Pause before a turn is tried again. Pure.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

use crate::query::ModelError;
use crate::retry_after;

/// The first pause before a turn is tried again, if the endpoint names none; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// Returns the pause after `tries` tries.
pub(super) fn pause(error: &ModelError, tries: u32) -> Duration {
    match error {
        ModelError::Refused { retry_after: Some(wanted), .. } => *wanted,
        _ => (PAUSE * 2u32.saturating_pow(tries)).min(MAX_PAUSE),
    }
}

/// Returns the time after which the endpoint wants to be asked again (RFC 9110, section 10.2.3; and the finer
/// header that OpenAI's clients read). `None` if it names none.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|text| text.parse::<u64>().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let wanted = text("retry-after")?;
    retry_after::retry_after(wanted, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn a_pause_is_what_the_endpoint_asks_for_or_grows() {
        let refused =
            |retry_after| ModelError::Refused { status: 429, message: String::new(), retry_after, tools: 0 };
        assert_eq!(pause(&refused(Some(Duration::from_secs(7))), 0), Duration::from_secs(7));
        assert_eq!(pause(&refused(None), 0), Duration::from_millis(500));
        assert_eq!(pause(&refused(None), 2), Duration::from_secs(2));
        assert_eq!(pause(&refused(None), 40), MAX_PAUSE);
    }

    #[test]
    fn the_pause_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Thu, 26 Nov 2026 00:00:00 GMT").expect("a date");
        let read = |name: &'static str, value: &'static str| {
            retry_after(
                &HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))]),
                now,
            )
        };
        assert_eq!(read("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(read("retry-after", "Thu, 26 Nov 2026 00:00:05 GMT"), Some(Duration::from_secs(5)));
        assert_eq!(read("retry-after", "Wed, 25 Nov 2026 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("retry-after-ms", "150"), Some(Duration::from_millis(150)));
        assert_eq!(read("retry-after", "soon"), None);
    }
}
