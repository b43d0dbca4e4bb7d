//! `limits` of a key, in requests and answers.

use std::num::NonZeroU32;

use serde::Serialize;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::strict::{nested, or_null};
use crate::gateway::{self, LimitsChange, MAX_CALLS_AT_ONCE, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND};

/// Reads the member; a limit that it does not name is left as it is, `null` takes a limit away.
pub(super) fn read(fields: &mut Fields, raw: Option<&RawValue>) -> LimitsChange {
    let Some(raw) = raw else { return LimitsChange::default() };
    let names = ["requests_per_second", "monthly_requests", "calls_at_once"];
    let [rate, monthly, at_once] = nested(raw, "limits", names, fields);
    let mut count = |name: &str, raw: Option<&RawValue>, most: u64| {
        or_null(raw, |raw| {
            let number =
                raw.and_then(|raw| raw.get().parse().ok()).filter(|number| (1..=most).contains(number));
            if number.is_none() {
                fields.problem(
                    &format!("limits.{name}"),
                    format!("must be a whole number from 1 to {most}, or null"),
                );
            }
            number
        })
    };
    let rate = count("requests_per_second", rate, MAX_REQUESTS_PER_SECOND.into());
    let monthly_requests = count("monthly_requests", monthly, MAX_MONTHLY_REQUESTS);
    let at_once = count("calls_at_once", at_once, MAX_CALLS_AT_ONCE as u64);
    LimitsChange {
        requests_per_second: rate
            .map(|rate| rate.and_then(|rate| NonZeroU32::new(u32::try_from(rate).ok()?))),
        monthly_requests,
        calls_at_once: at_once.map(|calls| calls.and_then(|calls| usize::try_from(calls).ok())),
    }
}

/// Limits that a key has of its own, beside those of its owner's plan. The default for keys holds where it has none.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct KeyLimits {
    /// Number of requests in a second; `null` for the default.
    requests_per_second: Option<NonZeroU32>,
    /// Number of calls in a month (UTC); `null` for the default.
    monthly_requests: Option<u64>,
    /// Number of calls that may be under way at the same time; `null` for the default.
    calls_at_once: Option<usize>,
}

/// Returns the limits that a key has of its own.
pub(super) fn show(limits: &gateway::KeyLimits) -> KeyLimits {
    let gateway::KeyLimits { requests_per_second, monthly_requests, calls_at_once } = *limits;
    KeyLimits { requests_per_second, monthly_requests, calls_at_once }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateway::KeyLimits;

    #[test]
    fn limits_are_whole_numbers_or_nothing_and_each_wrong_one_is_named() {
        let read = |text: &str| {
            let (mut fields, raw) =
                (Fields::default(), serde_json::from_str::<&RawValue>(text).expect("JSON"));
            let change = read(&mut fields, Some(raw));
            (KeyLimits::default().changed(change), fields.finish(()).is_ok())
        };
        let (limits, good) =
            read(r#"{"requests_per_second": 5, "monthly_requests": null, "calls_at_once": 8}"#);
        assert!(good);
        assert_eq!(
            serde_json::to_value(show(&limits)).expect("plain"),
            json!({"requests_per_second": 5, "monthly_requests": null, "calls_at_once": 8})
        );
        for bad in [
            "null",
            "[]",
            "5",
            r#"{"requests_per_second": 0}"#,
            r#"{"requests_per_second": 1000001}"#,
            r#"{"calls_at_once": 1.5}"#,
            r#"{"monthly_requests": "9"}"#,
            r#"{"calls_at_once": -1}"#,
            r#"{"rate": 5}"#,
        ] {
            assert!(!read(bad).1, "{bad}");
        }
    }
}
