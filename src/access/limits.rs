//! Limits of a key: requests a second, calls a month, calls at once. They apply in addition to those of its
//! member.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Maximum rate that can be set, in requests per second.
pub const MAX_REQUESTS_PER_SECOND: u32 = 1_000_000;
/// Maximum number of calls a month that can be set.
pub const MAX_MONTHLY_REQUESTS: u64 = 1_000_000_000_000;
/// Maximum number of concurrent calls that can be set.
pub const MAX_CALLS_AT_ONCE: usize = 1_000_000;

/// Limits of a key. `None` falls back to the default for keys, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyLimits {
    /// Maximum number of requests a second; also the number that may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<NonZeroU32>,
    /// Maximum number of calls that reach a server in a calendar month, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_requests: Option<u64>,
    /// Maximum number of calls under way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_at_once: Option<usize>,
}

/// Change of a key's limits: `None` leaves one as it is, `Some(None)` removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitsChange {
    /// Change of [`KeyLimits::requests_per_second`].
    pub requests_per_second: Option<Option<NonZeroU32>>,
    /// Change of [`KeyLimits::monthly_requests`].
    pub monthly_requests: Option<Option<u64>>,
    /// Change of [`KeyLimits::calls_at_once`].
    pub calls_at_once: Option<Option<usize>>,
}

impl KeyLimits {
    /// Reports whether nothing is limited.
    pub fn are_none(&self) -> bool {
        *self == KeyLimits::default()
    }

    /// Returns these limits, with those of `others` for each that is `None`.
    #[must_use]
    pub fn or(self, others: KeyLimits) -> KeyLimits {
        KeyLimits {
            requests_per_second: self.requests_per_second.or(others.requests_per_second),
            monthly_requests: self.monthly_requests.or(others.monthly_requests),
            calls_at_once: self.calls_at_once.or(others.calls_at_once),
        }
    }

    /// Reports whether these allow nothing that `wider` does not.
    pub fn are_within(&self, wider: &KeyLimits) -> bool {
        fn within<T: PartialOrd>(own: Option<T>, wider: Option<T>) -> bool {
            match (own, wider) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(wider)) => own <= wider,
            }
        }
        within(self.requests_per_second, wider.requests_per_second)
            && within(self.monthly_requests, wider.monthly_requests)
            && within(self.calls_at_once, wider.calls_at_once)
    }

    /// Returns these limits after a change.
    #[must_use]
    pub fn changed(self, change: LimitsChange) -> KeyLimits {
        KeyLimits {
            requests_per_second: change.requests_per_second.unwrap_or(self.requests_per_second),
            monthly_requests: change.monthly_requests.unwrap_or(self.monthly_requests),
            calls_at_once: change.calls_at_once.unwrap_or(self.calls_at_once),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_limits() -> impl Strategy<Value = KeyLimits> {
        let rate = prop::option::of((1u32..4).prop_map(|rate| NonZeroU32::new(rate).expect("not zero")));
        (rate, prop::option::of(1u64..4), prop::option::of(1usize..4)).prop_map(|(rate, monthly, at_once)| {
            KeyLimits { requests_per_second: rate, monthly_requests: monthly, calls_at_once: at_once }
        })
    }

    proptest! {
        #[test]
        fn within_is_an_order_and_a_default_makes_nothing_wider(a in any_limits(), b in any_limits(), c in any_limits()) {
            prop_assert!(a.are_within(&a) && a.are_within(&KeyLimits::default()));
            prop_assert!(!(a.are_within(&b) && b.are_within(&a)) || a == b);
            prop_assert!(!(a.are_within(&b) && b.are_within(&c)) || a.are_within(&c));
            prop_assert!(a.or(b).are_within(&a));
        }

        #[test]
        fn what_is_stored_is_read_back(limits in any_limits()) {
            let text = serde_json::to_string(&limits).expect("plain");
            prop_assert_eq!(serde_json::from_str::<KeyLimits>(&text).expect("the same"), limits);
        }
    }
}
