//! Typed records of the registry in the store, and the one way to change them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::catalog_cache::{CatalogCache, StoredCatalog};
use super::list::{Origin, ServerEntry, ServerList};
use crate::access::{CreatedRecords, KeyRecord, MemberRecord, PlanRecord};
use crate::pins::Pins;
use crate::store::{DurableStore, Op, Store, StoreError, decode, encode};
use crate::supervisor::{Definition, Problem};
use crate::unix_time;

const SERVERS: &[u8] = b"s/";
const KEYS: &[u8] = b"k/";
const MEMBERS: &[u8] = b"o/m/";
const PLANS: &[u8] = b"o/p/";
const MEMORIES: &[u8] = b"c/";
const PINS: &[u8] = b"p/";
const FILES: &[u8] = b"f/";
const EXTRAS: &[u8] = b"m/extra";
/// Key of a mark that the store has nothing of a servers file but its entries.
const CLEAN: &[u8] = b"m/entries-only";
const INSTANCE: &[u8] = b"m/instance";

/// Identity of this installation, made once, at the first start on a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) id: Arc<str>,
    pub(super) created_at_ms: u64,
}

/// Server as it is stored; its id is in the key.
#[derive(Serialize, Deserialize)]
struct StoredServer<'a> {
    name: Arc<str>,
    position: u64,
    created_at_ms: u64,
    updated_at_ms: u64,
    origin: Origin,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_readdressed: bool,
    definition: Cow<'a, Map<String, Value>>,
    /// Reasons why the definition cannot be used, as pairs of member and reason; empty if it can be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    faults: Vec<(String, String)>,
}

/// Entries of a servers file as it was last applied.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct LastApplied<'a> {
    pub(super) servers: Cow<'a, Map<String, Value>>,
    /// Names of the entries that could not be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unfit: Vec<String>,
    /// Version of the file that no longer had servers, if that was not believed at first sight; otherwise `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) emptied: Option<String>,
}

/// Typed access to the records, and the durable store that holds them.
pub(super) struct RegistryStore {
    durable: DurableStore,
}

impl RegistryStore {
    pub(super) fn new(durable: DurableStore) -> RegistryStore {
        RegistryStore { durable }
    }

    /// Carries out a batch, which is durable after `Ok`. After an error everything is as before, at the latest
    /// when the next batch is accepted.
    pub(super) fn commit(&mut self, batch: Vec<Op>) -> Result<(), StoreError> {
        self.durable.commit(batch)
    }

    /// Returns the durable store, which protects the records.
    pub(super) fn durable(&mut self) -> &mut DurableStore {
        &mut self.durable
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.durable.store()
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.store().get(key)?.map(|value| decode(key, &value)).transpose()
    }

    /// Returns the identity of this installation; `None` if it was not made yet.
    pub(super) fn instance(&self) -> Result<Option<Instance>, StoreError> {
        self.get(INSTANCE)
    }

    /// Returns what surrounds the servers in an exported file; `None` if it was never stored.
    pub(super) fn extras(&self) -> Result<Option<Map<String, Value>>, StoreError> {
        self.get(EXTRAS)
    }

