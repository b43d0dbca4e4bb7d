//! Queue of connections that wait for a place. Each address has a line of its own, so that the cost of a newcomer
//! depends on how many addresses wait and not on how many connections. Pure.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Waiting connections, in one line per address; see the module.
#[derive(Debug)]
pub(in crate::http) struct Queue<T> {
    /// Waiting connections of each address, each with a number: a lower one has come earlier.
    lines: HashMap<IpAddr, VecDeque<(u64, T)>>,
    len: usize,
    next: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { lines: HashMap::new(), len: 0, next: 0 }
    }
}

impl<T> Queue<T> {
    /// Returns the number of waiting connections.
    pub(in crate::http) fn len(&self) -> usize {
        self.len
    }

    /// Adds a connection at the end of its address's line.
    pub(in crate::http) fn push(&mut self, address: IpAddr, item: T) {
        self.lines.entry(address).or_default().push_back((self.next, item));
        self.next += 1;
        self.len += 1;
    }

    /// Takes out the next to get a place: of the address that holds the fewest, the first of those that are
    /// wanted. An address that holds `most` gets no further one. `None` if no connection qualifies.
    pub(in crate::http) fn pop(
        &mut self,
        held: impl Fn(IpAddr) -> usize,
        most: usize,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Option<(IpAddr, T)> {
        let first = |(address, line): (&IpAddr, &VecDeque<(u64, T)>)| {
            let held = Some(held(*address)).filter(|held| *held < most)?;
            let index = line.iter().position(|(_, item)| is_wanted(item))?;
            Some((held, line[index].0, *address, index))
        };
        let (.., address, index) = self.lines.iter().filter_map(first).min()?;
        Some((address, self.remove(address, index)?))
    }

    /// Takes out the one that goes when there are too many: the last of the address that has the most waiting; of
    /// those that have as many, of the one that holds the most places; and among equals the latest to come. The
    /// first from an address without a place goes only for its equals.
    pub(in crate::http) fn turn_away(&mut self, held: impl Fn(IpAddr) -> usize) -> Option<T> {
        // Most are outdone by the first number alone, and then the places that they hold are not looked up.
        let mut worst: Option<(usize, usize, u64, IpAddr)> = None;
        for (address, line) in &self.lines {
            if worst.is_some_and(|(longest, ..)| line.len() < longest) {
                continue;
            }
            let last = line.back().map_or(0, |(number, _)| *number);
            worst = worst.max(Some((line.len(), held(*address), last, *address)));
        }
        let (length, .., address) = worst?;
        self.remove(address, length - 1)
    }

    /// Reports whether an address has more than `length` waiting.
    pub(in crate::http) fn has_longer(&self, length: usize) -> bool {
        self.lines.values().any(|line| line.len() > length)
    }

    /// Returns the address of each waiting connection, in the order in which they get places: an address that
    /// holds fewer is first.
    pub(in crate::http) fn in_order(&self, held: impl Fn(IpAddr) -> usize) -> Vec<IpAddr> {
        let of_line = |(address, line): (&IpAddr, &VecDeque<(u64, T)>)| {
            let (address, held) = (*address, held(*address));
            line.iter().map(move |(number, _)| (held, *number, address)).collect::<Vec<_>>()
        };
        let mut all: Vec<(usize, u64, IpAddr)> = self.lines.iter().flat_map(of_line).collect();
        all.sort_unstable();
        all.into_iter().map(|(.., address)| address).collect()
    }

    /// Iterates over all waiting connections, in no particular order.
    pub(in crate::http) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.lines.values_mut().flatten().map(|(_, item)| item)
    }

