//! Addresses that have sent many bad credentials lately. Pure: addresses and the time in. Bounded: when
//! there are too many addresses, the one whose window began longest ago is forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Number of bad credentials that an address may send in a [`WINDOW`].
pub(super) const MAX_FAILURES: u32 = 10;
/// Length of the window. An address that has sent too many waits for the rest of it.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Maximum number of addresses that are remembered.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Record {
    since: Instant,
    failures: u32,
}

/// Counter of bad credentials by address; see the module documentation.
#[derive(Debug, Default)]
pub struct Attempts {
    records: HashMap<IpAddr, Record>,
}

impl Attempts {
    /// Counts a bad credential. Returns how long the address has to wait; `None` if it has not sent too
    /// many.
    pub fn failed(&mut self, address: IpAddr, now: Instant) -> Option<Duration> {
        let address = network(address);
        if !self.records.contains_key(&address) && self.records.len() >= MAX_ADDRESSES {
            self.forget(now);
        }
        let record = self.records.entry(address).or_insert(Record { since: now, failures: 0 });
        if now.duration_since(record.since) >= WINDOW {
            *record = Record { since: now, failures: 0 };
        }
        record.failures = record.failures.saturating_add(1);
        (record.failures > MAX_FAILURES).then(|| (record.since + WINDOW).saturating_duration_since(now))
    }

    /// Forgets the addresses whose window has passed; if there are none, the one whose window began longest
    /// ago.
    fn forget(&mut self, now: Instant) {
        self.records.retain(|_, record| now.duration_since(record.since) < WINDOW);
        if self.records.len() >= MAX_ADDRESSES
            && let Some(oldest) =
                self.records.iter().min_by_key(|(_, record)| record.since).map(|(address, _)| *address)
        {
            self.records.remove(&oldest);
        }
    }
}

/// Returns the network that failures are counted for. A host can use any IPv6 address of its network, which
/// is a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_a_minute_are_taken_and_the_next_waits() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for second in 0..10 {
            assert_eq!(attempts.failed(one, start + Duration::from_secs(second)), None);
        }
        assert_eq!(attempts.failed(one, start + Duration::from_secs(10)), Some(Duration::from_secs(50)));
        assert_eq!(attempts.failed(other, start + Duration::from_secs(10)), None, "others are others");
        assert_eq!(attempts.failed(one, start + WINDOW), None, "a minute later it begins anew");
    }

    #[test]
    fn addresses_of_one_network_are_one_and_there_is_an_end_to_them() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let v6 = |low: u128| IpAddr::V6((0x2001_0db8_u128 << 96 | low).into());
        for low in 0..10 {
            assert_eq!(attempts.failed(v6(low), now), None);
        }
        assert!(attempts.failed(v6(99), now).is_some());
        for host in 0..20_000_u32 {
            attempts.failed(IpAddr::V4(host.into()), now);
        }
        assert_eq!(attempts.records.len(), MAX_ADDRESSES);
    }
}
