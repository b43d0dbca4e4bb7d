//! The usage sums: absolute values per hour and day, and totals, in memory and in the store. Pure but for the store
//! that the caller passes.
//!
//! | key | value |
//! |---|---|
//! | `u/m/` minute `/` key, server, tool | a [`CallStats`], for a few hours |
//! | `u/h/` hour `/` key, server, tool | a [`CallStats`]; big-endian numbers, parts divided by NUL |
//! | `u/d/` day `/` key, server, tool | the same for a day |
//! | `u/k/` key | total of a key |
//! | `u/s/` server | total of a server, and its name |
//! | `u/q/` quota holder | number of calls of a month that are granted |

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::buffer::Counted;
use super::calendar::{day_of, day_of_hour, hour_of_minute};
use super::call_stats::CallStats;
use crate::store::{Op, Record, Store, StoreError, decode, encode};

const MINUTES: &[u8] = b"u/m/";
const HOURS: &[u8] = b"u/h/";
const DAYS: &[u8] = b"u/d/";
const KEYS: &[u8] = b"u/k/";
const SERVERS: &[u8] = b"u/s/";
const QUOTAS: &[u8] = b"u/q/";
/// Maximum size of a backup, in bytes of records.
const BACKUP_BYTES: usize = 16 * 1024 * 1024;

/// Key, server and tool that calls are counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct UsageKey {
    pub(super) key: Arc<str>,
    pub(super) server: Arc<str>,
    pub(super) tool: Box<str>,
}

/// Counts of all calls, and of the calls on the last day with any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Total {
    /// Name of a server, which outlives the server here; `None` for a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Arc<str>>,
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) latency_us: u64,
    pub(super) day: u32,
    pub(super) today: u64,
    /// Time of the last use in seconds since 1970; 0 if there was none.
    pub(super) last_used: u64,
}

impl Total {
    fn add(&mut self, day: u32, tally: &CallStats) {
        self.calls += tally.calls();
        self.errors += tally.errors();
        self.latency_us += u64::try_from(tally.latency().as_micros()).unwrap_or(u64::MAX);
        if day > self.day {
            (self.day, self.today) = (day, 0);
        }
        if day == self.day {
            self.today += tally.calls();
        }
    }

    /// Returns the calls of the day that `now`, in seconds since 1970, is in.
    pub(super) fn today(&self, now: u64) -> u64 {
        if self.day == day_of(now) { self.today } else { 0 }
    }
}

/// Number of calls of a month that are granted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    /// Month, as the number of its first day since 1970.
    pub(super) month: u32,
    pub(super) granted: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum AggregateKey {
    Minute(u32, UsageKey),
    Hour(u32, UsageKey),
    Day(u32, UsageKey),
    Key(Arc<str>),
    Server(Arc<str>),
}

/// Usage sums; see the module.
pub(super) struct UsageAggregates {
    store: Arc<dyn Store>,
    minutes: HashMap<(u32, UsageKey), CallStats>,
    hours: HashMap<(u32, UsageKey), CallStats>,
    days: HashMap<(u32, UsageKey), CallStats>,
    pub(super) keys: HashMap<Arc<str>, Total>,
    pub(super) servers: HashMap<Arc<str>, Total>,
    /// Sums that have changed since they were last written.
    dirty: BTreeSet<AggregateKey>,
}

impl UsageAggregates {
    /// Loads all totals. The sums of an hour or a day are read when calls are first added to them.
    pub(super) fn load(store: Arc<dyn Store>) -> Result<UsageAggregates, StoreError> {
        let totals = |prefix: &[u8]| -> Result<HashMap<Arc<str>, Total>, StoreError> {
            let records = store.scan_prefix(prefix)?;
            records.iter().map(|(key, value)| Ok((text(&key[prefix.len()..]), decode(key, value)?))).collect()
        };
        let (keys, servers) = (totals(KEYS)?, totals(SERVERS)?);
        let (minutes, hours, days) = (HashMap::new(), HashMap::new(), HashMap::new());
        Ok(UsageAggregates { store, minutes, hours, days, keys, servers, dirty: BTreeSet::new() })
    }

