//! Limits on the streams that may be open at once, for each key and altogether.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Number of streams (followed logs, exports of the audit) that may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct StreamLimits {
    /// Limit for all keys together.
    pub(in crate::http) total: usize,
    /// Limit for each single key.
    pub(in crate::http) per_key: usize,
}

/// Words about streams of one kind, for a refusal.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct StreamNames {
    /// What they are, in the plural.
    pub(in crate::http) what: &'static str,
    /// Setting of the limit for all keys together.
    pub(in crate::http) total: &'static str,
    /// Setting of the limit for each single key.
    pub(in crate::http) per_key: &'static str,
}

/// Counts of the open streams of one kind, by key.
#[derive(Debug)]
pub(in crate::http) struct Streams {
    limits: StreamLimits,
    names: StreamNames,
    open: Mutex<HashMap<Arc<str>, usize>>,
}

/// Place of an open stream; freed when dropped.
pub(in crate::http) struct StreamPermit {
    streams: Arc<Streams>,
    key: Arc<str>,
}

/// Refusal of a further stream: whose there are as many as there may be, how many that is, and the setting that says
/// so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{who} {limit} {what} open, as many as there may be ({setting}); end one and ask again")]
pub(in crate::http) struct TooManyStreams {
    who: &'static str,
    what: &'static str,
    limit: usize,
    setting: &'static str,
}

impl Streams {
    /// Creates the counts, with no stream open.
    pub(in crate::http) fn new(limits: StreamLimits, names: StreamNames) -> Streams {
        Streams { limits, names, open: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a stream of this key. Fails if the key, or all keys together, have reached their limit.
    pub(in crate::http) fn open(self: &Arc<Streams>, key: Arc<str>) -> Result<StreamPermit, TooManyStreams> {
        let mut open = self.counts();
        let StreamLimits { total, per_key } = self.limits;
        if open.get(&key).is_some_and(|own| *own >= per_key) {
            let (who, what, setting) = ("This key has", self.names.what, self.names.per_key);
            return Err(TooManyStreams { who, what, limit: per_key, setting });
        }
        if open.values().sum::<usize>() >= total {
            let (who, what, setting) = ("All keys together have", self.names.what, self.names.total);
            return Err(TooManyStreams { who, what, limit: total, setting });
        }
        *open.entry(key.clone()).or_default() += 1;
        Ok(StreamPermit { streams: self.clone(), key })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.counts();
        if let Some(own) = open.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: StreamNames = StreamNames { what: "logs", total: "a", per_key: "b" };

    #[test]
    fn streams_are_bounded_for_each_key_and_altogether() {
        let streams = Arc::new(Streams::new(StreamLimits { total: 64, per_key: 8 }, NAMES));
        let open = |key: &str| streams.open(key.into());
        let mut held: Vec<StreamPermit> = (0..9).filter_map(|_| open("a").ok()).collect();
        assert_eq!((held.len(), open("a").is_err()), (8, true));
        let others = (0..100).map(|n| format!("k{n}"));
        held.extend(others.filter_map(|key| open(&key).ok()));
        assert_eq!(held.len(), 64);
        drop(held);
        assert!(open("a").is_ok() && streams.counts().is_empty());
    }
}
