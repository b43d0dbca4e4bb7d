//! Connections that are served and those that wait for a place: carries out on sockets what `places` decides.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

use crate::http::server::places::{
    Places, RESERVE, ServedConnection, counted_for, few, own_turns, who_leaves,
};
use crate::http::server::queue::Queue;
use crate::http::server::state::{ConnectionState, Timeouts};

/// Interval in which connections that can make room are looked for while others wait.
const LOOK: Duration = Duration::from_millis(20);
/// Time for which newcomers stay in the kernel's queue while all waiting ones come from addresses that have only
/// a few waiting: there they are served in the order in which they came, and none is lost. After that time they
/// are accepted all the same, because a probe that asks whether the daemon is there may be among them.
const KEPT_OUT: Duration = Duration::from_secs(1);
/// Time that a connection on a place of the reserve has for its head.
const PROBE_HEAD: Duration = Duration::from_secs(1);
/// Beginnings of the requests that the reserve is for.
const PROBES: [&[u8]; 2] = [b"GET /healthz ", b"GET /readyz "];
/// Length of the longest beginning in [`PROBES`], in bytes.
const PROBE_BYTES: usize = 13;

/// A connection that was accepted and is not served yet.
struct PendingConnection {
    stream: TcpStream,
    peer: SocketAddr,
    /// `true` for a probe; `None` until its first bytes are there.
    is_probe: Option<bool>,
}

/// A connection that is to be served now.
pub(in crate::http) struct AdmittedConnection {
    pub(in crate::http) stream: TcpStream,
    pub(in crate::http) peer: SocketAddr,
    pub(in crate::http) watch: Arc<ConnectionState>,
    /// Place of the connection, to be dropped when it has ended.
    pub(in crate::http) seat: ConnectionSlot,
}

/// Counts of the places that are held.
#[derive(Debug, Default)]
struct HeldSlots {
    by_address: Mutex<HashMap<IpAddr, usize>>,
    reserve: AtomicUsize,
}

impl HeldSlots {
    fn counts(&self) -> Counts<'_> {
        Counts(self.by_address.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Locked counts of the places that each address holds.
struct Counts<'a>(MutexGuard<'a, HashMap<IpAddr, usize>>);

impl Counts<'_> {
    fn of(&self, address: IpAddr) -> usize {
        self.0.get(&address).copied().unwrap_or_default()
    }
}

/// A place that is held; free again when dropped.
#[derive(Debug)]
pub(in crate::http) struct ConnectionSlot {
    held: Arc<HeldSlots>,
    address: IpAddr,
    /// `true` if it is one of the reserve, and ends with its first answer.
    pub(in crate::http) is_reserve: bool,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if self.is_reserve {
            self.held.reserve.fetch_sub(1, Relaxed);
            return;
        }
        let mut held = self.held.counts().0;
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

/// Connections of one listener, served and waiting; see the module.
pub(in crate::http) struct Room {
    places: Places,
    patience: Timeouts,
    /// `true` if the first bytes of a connection can be looked at before it is served.
    is_plain: bool,
    held: Arc<HeldSlots>,
    waiting: Queue<PendingConnection>,
    /// `true` if a probe that the reserve is for may be waiting.
    may_be_probed: bool,
    watches: ConnectionStates,
    next_look: Instant,
    /// Time since when the queue is full and no address has many in it; `None` if that is not so.
    shut_since: Option<Instant>,
}

impl Room {
    /// Creates an empty one. `is_plain` says that connections are not encrypted.
    pub(in crate::http) fn new(places: Places, patience: Timeouts, is_plain: bool) -> Room {
        Room {
            places,
            patience,
            is_plain,
            held: Arc::default(),
            waiting: Queue::default(),
            may_be_probed: false,
            watches: ConnectionStates::default(),
            next_look: Instant::now(),
            shut_since: None,
        }
    }

    /// Reports whether a further connection is to be accepted. It is as long as an address has many that wait: a
    /// client in the kernel's queue must not stand in one line with a flood.
    pub(in crate::http) fn takes_more(&mut self) -> bool {
        let most = self.most_waiting();
        if self.waiting.len() < most || self.waiting.has_longer(few(most)) {
            self.shut_since = None;
            return true;
        }
        self.shut_since.get_or_insert_with(Instant::now).elapsed() >= KEPT_OUT
    }

    /// Takes in a connection that was accepted. If too many wait now, one of them is turned away.
    pub(in crate::http) fn arrive(&mut self, stream: TcpStream, peer: SocketAddr) {
        let newcomer = PendingConnection { stream, peer, is_probe: (!self.is_plain).then_some(false) };
        self.waiting.push(counted_for(peer.ip()), newcomer);
        if self.waiting.len() > self.most_waiting() {
            let held = self.held.counts();
            let turned_away = self.waiting.turn_away(|address| held.of(address));
            drop(held);
            if let Some(PendingConnection { stream, .. }) = turned_away {
                // Reset: of very many of them the kernel would remember each for a minute.
                drop(stream.set_zero_linger());
            }
        }
    }

    fn most_waiting(&self) -> usize {
        self.places.waiting.max(1)
    }

    /// Returns the next connection to be served while `open` are served, those on places of the reserve included.
    /// `None` if no place is free.
    pub(in crate::http) fn enter(&mut self, open: usize) -> Option<AdmittedConnection> {
        if !self.is_crowded() {
            return None;
        }
        let reserve = self.held.reserve.load(Relaxed);
        if open.saturating_sub(reserve) < self.places.all
            && let Some((address, newcomer)) = self.next(self.places.per_address, |_| true)
        {
            return Some(self.seat(address, newcomer, false));
        }
        if reserve >= RESERVE || !self.may_be_probed {
            return None;
        }
        let probe = self.next(usize::MAX, |newcomer| newcomer.is_probe == Some(true));
        self.may_be_probed = probe.is_some();
        probe.map(|(address, newcomer)| self.seat(address, newcomer, true))
    }

