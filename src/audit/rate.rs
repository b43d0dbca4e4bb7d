//! The limit on lines per minute caused by requests that were not carried out. Pure: the caller passes the time.
//!
//! Each source has a share, so that one that floods leaves room for the others. Strangers have a common share, so
//! that members' requests stay visible however many addresses the strangers have.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::entry::{AuditEntry, EntryKind, Outcome};

/// Maximum number of lines per minute for looks and for requests that were not carried out.
pub(super) const ALTOGETHER: u32 = 300;
/// Maximum number of these lines that strangers, callers without a key, may cause.
pub(super) const STRANGERS: u32 = 150;
/// Maximum number of these lines that one source may cause: a key, or an address without one.
pub(super) const SOURCE: u32 = 60;
/// Maximum number of acts of one member per minute that are recorded with full details.
pub(super) const AT_LENGTH: u32 = 60;
/// Period that the limits apply to.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// Maximum number of sources named of those that exceeded their share.
const NAMED: usize = 5;

/// Origin of a line, which the shares are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    /// Key id, and the user id for the local operator, whose name stands for different users.
    Key(Arc<str>, Option<u32>),
    /// Address; for IPv6 the network of one subscriber. `None` if it is unknown.
    Address(Option<IpAddr>),
}

impl Source {
    fn of(entry: &AuditEntry) -> Source {
        match entry.key_id() {
            Some(key) => Source::Key(key.clone(), entry.uid()),
            None => Source::Address(entry.peer().map(network)),
        }
    }

    fn name(&self) -> String {
        match self {
            Source::Key(key, None) => key.to_string(),
            Source::Key(key, Some(uid)) => format!("{key} of uid {uid}"),
            Source::Address(Some(address)) => address.to_string(),
            Source::Address(None) => "unknown".to_owned(),
        }
    }
}

/// Reduces an IPv6 address to its first 64 bits; leaves an IPv4 address as it is.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
        v4 => v4,
    }
}

/// Decision about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RateDecision {
    /// Record it with full details.
    Record,
    /// Record it with short details.
    Shorten,
    /// Only count it: its limit is reached.
    Count,
    /// Skip it: the same look by the same source was recorded in this minute.
    Known,
}

/// Counts of recorded and unrecorded entries of the current minute.
#[derive(Debug)]
pub(super) struct Rate {
    since: Instant,
    recorded: u32,
    by_strangers: u32,
    by_source: HashMap<Source, u32>,
    /// Number of acts carried out, by member.
    acts: HashMap<Arc<str>, u32>,
    looks: HashSet<(Source, &'static str, String)>,
    unrecorded: Unrecorded,
}

#[derive(Debug, Default)]
struct Unrecorded {
    refused: u64,
    failed: u64,
    other: u64,
    sources: HashMap<Source, u64>,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Rate {
        Rate {
            since: now,
            recorded: 0,
            by_strangers: 0,
            by_source: HashMap::new(),
            acts: HashMap::new(),
            looks: HashSet::new(),
            unrecorded: Unrecorded::default(),
        }
    }

    /// Returns the end of the minute if there is something to report then; `None` otherwise.
    pub(super) fn due(&self) -> Option<Instant> {
        self.unrecorded.any().then(|| self.since + MINUTE)
    }

    /// Begins the next minute if this one is over. Returns the summary of unrecorded entries; `None` if there were
    /// none.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Map<String, Value>> {
        if now.saturating_duration_since(self.since) < MINUTE {
            return None;
        }
        self.end(now)
    }

    /// Ends the minute. Returns the summary of unrecorded entries; `None` if there were none.
    pub(super) fn end(&mut self, now: Instant) -> Option<Map<String, Value>> {
        let ended = std::mem::replace(self, Rate::new(now));
        ended.unrecorded.any().then(|| ended.unrecorded.told())
    }

