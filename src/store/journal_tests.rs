//! Tests of the journal: appended lines are read again, a torn line is cut, damage is located.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::power_disk::{self, Cut, Dice};
use crate::store::encode;
use crate::store::fault::{Fault, failing, install};
use crate::store::opening::to_file;
use crate::store::simulated::Place;

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.into(), value: encode(value).unwrap() }
}

fn entry(seq: u64) -> Entry {
    Entry { seq, ops: vec![put(&format!("s/{seq}"), "x"), Op::Delete { key: vec![0xff, 0x00] }] }
}

/// A journal that begins after change 4, with `changes` changes.
fn journal(dir: &Path, changes: u64) -> Journal {
    let mut journal = Journal::begin(dir, 4, to_file).unwrap();
    for seq in 5..5 + changes {
        journal.append(seq, &entry(seq).ops).unwrap();
    }
    journal
}

fn bytes(dir: &Path) -> Vec<u8> {
    fs::read(dir.join(FILE)).unwrap()
}

fn seqs(contents: &Contents) -> Vec<u64> {
    contents.entries.iter().map(|entry| entry.seq).collect()
}

#[test]
fn what_was_appended_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()).unwrap(), None);
    drop(journal(dir.path(), 3));
    let contents = read(dir.path()).unwrap().unwrap();
    assert_eq!((contents.base, contents.last(), contents.torn, &contents.damage), (4, 7, false, &None));
    assert_eq!(contents.entries, [entry(5), entry(6), entry(7)]);
    assert_eq!(contents.len, bytes(dir.path()).len() as u64);
    assert_eq!(contents.after(5).unwrap().count(), 2);
    assert!(contents.after(3).is_none(), "change 4 is not here");
    let mut again = Journal::resume(dir.path(), &contents, to_file).unwrap();
    again.append(8, &entry(8).ops).unwrap();
    assert_eq!(seqs(&read(dir.path()).unwrap().unwrap()), [5, 6, 7, 8]);
}

#[test]
fn an_unfinished_last_line_is_ignored_and_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    drop(journal(dir.path(), 2));
    let whole = bytes(dir.path());
    let first = whole.len() - parse(&whole[..whole.len() - 1]).len as usize;
    for cut in 1..first {
        fs::write(dir.path().join(FILE), &whole[..whole.len() - cut]).unwrap();
        let contents = read(dir.path()).unwrap().unwrap();
        assert_eq!((seqs(&contents), contents.torn, &contents.damage), (vec![5], true, &None), "{cut}");
        drop(Journal::resume(dir.path(), &contents, to_file).unwrap());
        assert_eq!(bytes(dir.path()), whole[..whole.len() - first]);
    }
}

#[test]
fn damage_is_named_with_its_place_and_nothing_after_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    drop(journal(dir.path(), 3));
    let mut whole = bytes(dir.path());
    let third = parse(&whole).len as usize / 2;
    whole[third] ^= 1;
    let contents = parse(&whole);
    let damage = contents.damage.unwrap();
    assert_eq!((damage.line, damage.beyond, damage.reason.as_str()), (3, 7, "the checksum does not fit"));
    assert_eq!(damage.byte as u64, contents.len);
    assert_eq!(contents.entries, [entry(5)]);

    let lines: Vec<String> = [head(4), line(5, &[]), line(7, &[])].map(Result::unwrap).to_vec();
    let damage = parse(lines.concat().as_bytes()).damage.unwrap();
    assert_eq!((damage.line, damage.reason.as_str()), (3, "it has number 7 where 6 is due"));
    for (odd, reason) in [
        (String::new(), "it is empty"),
        ("\0\0\0".to_owned(), "the checksum does not fit"),
        (lines[1].clone(), "its first line is not that of a journal"),
        (seal("{\"journal\":2,\"base\":0}"), "it has format 2, and 1 is the newest known here"),
        (format!("{}{}", lines[0], seal("{\"seq\":5}")), "it is not a change"),
    ] {
        assert_eq!(parse(odd.as_bytes()).damage.unwrap().reason, reason);
    }
}

#[test]
fn what_is_taken_back_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal(dir.path(), 2);
    journal.take_back();
    journal.take_back();
    journal.settle().unwrap();
    assert_eq!(seqs(&read(dir.path()).unwrap().unwrap()), [5]);
    journal.append(6, &entry(6).ops).unwrap();
    assert_eq!(seqs(&read(dir.path()).unwrap().unwrap()), [5, 6]);
}

