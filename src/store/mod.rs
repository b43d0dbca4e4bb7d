//! Storage on disk: one flat map of keys to records behind a small trait, and the directory it lives in. The module
//! owns durability ([`DurableStore`]: journal, backups, restoring), the format of a record and the refusal to run on a
//! directory that another daemon uses. It does not interpret the content; the typed records live with their owners.
//!
//! One key space, because batches are atomic inside one. A key is a letter, a slash and the
//! owner's own part:
//!
//! | prefix | what |
//! |---|---|
//! | `m/` | about the whole: schema, instance, the frame of the configuration |
//! | `s/` | servers |
//! | `c/` | what servers announced, kept for the next start |
//! | `k/` | keys |
//! | `o/` | members and plans that were made over the API |
//! | `f/` | servers files as they were last applied |
//! | `p/` | pins |
//! | `u/` | usage |
//! | `a/` | audit |

mod backup;
mod check;
mod clock_file;
#[cfg(test)]
pub(crate) mod conformance;
mod data_dir;
pub(crate) mod disk;
mod durable_store;
mod error;
mod fallback;
#[cfg(test)]
pub(crate) mod fault;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod identity;
mod journal;
mod marker;
mod memory;
mod opening;
mod records;
mod recovery;
mod replay;
mod reserve;
mod reserved_names;
#[cfg(test)]
pub(crate) mod simulated;
mod sled;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

pub use backup::{Backup, write_usage};
pub use check::{Part, check};
pub use clock_file::ClockFile;
pub use data_dir::{DataDir, LOCK};
pub use durable_store::{DurableStore, StoreDegraded};
pub use error::StoreError;
pub use files::write_private;
pub(crate) use files::{is_unfinished, write_and_move};
pub use identity::instance_beside;
pub use memory::MemoryStore;
pub use opening::{PROBE_LIMIT, StoreProbe, probe};
pub use records::{RECORD_VERSION, SCHEMA_VERSION, decode, encode};
pub use reserve::Reserve;
pub use reserved_names::{PRINCIPAL_SECRETS, PRINCIPAL_SECRETS_KEY, is_reserved};

/// Longest time for opening before the start is given up: sled may hang on a damaged file.
pub const OPEN_LIMIT: Duration = Duration::from_secs(60);

/// A key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key, whether or not it was set before.
    Put {
        /// Key, as the table of the module has it.
        key: Vec<u8>,
        /// Value, as encoded by [`encode`].
        value: Vec<u8>,
    },
    /// Removes a key; removing an absent one is no error.
    Delete {
        /// Key to remove.
        key: Vec<u8>,
    },
}

impl Op {
    /// Returns the key of the change.
    pub fn key(&self) -> &[u8] {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

/// A map of keys to values. All methods may block on the disk: do not call them on a runtime's thread.
///
/// A change is acknowledged to a caller only after [`Store::apply`] and [`Store::flush`] both
/// returned `Ok`.
pub trait Store: Send + Sync {
    /// Returns the value of a key; `None` if it is absent.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns all records whose key begins with `prefix`, in the byte order of their keys. The whole result is held in
    /// memory: use prefixes with little data.
    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError>;

    /// Applies all changes of a batch, in order, or none of them; also across a crash.
    fn apply(&self, batch: Vec<Op>) -> Result<(), StoreError>;

    /// Returns once everything applied before has been handed to the kernel: it survives the end of the process by any
    /// cause.
    fn flush(&self) -> Result<(), StoreError>;

    /// Recovers after an error, if that takes more than the next try. Changes that were applied and not flushed may be
    /// lost by it.
    fn recover(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Opens the store of a data directory, checks its schema and reads every record once, so that damage shows now and not
/// while serving. The work is done on a thread of its own; after `limit` it is given up as [`StoreError::OpenTimeout`],
/// and the thread is left behind.
pub fn open(dir: &DataDir, limit: Duration) -> Result<Arc<dyn Store>, StoreError> {
    open_with(dir, limit, prepare)
}

/// Does the same, but leaves the schema's number as it is.
fn open_unchanged(dir: &DataDir, limit: Duration) -> Result<Arc<dyn Store>, StoreError> {
    open_with(dir, limit, |store| records::read_schema(store).and_then(|_| verify_all(store)))
}

fn open_with(
    dir: &DataDir,
    limit: Duration,
    check: fn(&dyn Store) -> Result<(), StoreError>,
) -> Result<Arc<dyn Store>, StoreError> {
    #[cfg(test)]
    if let Some(store) = simulated::open(dir) {
        let store = store?;
        check(&*store)?;
        return Ok(store);
    }
    let own = dir.clone();
    within(limit, dir.path(), move || {
        let store = sled::SledStore::open(own)?;
        check(&store)?;
        Ok(Arc::new(store) as Arc<dyn Store>)
    })
}

/// Checks the schema, then reads every record.
fn prepare(store: &dyn Store) -> Result<(), StoreError> {
    records::check_schema(store)?;
    verify_all(store)
}

fn verify_all(store: &dyn Store) -> Result<(), StoreError> {
    for (key, value) in store.scan_prefix(b"")? {
        records::verify(&key, &value)?;
    }
    Ok(())
}

/// Runs `work` on a thread of its own. A panic in it is reported as damage, which is what it means while a store is
/// opened.
fn within<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, receiver) = sync_channel(1);
    let thread = thread::Builder::new()
        .name("store-open".to_owned())
        .spawn(move || {
            // After the limit the receiver is gone; the result is dropped here.
            let _ = sender.send(work());
        })
        .map_err(|error| StoreError::io("start a thread to open", path, &error))?;
    match receiver.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(StoreError::OpenTimeout { path: path.to_owned(), after: limit })
        }
        Err(RecvTimeoutError::Disconnected) => {
            let panic = thread.join().err();
            let said = panic.as_ref().and_then(|panic| {
                panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            });
            Err(StoreError::Corrupt {
                what: format!("the store in '{}'", path.display()),
                reason: format!("opening it panicked: {}", said.unwrap_or_else(|| "no message".to_owned())),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_is_given_up_after_the_limit() {
        let (release, held) = sync_channel::<()>(0);
        let result = within(Duration::from_millis(1), Path::new("/d"), move || {
            let _ = held.recv();
            Ok(())
        });
        assert!(matches!(result, Err(StoreError::OpenTimeout { .. })), "{result:?}");
        drop(release);
    }

    #[test]
    fn a_panic_while_opening_is_reported_as_damage() {
        let result = within::<()>(OPEN_LIMIT, Path::new("/d"), || panic!("page {} is odd", 7));
        let error = result.expect_err("it panicked").to_string();
        assert_eq!(error, "the store in '/d' is damaged: opening it panicked: page 7 is odd");
    }

    #[test]
    fn a_damaged_record_is_found_at_open() {
        let store = MemoryStore::default();
        prepare(&store).expect("an empty store is fine");
        store.apply(vec![Op::Put { key: b"s/x".to_vec(), value: b"\x01{\"a\":".to_vec() }]).unwrap();
        let error = prepare(&store).expect_err("the record is cut short").to_string();
        assert!(error.starts_with("record 's/x' is damaged: "), "{error}");
    }
}
