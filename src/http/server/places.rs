//! Limits on connections, and the choice of those that make room for waiting ones. Pure: counts, what each
//! connection does and the time in; decisions out. Places are shared by address, as the places of a server are by
//! key: an address that holds many makes room for one that holds fewer, and never for one that holds more.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::server::state::EvictionClass;

/// Time for which a connection keeps its place whatever it does: the first request of a new one is on its way.
pub(in crate::http) const MIN_HELD: Duration = Duration::from_millis(500);
/// The same time for a connection whose client reads slowly.
const MIN_HELD_UNREAD: Duration = Duration::from_secs(2);

/// Number of looks in which an address may replace each of its places by a waiting connection of its own. An
/// address that comes back at once whenever it is closed would otherwise have each place served anew every half
/// second, and that is not worth the time which connections of other addresses wait meanwhile.
const OWN_TURN: usize = 100;

/// Returns the number of its own connections that an address may replace by its own at one look.
pub(in crate::http) fn own_turns(per_address: usize) -> usize {
    (per_address / OWN_TURN).max(1)
}

/// Number of waiting connections up to which an address cannot be told from one that means no harm.
const FEW: usize = 4;

/// Returns the number of waiting connections that an address must exceed for others to be accepted when `most`
/// wait already: one of its own is turned away then, and not the newcomer.
pub(in crate::http) fn few(most: usize) -> usize {
    FEW.min(most / 2)
}

/// Limits on the connections of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Connections served at once.
    pub all: usize,
    /// Connections served at once from one address (of IPv6: one /64).
    pub per_address: usize,
    /// Connections accepted, and waiting for a place.
    pub waiting: usize,
}

/// Returns the address that the connections of this peer are counted for. A host has as many IPv6 addresses as it
/// likes; it was given a /64.
pub(in crate::http) fn counted_for(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

/// A connection that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct ServedConnection {
    /// The address that the connection is counted for.
    pub(in crate::http) address: IpAddr,
    /// A state in which the connection can make room for others, and the time since when; `None` if it cannot.
    pub(in crate::http) standing: Option<(EvictionClass, Instant)>,
}

impl ServedConnection {
    fn may_go(&self, now: Instant) -> Option<(EvictionClass, Instant)> {
        let (standing, since) = self.standing?;
        let least = if standing == EvictionClass::Unread { MIN_HELD_UNREAD } else { MIN_HELD };
        (now.duration_since(since) >= least).then_some((standing, since))
    }
}

/// Chooses the connections that end so that the waiting ones, in their order, get a place: at most one for each,
/// of the address that holds the most, and of that address the least loss: idle ones, unfinished heads,
/// unfinished bodies, unread answers, the longest first. No address loses more than `own` to itself.
pub(in crate::http) fn who_leaves(
    open: &[ServedConnection],
    waiting: &[IpAddr],
    per_address: usize,
    own: usize,
    now: Instant,
) -> Vec<usize> {
    let mut shares = Shares::of(open, now);
    let mut turns: HashMap<IpAddr, usize> = HashMap::new();
    let mut leaving = Vec::new();
    for newcomer in waiting {
        let victim = shares.first_for(*newcomer, per_address);
        let turns = turns.entry(*newcomer).or_default();
        if victim == *newcomer && *turns >= own {
            continue;
        }
        let Some(index) = shares.take_from(victim) else { continue };
        *turns += usize::from(victim == *newcomer);
        leaving.push(index);
        shares.give(*newcomer);
    }
    leaving
}

/// Number of places of an address, the state it would lose least, the time since when, and the address: the
/// greatest makes room first.
type Rank = (usize, Reverse<EvictionClass>, Reverse<Instant>, IpAddr);

/// Places that each address holds, and those that it may lose.
struct Shares {
    held: HashMap<IpAddr, usize>,
    /// Connections that may go, the least loss last.
    candidates: HashMap<IpAddr, Vec<(EvictionClass, Instant, usize)>>,
    /// A rank for each address that has a connection that may go.
    ranks: BTreeSet<Rank>,
}

impl Shares {
    fn of(open: &[ServedConnection], now: Instant) -> Shares {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        let mut candidates: HashMap<IpAddr, Vec<(EvictionClass, Instant, usize)>> = HashMap::new();
        for (index, holder) in open.iter().enumerate() {
            *held.entry(holder.address).or_default() += 1;
            if let Some((standing, since)) = holder.may_go(now) {
                candidates.entry(holder.address).or_default().push((standing, since, index));
            }
        }
        candidates.values_mut().for_each(|own| own.sort_unstable_by_key(|candidate| Reverse(*candidate)));
        let mut shares = Shares { held, candidates, ranks: BTreeSet::new() };
        shares.ranks = shares.candidates.keys().filter_map(|address| shares.rank(*address)).collect();
        shares
    }