    fn remove(&mut self, address: IpAddr, index: usize) -> Option<T> {
        let line = self.lines.get_mut(&address)?;
        let (_, item) = line.remove(index)?;
        if line.is_empty() {
            self.lines.remove(&address);
        }
        self.len -= 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    fn queue(waiting: &[u8]) -> Queue<usize> {
        let mut queue = Queue::default();
        waiting.iter().enumerate().for_each(|(index, number)| queue.push(address(*number), index));
        queue
    }

    #[test]
    fn who_has_the_fewest_is_next() {
        let held = |of: IpAddr| if of == address(1) { 3 } else { usize::from(of == address(2)) };
        let next = |waiting: &[u8], most| queue(waiting).pop(held, most, |_| true);
        assert_eq!(next(&[1, 1, 2, 3, 2], 3), Some((address(3), 3)));
        assert_eq!(next(&[1, 1, 2], 3), Some((address(2), 2)));
        assert_eq!(next(&[1, 1], 3), None);
        assert_eq!(next(&[1, 1], 4), Some((address(1), 0)), "of its own, who has come first");
        assert_eq!(next(&[9, 8], 4), Some((address(9), 0)), "and of those who hold as many");
        assert_eq!(queue(&[1, 3, 2, 1]).pop(held, 9, |index| index % 3 == 0), Some((address(1), 0)));
        let waiting = queue(&[1, 2, 1, 3]).in_order(held);
        assert_eq!(waiting, [3, 2, 1, 1].map(address));
    }

    #[test]
    fn who_has_the_most_waiting_is_turned_away_and_then_who_holds_the_most() {
        let turned_away =
            |waiting: &[u8], holds: u8| queue(waiting).turn_away(|of| usize::from(of == address(holds)) * 7);
        assert_eq!(turned_away(&[1, 1, 2, 3, 2], 9), Some(4), "of equals, who has come last");
        assert_eq!(turned_away(&[1, 1, 2, 3], 3), Some(1), "however much another one holds");
        assert_eq!(turned_away(&[1, 2, 3], 2), Some(1), "and not the newcomer, which holds nothing");
        assert_eq!(turned_away(&[1, 2, 3], 9), Some(2));
        assert_eq!(turned_away(&[], 9), None);
        assert!(queue(&[1, 2, 1]).has_longer(1) && !queue(&[1, 2, 1]).has_longer(2));
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_is_what_going_through_all_of_them_says(
            steps in proptest::collection::vec((0u8..3, 0u8..6, 0usize..5), 0..80),
            holds in proptest::collection::vec(0usize..4, 6),
        ) {
            let held = |of: IpAddr| match of {
                IpAddr::V4(v4) => holds[usize::from(v4.octets()[3])],
                IpAddr::V6(_) => 0,
            };
            let (mut queue, mut all) = (Queue::default(), Vec::<(IpAddr, usize)>::new());
            for (number, (what, who, most)) in steps.into_iter().enumerate() {
                let line = |of: IpAddr| all.iter().filter(|(address, _)| *address == of).count();
                match what {
                    0 => {
                        queue.push(address(who), number);
                        all.push((address(who), number));
                    }
                    1 => {
                        let may = |(address, number): &(IpAddr, usize)| {
                            held(*address) < most && number % 2 == usize::from(who) % 2
                        };
                        let next = all.iter().copied().filter(may).min_by_key(|one| (held(one.0), one.1));
                        let popped = queue.pop(held, most, |number| number % 2 == usize::from(who) % 2);
                        prop_assert_eq!(popped, next);
                        all.retain(|one| Some(*one) != next);
                    }
                    _ => {
                        prop_assert_eq!(queue.has_longer(most), all.iter().any(|one| line(one.0) > most));
                        let gone = all.iter().copied().max_by_key(|one| (line(one.0), held(one.0), one.1));
                        prop_assert_eq!(queue.turn_away(held), gone.map(|(_, number)| number));
                        // A lone connection of an address that holds nothing goes for none that has more.
                        if let Some((of, _)) = gone {
                            let worst = (line(of), held(of));
                            prop_assert!(all.iter().all(|one| (line(one.0), held(one.0)) <= worst));
                        }
                        all.retain(|one| Some(*one) != gone);
                    }
                }
                prop_assert_eq!(queue.len(), all.len());
                prop_assert_eq!(queue.iter_mut().count(), all.len());
            }
            let mut order = all.clone();
            order.sort_by_key(|one| (held(one.0), one.1));
            prop_assert_eq!(queue.in_order(held), order.into_iter().map(|one| one.0).collect::<Vec<_>>());
        }
    }
}