    /// Adds the counted calls of a server. After an error nothing of them was added.
    pub(super) fn add(
        &mut self,
        server: &Arc<str>,
        name: &Arc<str>,
        counted: &Counted,
    ) -> Result<(), StoreError> {
        let Counted { minute, key, tool, tally } = counted;
        let (minute, hour) = (*minute, hour_of_minute(*minute));
        let day = day_of_hour(hour);
        let line = UsageKey { key: key.clone(), server: server.clone(), tool: tool.clone() };
        self.go_on_from(MINUTES, minute, &line)?;
        self.go_on_from(HOURS, hour, &line)?;
        self.go_on_from(DAYS, day, &line)?;
        self.minutes.entry((minute, line.clone())).or_default().add(tally);
        self.hours.entry((hour, line.clone())).or_default().add(tally);
        self.days.entry((day, line.clone())).or_default().add(tally);
        self.keys.entry(key.clone()).or_default().add(day, tally);
        let total = self.servers.entry(server.clone()).or_default();
        total.add(day, tally);
        total.name = Some(name.clone());
        self.dirty.extend([
            AggregateKey::Minute(minute, line.clone()),
            AggregateKey::Hour(hour, line.clone()),
            AggregateKey::Day(day, line),
            AggregateKey::Key(key.clone()),
            AggregateKey::Server(server.clone()),
        ]);
        Ok(())
    }

    /// Loads the sum of a minute, an hour or a day, unless it is in memory. A damaged one begins at zero.
    fn go_on_from(&mut self, prefix: &[u8], number: u32, line: &UsageKey) -> Result<(), StoreError> {
        let sums = match prefix {
            MINUTES => &mut self.minutes,
            HOURS => &mut self.hours,
            _ => &mut self.days,
        };
        let place = (number, line.clone());
        if sums.contains_key(&place) {
            return Ok(());
        }
        let at = place_key(prefix, number, line);
        let known = self.store.get(&at)?.map(|value| decode(&at, &value)).transpose();
        let known = known.unwrap_or_else(|error| {
            tracing::error!(%error, "usage could not be read and is counted anew");
            None
        });
        sums.insert(place, known.unwrap_or_default());
        Ok(())
    }

    /// Records the time of a key's last use.
    pub(super) fn used(&mut self, key: &Arc<str>, at: u64) {
        let total = self.keys.entry(key.clone()).or_default();
        if at > total.last_used {
            total.last_used = at;
            self.dirty.insert(AggregateKey::Key(key.clone()));
        }
    }

    /// Records the time of a server's last use, if anything was counted of it.
    pub(super) fn server_used(&mut self, server: &Arc<str>, at: u64) {
        if let Some(total) = self.servers.get_mut(server).filter(|total| at > total.last_used) {
            total.last_used = at;
            self.dirty.insert(AggregateKey::Server(server.clone()));
        }
    }

