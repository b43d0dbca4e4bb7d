//! Owner of the set of servers. Every change goes through here, one after the other: it is checked, stored,
//! published, announced and acknowledged. Readers take the published set without a lock. Also owns what the
//! first start on a data directory makes: the installation's id and the owner's key.
//!
//! Does not start or stop anything: the receiver of the announcement does.

mod allow;
mod catalog_cache;
mod error;
mod file;
mod handle;
mod keychange;
#[cfg(test)]
mod keys_tests;
mod list;
mod making;
mod members;
mod merge;
mod naming;
mod owner_key;
mod paths;
mod pending_revocations;
mod pinning;
mod registry_store;
mod reserved;
mod revoking;
#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::sync::watch;

pub use allow::AllowedServers;
pub use catalog_cache::{CatalogCache, CatalogUpdate};
pub use error::Error;
pub use file::{FileEntry, MAX_SERVERS, ServersFile};
pub use handle::RegistryHandle;
pub use list::{Origin, ServerEntry, ServerList};
pub use members::{MemberChange, MemberRequest, Removal};
pub(crate) use members::{Reloaded, member_to_be};
pub use owner_key::{OWNER_KEY_FILE, Renewed};
pub use revoking::{Revocation, Revoke};

use self::catalog_cache::StoredCatalog;
use self::merge::{ChangeContext, Step};
use self::paths::Confinement;
pub use self::paths::Reach;
use self::pending_revocations::PendingRevocations;
use self::registry_store::{Instance, LastApplied, RegistryStore};
use crate::access::{CreatedRecords, KeyRing, Tenancy};
use crate::clock;
use crate::pins::PinBook;
use crate::store::{Backup, DurableStore, Op, StoreDegraded, StoreError};
use crate::supervisor::{Definition, Problem, check_name};
use crate::unix_time;

/// Callback that receives the set of servers after each change.
pub type Announce = Box<dyn Fn(&Arc<ServerList>) + Send>;

/// Directories that the registry reads and writes, and the limit on what the API may define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Data directory; `owner.key` is written here.
    pub data_dir: PathBuf,
    /// Directory that import and export stay in, and that relative paths begin at; `None` is the data
    /// directory, `/` is anywhere.
    pub config_root: Option<PathBuf>,
    /// Servers that may be defined through the API.
    pub allowed: AllowedServers,
}

/// Error of opening the registry, or of making the owner key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An owner key is needed and cannot be made.
    #[error("the owner key cannot be written to '{}': {reason}", path.display())]
    OwnerKey {
        /// File that would hold the key.
        path: PathBuf,
        /// Cause: the error of the file system, or that there are no random bytes.
        reason: String,
    },
}

/// Names of the servers that a servers file changed when it was applied or imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Servers that were made because they are new in the file.
    pub added: Vec<String>,
    /// Servers that were changed because the file changed them.
    pub changed: Vec<String>,
    /// Servers that something else made and that got the file's definition, because the file has them now.
    pub taken_over: Vec<String>,
    /// Servers that were removed because the file no longer has them.
    pub removed: Vec<String>,
}

/// State of the registry: used directly before its thread runs, and by that thread afterwards. Its methods
/// block on the disk.
pub struct Registry {
    ledger: RegistryStore,
    confinement: Confinement,
    allowed: AllowedServers,
    published: Arc<ArcSwap<ServerList>>,
    extras: Map<String, Value>,
    instance: Instance,
    keys: KeyRing,
    owed: PendingRevocations,
    /// Organization, members and plans of the configuration file, without those made over the API.
    file_tenancy: Tenancy,
    /// Members and plans made over the API that are in force. Kept here because a full disk may have closed the
    /// store.
    made: CreatedRecords,
    pins: PinBook,
    /// Names that no server may have.
    reserved: HashSet<Arc<str>>,
    announce: Option<Announce>,
}

