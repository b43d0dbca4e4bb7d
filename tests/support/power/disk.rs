//! A disk that forgets, when the power is cut, what nobody asked it to keep. Pure: a map of files
//! in memory, the calls of a file system as functions, and faults at a seed's choice.
//!
//! What a disk owes is little, and this one gives no more: the content of a file as it was when
//! the file was last synced, and the names in a directory as they were when the *directory* was.
//! Syncing a new file does not keep its name. Whatever came later may be there after a cut, or not,
//! or in part: [`Cut`] says in which way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// The number of a file or directory.
pub(crate) type Node = u64;
/// The top directory.
pub(crate) const ROOT: Node = 1;
/// What a disk writes at once; a torn write ends at such a border, or in the middle.
const PAGE: usize = 4096;

const NOT_FOUND: i32 = 2;
const INPUT_OUTPUT: i32 = 5;
const EXISTS: i32 = 17;
const NOT_A_DIRECTORY: i32 = 20;
const IS_A_DIRECTORY: i32 = 21;
const NO_SPACE: i32 = 28;
const NOT_EMPTY: i32 = 39;

fn error<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

/// Numbers out of a seed, the same ones each time (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `times` throws.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// An index into something of this length, which is not 0.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }
}

/// What becomes of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All of it is gone.
    Strict,
    /// Of each file and each directory some of the first changes are there, the last one torn.
    Prefix,
    /// Of each file some pages are there and others are not, in no order; names as for a prefix.
    Pages,
}

impl Cut {
    /// One of them.
    pub(crate) fn any(dice: &mut Dice) -> Cut {
        [Cut::Strict, Cut::Prefix, Cut::Pages][dice.index(3)]
    }
}

/// An operation that changes something, as faults tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Name,
    Write,
    Sync,
}

/// A fault that is to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// After so many further operations.
    pub(crate) after: u64,
    /// For so many operations.
    pub(crate) lasts: u64,
    /// No room, or else an input/output error. For want of room nothing fails that takes none.
    pub(crate) full: bool,
}