#[test]
fn a_write_that_fails_leaves_the_journal_as_it_was() {
    for (n, lasting) in (1..=4).flat_map(|n| [(n, false), (n, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let fault = Fault::at(n, lasting);
        install(&fault);
        let mut journal = Journal::begin(dir.path(), 4, failing).unwrap();
        let mut known = Vec::new();
        for seq in [5, 6] {
            if journal.append(seq, &entry(seq).ops).is_err() {
                break;
            }
            known.push(seq);
        }
        assert!(known.len() < 2, "{n}");
        fault.mend();
        let next = known.len() as u64 + 5;
        journal.append(next, &[put("s/other", "y")]).expect("it can be written again");
        let contents = read(dir.path()).unwrap().unwrap();
        known.push(next);
        assert_eq!((seqs(&contents), contents.damage), (known, None), "{n} {lasting}");
        assert_eq!(contents.entries.last().unwrap().ops, [put("s/other", "y")]);
    }
}

/// Makes the next `lasts` operations of a disk fail, after one that succeeds.
fn fail(place: &Place, lasts: u64) {
    place.disk().plan(Some(power_disk::Fault { after: 1, lasts, full: false }));
}

#[test]
fn after_a_failed_sync_the_disk_has_what_is_acknowledged_and_nothing_else() {
    for (seed, lasts) in (0..100).flat_map(|seed| [(seed, 1), (seed, 20)]) {
        let (place, mut dice) = (Place::new(), Dice::new(seed));
        place.disk().luck = Dice::new(seed);
        let dir = place.data_dir();
        let mut journal = journal(dir.path(), 1);
        fail(&place, lasts);
        journal.append(6, &entry(6).ops).expect_err("its sync fails");
        place.disk().plan(None);
        journal.append(6, &[put("s/other", "y")]).expect("the disk is well");
        journal.append(7, &[]).expect("the disk is well");
        place.disk().cut(Cut::any(&mut dice), &mut dice);
        let contents = read(dir.path()).unwrap().unwrap();
        assert_eq!((seqs(&contents), &contents.damage), (vec![5, 6, 7], &None), "seed {seed}, {lasts}");
        assert_eq!(contents.entries[1].ops, [put("s/other", "y")], "seed {seed}, {lasts}");
    }
}

#[test]
fn what_an_earlier_process_left_is_on_the_disk_before_the_next_change() {
    for (seed, at_the_start) in (0..100).flat_map(|seed| [(seed, false), (seed, true)]) {
        let (place, mut dice) = (Place::new(), Dice::new(seed));
        place.disk().luck = Dice::new(seed);
        let dir = place.data_dir();
        let mut journal = journal(dir.path(), 1);
        fail(&place, 20);
        journal.append(6, &entry(6).ops).expect_err("its sync fails");
        if !at_the_start {
            place.disk().plan(None);
        }
        // Another process reads the data that the kernel shows.
        let shown = read(dir.path()).unwrap().unwrap();
        let mut again = Journal::resume(dir.path(), &shown, to_file).expect("no reason not to start");
        place.disk().plan(None);
        again.append(shown.last() + 1, &[]).expect("the disk is well");
        place.disk().cut(Cut::any(&mut dice), &mut dice);
        let contents = read(dir.path()).unwrap().unwrap();
        assert_eq!((contents.entries.len(), contents.damage), (shown.entries.len() + 1, None), "seed {seed}");
    }
}

#[test]
fn a_long_journal_is_rewritten_without_what_is_covered() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal(dir.path(), 0);
    let long = "y".repeat(10_000);
    let mut seq = 4;
    while !journal.is_long() {
        seq += 1;
        journal.append(seq, &[put("s/x", &long)]).unwrap();
    }
    journal.compact(seq - 2).unwrap();
    assert!(!journal.is_long());
    let contents = read(dir.path()).unwrap().unwrap();
    assert_eq!((contents.base, seqs(&contents)), (seq - 2, vec![seq - 1, seq]));
    journal.append(seq + 1, &entry(5).ops).unwrap();
    journal.take_back();
    journal.append(seq + 1, &[]).unwrap();
    assert_eq!(seqs(&read(dir.path()).unwrap().unwrap()), [seq - 1, seq, seq + 1]);
    journal.compact(seq + 9).unwrap();
    let contents = read(dir.path()).unwrap().unwrap();
    assert_eq!((contents.base, contents.entries.len()), (seq + 1, 0), "never beyond its own end");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
}

fn any_op() -> impl Strategy<Value = Op> {
    let key = || prop::collection::vec(any::<u8>(), 0..9);
    (key(), prop::option::of(key())).prop_map(|(key, value)| match value {
        Some(value) => Op::Put { key, value },
        None => Op::Delete { key },
    })
}

proptest! {
    #[test]
    fn any_change_is_read_as_it_was_written(seq in 1u64..=MAX_SEQ, ops in prop::collection::vec(any_op(), 0..6)) {
        let text = head(seq - 1).unwrap() + &line(seq, &ops).unwrap();
        let contents = parse(text.as_bytes());
        prop_assert_eq!(contents.damage, None);
        prop_assert_eq!(contents.entries, [Entry { seq, ops }]);
    }

    #[test]
    fn a_flipped_bit_never_changes_what_is_read(place: prop::sample::Index, bit in 0u8..8) {
        let mut text = head(0).unwrap().into_bytes();
        for seq in 1..4 {
            text.extend(line(seq, &entry(seq).ops).unwrap().bytes());
        }
        let good = parse(&text).entries;
        let place = place.index(text.len());
        text[place] ^= 1 << bit;
        let contents = parse(&text);
        prop_assert!(contents.entries.len() < good.len());
        prop_assert!(good.starts_with(&contents.entries));
        prop_assert!(contents.torn || contents.damage.is_some());
    }

    #[test]
    fn any_bytes_are_a_journal_or_damage(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }
}