impl Registry {
    /// Loads the set of servers, the keys and the pins; keys and pins go to `keys` and `pins`. The first start on a store makes the installation's id and the
    /// owner's key, whose text is left in `owner.key` with mode 0600.
    pub fn open(
        durable: DurableStore,
        settings: Settings,
        keys: &KeyRing,
        pins: &PinBook,
    ) -> Result<Registry, OpenError> {
        let mut ledger = RegistryStore::new(durable);
        let now = now();
        let instance = match ledger.instance()? {
            Some(instance) => instance,
            None => {
                let id = uuid::Uuid::new_v4().to_string().into();
                let instance = Instance { id, created_at_ms: unix_time::millis(now) };
                ledger.commit(vec![registry_store::put_instance(&instance)?])?;
                instance
            }
        };
        let list = ledger.servers()?;
        naming::warn(&list, None);
        let extras = ledger.extras()?.unwrap_or_else(file::empty_extras);
        ledger.pins()?.into_iter().for_each(|(server, known)| pins.set(&server, known));
        let (file_tenancy, mut made) = (Tenancy::clone(&keys.tenancy()), ledger.made()?);
        let owed = PendingRevocations::open(&settings.data_dir);
        owed.take_away(&mut made);
        let root = settings.config_root.unwrap_or_else(|| settings.data_dir.clone());
        let mut registry = Registry {
            ledger,
            confinement: Confinement { root, data_dir: settings.data_dir },
            allowed: settings.allowed,
            published: Arc::new(ArcSwap::from_pointee(list)),
            extras,
            instance,
            keys: keys.clone(),
            owed,
            file_tenancy,
            made: CreatedRecords::default(),
            pins: pins.clone(),
            reserved: HashSet::new(),
            announce: None,
        };
        if let Err(error) = registry.clean_frame() {
            tracing::error!(%error, "what an earlier version kept of a servers file is still in the store; tried again at the next start");
        }
        registry.govern(made);
        let (ledger, owed) = (&mut registry.ledger, &registry.owed);
        // A key that only a wrong clock has expired is no reason to make another.
        let believed = unix_time::from_seconds(clock::believed());
        owner_key::load_keys(ledger, &registry.confinement.data_dir, keys, believed, owed)?;
        registry.store_pending_revocations();
        Ok(registry)
    }

    /// Returns the id of this installation: a UUID, made at the first start on the data directory.
    pub fn instance_id(&self) -> &Arc<str> {
        &self.instance.id
    }

    /// Reports whether a backup stands in for the store, so that changes are refused.
    pub fn stands_in(&mut self) -> bool {
        self.trouble().borrow().as_ref().is_some_and(|trouble| trouble.from_backup)
    }

    /// Returns the time of the first start on the data directory.
    pub fn created_at(&self) -> SystemTime {
        unix_time::from_millis(self.instance.created_at_ms)
    }

    /// Returns all servers as they are now.
    pub fn list(&self) -> Arc<ServerList> {
        self.published.load_full()
    }

    /// Adds a server. The same definition again (`docs/http-api.md`, M4.3) is no change; another one is
    /// [`Error::AlreadyExists`]. Members that are `null` count as absent.
    pub fn add(&mut self, name: &str, raw: Map<String, Value>) -> Result<(), Error> {
        let list = self.list();
        let raw = merge::without_nulls(raw);
        let mut problems: Vec<_> = check_name(name).err().into_iter().collect();
        let definition = match Definition::parse(raw) {
            Ok(definition) if problems.is_empty() => definition,
            parsed => {
                problems.extend(parsed.err().unwrap_or_default());
                return Err(Error::InvalidDefinition { problems });
            }
        };
        self.allowed.check(name, &definition)?;
        self.check_reserved([name].into_iter())?;
        if let Some(existing) = list.by_name(name) {
            let is_fit = existing.definition.problems().is_empty();
            let same = is_fit && merge::covered(definition.raw(), existing.definition.raw());
            return if same { Ok(()) } else { Err(Error::AlreadyExists { name: name.to_owned() }) };
        }
        let problems = naming::check_new(&list, name);
        if !problems.is_empty() {
            return Err(Error::InvalidDefinition { problems });
        }
        if list.entries().len() >= MAX_SERVERS {
            return Err(Error::InvalidDefinition { problems: vec![file::too_many()] });
        }
        self.check_plan(list.entries().len() + 1)?;
        let mut entries = list.entries().to_vec();
        let entry = with_stamp(|stamp| stamp.entry(name, definition, Origin::Api, list.next_position()));
        entries.push(Arc::new(entry));
        self.commit(entries, Vec::new())
    }

    /// Replaces the given members of a server's definition, each as a whole (`docs/http-api.md`, M4.4). A
    /// member that is `null` is not given. Nothing is written when nothing changes.
    pub fn update(&mut self, name: &str, members: Map<String, Value>) -> Result<(), Error> {
        let list = self.list();
        let Some(existing) = list.by_name(name) else {
            return Err(Error::ServerNotFound { name: name.to_owned() });
        };
        // Problems of members that the change leaves as they are remain.
        let left: Vec<_> =
            existing.definition.problems().iter().filter(|problem| !gives(&members, problem)).collect();
        if !left.is_empty() {
            return Err(Error::InvalidDefinition { problems: left.into_iter().cloned().collect() });
        }
        let Some(raw) = merge::with_members(existing.definition.raw(), members) else {
            return Ok(());
        };
        let definition = Definition::parse(raw).map_err(|problems| Error::InvalidDefinition { problems })?;
        self.allowed.check(name, &definition)?;
        let mut entries = list.entries().to_vec();
        with_stamp(|stamp| {
            merge::replace(&mut entries, name, |entry| stamp.redefined_by_api(entry, definition))
        });
        self.commit(entries, Vec::new())
    }

