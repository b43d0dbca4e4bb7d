//! Thread of the registry and handle to it: changes are jobs on a bounded queue, done one after the other; the
//! set of servers is read without a request to the thread.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use super::catalog_cache::CatalogUpdate;
use super::error::Error;
use super::file::ServersFile;
use super::list::{ServerEntry, ServerList};
use super::{Announce, Applied, Reach, Registry, Reloaded, Revocation, Revoke};
use crate::access::{KeyChange, NewKey, NewKeySpec, Principal, Right, Tenancy};
use crate::clock;
use crate::pins::Approval;
use crate::store::{Backup, StoreDegraded};
use crate::upstream::Catalog;

/// Maximum number of changes that wait. Further callers wait for a place, each within its own request.
const QUEUE: usize = 64;
/// Time between checks whether a failed store works again; callers who change something make it check, too.
const RECOVER_EVERY: Duration = Duration::from_secs(5);

/// Thread that ends with the result of the last flush.
type Thread = JoinHandle<Result<(), Error>>;
type Job = Box<dyn FnOnce(&mut Registry) + Send>;

enum Message {
    Job(Job),
    Close,
}

/// Handle to the registry. Cheap to clone.
///
/// A change whose future is dropped before its turn is not made; one that has begun is finished.
#[derive(Clone)]
pub struct RegistryHandle {
    jobs: mpsc::Sender<Message>,
    published: Arc<ArcSwap<ServerList>>,
    instance_id: Arc<str>,
    created_at: SystemTime,
    trouble: watch::Receiver<Option<StoreDegraded>>,
    fleeting: Arc<AtomicUsize>,
    closing: Arc<AtomicBool>,
    /// Thread of the registry; `None` after the first [`RegistryHandle::close`].
    thread: Arc<Mutex<Option<Thread>>>,
}

impl Registry {
    /// Starts the thread `registry`. `announce` is called on it: once now with the set as it is,
    /// then after every change of the set and before the change is acknowledged. It must not wait
    /// for the registry.
    pub fn start(mut self, announce: Announce) -> Result<RegistryHandle, Error> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let published = self.published.clone();
        let (instance_id, created_at) = (self.instance_id().clone(), self.created_at());
        let (trouble, fleeting) = (self.trouble(), self.owed.fleeting());
        let thread = thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || {
                self.announce_to(announce);
                run(self, queue)
            })
            .map_err(|error| Error::Internal {
                reason: format!("the registry's thread did not start: {error}"),
            })?;
        Ok(RegistryHandle {
            jobs,
            published,
            instance_id,
            created_at,
            trouble,
            fleeting,
            closing: Arc::default(),
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }
}

/// Does jobs until the registry is closed or no handle is left, then flushes.
fn run(mut registry: Registry, mut queue: mpsc::Receiver<Message>) -> Result<(), Error> {
    loop {
        if queue.is_empty() {
            registry.run_maintenance();
        }
        match queue.blocking_recv() {
            Some(Message::Job(job)) => {
                job(&mut registry);
                if registry.trouble().borrow().is_none() {
                    registry.store_pending_revocations();
                }
            }
            Some(Message::Close) | None => break,
        }
    }
    registry.shut_down()
}

impl RegistryHandle {
    /// Returns all servers as they are now. Takes no lock.
    pub fn list(&self) -> Arc<ServerList> {
        self.published.load_full()
    }

    /// Returns the server of this id or exact name; an id wins over a name. Takes no lock.
    pub fn server(&self, id_or_name: &str) -> Option<Arc<ServerEntry>> {
        self.published.load().get(id_or_name).cloned()
    }

    /// Returns the id of this installation: a UUID, made at the first start on the data directory.
    pub fn instance_id(&self) -> &Arc<str> {
        &self.instance_id
    }

    /// Returns the time of the first start on the data directory.
    pub fn created_at(&self) -> SystemTime {
        self.created_at
    }