    /// Decides about an entry. Acts that were carried out, and calls, are always recorded.
    pub(super) fn judge(&mut self, entry: &AuditEntry) -> RateDecision {
        let counts = match (entry.sort(), entry.outcome()) {
            (_, Outcome::Refused) | (EntryKind::Look, _) => true,
            (EntryKind::Act, outcome) => outcome == Outcome::Failed,
            (EntryKind::Call, _) => false,
        };
        if !counts {
            return self.length(entry);
        }
        let source = Source::of(entry);
        let is_look = entry.sort() == EntryKind::Look && entry.outcome() != Outcome::Refused;
        let look = is_look.then(|| (source.clone(), entry.action(), entry.target().to_owned()));
        if look.as_ref().is_some_and(|look| self.looks.contains(look)) {
            return RateDecision::Known;
        }
        let is_stranger = matches!(source, Source::Address(_));
        let of_source = self.by_source.get(&source).copied().unwrap_or_default();
        if self.recorded >= ALTOGETHER
            || of_source >= SOURCE
            || (is_stranger && self.by_strangers >= STRANGERS)
        {
            self.unrecorded.add(entry.outcome(), source);
            return RateDecision::Count;
        }
        self.recorded += 1;
        self.by_strangers += u32::from(is_stranger);
        *self.by_source.entry(source).or_default() += 1;
        self.looks.extend(look);
        RateDecision::Record
    }

    /// Decides between full and short details for an act that was carried out, or a call.
    fn length(&mut self, entry: &AuditEntry) -> RateDecision {
        let Some(member) = entry.member_id().filter(|_| entry.sort() == EntryKind::Act) else {
            return RateDecision::Record;
        };
        let acts = self.acts.entry(member.clone()).or_default();
        *acts += 1;
        if *acts > AT_LENGTH { RateDecision::Shorten } else { RateDecision::Record }
    }

    /// Counts an entry that is not recorded for another reason.
    pub(super) fn pass_over(&mut self, entry: &AuditEntry) {
        self.unrecorded.add(entry.outcome(), Source::of(entry));
    }
}

impl Unrecorded {
    fn any(&self) -> bool {
        self.refused + self.failed + self.other > 0
    }

    fn add(&mut self, outcome: Outcome, source: Source) {
        match outcome {
            Outcome::Refused => self.refused += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Done | Outcome::Unknown => self.other += 1,
        }
        // The number of named sources is bounded; the sums include all.
        if self.sources.len() < ALTOGETHER as usize || self.sources.contains_key(&source) {
            *self.sources.entry(source).or_default() += 1;
        }
    }