    /// Returns the entries that a servers file had when it was last applied; none if it never was.
    pub(super) fn last_applied(&self, file: &str) -> Result<LastApplied<'static>, StoreError> {
        Ok(self.get(&file_key(file))?.unwrap_or_default())
    }

    /// Reports whether a servers file was ever applied.
    pub(super) fn has_applied(&self) -> Result<bool, StoreError> {
        Ok(!self.store().scan_prefix(FILES)?.is_empty())
    }

    /// Reports whether what surrounds the servers is known to come from an import.
    pub(super) fn extras_are_clean(&self) -> Result<bool, StoreError> {
        Ok(self.store().get(CLEAN)?.is_some())
    }

    /// Returns the records of all keys.
    pub(super) fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let records = self.store().scan_prefix(KEYS)?;
        records.iter().map(|(key, value)| decode(key, value)).collect()
    }

    /// Returns the members and plans that were made over the API, members in the order in which they were made.
    pub(super) fn made(&self) -> Result<CreatedRecords, StoreError> {
        let members = self.store().scan_prefix(MEMBERS)?;
        let members: Result<Vec<MemberRecord>, _> =
            members.iter().map(|(key, value)| decode(key, value)).collect();
        let plans = self.store().scan_prefix(PLANS)?;
        let plans: Result<Vec<PlanRecord>, _> = plans.iter().map(|(key, value)| decode(key, value)).collect();
        let mut made = CreatedRecords { members: members?, plans: plans? };
        made.members.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(made)
    }

    /// Returns what servers announced in their last runs. Records that cannot be read are left out, since
    /// servers announce again.
    pub(super) fn catalog_cache(&self) -> Result<CatalogCache, StoreError> {
        let mut catalog_cache = CatalogCache::default();
        for (key, value) in self.store().scan_prefix(MEMORIES)? {
            let server = String::from_utf8_lossy(&key[MEMORIES.len()..]).into_owned();
            match decode::<StoredCatalog>(&key, &value) {
                Ok(memory) => catalog_cache.add(server.into(), memory),
                Err(error) => tracing::warn!(%error, "what a server announced cannot be read"),
            }
        }
        Ok(catalog_cache)
    }

    /// Returns the pins of all servers' tools, by the server's id.
    pub(super) fn pins(&self) -> Result<Vec<(Arc<str>, Pins)>, StoreError> {
        let records = self.store().scan_prefix(PINS)?;
        let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let server = String::from_utf8_lossy(&key[PINS.len()..]).into_owned();
            Ok((server.into(), decode(key, value)?))
        };
        records.iter().map(read).collect()
    }

    /// Reports whether an operation would change nothing.
    pub(super) fn is_done(&self, op: &Op) -> Result<bool, StoreError> {
        Ok(match op {
            Op::Put { key, value } => self.store().get(key)?.is_some_and(|known| known == *value),
            Op::Delete { key } => self.store().get(key)?.is_none(),
        })
    }

    /// Returns all servers, in their order. Two of one name are an error.
    pub(super) fn servers(&self) -> Result<ServerList, StoreError> {
        let records = self.store().scan_prefix(SERVERS)?;
        let mut entries =
            records.iter().map(|(key, value)| read_server(key, value)).collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(|entry| entry.position);
        let mut names = HashSet::new();
        if let Some(twice) = entries.iter().find(|entry| !names.insert(entry.name.clone())) {
            let reason = format!("two servers are named '{}'", twice.name);
            return Err(StoreError::Corrupt { what: "the set of servers".to_owned(), reason });
        }
        Ok(ServerList::new(entries))
    }
}

fn read_server(key: &[u8], value: &[u8]) -> Result<Arc<ServerEntry>, StoreError> {
    let id = String::from_utf8_lossy(&key[SERVERS.len()..]).into_owned();
    let stored: StoredServer<'static> = decode(key, value)?;
    let (raw, faults) = (stored.definition.into_owned(), stored.faults);
    let definition = if faults.is_empty() {
        // An earlier version may have taken what this one cannot use: that costs this server and no other.
        let problems = |problems| Definition::quarantined(raw.clone(), problems);
        Definition::parse_kept(raw.clone()).unwrap_or_else(problems)
    } else {
        let problem = |(path, reason)| Problem { path, reason };
        Definition::quarantined(raw, faults.into_iter().map(problem).collect())
    };
    Ok(Arc::new(ServerEntry {
        id: id.into(),
        name: stored.name,
        definition: Arc::new(definition),
        created_at: unix_time::from_millis(stored.created_at_ms),
        updated_at: unix_time::from_millis(stored.updated_at_ms),
        origin: stored.origin,
        is_readdressed: stored.is_readdressed,
        position: stored.position,
    }))
}

/// Returns the batch that turns the stored set of servers from `current` into `next`.
pub(super) fn servers_changed(
    current: &ServerList,
    next: &[Arc<ServerEntry>],
) -> Result<Vec<Op>, StoreError> {
    let mut batch = Vec::new();
    let kept: HashSet<&str> = next.iter().map(|entry| &*entry.id).collect();
    for gone in current.entries().iter().filter(|entry| !kept.contains(&*entry.id)) {
        batch.push(Op::Delete { key: server_key(&gone.id) });
        batch.push(Op::Delete { key: memory_key(&gone.id) });
        batch.push(Op::Delete { key: pins_key(&gone.id) });
    }
    for entry in next {
        if !current.by_id(&entry.id).is_some_and(|before| Arc::ptr_eq(before, entry)) {
            batch.push(put_server(entry)?);
        }
    }
    Ok(batch)
}