    fn held(&self, address: IpAddr) -> usize {
        self.held.get(&address).copied().unwrap_or_default()
    }

    fn rank(&self, address: IpAddr) -> Option<Rank> {
        let (standing, since, _) = *self.candidates.get(&address)?.last()?;
        Some((self.held(address), Reverse(standing), Reverse(since), address))
    }

    /// Returns the address that makes room for a newcomer; the newcomer's own if no other has to.
    fn first_for(&self, newcomer: IpAddr, per_address: usize) -> IpAddr {
        let own = self.held(newcomer);
        // All others hold fewer than the first, or have more to lose: if that one need not go, only the
        // newcomer's own address can.
        let first = self.ranks.last().filter(|(held, Reverse(standing), ..)| {
            own < per_address && (*held > own || *held == own && *standing == EvictionClass::Idle)
        });
        first.map_or(newcomer, |(.., address)| *address)
    }

    /// Takes from an address the connection that it loses least. `None` if none may go.
    fn take_from(&mut self, address: IpAddr) -> Option<usize> {
        let before = self.rank(address)?;
        let (.., index) = self.candidates.get_mut(&address)?.pop()?;
        *self.held.entry(address).or_default() -= 1;
        self.ranks.remove(&before);
        self.ranks.extend(self.rank(address));
        Some(index)
    }

    /// Counts one more place for an address.
    fn give(&mut self, address: IpAddr) {
        let before = self.rank(address);
        *self.held.entry(address).or_default() += 1;
        if let Some(before) = before {
            self.ranks.remove(&before);
            self.ranks.extend(self.rank(address));
        }
    }
}

/// Returns the limits on connections for a limit on open files, if `wanted` connections are asked for and
/// `others` files are needed for everything else: the wanted limits, or a share of the available files.
pub fn places_within(limit: Option<u64>, others: u64, wanted: Places) -> Places {
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let Some(limit) = limit else { return wanted };
    // With very few files, half of them are for connections all the same.
    let room = whole(limit.saturating_sub(others).max(limit / 2)).saturating_sub(RESERVE);
    let (all, waiting) = match wanted.all.saturating_add(wanted.waiting) <= room {
        true => (wanted.all, wanted.waiting),
        false => {
            let waiting = wanted.waiting.min(room / 4).max(1);
            (wanted.all.min(room.saturating_sub(waiting)).max(1), waiting)
        }
    };
    let share = wanted.per_address.min(all);
    let share =
        if all < wanted.all && wanted.per_address < wanted.all { share_of(all).min(share) } else { share };
    Places { all, per_address: share, waiting }
}

/// Returns the places that one address may hold by default: three quarters.
pub fn share_of(all: usize) -> usize {
    all - all / 4
}