    /// Runs [`Registry::create_key`] on the registry's thread.
    pub async fn create_key(&self, caller: &Principal, wish: NewKeySpec) -> Result<NewKey, Error> {
        self.ask_as(caller, Right::Member, move |registry, maker| registry.create_key(maker, wish)).await
    }

    /// Runs [`Registry::revoke_key`] on the registry's thread.
    pub async fn revoke_key(&self, caller: &Principal, id: &str, what: Revoke) -> Result<Revocation, Error> {
        let id = id.to_owned();
        self.ask_as(caller, Right::Member, move |registry, caller| registry.revoke_key(caller, &id, what))
            .await
    }

    /// Runs [`Registry::amend_key`] on the registry's thread.
    pub async fn amend_key(&self, caller: &Principal, id: &str, change: KeyChange) -> Result<(), Error> {
        let id = id.to_owned();
        self.ask_as(caller, Right::Member, move |registry, caller| registry.amend_key(caller, &id, &change))
            .await
    }

    /// Runs [`Registry::rotate_key`] on the registry's thread.
    pub async fn rotate_key(&self, caller: &Principal, id: &str, grace: u64) -> Result<NewKey, Error> {
        let id = id.to_owned();
        self.ask_as(caller, Right::Member, move |registry, caller| registry.rotate_key(caller, &id, grace))
            .await
    }

    /// Returns a backup of everything that is configured now, if the caller may read all of it.
    pub(crate) async fn snapshot(&self, caller: &Principal) -> Result<Backup, Error> {
        self.ask_as(caller, Right::ReadAll, |registry, _| registry.snapshot()).await
    }

    /// Returns the text of a servers file with all servers as they were defined, if the caller may read all of it.
    pub(crate) async fn servers_file(&self, caller: &Principal) -> Result<String, Error> {
        self.ask_as(caller, Right::ReadAll, |registry, _| registry.servers_file()).await
    }