fn put_server(entry: &ServerEntry) -> Result<Op, StoreError> {
    let stored = StoredServer {
        name: entry.name.clone(),
        position: entry.position,
        created_at_ms: unix_time::millis(entry.created_at),
        updated_at_ms: unix_time::millis(entry.updated_at),
        origin: entry.origin.clone(),
        is_readdressed: entry.is_readdressed,
        definition: Cow::Borrowed(entry.definition.raw()),
        faults: entry.definition.problems().iter().map(fault).collect(),
    };
    Ok(Op::Put { key: server_key(&entry.id), value: encode(&stored)? })
}

fn fault(problem: &Problem) -> (String, String) {
    (problem.path.clone(), problem.reason.clone())
}

/// Returns the operation that marks that the store has nothing of a servers file but its entries.
pub(super) fn put_clean() -> Result<Op, StoreError> {
    Ok(Op::Put { key: CLEAN.to_vec(), value: encode(&true)? })
}

/// Returns the operation that stores the identity of this installation.
pub(super) fn put_instance(instance: &Instance) -> Result<Op, StoreError> {
    Ok(Op::Put { key: INSTANCE.to_vec(), value: encode(instance)? })
}

/// Returns the operation that stores what surrounds the servers in an exported file.
pub(super) fn put_extras(extras: &Map<String, Value>) -> Result<Op, StoreError> {
    Ok(Op::Put { key: EXTRAS.to_vec(), value: encode(extras)? })
}

/// Returns the operation that stores a key, as its record: never the key itself.
pub(super) fn put_key(record: &KeyRecord) -> Result<Op, StoreError> {
    Ok(Op::Put { key: [KEYS, record.id.as_bytes()].concat(), value: encode(record)? })
}

/// Returns the operation that deletes a key's record.
pub(super) fn delete_key(id: &str) -> Op {
    Op::Delete { key: [KEYS, id.as_bytes()].concat() }
}

/// Returns the operation that stores a member made over the API.
pub(super) fn put_member(record: &MemberRecord) -> Result<Op, StoreError> {
    Ok(Op::Put { key: [MEMBERS, record.id.as_bytes()].concat(), value: encode(record)? })
}

/// Returns the operation that deletes a member made over the API.
pub(super) fn delete_member(id: &str) -> Op {
    Op::Delete { key: [MEMBERS, id.as_bytes()].concat() }
}

/// Returns the operation that stores a plan made over the API.
pub(super) fn put_plan(record: &PlanRecord) -> Result<Op, StoreError> {
    Ok(Op::Put { key: [PLANS, record.name.as_bytes()].concat(), value: encode(record)? })
}

/// Returns the operation that deletes a plan made over the API.
pub(super) fn delete_plan(name: &str) -> Op {
    Op::Delete { key: [PLANS, name.as_bytes()].concat() }
}

/// Returns the operation that stores a servers file as it is applied now.
pub(super) fn put_applied(file: &str, applied: &LastApplied<'_>) -> Result<Op, StoreError> {
    Ok(Op::Put { key: file_key(file), value: encode(applied)? })
}

/// Returns the operation that stores what a server announced.
pub(super) fn put_cached_catalog(server: &str, memory: &StoredCatalog) -> Result<Op, StoreError> {
    Ok(Op::Put { key: memory_key(server), value: encode(memory)? })
}

/// Returns the operation that stores the pins of a server's tools.
pub(super) fn put_pins(server: &str, pins: &Pins) -> Result<Op, StoreError> {
    Ok(Op::Put { key: pins_key(server), value: encode(pins)? })
}

fn pins_key(id: &str) -> Vec<u8> {
    [PINS, id.as_bytes()].concat()
}

fn memory_key(id: &str) -> Vec<u8> {
    [MEMORIES, id.as_bytes()].concat()
}

fn server_key(id: &str) -> Vec<u8> {
    [SERVERS, id.as_bytes()].concat()
}

fn file_key(file: &str) -> Vec<u8> {
    [FILES, file.as_bytes()].concat()
}

/// Cuts a time to the stored precision, so that a value looks the same before and after a restart.
pub(super) fn to_stored_precision(time: SystemTime) -> SystemTime {
    unix_time::from_millis(unix_time::millis(time))
}