/// Places beyond all others, for probes that ask whether the daemon is there.
pub(in crate::http) const RESERVE: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    fn holder(number: u8, standing: Option<(EvictionClass, u64)>, now: Instant) -> ServedConnection {
        let standing = standing.map(|(standing, ms)| (standing, now - Duration::from_millis(ms)));
        ServedConnection { address: address(number), standing }
    }

    #[test]
    fn idle_ones_go_before_heads_and_heads_before_bodies_the_longest_first() {
        let now = Instant::now() + Duration::from_secs(60);
        use EvictionClass::{Body, Head, Idle, Unread};
        let open = [
            (Some((Body, 9000))),
            (Some((Head, 1000))),
            (Some((Head, 2000))),
            (Some((Idle, 600))),
            (Some((Idle, 499))),
            None,
            (Some((Unread, 1999))),
            (Some((Unread, 2000))),
        ]
        .map(|standing| holder(1, standing, now));
        let leaving = who_leaves(&open, &[address(1); 9], 100, 9, now);
        assert_eq!(leaving, [3, 2, 1, 0, 7], "and nobody who has just come or is being served");
    }

    #[test]
    fn whoever_has_many_makes_room_and_never_for_one_who_has_more() {
        let now = Instant::now() + Duration::from_secs(60);
        let head = Some((EvictionClass::Head, 1000));
        let mut open: Vec<ServedConnection> = (0..5).map(|_| holder(1, head, now)).collect();
        open.extend((0..2).map(|_| holder(2, head, now)));
        assert_eq!(who_leaves(&open, &[address(3)], 100, 1, now), [0]);
        assert!(who_leaves(&open[5..], &[address(1)], 100, 1, now).len() == 1, "it has none");
        // The attacker's own connections make room for its own, and never those of the address that has two.
        let leaving = who_leaves(&open, &[address(1); 20], 100, 20, now);
        assert!(leaving.iter().all(|index| *index < 5) && leaving.len() == 5, "{leaving:?}");
        // And no more of them at once than it may replace.
        assert_eq!(who_leaves(&open, &[1, 1, 3, 1, 1].map(address), 100, 2, now), [0, 1, 2]);
        // An address that has as many as it may gets no place of another.
        assert!(who_leaves(&open[..5], &[address(2), address(2)], 1, 2, now).len() == 1);
    }

    #[test]
    fn places_leave_descriptors_for_everything_else() {
        let wanted = Places { all: 1024, per_address: share_of(1024), waiting: 1024 };
        assert_eq!(places_within(None, 500, wanted), wanted);
        assert_eq!(places_within(Some(524_288), 500, wanted), wanted);
        let tight = places_within(Some(1024), 500, wanted);
        assert_eq!((tight.all, tight.waiting), (387, 129));
        assert_eq!(tight.per_address, share_of(387));
        let chosen = places_within(Some(1024), 500, Places { per_address: 1024, ..wanted });
        assert_eq!(chosen.per_address, 387, "who chose to have no share has none");
        for limit in [0, 8, 20, 64] {
            let least = places_within(Some(limit), 500, wanted);
            assert!(least.all >= 1 && least.per_address >= 1 && least.waiting >= 1, "{least:?}");
        }
    }

    #[test]
    fn addresses_are_counted_by_network() {
        let v6 = |text: &str| counted_for(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:192.0.2.1"), address(1));
    }

    /// Finds the connections that leave by looking at each address for each one that waits.
    fn who_leaves_slowly(
        open: &[ServedConnection],
        waiting: &[IpAddr],
        per_address: usize,
        own_turns: usize,
        now: Instant,
    ) -> Vec<usize> {
        let mut shares = Shares::of(open, now);
        let (mut leaving, mut turns) = (Vec::new(), HashMap::<IpAddr, usize>::new());
        for newcomer in waiting {
            let own = shares.held(*newcomer);
            let may_have = |(held, Reverse(standing), _, address): &Rank| {
                let others = own < per_address;
                address == newcomer
                    || others && (*held > own || *held == own && *standing == EvictionClass::Idle)
            };
            let ranks = shares.candidates.keys().filter_map(|address| shares.rank(*address));
            let Some((.., victim)) = ranks.filter(may_have).max() else { continue };
            let turns = turns.entry(*newcomer).or_default();
            if victim == *newcomer {
                *turns += 1;
                if *turns > own_turns {
                    continue;
                }
            }
            leaving.extend(shares.take_from(victim));
            shares.give(*newcomer);
        }
        leaving
    }

    proptest! {
        #[test]
        fn nobody_loses_a_place_to_somebody_who_has_more(
            open in proptest::collection::vec((0u8..6, proptest::option::of((0usize..4, 0u64..5000))), 0..60),
            waiting in proptest::collection::vec(0u8..8, 0..40),
            per_address in 1usize..20,
            own in 1usize..5,
        ) {
            let now = Instant::now() + Duration::from_secs(60);
            let all = [EvictionClass::Idle, EvictionClass::Head, EvictionClass::Body, EvictionClass::Unread];
            let open: Vec<ServedConnection> = open
                .into_iter()
                .map(|(number, standing)| holder(number, standing.map(|(which, ms)| (all[which], ms)), now))
                .collect();
            let waiting: Vec<IpAddr> = waiting.into_iter().map(address).collect();
            let leaving = who_leaves(&open, &waiting, per_address, own, now);
            prop_assert_eq!(&leaving, &who_leaves_slowly(&open, &waiting, per_address, own, now));
            prop_assert!(leaving.len() <= waiting.len());
            let distinct: std::collections::HashSet<usize> = leaving.iter().copied().collect();
            prop_assert_eq!(distinct.len(), leaving.len());
            prop_assert!(leaving.iter().all(|index| open[*index].may_go(now).is_some()));
            // An address that made room for others keeps at least as many as the others end with.
            let held = |of: IpAddr| open.iter().filter(|holder| holder.address == of).count();
            for index in &leaving {
                let victim = open[*index].address;
                let wanted_by_others = waiting.iter().any(|newcomer| *newcomer == victim || held(*newcomer) <= held(victim));
                prop_assert!(wanted_by_others);
            }
            // A newcomer without any place is served as long as an address with two or more has one that may go.
            if let Some(poor) = waiting.first().filter(|newcomer| held(**newcomer) == 0) {
                let rich = open.iter().any(|one| one.may_go(now).is_some() && one.address != *poor);
                prop_assert!(!rich || !leaving.is_empty());
            }
        }
    }
}
