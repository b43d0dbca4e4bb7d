//! The directory: server id to handle. Written by the supervisor, read by every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::policy::Policy;
use super::status::{State, Status};
use crate::child::{Catalog, Counters, Link, StderrRing};

/// A server's handle: where its calls go, how it is, what it announced.
pub struct ServerHandle {
    id: Arc<str>,
    name: Arc<str>,
    link: ArcSwapOption<Link>,
    status: watch::Sender<Arc<Status>>,
    catalog: Arc<ArcSwap<Catalog>>,
    counters: Arc<Counters>,
    log: StderrRing,
    admission: ArcSwap<Admission>,
    leaving: ArcSwapOption<Leaving>,
}

/// Why a server is about to be no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It was removed.
    Removed,
    /// The daemon stops.
    Shutdown,
}

impl ServerHandle {
    fn new(id: Arc<str>, name: Arc<str>, policy: &Policy) -> ServerHandle {
        let status = Status {
            state: State::Idle,
            since: SystemTime::now(),
            incarnation: 0,
            restarts: 0,
            pid: None,
            introduction: None,
            last_exit: None,
            last_stderr: Arc::new([]),
        };
        ServerHandle {
            id,
            name,
            link: ArcSwapOption::empty(),
            status: watch::Sender::new(Arc::new(status)),
            catalog: Arc::default(),
            counters: Arc::default(),
            log: StderrRing::default(),
            admission: ArcSwap::from_pointee(Admission::new(policy)),
            leaving: ArcSwapOption::empty(),
        }
    }

    /// The server's id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The server's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where calls go now; `None` while no child is ready.
    pub fn link(&self) -> Option<Arc<Link>> {
        self.link.load_full()
    }

    /// How the server is now.
    pub fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Follows how the server is.
    pub fn watch(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    /// The last good lists.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// What its children did beside answering calls.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// What its children wrote on stderr lately.
    pub fn log(&self) -> &StderrRing {
        &self.log
    }

    /// Whether and why the server is about to be no more.
    pub fn leaving(&self) -> Option<Leaving> {
        self.leaving.load().as_deref().copied()
    }

    pub(super) fn leave(&self, leaving: Leaving) {
        self.leaving.store(Some(Arc::new(leaving)));
    }

    /// How many calls are admitted now.
    pub fn in_flight(&self) -> usize {
        self.admission.load().in_flight()
    }

    /// Admits a call, or says why not. The permit is the call's place: it is free again when the
    /// permit is dropped.
    pub async fn admit(&self, deadline: Instant) -> Result<CallPermit, NotAdmitted> {
        let admission = self.admission.load_full();
        admission.admit(deadline).await
    }

    pub(super) fn catalog_slot(&self) -> Arc<ArcSwap<Catalog>> {
        self.catalog.clone()
    }

    pub(super) fn set_policy(&self, policy: &Policy) {
        self.admission.store(Arc::new(Admission::new(policy)));
    }

    pub(super) fn set_link(&self, link: Option<Link>) {
        self.link.store(link.map(Arc::new));
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| change(Arc::make_mut(status)));
    }
}

/// A call's place among those that a server may have in flight.
pub struct CallPermit {
    _permit: OwnedSemaphorePermit,
}

/// Why a call was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The queue is as long as it may be.
    QueueFull,
    /// It waited in the queue as long as a call may.
    TooOld,
}

/// A bounded, timed queue before a bounded number of places.
struct Admission {
    places: Arc<Semaphore>,
    size: usize,
    queued: AtomicUsize,
    queue: usize,
    age: Duration,
}

impl Admission {
    fn new(policy: &Policy) -> Admission {
        Admission {
            places: Arc::new(Semaphore::new(policy.max_in_flight)),
            size: policy.max_in_flight,
            queued: AtomicUsize::new(0),
            queue: policy.queue,
            age: policy.queue_age,
        }
    }

    fn in_flight(&self) -> usize {
        self.size - self.places.available_permits()
    }

    async fn admit(&self, deadline: Instant) -> Result<CallPermit, NotAdmitted> {
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok(CallPermit { _permit: permit });
        }
        let place = QueuePlace(&self.queued);
        if self.queued.fetch_add(1, Ordering::Relaxed) >= self.queue {
            return Err(NotAdmitted::QueueFull);
        }
        let until = (Instant::now() + self.age).min(deadline);
        let permit = tokio::time::timeout_at(until.into(), self.places.clone().acquire_owned()).await;
        drop(place);
        match permit {
            Ok(Ok(permit)) => Ok(CallPermit { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(NotAdmitted::TooOld),
        }
    }
}

/// Counts down when a caller leaves the queue, whichever way.
struct QueuePlace<'a>(&'a AtomicUsize);

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All servers by id. Cheap to clone. No guard of the map is ever held across an await.
#[derive(Clone, Default)]
pub struct Directory(Arc<DashMap<Arc<str>, Arc<ServerHandle>>>);

impl Directory {
    /// The handle of the server with this id.
    pub fn get(&self, id: &str) -> Option<Arc<ServerHandle>> {
        self.0.get(id).map(|entry| entry.value().clone())
    }

    /// All handles, in no order.
    pub fn all(&self) -> Vec<Arc<ServerHandle>> {
        self.0.iter().map(|entry| entry.value().clone()).collect()
    }

    /// The handle of a server, made now if there is none.
    pub(super) fn ensure(&self, id: &Arc<str>, name: &Arc<str>, policy: &Policy) -> Arc<ServerHandle> {
        let make = || Arc::new(ServerHandle::new(id.clone(), name.clone(), policy));
        self.0.entry(id.clone()).or_insert_with(make).clone()
    }

    pub(super) fn remove(&self, id: &str) {
        self.0.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(places: usize, queue: usize) -> Arc<Admission> {
        Arc::new(Admission::new(&Policy { max_in_flight: places, queue, ..Policy::default() }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once_and_an_old_place_after_its_age() {
        let far = Instant::now() + Duration::from_secs(3600);
        let admission = admission(1, 1);
        let held = admission.admit(far).await.ok();
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.admit(far).await.err() }
        });
        tokio::task::yield_now().await;
        assert_eq!(admission.admit(far).await.err(), Some(NotAdmitted::QueueFull));
        assert_eq!(waiting.await.unwrap(), Some(NotAdmitted::TooOld));
        assert_eq!(admission.in_flight(), 1);
        drop(held);
        assert_eq!((admission.in_flight(), admission.queued.load(Ordering::Relaxed)), (0, 0));
        assert!(admission.admit(far).await.is_ok());
    }
}
