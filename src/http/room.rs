//! The connections that there are and those that wait to be served: what `places` decides, done to
//! sockets.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::connection::{Patience, Watch};
use super::places::{Holder, Places, RESERVE, counted_for, next_in, turned_away, who_leaves};

/// While somebody waits, it is looked this often at who can make room.
const LOOK: Duration = Duration::from_millis(20);
/// For so long those who find no room to wait in stay in the kernel's queue. If it is full for longer, they
/// are let in one by one, because others may be among them.
const KEPT_OUT: Duration = Duration::from_secs(1);
/// How long whoever was given a place of the reserve has for its head.
const PROBE_HEAD: Duration = Duration::from_secs(1);
/// How the requests begin that the reserve is for.
const PROBES: [&[u8]; 2] = [b"GET /healthz ", b"GET /readyz "];
/// The longest of them.
const PROBE_BYTES: usize = 13;

/// A connection that was accepted and is not served yet.
struct Newcomer {
    stream: TcpStream,
    peer: SocketAddr,
    /// What it asks for: known once its first bytes are there.
    is_probe: Option<bool>,
}

impl Newcomer {
    fn address(&self) -> IpAddr {
        counted_for(self.peer.ip())
    }
}

/// A connection that is to be served now.
pub(super) struct Entering {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) watch: Arc<Watch>,
    /// To be dropped when the connection has ended.
    pub(super) seat: Seat,
}

/// Who holds how many places.
#[derive(Debug, Default)]
struct Held {
    by_address: Mutex<HashMap<IpAddr, usize>>,
    reserve: AtomicUsize,
}

impl Held {
    fn of(&self, address: IpAddr) -> usize {
        let held = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&address).copied().unwrap_or_default()
    }
}

/// A place that is held; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    held: Arc<Held>,
    address: IpAddr,
    /// It is one of the reserve, and ends with its first answer.
    pub(super) is_reserve: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_reserve {
            self.held.reserve.fetch_sub(1, Relaxed);
            return;
        }
        let mut held = self.held.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

/// See the module.
pub(super) struct Room {
    places: Places,
    patience: Patience,
    /// Whether the first bytes of a connection can be looked at before it is served.
    is_plain: bool,
    held: Arc<Held>,
    waiting: VecDeque<Newcomer>,
    watches: Watches,
    next_look: Instant,
    /// Since when as many wait as may.
    full_since: Option<Instant>,
}

impl Room {
    /// An empty one. `is_plain` says that connections are not encrypted.
    pub(super) fn new(places: Places, patience: Patience, is_plain: bool) -> Room {
        Room {
            places,
            patience,
            is_plain,
            held: Arc::default(),
            waiting: VecDeque::new(),
            watches: Watches::default(),
            next_look: Instant::now(),
            full_since: None,
        }
    }

    /// Whether a further connection is to be accepted.
    pub(super) fn takes_more(&mut self) -> bool {
        if self.waiting.len() < self.places.waiting.max(1) {
            self.full_since = None;
            return true;
        }
        self.full_since.get_or_insert_with(Instant::now).elapsed() >= KEPT_OUT
    }

    /// Takes in a connection that was accepted. Of too many that wait, the address with the most of them
    /// loses its last.
    pub(super) fn arrive(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.waiting.push_back(Newcomer { stream, peer, is_probe: (!self.is_plain).then_some(false) });
        if self.waiting.len() > self.places.waiting.max(1) {
            let waiting: Vec<IpAddr> = self.waiting.iter().map(Newcomer::address).collect();
            if let Some(index) = turned_away(&waiting) {
                self.waiting.remove(index);
            }
        }
    }

    /// The next that is to be served, while there are so many: the places of the reserve count among them.
    pub(super) fn enter(&mut self, open: usize) -> Option<Entering> {
        if self.waiting.is_empty() {
            return None;
        }
        let reserve = self.held.reserve.load(Relaxed);
        if open.saturating_sub(reserve) < self.places.all {
            let waiting = self.waiting.iter().map(Newcomer::address);
            let next = match self.waiting.len() {
                // The usual one: nobody else waits.
                1 => (self.held.of(self.waiting[0].address()) < self.places.per_address).then_some(0),
                _ => next_in(waiting, |address| self.held.of(address), self.places.per_address),
            };
            if let Some(newcomer) = next.and_then(|index| self.waiting.remove(index)) {
                return Some(self.seat(newcomer, false));
            }
        }
        if reserve >= RESERVE {
            return None;
        }
        let probe = self.waiting.iter().position(|newcomer| newcomer.is_probe == Some(true))?;
        let newcomer = self.waiting.remove(probe)?;
        Some(self.seat(newcomer, true))
    }