    /// Removes a server. Added again under the same name, it is another server with another id.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let list = self.list();
        if list.by_name(name).is_none() {
            return Err(Error::ServerNotFound { name: name.to_owned() });
        }
        let others = list.entries().iter().filter(|entry| *entry.name != *name).cloned().collect();
        self.commit(others, Vec::new())
    }

    /// Replaces all servers by those of a file, all or nothing (`docs/http-api.md`, M7.4). A server of the same
    /// name stays the same server; one whose definition means the same keeps its times too. Returns the
    /// changes.
    pub fn import(&mut self, path: &str, reach: Reach) -> Result<Applied, Error> {
        let content = self.confinement.read(path, reach)?;
        let file = ServersFile::parse(path, &content)?;
        let wanted = file.definitions()?;
        let problems = naming::check_import(&self.list(), wanted.iter().map(|(name, _)| name.as_str()));
        if !problems.is_empty() {
            return Err(Error::InvalidDefinition { problems: file::not_too_many(problems) });
        }
        for (name, definition) in &wanted {
            self.allowed.check(name, definition)?;
        }
        self.check_reserved(wanted.iter().map(|(name, _)| name.as_str()))?;
        let before = self.list();
        let entries = with_stamp(|stamp| merge::after_import(&before, wanted, stamp));
        self.check_plan(entries.len())?;
        self.commit_with_extras(entries, Vec::new(), file.extras())?;
        Ok(difference(&before, &self.list()))
    }

    /// Returns an error if `count` is more servers than the plan allows and more than there are now. Servers
    /// files, which are the operator's own, may already have made more than the plan allows.
    fn check_plan(&self, count: usize) -> Result<(), Error> {
        let most = self.keys.tenancy().organization.plan.max_mcps;
        match most {
            Some(limit) if count as u64 > limit && count > self.list().entries().len() => {
                Err(Error::LimitReached { resource: "mcps", limit })
            }
            _ => Ok(()),
        }
    }

    /// Writes all servers to a file (`docs/http-api.md`, M7.3), mode 0600.
    pub fn export(&mut self, path: &str, reach: Reach) -> Result<(), Error> {
        let text = self.servers_file()?;
        self.confinement.write(path, text.as_bytes(), reach)
    }

    /// Returns the text of a servers file with all servers: what [`Registry::export`] writes.
    fn servers_file(&self) -> Result<String, Error> {
        file::render(&self.extras, &self.list())
    }

    /// Returns a backup of everything that is configured now.
    fn snapshot(&mut self) -> Result<Backup, Error> {
        self.ledger.durable().snapshot().map_err(stored)
    }

    /// Applies a servers file: does what it added, changed and dropped since it was last applied, all or
    /// nothing. Servers that it did not make are left alone, unless it newly asks for their name. An entry that
    /// cannot be used, or has a reserved name, is quarantined and affects no other. Only the entries are kept, since a file of another
    /// program may have anything beside them. If a file no longer has servers, none is removed at first sight,
    /// see [`ServersFile::seen`].
    ///
    /// `file_id` tells files apart: the canonical path.
    pub fn apply_file(&mut self, file_id: &str, file: &ServersFile) -> Result<Applied, Error> {
        let wanted = self.without_reserved(file.quarantining()?);
        let list = self.list();
        let last = self.ledger.last_applied(file_id).map_err(stored)?;
        if let Some(version) = file.doubtful()
            && !last.servers.is_empty()
            && last.emptied.as_deref().is_none_or(|first| first == version)
        {
            return self.wait_for_a_second_word(file_id, last, version);
        }
        let steps = merge::three_way(file_id, &last.servers, &last.unfit, &wanted, &list);
        let applied = report(file_id, &steps);
        if list.entries().len() + applied.added.len() - applied.removed.len() > MAX_SERVERS {
            return Err(Error::InvalidDefinition { problems: vec![file::too_many()] });
        }
        let entries = with_stamp(|stamp| merge::after_steps(&list, steps, &file_id.into(), stamp));
        let mut batch = Vec::new();
        let unfit = wanted.iter().filter(|(_, definition)| !definition.problems().is_empty());
        let unfit: Vec<String> = unfit.map(|(name, _)| name.clone()).collect();
        if *last.servers != *file.servers() || last.unfit != unfit || last.emptied.is_some() {
            let now = LastApplied { servers: Cow::Borrowed(file.servers()), unfit, emptied: None };
            batch.push(registry_store::put_applied(file_id, &now).map_err(stored)?);
        }
        self.commit(entries, batch)?;
        naming::warn(&self.list(), Some(&applied.added));
        Ok(applied)
    }

    /// Keeps the servers of a file that no longer has any, until the file is seen in another version without
    /// servers, or somebody has it applied.
    fn wait_for_a_second_word(
        &mut self,
        file_id: &str,
        last: LastApplied<'_>,
        version: &str,
    ) -> Result<Applied, Error> {
        tracing::error!(
            file = file_id,
            servers = last.servers.len(),
            "the servers file has no servers any more: those it had go on; SIGHUP, or another version of it \
             without servers, removes them"
        );
        if last.emptied.is_none() {
            let seen = LastApplied { emptied: Some(version.to_owned()), ..last };
            let batch = vec![registry_store::put_applied(file_id, &seen).map_err(stored)?];
            self.commit(self.list().entries().to_vec(), batch)?;
        }
        Ok(Applied::default())
    }

    /// Removes from the store what an earlier version kept of servers files beside their entries: settings,
    /// accounts and histories of the programs that own the files. A mark tells apart what an import brought;
    /// earlier versions did not make the mark.
    fn clean_frame(&mut self) -> Result<(), StoreError> {
        if !file::has_extras(&self.extras) || self.ledger.extras_are_clean()? || !self.ledger.has_applied()? {
            return Ok(());
        }
        let members: Vec<String> =
            self.extras.keys().filter(|name| *name != file::SERVERS).cloned().collect();
        // Exports no longer have it, even if the store fails below.
        self.extras = file::empty_extras();
        let cleaned = vec![registry_store::put_extras(&self.extras)?, registry_store::put_clean()?];
        self.ledger.commit(cleaned)?;
        self.ledger.durable().begin_journal_anew()?;
        tracing::warn!(
            members = members.len(),
            first = members.first(),
            "took out of the store what an earlier version had kept of a servers file beside its servers: it \
             is not in the journal, in exports and in backups from now on; earlier backups, and free space in \
             the database, may still have it. What an import brought is gone with it: import that again"
        );
        Ok(())
    }

    /// Returns what servers announced in their last runs.
    pub fn catalog_cache(&self) -> Result<CatalogCache, Error> {
        self.ledger.catalog_cache().map_err(stored)
    }

    /// Stores what servers announced, and pins the tools of those whose tools were never seen. Servers that
    /// have been removed are skipped.
    pub fn remember(&mut self, told: &[CatalogUpdate]) -> Result<(), Error> {
        let list = self.list();
        let mut batch = Vec::new();
        let mut first_seen = Vec::new();
        for told in told {
            let Some(entry) = list.by_id(&told.server) else { continue };
            if let Some(pins) = self.compare_pins(entry, &told.remembered.catalog) {
                batch.push(registry_store::put_pins(&entry.id, &pins).map_err(stored)?);
                first_seen.push((entry.id.clone(), pins));
            }
            let memory = StoredCatalog::new(&entry.definition, &told.remembered);
            let op = registry_store::put_cached_catalog(&told.server, &memory).map_err(stored)?;
            if !self.ledger.is_done(&op).map_err(stored)? {
                batch.push(op);
            }
        }
        if !batch.is_empty() {
            self.ledger.commit(batch).map_err(stored)?;
        }
        first_seen.into_iter().for_each(|(server, pins)| self.pins.set(&server, pins));
        Ok(())
    }

    /// Commits `entries` together with `extras`, the members that surround the servers in an exported file.
    fn commit_with_extras(
        &mut self,
        entries: Vec<Arc<ServerEntry>>,
        mut batch: Vec<Op>,
        extras: &Map<String, Value>,
    ) -> Result<(), Error> {
        // Compared as text, since the order of members is kept too.
        let changed = merge::written(extras) != merge::written(&self.extras);
        if changed {
            batch.push(registry_store::put_extras(extras).map_err(stored)?);
            batch.push(registry_store::put_clean().map_err(stored)?);
        }
        self.commit(entries, batch)?;
        if changed {
            self.extras = extras.clone();
        }
        Ok(())
    }

    /// Stores a new set of servers and `batch` in one go; then publishes and announces the set. Does nothing if
    /// there is no change; changes nothing if the store fails.
    fn commit(&mut self, entries: Vec<Arc<ServerEntry>>, mut batch: Vec<Op>) -> Result<(), Error> {
        let servers = registry_store::servers_changed(&self.published.load(), &entries).map_err(stored)?;
        let set_changed = !servers.is_empty();
        batch.extend(servers);
        if batch.is_empty() {
            return Ok(());
        }
        self.ledger.commit(batch).map_err(stored)?;
        if set_changed {
            let list = Arc::new(ServerList::new(entries));
            self.pins.retain(|server| list.by_id(server).is_some());
            self.publish(list);
        }
        Ok(())
    }

    fn publish(&self, list: Arc<ServerList>) {
        self.published.store(list.clone());
        if let Some(announce) = &self.announce {
            announce(&list);
        }
    }

    /// Calls `announce` now with the set as it is, and from now on after each change.
    fn announce_to(&mut self, announce: Announce) {
        announce(&self.list());
        self.announce = Some(announce);
    }

    /// Returns a receiver that follows whether changes can be stored; its value is `None` while they can.
    pub(crate) fn trouble(&mut self) -> watch::Receiver<Option<StoreDegraded>> {
        self.ledger.durable().trouble()
    }

    /// Does the work that no caller waits for: the backup of what has changed.
    pub(crate) fn run_maintenance(&mut self) {
        self.ledger.durable().run_maintenance();
    }

    /// Checks whether changes can be stored again. If the store then has other records than the backup that
    /// stood in for it, adopts them.
    pub(crate) fn probe(&mut self) -> Result<(), Error> {
        self.owed.hold();
        if self.ledger.durable().probe().map_err(stored)? {
            tracing::warn!("the store has other servers or keys than what stood in for it; these count now");
            self.extras = self.ledger.extras().map_err(stored)?.unwrap_or_else(file::empty_extras);
            let mut keys = self.ledger.keys().map_err(stored)?;
            self.owed.apply(&mut keys);
            self.keys.replace(keys);
            self.govern(self.stored_made()?);
            for (server, known) in self.ledger.pins().map_err(stored)? {
                self.pins.set(&server, known);
            }
            self.publish(Arc::new(self.ledger.servers().map_err(stored)?));
        }
        Ok(())
    }

    /// Stores what is owed, flushes the store and backs it up, at the end.
    pub(crate) fn shut_down(&mut self) -> Result<(), Error> {
        self.store_pending_revocations();
        let settled = self.ledger.durable().rollback_pending().map_err(stored);
        self.ledger.durable().back_up();
        settled
    }
}