    /// Runs one of the changes of members and plans of [`Registry`] on its thread, if the caller may administer.
    pub(crate) async fn govern<T: Send + 'static>(
        &self,
        caller: &Principal,
        change: impl FnOnce(&mut Registry, &Principal) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.ask_as(caller, Right::Administer, change).await
    }

    /// Runs [`Registry::reload_tenancy`] on the registry's thread.
    pub(crate) async fn reload_tenancy(&self, tenancy: Tenancy) -> Result<Reloaded, Error> {
        self.ask(move |registry| Ok(registry.reload_tenancy(tenancy))).await
    }

    /// Returns the reason why changes cannot be stored now; `None` while they can.
    pub fn trouble(&self) -> Option<StoreDegraded> {
        self.trouble.borrow().clone()
    }

    /// Returns the number of revocations in force that an end of the daemon would forget.
    pub fn fleeting_revocations(&self) -> usize {
        self.fleeting.load(Ordering::Relaxed)
    }

    /// Checks at intervals whether changes can be stored again while they cannot. Ends with the registry.
    pub(crate) async fn recover(self) {
        let mut trouble = self.trouble.clone();
        while trouble.wait_for(Option::is_some).await.is_ok() {
            tokio::time::sleep(RECOVER_EVERY).await;
            if self.trouble().is_some() && self.ask(Registry::probe).await.is_err() && self.jobs.is_closed() {
                return;
            }
        }
    }

    /// Runs [`Registry::add`] on the registry's thread.
    pub async fn add(&self, caller: &Principal, name: &str, raw: Map<String, Value>) -> Result<(), Error> {
        let name = name.to_owned();
        self.ask_as(caller, Right::DefineServers, move |registry, _| registry.add(&name, raw)).await
    }

    /// Runs [`Registry::update`] on the registry's thread.
    pub async fn update(
        &self,
        caller: &Principal,
        name: &str,
        members: Map<String, Value>,
    ) -> Result<(), Error> {
        let name = name.to_owned();
        self.ask_as(caller, Right::DefineServers, move |registry, _| registry.update(&name, members)).await
    }

    /// Runs [`Registry::remove`] on the registry's thread.
    pub async fn remove(&self, caller: &Principal, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.ask_as(caller, Right::DefineServers, move |registry, _| registry.remove(&name)).await
    }

    /// Runs [`Registry::import`] on the registry's thread.
    pub async fn import(&self, caller: &Principal, path: &str) -> Result<Applied, Error> {
        let (path, reach) = (path.to_owned(), Reach::of(caller));
        self.ask_as(caller, Right::DefineServers, move |registry, _| registry.import(&path, reach)).await
    }

    /// Runs [`Registry::export`] on the registry's thread.
    pub async fn export(&self, caller: &Principal, path: &str) -> Result<(), Error> {
        let (path, reach) = (path.to_owned(), Reach::of(caller));
        self.ask_as(caller, Right::DefineServers, move |registry, _| registry.export(&path, reach)).await
    }

    /// Runs [`Registry::apply_file`] on the registry's thread.
    pub async fn apply_file(&self, file_id: &str, file: ServersFile) -> Result<Applied, Error> {
        let file_id = file_id.to_owned();
        self.ask(move |registry| registry.apply_file(&file_id, &file)).await
    }

    /// Runs [`Registry::reserve`] on the registry's thread.
    pub async fn reserve(&self, names: HashSet<Arc<str>>) -> Result<(), Error> {
        self.ask(move |registry| registry.reserve(names)).await
    }

    /// Runs [`Registry::approve_tools`] on the registry's thread.
    pub async fn approve_tools(
        &self,
        caller: &Principal,
        server: &Arc<str>,
        announced: Arc<Catalog>,
        approval: Approval,
        by: Arc<str>,
    ) -> Result<(), Error> {
        let server = server.clone();
        self.ask_as(caller, Right::DefineServers, move |registry, _| {
            registry.approve_tools(&server, &announced, &approval, &by)
        })
        .await
    }

    /// Runs [`Registry::remember`] on the registry's thread.
    pub async fn remember(&self, told: Vec<CatalogUpdate>) -> Result<(), Error> {
        self.ask(move |registry| registry.remember(&told)).await
    }

    /// Ends the registry: finishes earlier requests, flushes the store and joins the thread. Later requests get
    /// [`Error::ShuttingDown`]. A second call does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        self.closing.store(true, Ordering::SeqCst);
        // The thread may have ended already; the join below returns its result.
        let _ = self.jobs.send(Message::Close).await;
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        match joined {
            Ok(Ok(flushed)) => flushed,
            Ok(Err(_)) | Err(_) => {
                Err(Error::Internal { reason: "the registry's thread panicked".to_owned() })
            }
        }
    }

    /// Waits until the thread has ended, asked or not. If it was not asked, it panicked, and the set of servers
    /// cannot change any more.
    pub async fn ended(&self) {
        self.jobs.closed().await;
    }

    /// Runs a job for a caller. At its turn it is refused if the caller is no longer accepted or no longer has
    /// the right.
    async fn ask_as<T: Send + 'static>(
        &self,
        caller: &Principal,
        right: Right,
        job: impl FnOnce(&mut Registry, &Principal) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let caller = caller.clone();
        self.ask(move |registry| {
            let caller = caller.present(clock::now)?;
            caller.require(right)?;
            job(registry, &caller)
        })
        .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Registry) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |registry| {
            if !reply.is_closed() {
                // The caller may have gone in the meantime; the change is made all the same.
                let _ = reply.send(job(registry));
            }
        });
        self.jobs.send(Message::Job(job)).await.map_err(|_| self.gone())?;
        answer.await.map_err(|_| self.gone())?
    }

    fn gone(&self) -> Error {
        if self.closing.load(Ordering::SeqCst) {
            return Error::ShuttingDown;
        }
        Error::Internal { reason: "the registry's thread has ended".to_owned() }
    }
}