    /// Writes what has changed. After an error the next write tries all of it again.
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        let batch = self.dirty.iter().map(|place| self.put(place)).collect::<Result<Vec<_>, _>>()?;
        self.store.apply(batch)?;
        self.store.flush()?;
        self.dirty.clear();
        Ok(())
    }

    fn put(&self, place: &AggregateKey) -> Result<Op, StoreError> {
        let sum = |sums: &HashMap<(u32, UsageKey), CallStats>, number: u32, line: &UsageKey| {
            encode(&sums.get(&(number, line.clone())).cloned().unwrap_or_default())
        };
        let total = |totals: &HashMap<Arc<str>, Total>, id: &Arc<str>| {
            encode(&totals.get(id).cloned().unwrap_or_default())
        };
        let (key, value) = match place {
            AggregateKey::Minute(minute, line) => {
                (place_key(MINUTES, *minute, line), sum(&self.minutes, *minute, line)?)
            }
            AggregateKey::Hour(hour, line) => (place_key(HOURS, *hour, line), sum(&self.hours, *hour, line)?),
            AggregateKey::Day(day, line) => (place_key(DAYS, *day, line), sum(&self.days, *day, line)?),
            AggregateKey::Key(id) => ([KEYS, id.as_bytes()].concat(), total(&self.keys, id)?),
            AggregateKey::Server(id) => ([SERVERS, id.as_bytes()].concat(), total(&self.servers, id)?),
        };
        Ok(Op::Put { key, value })
    }

    /// Drops what is written of before this minute, its hour and its day from memory; the store keeps it.
    pub(super) fn forget(&mut self, minute: u32) {
        let (hour, dirty) = (hour_of_minute(minute), &self.dirty);
        let day = day_of_hour(hour);
        let is_dirty = |of: fn(u32, UsageKey) -> AggregateKey, at: u32, line: &UsageKey| {
            dirty.contains(&of(at, line.clone()))
        };
        self.minutes.retain(|(at, line), _| *at >= minute || is_dirty(AggregateKey::Minute, *at, line));
        self.hours.retain(|(at, line), _| *at >= hour || is_dirty(AggregateKey::Hour, *at, line));
        self.days.retain(|(at, line), _| *at >= day || is_dirty(AggregateKey::Day, *at, line));
    }

    /// Removes older minutes, hours and days from the store. Returns the number of records removed.
    pub(super) fn expire(&self, minute: u32, hour: u32, day: u32) -> Result<usize, StoreError> {
        let mut batch = Vec::new();
        for (prefix, first) in [(MINUTES, minute), (HOURS, hour), (DAYS, day)] {
            for (key, _) in self.store.scan_prefix(prefix)? {
                match place_of(prefix, &key) {
                    Some((number, _)) if number >= first => break,
                    _ => batch.push(Op::Delete { key }),
                }
            }
        }
        let count = batch.len();
        if count > 0 {
            self.store.apply(batch)?;
        }
        Ok(count)
    }

    /// Returns the stored records for a backup.
    pub(super) fn backup(&self) -> Result<Vec<Record>, StoreError> {
        backup_of(&*self.store)
    }

    /// Returns the last name of a server; `None` if it is not known.
    pub(super) fn name(&self, server: &str) -> Option<Arc<str>> {
        self.servers.get(server).and_then(|total| total.name.clone())
    }

    /// Returns the sums of a day.
    pub(super) fn day(&self, day: u32) -> Result<Vec<(UsageKey, CallStats)>, StoreError> {
        self.read(DAYS, day, &self.days)
    }

    /// Returns the sums of a minute.
    pub(super) fn minute(&self, minute: u32) -> Result<Vec<(UsageKey, CallStats)>, StoreError> {
        self.read(MINUTES, minute, &self.minutes)
    }

    /// Returns the sums of an hour.
    pub(super) fn hour(&self, hour: u32) -> Result<Vec<(UsageKey, CallStats)>, StoreError> {
        self.read(HOURS, hour, &self.hours)
    }

    fn read(
        &self,
        prefix: &[u8],
        number: u32,
        newer: &HashMap<(u32, UsageKey), CallStats>,
    ) -> Result<Vec<(UsageKey, CallStats)>, StoreError> {
        let mut found = HashMap::new();
        for (key, value) in self.store.scan_prefix(&[prefix, &number.to_be_bytes(), b"/"].concat())? {
            if let Some((_, line)) = place_of(prefix, &key) {
                found.insert(line, decode(&key, &value)?);
            }
        }
        let newer = newer.iter().filter(|((at, _), _)| *at == number);
        found.extend(newer.map(|((_, line), tally)| (line.clone(), tally.clone())));
        Ok(found.into_iter().collect())
    }

    /// Returns the number of calls of a month that were granted to a holder.
    pub(super) fn grant(&self, holder: &str) -> Result<Grant, StoreError> {
        let key = [QUOTAS, holder.as_bytes()].concat();
        let known = self.store.get(&key)?.map(|value| decode(&key, &value)).transpose()?;
        Ok(known.unwrap_or_default())
    }

    /// Stores the number of granted calls; durable when it returns.
    pub(super) fn put_grant(&self, holder: &str, grant: Grant) -> Result<(), StoreError> {
        let key = [QUOTAS, holder.as_bytes()].concat();
        self.store.apply(vec![Op::Put { key, value: encode(&grant)? }])?;
        self.store.flush()
    }
}

/// Returns the records of usage in a store for a backup, the most important first: all, or as many as a backup has room for.
pub(crate) fn backup_of(store: &dyn Store) -> Result<Vec<Record>, StoreError> {
    records_for_backup(store, BACKUP_BYTES)
}

fn records_for_backup(store: &dyn Store, most: usize) -> Result<Vec<Record>, StoreError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    for prefix in [QUOTAS, KEYS, SERVERS, DAYS, HOURS] {
        // Within a prefix the newest numbers come first.
        for (key, value) in store.scan_prefix(prefix)?.into_iter().rev() {
            bytes += key.len() + value.len();
            if bytes > most {
                return Ok(records);
            }
            records.push((key, value));
        }
    }
    Ok(records)
}