/// Reports whether a change gives a value for the member that a problem is about.
fn gives(members: &Map<String, Value>, problem: &Problem) -> bool {
    let member = problem.path.split(['.', '[']).next().unwrap_or_default();
    members.get(member).is_some_and(|value| !value.is_null())
}

/// Returns the names in the steps, for the caller and the log; logs a warning for a server that changes hands.
fn report(file: &str, steps: &[Step]) -> Applied {
    let mut applied = Applied::default();
    for step in steps {
        match step {
            Step::Add { name, .. } => applied.added.push(name.clone()),
            Step::Change { name, .. } => applied.changed.push(name.clone()),
            Step::TakeOver { name, .. } => {
                tracing::warn!(server = %name, file, "the servers file replaces a definition that it did not make");
                applied.taken_over.push(name.clone());
            }
            Step::Remove { name } => applied.removed.push(name.clone()),
        }
    }
    applied
}

/// Returns the names of the servers that differ between two sets.
fn difference(before: &ServerList, after: &ServerList) -> Applied {
    let mut applied = Applied::default();
    for entry in after.entries() {
        match before.by_name(&entry.name) {
            None => applied.added.push(entry.name.to_string()),
            Some(old) if old.definition != entry.definition => applied.changed.push(entry.name.to_string()),
            Some(_) => {}
        }
    }
    let gone = before.entries().iter().filter(|entry| after.by_name(&entry.name).is_none());
    applied.removed.extend(gone.map(|entry| entry.name.to_string()));
    applied
}

fn stored(error: StoreError) -> Error {
    Error::Store { reason: error.cause() }
}

fn with_stamp<T>(make: impl FnOnce(&mut ChangeContext<'_>) -> T) -> T {
    let mut new_id = || format!("mcp_{}", uuid::Uuid::now_v7().simple()).into();
    make(&mut ChangeContext { now: now(), new_id: &mut new_id })
}

/// Returns the current time, cut to the precision that is stored.
fn now() -> SystemTime {
    registry_store::to_stored_precision(clock::wall_clock())
}