#[derive(Debug, Clone)]
enum Change {
    At(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn make(&self, content: &mut Vec<u8>) {
        match self {
            Change::Length(length) => content.resize(*length, 0),
            Change::At(at, bytes) => {
                if content.len() < at + bytes.len() {
                    content.resize(at + bytes.len(), 0);
                }
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Naming {
    Set(String, Node),
    Gone(String),
    /// Within one directory a rename is there as a whole or not at all.
    Moved(String, String, Node),
}

impl Naming {
    fn make(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Naming::Set(name, node) => drop(names.insert(name.clone(), *node)),
            Naming::Gone(name) => drop(names.remove(name)),
            Naming::Moved(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

/// What something is now, what it is on the disk, and what lies between.
#[derive(Debug, Clone)]
struct State<T, C> {
    now: T,
    kept: T,
    since: Vec<C>,
}

impl<T: Clone + Default, C> State<T, C> {
    fn new() -> State<T, C> {
        State { now: T::default(), kept: T::default(), since: Vec::new() }
    }

    fn sync(&mut self, make: impl Fn(&C, &mut T)) {
        for change in self.since.drain(..) {
            make(&change, &mut self.kept);
        }
    }
}

#[derive(Debug, Clone)]
enum Kind {
    File(State<Vec<u8>, Change>),
    Directory(State<BTreeMap<String, Node>, Naming>),
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    nodes: BTreeMap<Node, Kind>,
    next: Node,
    fault: Option<Fault>,
    /// Whether the power is off: nothing works.
    off: bool,
    /// Operations that failed by a fault.
    pub(crate) failed: u64,
    /// What comes to be kept although its sync failed.
    pub(crate) luck: Dice,
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new() -> Disk {
        let nodes = BTreeMap::from([(ROOT, Kind::Directory(State::new()))]);
        Disk { nodes, next: ROOT + 1, fault: None, off: false, failed: 0, luck: Dice::new(0) }
    }

    /// Sets the fault that is to come, or none.
    pub(crate) fn plan(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// From here on nothing works, until the cut is over.
    pub(crate) fn power_off(&mut self) {
        self.off = true;
    }

    /// The power is on again, and nothing was lost: only the process had ended.
    pub(crate) fn power_on(&mut self) {
        (self.off, self.fault) = (false, None);
    }

    /// Forgets what was not synced, as `cut` says and the dice fall; the power is on again.
    pub(crate) fn cut(&mut self, cut: Cut, dice: &mut Dice) {
        (self.off, self.fault) = (false, None);
        for kind in self.nodes.values_mut() {
            match kind {
                Kind::File(state) => after_cut(state, cut, dice),
                Kind::Directory(state) => {
                    let whole = if cut == Cut::Strict { 0 } else { dice.index(state.since.len() + 1) };
                    state.since[..whole].iter().for_each(|naming| naming.make(&mut state.kept));
                    (state.now, state.since) = (state.kept.clone(), Vec::new());
                }
            }
        }
        let mut reached = BTreeSet::new();
        let mut open = vec![ROOT];
        while let Some(node) = open.pop() {
            if reached.insert(node)
                && let Some(Kind::Directory(state)) = self.nodes.get(&node)
            {
                open.extend(state.now.values());
            }
        }
        self.nodes.retain(|node, _| reached.contains(node));
    }

    fn allow(&mut self, act: Act, frees: bool) -> io::Result<()> {
        if self.off {
            return error(INPUT_OUTPUT);
        }
        let Some(fault) = &mut self.fault else { return Ok(()) };
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        if fault.lasts == 0 {
            self.fault = None;
            return Ok(());
        }
        fault.lasts -= 1;
        // A full disk has room for nothing new, and syncs what it has taken.
        if fault.full && (frees || act == Act::Sync) {
            return Ok(());
        }
        self.failed += 1;
        error(if fault.full { NO_SPACE } else { INPUT_OUTPUT })
    }

    fn directory(&mut self, node: Node) -> io::Result<&mut State<BTreeMap<String, Node>, Naming>> {
        match self.nodes.get_mut(&node) {
            Some(Kind::Directory(state)) => Ok(state),
            Some(Kind::File(_)) => error(NOT_A_DIRECTORY),
            None => error(NOT_FOUND),
        }
    }

    fn file(&mut self, node: Node) -> io::Result<&mut State<Vec<u8>, Change>> {
        match self.nodes.get_mut(&node) {
            Some(Kind::File(state)) => Ok(state),
            Some(Kind::Directory(_)) => error(IS_A_DIRECTORY),
            None => error(NOT_FOUND),
        }
    }

    fn name(&mut self, directory: Node, naming: Naming) -> io::Result<()> {
        let state = self.directory(directory)?;
        naming.make(&mut state.now);
        state.since.push(naming);
        Ok(())
    }

    /// The node of a name.
    pub(crate) fn lookup(&mut self, directory: Node, name: &str) -> io::Result<Node> {
        if self.off {
            return error(INPUT_OUTPUT);
        }
        self.directory(directory)?.now.get(name).copied().map_or_else(|| error(NOT_FOUND), Ok)
    }

    /// The node of a path below the top; parts divided by `/`.
    pub(crate) fn at(&mut self, path: &str) -> io::Result<Node> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(ROOT, |node, part| self.lookup(node, part))
    }

    /// Makes a file, or a directory, under a name that is free.
    pub(crate) fn make(&mut self, directory: Node, name: &str, is_file: bool) -> io::Result<Node> {
        if self.lookup(directory, name).is_ok() {
            return error(EXISTS);
        }
        self.allow(Act::Name, false)?;
        let node = self.next;
        self.next += 1;
        let kind = if is_file { Kind::File(State::new()) } else { Kind::Directory(State::new()) };
        self.nodes.insert(node, kind);
        self.name(directory, Naming::Set(name.to_owned(), node))?;
        Ok(node)
    }

    /// Takes a name away; of a directory only when it is empty.
    pub(crate) fn remove(&mut self, directory: Node, name: &str) -> io::Result<()> {
        let node = self.lookup(directory, name)?;
        if let Some(Kind::Directory(state)) = self.nodes.get(&node)
            && !state.now.is_empty()
        {
            return error(NOT_EMPTY);
        }
        self.allow(Act::Name, true)?;
        self.name(directory, Naming::Gone(name.to_owned()))
    }

    /// Gives something another name, in the place of what has it.
    pub(crate) fn rename(&mut self, from: (Node, &str), to: (Node, &str)) -> io::Result<()> {
        let node = self.lookup(from.0, from.1)?;
        self.directory(to.0)?;
        self.allow(Act::Name, true)?;
        if from.0 == to.0 {
            return self.name(from.0, Naming::Moved(from.1.to_owned(), to.1.to_owned(), node));
        }
        self.name(to.0, Naming::Set(to.1.to_owned(), node))?;
        self.name(from.0, Naming::Gone(from.1.to_owned()))
    }

    /// The names in a directory, with their nodes.
    pub(crate) fn list(&mut self, directory: Node) -> io::Result<Vec<(String, Node)>> {
        if self.off {
            return error(INPUT_OUTPUT);
        }
        Ok(self.directory(directory)?.now.iter().map(|(name, node)| (name.clone(), *node)).collect())
    }

    /// A file's length; `None` for a directory.
    pub(crate) fn length(&mut self, node: Node) -> io::Result<Option<usize>> {
        match self.nodes.get(&node) {
            _ if self.off => error(INPUT_OUTPUT),
            Some(Kind::File(state)) => Ok(Some(state.now.len())),
            Some(Kind::Directory(_)) => Ok(None),
            None => error(NOT_FOUND),
        }
    }

    /// So many bytes of a file, fewer at its end.
    pub(crate) fn read(&mut self, node: Node, at: usize, most: usize) -> io::Result<Vec<u8>> {
        if self.off {
            return error(INPUT_OUTPUT);
        }
        let content = &self.file(node)?.now;
        let begin = at.min(content.len());
        Ok(content[begin..at.saturating_add(most).min(content.len())].to_vec())
    }

    /// Writes into a file. One that fails by a fault has written half. What is written in place needs no room.
    pub(crate) fn write(&mut self, node: Node, at: usize, bytes: &[u8]) -> io::Result<()> {
        let in_place = self.length(node)?.is_some_and(|now| at + bytes.len() <= now);
        let allowed = self.allow(Act::Write, in_place);
        if self.off {
            return allowed;
        }
        let taken = if allowed.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        self.change(node, Change::At(at, taken.to_vec()))?;
        allowed
    }

    /// Cuts or stretches a file.
    pub(crate) fn set_length(&mut self, node: Node, length: usize) -> io::Result<()> {
        let shorter = self.length(node)?.is_some_and(|now| length <= now);
        self.allow(Act::Write, shorter)?;
        self.change(node, Change::Length(length))
    }

    fn change(&mut self, node: Node, change: Change) -> io::Result<()> {
        let state = self.file(node)?;
        change.make(&mut state.now);
        state.since.push(change);
        Ok(())
    }

    /// Keeps a file's content, or a directory's names. Where it fails, some of what was written since is kept
    /// and the rest never will be, although it is shown as before: so kernels do it, and a second try that
    /// says yes lies. Names are not dropped: a file system that cannot keep them is read-only from then on.
    pub(crate) fn sync(&mut self, node: Node) -> io::Result<()> {
        let allowed = self.allow(Act::Sync, false);
        match self.nodes.get_mut(&node) {
            _ if self.off => {}
            Some(Kind::File(state)) if allowed.is_ok() => state.sync(Change::make),
            Some(Kind::File(state)) => {
                state.since.retain(|_| self.luck.once_in(2));
                state.sync(Change::make);
            }
            Some(Kind::Directory(state)) if allowed.is_ok() => state.sync(Naming::make),
            Some(Kind::Directory(_)) => {}
            None => return error(NOT_FOUND),
        }
        allowed
    }
}

/// A file after a cut.
fn after_cut(state: &mut State<Vec<u8>, Change>, cut: Cut, dice: &mut Dice) {
    match cut {
        Cut::Strict => {}
        Cut::Prefix => {
            let whole = dice.index(state.since.len() + 1);
            state.since[..whole].iter().for_each(|change| change.make(&mut state.kept));
            if let Some(Change::At(at, bytes)) = state.since.get(whole) {
                let torn = dice.index(bytes.len() + 1);
                Change::At(*at, bytes[..torn].to_vec()).make(&mut state.kept);
            }
        }
        Cut::Pages => {
            for change in &state.since {
                match change {
                    Change::Length(_) => change.make(&mut state.kept),
                    Change::At(at, bytes) => {
                        // By the pages of the file, as they lie in the kernel's memory.
                        let mut from = 0;
                        while from < bytes.len() {
                            let end = (from + PAGE - (at + from) % PAGE).min(bytes.len());
                            if dice.once_in(2) {
                                Change::At(at + from, bytes[from..end].to_vec()).make(&mut state.kept);
                            }
                            from = end;
                        }
                    }
                }
            }
        }
    }
    (state.now, state.since) = (state.kept.clone(), Vec::new());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a synced and an unsynced part, under a name that is kept or not.
    fn written(keep_name: bool) -> (Disk, Node) {
        let mut disk = Disk::new();
        let node = disk.make(ROOT, "f", true).unwrap();
        disk.write(node, 0, b"kept").unwrap();
        disk.sync(node).unwrap();
        if keep_name {
            disk.sync(ROOT).unwrap();
        }
        disk.write(node, 4, b" and lost").unwrap();
        (disk, node)
    }

    #[test]
    fn a_strict_cut_leaves_what_was_synced_and_its_name_if_the_directory_was() {
        let mut dice = Dice::new(1);
        let (mut disk, node) = written(true);
        disk.cut(Cut::Strict, &mut dice);
        assert_eq!(disk.read(node, 0, 100).unwrap(), b"kept");
        let (mut disk, _) = written(false);
        disk.cut(Cut::Strict, &mut dice);
        assert_eq!(disk.lookup(ROOT, "f").unwrap_err().raw_os_error(), Some(NOT_FOUND));
    }

    #[test]
    fn other_cuts_leave_some_of_what_was_not_synced_and_all_of_what_was() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut dice = Dice::new(seed);
            let (mut disk, node) = written(true);
            let cut = if seed % 2 == 0 { Cut::Prefix } else { Cut::Pages };
            disk.cut(cut, &mut dice);
            let content = disk.read(node, 0, 100).unwrap();
            assert!(b"kept and lost".starts_with(&content) && content.starts_with(b"kept"));
            seen.insert(content.len());
        }
        assert!(seen.contains(&4) && seen.contains(&13) && seen.len() > 4, "{seen:?}");
    }

    #[test]
    fn a_rename_is_there_as_a_whole_or_not_at_all() {
        for seed in 0..50 {
            let (mut disk, node) = written(true);
            disk.rename((ROOT, "f"), (ROOT, "g")).unwrap();
            disk.cut(Cut::Prefix, &mut Dice::new(seed));
            let names: Vec<_> = disk.list(ROOT).unwrap();
            assert!(names == [("f".to_owned(), node)] || names == [("g".to_owned(), node)], "{names:?}");
        }
    }

    #[test]
    fn what_a_failed_sync_was_to_keep_is_shown_and_kept_then_or_never() {
        let mut seen = BTreeSet::new();
        for seed in 0..50 {
            let (mut disk, node) = written(true);
            disk.luck = Dice::new(seed);
            disk.write(node, 13, b"!").unwrap();
            disk.plan(Some(Fault { after: 0, lasts: 1, full: false }));
            disk.sync(node).expect_err("an input/output error");
            disk.sync(node).expect("nothing is left to do");
            assert_eq!(disk.read(node, 0, 100).unwrap(), b"kept and lost!");
            disk.cut(Cut::Prefix, &mut Dice::new(1));
            seen.insert(disk.read(node, 0, 100).unwrap());
        }
        let ways = [&b"kept"[..], b"kept and lost", b"kept\0\0\0\0\0\0\0\0\0!", b"kept and lost!"];
        assert_eq!(seen, ways.map(<[u8]>::to_vec).into());
    }

    #[test]
    fn a_full_disk_still_removes_and_syncs() {
        let (mut disk, node) = written(true);
        disk.plan(Some(Fault { after: 0, lasts: 100, full: true }));
        assert_eq!(disk.write(node, 13, b"x").unwrap_err().raw_os_error(), Some(NO_SPACE));
        disk.write(node, 0, b"KEPT").expect("it needs no room");
        disk.sync(node).unwrap();
        disk.remove(ROOT, "f").unwrap();
    }
}