    fn next(
        &mut self,
        most: usize,
        is_wanted: impl Fn(&PendingConnection) -> bool,
    ) -> Option<(IpAddr, PendingConnection)> {
        let held = self.held.counts();
        self.waiting.pop(|address| held.of(address), most, is_wanted)
    }

    fn seat(&mut self, address: IpAddr, newcomer: PendingConnection, is_reserve: bool) -> AdmittedConnection {
        let mut patience = self.patience;
        if is_reserve {
            self.held.reserve.fetch_add(1, Relaxed);
            patience.head = patience.head.min(PROBE_HEAD);
        } else {
            *self.held.counts().0.entry(address).or_default() += 1;
        }
        // Started here, so that a handshake takes its time from that of the first head.
        let watch = Arc::new(ConnectionState::new(patience));
        if !is_reserve {
            self.watches.add(address, &watch);
        }
        let seat = ConnectionSlot { held: Arc::clone(&self.held), address, is_reserve };
        AdmittedConnection { stream: newcomer.stream, peer: newcomer.peer, watch, seat }
    }

    /// Reports whether a connection waits for a place.
    pub(in crate::http) fn is_crowded(&self) -> bool {
        self.waiting.len() > 0
    }

    /// Waits until it is time to look for connections that can make room. Cancel safe.
    pub(in crate::http) async fn until_look(&self) {
        sleep_until(self.next_look).await;
    }

    /// Makes others leave for the waiting ones, if it is time for it. Returns `true` if it was: a connection may
    /// enter then.
    pub(in crate::http) async fn make_room(&mut self) -> bool {
        if Instant::now() < self.next_look {
            return false;
        }
        self.look_for_probes().await;
        let held = self.held.counts();
        let waiting = self.waiting.in_order(|address| held.of(address));
        drop(held);
        self.send_away(&waiting);
        // Counted from now, however long it took: others have their turn in between.
        self.next_look = Instant::now() + LOOK;
        true
    }

    /// Makes one connection leave, because there is no descriptor for another one.
    pub(in crate::http) fn make_room_for_anybody(&mut self) {
        // An address without connections holds fewer than any other.
        self.send_away(&[IpAddr::from([0, 0, 0, 0])]);
    }

    fn send_away(&mut self, waiting: &[IpAddr]) {
        self.watches.forget_ended();
        let open: Vec<(IpAddr, Arc<ConnectionState>)> = self.watches.living().collect();
        // Connections that were told already will make room soon.
        let told = open.iter().filter(|(_, watch)| watch.is_leaving()).count();
        let waiting = &waiting[told.min(waiting.len())..];
        let holders: Vec<ServedConnection> = open
            .iter()
            .map(|(address, watch)| ServedConnection { address: *address, standing: watch.standing() })
            .collect();
        let most = self.places.per_address;
        for index in who_leaves(&holders, waiting, most, own_turns(most), Instant::now()) {
            open[index].1.make_room();
        }
    }

    /// Looks at the first bytes of the waiting connections, each once, and only at bytes that have arrived. Runs
    /// unconstrained: tokio's budget after which a task yields is smaller than their number.
    async fn look_for_probes(&mut self) {
        unconstrained(poll_fn(|cx| {
            for newcomer in self.waiting.iter_mut().filter(|newcomer| newcomer.is_probe.is_none()) {
                let mut bytes = [0; PROBE_BYTES];
                let mut buffer = ReadBuf::new(&mut bytes);
                if newcomer.stream.poll_peek(cx, &mut buffer).is_ready() {
                    let begun = buffer.filled();
                    let is_probe = PROBES.iter().any(|probe| begun.starts_with(probe));
                    newcomer.is_probe = Some(is_probe);
                    self.may_be_probed |= is_probe;
                }
            }
            Poll::Ready(())
        }))
        .await;
    }
}

/// Watches of the open connections. A watch that has ended takes its memory until it is forgotten here.
#[derive(Default)]
struct ConnectionStates(Vec<(IpAddr, Weak<ConnectionState>)>);

impl ConnectionStates {
    /// Adds one; now and then forgets those that have ended, so that each costs the same.
    fn add(&mut self, address: IpAddr, watch: &Arc<ConnectionState>) {
        if self.0.len() == self.0.capacity() {
            self.forget_ended();
            // Half of the capacity is free afterwards, however many there are.
            self.0.reserve(self.0.len().max(16));
        }
        self.0.push((address, Arc::downgrade(watch)));
    }

    fn forget_ended(&mut self) {
        self.0.retain(|(_, watch)| watch.strong_count() > 0);
    }

    fn living(&self) -> impl Iterator<Item = (IpAddr, Arc<ConnectionState>)> {
        self.0.iter().filter_map(|(address, watch)| Some((*address, watch.upgrade()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_have_ended_are_forgotten_while_new_ones_come() {
        let patience = Timeouts { head: LOOK, idle: LOOK, write: LOOK };
        let here = IpAddr::from([127, 0, 0, 1]);
        let mut watches = ConnectionStates::default();
        let open: Vec<Arc<ConnectionState>> =
            (0..100).map(|_| Arc::new(ConnectionState::new(patience))).collect();
        open.iter().for_each(|watch| watches.add(here, watch));
        for _ in 0..10_000 {
            watches.add(here, &Arc::new(ConnectionState::new(patience)));
        }
        assert_eq!(watches.living().count(), open.len());
        assert!(watches.0.len() <= 400, "{} are remembered", watches.0.len());
    }
}
