//! Brings a store up to the end of its journal.

use std::collections::BTreeMap;

use super::journal::{self, Contents};
use super::records::{put_seq, read_seq};
use super::{Op, Store, StoreError, backup};

/// Applies the journal's changes that the store lacks. Returns the number of the last change.
pub(super) fn replay(store: &dyn Store, journal: &Contents) -> Result<u64, StoreError> {
    let seq = read_seq(store)?;
    let mut batch = Vec::new();
    if let Some(own) = journal.entries.iter().find(|entry| entry.seq == seq)
        && !is_made(store, own)?
    {
        tracing::warn!(seq, "the store had a change that was taken back; it is taken back again");
        batch.extend(own.ops.iter().filter(|op| backup::covers(op.key())).cloned());
    }
    let missing: Vec<_> = journal.after(seq).map(Iterator::collect).unwrap_or_default();
    if !missing.is_empty() {
        tracing::warn!(
            changes = missing.len(),
            "the journal has changes that the store lacks; they are made"
        );
    }
    batch.extend(missing.iter().flat_map(|entry: &&journal::Entry| entry.ops.iter().cloned()));
    let last = missing.last().map_or(seq, |entry| entry.seq);
    if !batch.is_empty() || last > seq {
        batch.push(put_seq(last)?);
        store.apply(batch)?;
        store.flush()?;
    }
    Ok(last)
}

/// Reports whether a store has the result of a change, if that is the last one. A change that was taken back has the
/// number of the one that takes it back.
fn is_made(store: &dyn Store, entry: &journal::Entry) -> Result<bool, StoreError> {
    let mut expected = BTreeMap::new();
    for op in entry.ops.iter().filter(|op| backup::covers(op.key())) {
        match op {
            Op::Put { key, value } => expected.insert(key, Some(value)),
            Op::Delete { key } => expected.insert(key, None),
        };
    }
    for (key, value) in expected {
        if store.get(key)?.as_ref() != value {
            return Ok(false);
        }
    }
    Ok(true)
}