fn place_key(prefix: &[u8], number: u32, line: &UsageKey) -> Vec<u8> {
    let UsageKey { key, server, tool } = line;
    [prefix, &number.to_be_bytes(), b"/", key.as_bytes(), b"\0", server.as_bytes(), b"\0", tool.as_bytes()]
        .concat()
}

fn place_of(prefix: &[u8], key: &[u8]) -> Option<(u32, UsageKey)> {
    let (number, rest) = key.strip_prefix(prefix)?.split_first_chunk::<4>()?;
    let mut parts = rest.strip_prefix(b"/")?.splitn(3, |byte| *byte == 0);
    let line = UsageKey {
        key: text(parts.next()?),
        server: text(parts.next()?),
        tool: (&*text(parts.next()?)).into(),
    };
    Some((u32::from_be_bytes(*number), line))
}

fn text(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use std::time::Duration;

    fn counted(hour: u32, tool: &str) -> Counted {
        let mut tally = CallStats::default();
        tally.record("ok", Duration::from_millis(2), (1, 1));
        Counted { minute: hour * 60, key: "key_1".into(), tool: tool.into(), tally }
    }

    fn sums(store: &Arc<MemoryStore>) -> UsageAggregates {
        UsageAggregates::load(store.clone()).expect("memory")
    }

    fn calls(sums: &[(UsageKey, CallStats)]) -> u64 {
        sums.iter().map(|(_, tally)| tally.calls()).sum()
    }

    #[test]
    fn what_was_written_is_gone_on_from_and_writing_twice_does_no_harm() {
        let store = Arc::new(MemoryStore::default());
        let (server, name) = (Arc::<str>::from("mcp_1"), Arc::<str>::from("one"));
        for round in 1..=3 {
            let mut sums = sums(&store);
            sums.add(&server, &name, &counted(48, "a")).expect("memory");
            sums.add(&server, &name, &counted(49, "b")).expect("memory");
            assert_eq!(calls(&sums.day(2).expect("memory")), 2 * round);
            sums.write().expect("memory");
            sums.write().expect("memory");
            sums.dirty.insert(AggregateKey::Day(2, sums.day(2).expect("memory")[0].0.clone()));
            sums.write().expect("memory");
        }
        let mut sums = sums(&store);
        assert_eq!(calls(&sums.hour(48).expect("memory")), 3);
        assert_eq!((sums.keys["key_1"].calls, sums.servers["mcp_1"].name.as_deref()), (6, Some("one")));
        assert_eq!((sums.keys["key_1"].today(2 * 86_400), sums.keys["key_1"].today(3 * 86_400)), (6, 0));
        assert_eq!(calls(&sums.minute(49 * 60).expect("memory")), 3);
        assert_eq!(sums.expire(49 * 60, 49, 2).expect("memory"), 2, "one hour and a minute are over");
        sums.forget(49 * 60);
        assert_eq!(calls(&sums.hour(48).expect("memory")), 0);
        assert_eq!(calls(&sums.day(2).expect("memory")), 6);
    }

    #[test]
    fn a_backup_that_has_no_room_for_everything_has_what_matters() {
        let store = Arc::new(MemoryStore::default());
        let mut sums = sums(&store);
        for hour in 48..96 {
            sums.add(&"mcp_1".into(), &"one".into(), &counted(hour, "a")).expect("memory");
        }
        sums.put_grant("organization", Grant { month: 0, granted: 7 }).expect("memory");
        sums.write().expect("memory");
        let all = records_for_backup(&*sums.store, usize::MAX).expect("memory");
        assert_eq!(all.len(), 1 + 1 + 1 + 2 + 48);
        let size = |records: &[Record]| records.iter().map(|(key, value)| key.len() + value.len()).sum();
        let some = records_for_backup(&*sums.store, size(&all[..10])).expect("memory");
        assert_eq!(some, all[..10]);
        assert!(some[9].0 > all[10].0 && some[9].0.starts_with(HOURS), "the newest hours");
    }

    #[test]
    fn names_with_slashes_and_nul_stay_apart() {
        let line = UsageKey { key: "key_1".into(), server: "mcp_1".into(), tool: "a/b\0c".into() };
        assert_eq!(place_of(DAYS, &place_key(DAYS, 7, &line)), Some((7, line)));
    }
}
