//! Where keys are found: by the hash of their text and by their id. In many parts, of which a change
//! makes few anew, so that one more key costs the same however many there are; readers take no lock.

use std::collections::HashMap;
use std::hash::Hash as Hashes;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::key::Hash;
use super::ring::Slot;

const PARTS: usize = 256;

type Part<K> = Arc<HashMap<K, Arc<Slot>, RandomState>>;

#[derive(Clone)]
struct Parts<K>(Vec<Part<K>>);

impl<K: Hashes + Eq + Clone> Parts<K> {
    fn change(&mut self, part: u8, change: impl FnOnce(&mut HashMap<K, Arc<Slot>, RandomState>)) {
        let part = &mut self.0[usize::from(part)];
        // Readers may still have the part as it was.
        change(Arc::make_mut(part));
    }
}

impl<K> Default for Parts<K> {
    fn default() -> Parts<K> {
        Parts((0..PARTS).map(|_| Part::default()).collect())
    }
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Table {
    by_hash: Parts<Hash>,
    by_id: Parts<Arc<str>>,
}

impl Table {
    /// The key whose text has this hash, or had it before the one it has.
    pub(super) fn get(&self, hash: &Hash) -> Option<&Arc<Slot>> {
        self.by_hash.0[usize::from(hash[0])].get(hash)
    }

    /// The key of this id.
    pub(super) fn by_id(&self, id: &str) -> Option<&Arc<Slot>> {
        self.by_id.0[usize::from(part_of(id))].get(id)
    }

    /// All keys, in no order.
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

/// Ids end in random digits.
fn part_of(id: &str) -> u8 {
    id.bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte))
}
