//! Lookup tables of the keys: by the hash of their text and by their id. They consist of many parts, of
//! which a change copies few, so that one more key costs the same however many there are. Readers take no
//! lock.

use std::collections::HashMap;
use std::hash::Hash as Hashes;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::key::Hash;
use super::slot::Slot;

const PARTS: usize = 256;

type Part<K> = Arc<HashMap<K, Arc<Slot>, RandomState>>;

#[derive(Clone)]
struct Parts<K>(Vec<Part<K>>);

impl<K: Hashes + Eq + Clone> Parts<K> {
    fn change(&mut self, part: u8, change: impl FnOnce(&mut HashMap<K, Arc<Slot>, RandomState>)) {
        let part = &mut self.0[usize::from(part)];
        // Readers may still hold the previous version of the part.
        change(Arc::make_mut(part));
    }
}

impl<K> Default for Parts<K> {
    fn default() -> Parts<K> {
        Parts((0..PARTS).map(|_| Part::default()).collect())
    }
}

/// Lookup tables of all keys; see the module documentation.
#[derive(Clone, Default)]
pub(super) struct Table {
    by_hash: Parts<Hash>,
    by_id: Parts<Arc<str>>,
}

impl Table {
    /// Returns the key whose current or previous text has this hash; `None` if there is none.
    pub(super) fn get(&self, hash: &Hash) -> Option<&Arc<Slot>> {
        self.by_hash.0[usize::from(hash[0])].get(hash)
    }

    /// Returns the key with this id; `None` if there is none.
    pub(super) fn by_id(&self, id: &str) -> Option<&Arc<Slot>> {
        self.by_id.0[usize::from(part_of(id))].get(id)
    }

    /// Returns all keys, in no particular order.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Arc<Slot>> + Clone {
        self.by_id.0.iter().flat_map(|part| part.values())
    }

    pub(super) fn insert_hash(&mut self, hash: Hash, slot: &Arc<Slot>) {
        self.by_hash.change(hash[0], |part| drop(part.insert(hash, slot.clone())));
    }

    pub(super) fn remove_hash(&mut self, hash: &Hash) {
        self.by_hash.change(hash[0], |part| drop(part.remove(hash)));
    }

    pub(super) fn insert_id(&mut self, id: Arc<str>, slot: &Arc<Slot>) {
        self.by_id.change(part_of(&id), |part| drop(part.insert(id, slot.clone())));
    }

    pub(super) fn remove_id(&mut self, id: &str) {
        self.by_id.change(part_of(id), |part| drop(part.remove(id)));
    }
}

/// Returns the part that an id belongs to. Ids end in random digits, which spread them over the parts.
fn part_of(id: &str) -> u8 {
    id.bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte))
}