    fn seat(&mut self, newcomer: Newcomer, is_reserve: bool) -> Entering {
        let (address, mut patience) = (newcomer.address(), self.patience);
        if is_reserve {
            self.held.reserve.fetch_add(1, Relaxed);
            patience.head = patience.head.min(PROBE_HEAD);
        } else {
            let mut held = self.held.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            *held.entry(address).or_default() += 1;
        }
        // From here on, so that a handshake takes its time from that of the first head.
        let watch = Arc::new(Watch::new(patience));
        if !is_reserve {
            self.watches.add(address, &watch);
        }
        let seat = Seat { held: Arc::clone(&self.held), address, is_reserve };
        Entering { stream: newcomer.stream, peer: newcomer.peer, watch, seat }
    }

    /// Whether anybody waits for a place.
    pub(super) fn is_crowded(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has others make room for those who wait, as often as is worth it. Ends when something was looked at
    /// that may let somebody in. Cancel safe.
    pub(super) async fn make_room(&mut self) {
        sleep_until(self.next_look).await;
        self.next_look = Instant::now() + LOOK;
        self.look_for_probes().await;
        let mut waiting: Vec<(usize, IpAddr)> = self
            .waiting
            .iter()
            .map(|newcomer| (self.held.of(newcomer.address()), newcomer.address()))
            .collect();
        waiting.sort_by_key(|(held, _)| *held);
        let waiting: Vec<IpAddr> = waiting.into_iter().map(|(_, address)| address).collect();
        self.send_away(&waiting);
    }

    /// Has one connection go, because there is no descriptor for another one.
    pub(super) fn make_room_for_anybody(&mut self) {
        // Nobody has fewer than one who is not there.
        self.send_away(&[IpAddr::from([0, 0, 0, 0])]);
    }

    fn send_away(&mut self, waiting: &[IpAddr]) {
        self.watches.forget_ended();
        let open: Vec<(IpAddr, Arc<Watch>)> = self.watches.living().collect();
        // Those who were told already will have made room in a moment.
        let told = open.iter().filter(|(_, watch)| watch.is_leaving()).count();
        let waiting = &waiting[told.min(waiting.len())..];
        let holders: Vec<Holder> = open
            .iter()
            .map(|(address, watch)| Holder { address: *address, standing: watch.standing() })
            .collect();
        for index in who_leaves(&holders, waiting, self.places.per_address, Instant::now()) {
            open[index].1.make_room();
        }
    }

    /// Looks at the first bytes of those who wait, each once, and only those that are there.
    async fn look_for_probes(&mut self) {
        poll_fn(|cx| {
            for newcomer in self.waiting.iter_mut().filter(|newcomer| newcomer.is_probe.is_none()) {
                let mut bytes = [0; PROBE_BYTES];
                let mut buffer = ReadBuf::new(&mut bytes);
                if newcomer.stream.poll_peek(cx, &mut buffer).is_ready() {
                    let begun = buffer.filled();
                    newcomer.is_probe = Some(PROBES.iter().any(|probe| begun.starts_with(probe)));
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// The watches of the connections that there are. A watch that has ended takes its memory until it is
/// forgotten here.
#[derive(Default)]
struct Watches(Vec<(IpAddr, Weak<Watch>)>);

impl Watches {
    /// Adds one; now and then forgets those that have ended, so that each costs the same.
    fn add(&mut self, address: IpAddr, watch: &Arc<Watch>) {
        if self.0.len() == self.0.capacity() {
            self.forget_ended();
            // Half of the room is free afterwards, however many there are.
            self.0.reserve(self.0.len().max(16));
        }
        self.0.push((address, Arc::downgrade(watch)));
    }

    fn forget_ended(&mut self) {
        self.0.retain(|(_, watch)| watch.strong_count() > 0);
    }

    fn living(&self) -> impl Iterator<Item = (IpAddr, Arc<Watch>)> {
        self.0.iter().filter_map(|(address, watch)| Some((*address, watch.upgrade()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_have_ended_are_forgotten_while_new_ones_come() {
        let patience = Patience { head: LOOK, idle: LOOK, write: LOOK };
        let here = IpAddr::from([127, 0, 0, 1]);
        let mut watches = Watches::default();
        let open: Vec<Arc<Watch>> = (0..100).map(|_| Arc::new(Watch::new(patience))).collect();
        open.iter().for_each(|watch| watches.add(here, watch));
        for _ in 0..10_000 {
            watches.add(here, &Arc::new(Watch::new(patience)));
        }
        assert_eq!(watches.living().count(), open.len());
        assert!(watches.0.len() <= 400, "{} are remembered", watches.0.len());
    }
}
