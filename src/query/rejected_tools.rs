//! Tools that a model's endpoint refused, so that not every question offers them to it again. Pure: the time
//! comes in.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// The most refusals that are remembered.
const MAX_UNWANTED: usize = 256;
/// Time for which a refusal is remembered; then the endpoint, which may have been mended, is asked again.
const FOR: Duration = Duration::from_secs(3600);

/// Hash of a model and a tool's definition, word for word.
type Key = [u8; 32];

/// Remembered refusals, with their time and reason; see the module.
#[derive(Debug, Default)]
pub(super) struct RejectedTools(Mutex<HashMap<Key, (Instant, String)>>);

impl RejectedTools {
    /// Returns the reason with which the endpoint refused a tool; `None` if it has not lately.
    pub(super) fn reason(&self, model: &str, definition: &str, now: Instant) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return None;
        }
        let (since, reason) = known.get(&key(model, definition))?;
        (now.saturating_duration_since(*since) < FOR).then(|| reason.clone())
    }

    /// Remembers a refusal; if there are too many, the oldest is forgotten.
    pub(super) fn note(&self, model: &str, definition: &str, reason: &str, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(model, definition);
        if known.len() >= MAX_UNWANTED && !known.contains_key(&key) {
            let oldest = known.iter().min_by_key(|(_, (since, _))| *since).map(|(key, _)| *key);
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(key, (now, reason.to_owned()));
    }
}

fn key(model: &str, definition: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update((model.len() as u64).to_le_bytes());
    hash.update(model);
    hash.update(definition);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_for_its_model_and_definition_and_for_an_hour() {
        let (unwanted, now) = (RejectedTools::default(), Instant::now());
        assert_eq!(unwanted.reason("m", "tool", now), None);
        unwanted.note("m", "tool", "no", now);
        assert_eq!(unwanted.reason("m", "tool", now + FOR / 2).as_deref(), Some("no"));
        for (model, definition, later) in
            [("n", "tool", FOR / 2), ("m", "tool2", FOR / 2), ("mt", "ool", FOR / 2), ("m", "tool", FOR)]
        {
            assert_eq!(unwanted.reason(model, definition, now + later), None, "{model} {definition}");
        }
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered_and_the_oldest_goes() {
        let (unwanted, now) = (RejectedTools::default(), Instant::now());
        for number in 0..=MAX_UNWANTED {
            unwanted.note("m", &number.to_string(), "no", now + Duration::from_millis(number as u64));
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(unwanted.reason("m", "0", later), None);
        assert!(unwanted.reason("m", "1", later).is_some());
        assert!(unwanted.reason("m", &MAX_UNWANTED.to_string(), later).is_some());
    }
}