    fn told(self) -> Map<String, Value> {
        let mut sources: Vec<(Source, u64)> = self.sources.into_iter().collect();
        sources.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let named = sources.into_iter().take(NAMED).map(|(source, count)| (source.name(), count.into()));
        let mut told = Map::from_iter([
            ("refused".to_owned(), json!(self.refused)),
            ("failed".to_owned(), json!(self.failed)),
        ]);
        if self.other > 0 {
            told.insert("other".to_owned(), json!(self.other));
        }
        told.insert("mostly_from".to_owned(), Value::Object(named.collect()));
        told
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stranger(last: u16) -> AuditEntry {
        let peer = IpAddr::from([10, 0, (last >> 8) as u8, last as u8]);
        AuditEntry::new(EntryKind::Look, "request", "GET /v1/mcps", Outcome::Refused).from(peer, None)
    }

    fn member(name: &str, outcome: Outcome) -> AuditEntry {
        AuditEntry::new(EntryKind::Act, "key.revoke", "key_x", outcome).by_key("user", name)
    }

    fn recorded(rate: &mut Rate, entry: &AuditEntry, times: u32) -> u32 {
        (0..times).filter(|_| rate.judge(entry) == RateDecision::Record).count() as u32
    }

    #[test]
    fn one_that_floods_leaves_room_for_the_others_and_strangers_for_members() {
        let mut rate = Rate::new(Instant::now());
        assert_eq!(recorded(&mut rate, &stranger(1), 1_000), SOURCE);
        assert_eq!(recorded(&mut rate, &stranger(2), 5), 5, "another address has its own share");
        let strangers: u32 = (3..500).map(|n| recorded(&mut rate, &stranger(n), 10)).sum();
        assert_eq!(strangers + SOURCE + 5, STRANGERS);
        assert_eq!(recorded(&mut rate, &member("joe", Outcome::Failed), 1_000), SOURCE);
        assert_eq!(recorded(&mut rate, &member("ann", Outcome::Refused), 3), 3);
        let more: u32 =
            (0..50).map(|n| recorded(&mut rate, &member(&n.to_string(), Outcome::Failed), 60)).sum();
        assert_eq!(more + 3 + SOURCE + STRANGERS, ALTOGETHER);
    }

    #[test]
    fn acts_done_are_always_recorded_and_a_members_further_ones_in_short() {
        let begin = Instant::now();
        let mut rate = Rate::new(begin);
        let done =
            |who: &str| AuditEntry::new(EntryKind::Act, "key.change", "k", Outcome::Done).by_key(who, "key");
        for act in 0..1_000 {
            let expected = if act < AT_LENGTH { RateDecision::Record } else { RateDecision::Shorten };
            assert_eq!(rate.judge(&done("joe")), expected, "{act}");
        }
        assert_eq!(rate.judge(&done("ann")), RateDecision::Record, "another member");
        assert_eq!(rate.turn(begin + MINUTE), None, "nothing was left out");
        assert_eq!(rate.judge(&done("joe")), RateDecision::Record, "a new minute");
        let of_daemon = AuditEntry::of_daemon("members.apply", "x", Outcome::Done);
        assert!((0..1_000).all(|_| rate.judge(&of_daemon) == RateDecision::Record));
    }

    #[test]
    fn what_was_not_recorded_is_told_when_its_minute_is_over() {
        let begin = Instant::now();
        let mut rate = Rate::new(begin);
        assert_eq!((rate.due(), rate.turn(begin + MINUTE)), (None, None), "nothing to tell");
        let mut rate = Rate::new(begin);
        recorded(&mut rate, &stranger(1), SOURCE + 7);
        recorded(&mut rate, &member("joe", Outcome::Failed), SOURCE + 2);
        assert_eq!(rate.turn(begin + MINUTE / 2), None);
        assert_eq!(rate.due(), Some(begin + MINUTE));
        let told = Value::Object(rate.turn(begin + MINUTE).expect("something"));
        let expected = json!({"refused": 7, "failed": 2, "mostly_from": {"10.0.0.1": 7, "joe": 2}});
        assert_eq!(told, expected);
        assert_eq!(recorded(&mut rate, &stranger(1), 1), 1, "a new minute");
        assert_eq!(rate.due(), None);
    }

    #[test]
    fn a_look_is_recorded_once_a_minute_for_each_who_looks_and_what_at() {
        let mut rate = Rate::new(Instant::now());
        let look = |target, key| {
            AuditEntry::new(EntryKind::Look, "servers.read", target, Outcome::Done).by_key("u", key)
        };
        assert_eq!(rate.judge(&look("a", "joe")), RateDecision::Record);
        assert_eq!(rate.judge(&look("a", "joe")), RateDecision::Known);
        assert_eq!(rate.judge(&look("b", "joe")), RateDecision::Record);
        assert_eq!(rate.judge(&look("a", "ann")), RateDecision::Record);
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff:2")));
        assert_ne!(network(address("2001:db8:0:1::1")), network(address("2001:db8::1")));
        assert_ne!(network(address("10.0.0.1")), network(address("10.0.0.2")));
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// For any callers in any order: the shares hold, memory is bounded, and every entry was either recorded or
        /// counted.
        #[test]
        fn shares_hold_and_nothing_is_forgotten(
            asked in prop::collection::vec((any::<bool>(), 0u16..400, any::<bool>()), 0..3_000),
        ) {
            let begin = Instant::now();
            let mut rate = Rate::new(begin);
            let (mut by_strangers, mut by_members) = (0, 0);
            for (known, who, refused) in &asked {
                let outcome = if *refused { Outcome::Refused } else { Outcome::Failed };
                let entry = if *known { member(&(who % 7).to_string(), outcome) } else { stranger(*who) };
                if rate.judge(&entry) == RateDecision::Record {
                    *(if *known { &mut by_members } else { &mut by_strangers }) += 1;
                }
            }
            prop_assert!(by_strangers <= STRANGERS && by_strangers + by_members <= ALTOGETHER);
            prop_assert!(rate.by_source.len() <= ALTOGETHER as usize);
            prop_assert!(rate.unrecorded.sources.len() <= ALTOGETHER as usize);
            prop_assert!(rate.by_source.values().all(|count| *count <= SOURCE));
            let told = rate.end(begin).map_or(0, |told| {
                told["refused"].as_u64().unwrap_or(0) + told["failed"].as_u64().unwrap_or(0)
            });
            prop_assert_eq!(told + u64::from(by_strangers + by_members), asked.len() as u64);
        }
    }
}
