//! Tests of retention, and of disk failures.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::super::reading::{Direction, Lines, search};
use super::*;
use crate::audit::line::number_of;
use crate::power_disk::{Cut, Dice, Fault};
use crate::store::disk::OpenOptions;
use crate::store::simulated::Place;

const MIB: u64 = 1024 * 1024;

fn settings(keep_bytes: u64) -> AuditSettings {
    AuditSettings { keep: Duration::from_secs(3600), keep_bytes, calls: false }
}

fn open(directory: &Path, keep_bytes: u64) -> Segments {
    Segments::open(directory, settings(keep_bytes)).expect("opened")
}

fn line(segments: &Segments, text: &str) -> Vec<u8> {
    format!("{{\"number\":{},\"text\":\"{text}\"}}\n", segments.next()).into_bytes()
}

fn append(segments: &mut Segments, part: Part, text: &str) {
    let line = line(segments, text);
    segments.append(part, &line).expect("written");
}

fn numbers(segments: &Segments, direction: Direction) -> Vec<u64> {
    let (mut lines, mut seen) = (Lines::of(segments.list(), direction), Vec::new());
    while let Some(line) = lines.next().expect("readable") {
        seen.extend(number_of(line.as_bytes()));
    }
    seen
}

/// Reads the content of the directory from the disk.
fn on_disk(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).expect("there").flatten();
    files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
}

#[test]
fn numbers_run_through_all_parts_and_restarts_and_torn_lines_are_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segments = open(directory.path(), u64::MAX);
    for part in [Part::Acts, Part::Rest, Part::Calls, Part::Acts, Part::Rest] {
        append(&mut segments, part, "x");
    }
    let path = segments.list()[Part::Rest as usize][0].path.clone();
    drop(segments);
    let whole = fs::read(&path).expect("readable");
    let mut file = OpenOptions::new().append(true).open(&path).expect("there");
    file.write_all(b"{\"number\":6,\"torn").expect("written");
    let mut segments = open(directory.path(), u64::MAX);
    assert_eq!((segments.next(), fs::read(&path).expect("readable")), (6, whole));
    append(&mut segments, Part::Calls, "y");
    assert_eq!(numbers(&segments, Direction::OldestFirst), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&segments, Direction::NewestFirst), [6, 5, 4, 3, 2, 1]);
    let (found, page) = search(segments.list(), 1, 2, |_| true).expect("readable");
    let page: Vec<_> = page.iter().filter_map(|line| number_of(line.as_bytes())).collect();
    assert_eq!((found, page), (6, vec![5, 4]));
    assert_eq!(search(segments.list(), 0, 9, |line| line.contains("y")).expect("readable").0, 1);
}

#[test]
fn files_of_the_earlier_single_part_layout_are_read_and_not_added_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let old = directory.path().join(format!("{:020}.jsonl", 4));
    fs::write(&old, "{\"number\":4}\n{\"number\":5}\n").expect("written");
    let mut segments = open(directory.path(), u64::MAX);
    append(&mut segments, Part::Rest, "x");
    append(&mut segments, Part::Acts, "x");
    assert_eq!(numbers(&segments, Direction::OldestFirst), [4, 5, 6, 7]);
    assert_eq!(segments.list()[Part::Acts as usize].len(), 2);
    assert_eq!(open(directory.path(), u64::MAX).next(), 8);
}

#[test]
fn what_is_kept_is_bounded_in_bytes_always_and_acts_keep_their_half() {
    let directory = tempfile::tempdir().expect("a directory");
    let keep = 2 * MIB;
    let mut segments = open(directory.path(), keep);
    let long = "x".repeat(4_000);
    // As many acts as their half holds, less a segment, then a flood of the others.
    let acts = (keep / 2 - segment_size(settings(keep))) / 4_100;
    for _ in 0..acts {
        append(&mut segments, Part::Acts, &long);
    }
    for part in [Part::Rest, Part::Calls] {
        for _ in 0..2 * keep / 4_000 {
            append(&mut segments, part, &long);
            assert!(on_disk(directory.path()) <= keep, "{}", on_disk(directory.path()));
        }
    }
    let seen = numbers(&segments, Direction::OldestFirst);
    assert_eq!(seen[..acts as usize], (1..=acts).collect::<Vec<_>>(), "no act was lost");
    // The flood of refusals came before that of calls, and has its quarter still.
    let rest: u64 = segments.list()[Part::Rest as usize].iter().map(|one| one.bytes).sum();
    assert!(rest >= keep / 4 - 2 * segment_size(settings(keep)), "{rest}");
    // Room that nobody else needs is used: more acts push out other things than acts.
    for _ in 0..keep / 8_000 {
        append(&mut segments, Part::Acts, &long);
    }
    assert!(on_disk(directory.path()) <= keep);
    assert_eq!(open(directory.path(), keep).next(), segments.next());
}

#[test]
fn a_setting_that_was_lowered_is_kept_to_from_the_first_line_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segments = open(directory.path(), 64 * MIB);
    let long = "x".repeat(MIB as usize);
    for _ in 0..9 {
        append(&mut segments, Part::Acts, &long);
    }
    drop(segments);
    let mut segments = open(directory.path(), 2 * MIB);
    assert!(segments.expire(None) > 0);
    append(&mut segments, Part::Rest, "x");
    assert!(on_disk(directory.path()) <= 2 * MIB, "{}", on_disk(directory.path()));
}

#[test]
fn what_is_old_goes_only_by_a_believed_clock_and_not_by_a_wrong_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segments = open(directory.path(), u64::MAX);
    let dated = |segments: &Segments, at: usize, seconds: u64| {
        let file = std::fs::File::open(&segments.list()[Part::Acts as usize][at].path).expect("there");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("dated");
    };
    for line in ["a", "b", "c"] {
        append(&mut segments, Part::Acts, line);
        segments.strands[Part::Acts as usize].begin_for_test(segments.next);
    }
    let now = 1_795_824_000;
    // The first was written by a clock of 1970, moments before the second.
    for (at, seconds) in [(0, 7), (1, now - 10), (2, now - 5)] {
        dated(&segments, at, seconds);
    }
    assert_eq!((segments.expire(None), segments.expire(Some(now))), (0, 0));
    assert_eq!(segments.expire(Some(now + 3_594)), 1, "an hour after the second was written");
    dated(&segments, 1, now + 100 * 365 * 86_400);
    assert_eq!(segments.expire(Some(now + 86_400)), 0, "whatever the clock was, nothing goes too early");
}

#[test]
fn a_line_told_to_be_on_the_disk_is_there_whatever_failed_before() {
    for (seed, lasts, again) in
        (0..60).flat_map(|seed| [(seed, 1, false), (seed, 20, false), (seed, 1, true), (seed, 20, true)])
    {
        let (place, mut dice) = (Place::new(), Dice::new(seed));
        place.disk().luck = Dice::new(seed);
        let dir = place.data_dir();
        let directory = dir.path().join("audit");
        let mut segments = open(&directory, u64::MAX);
        append(&mut segments, Part::Acts, "first");
        segments.sync_part(Part::Acts).expect("synced");
        append(&mut segments, Part::Acts, "second");
        place.disk().plan(Some(Fault { after: 0, lasts, full: false }));
        assert_eq!(segments.sync_part(Part::Acts).is_ok(), lasts == 1, "a second try writes all anew");
        place.disk().plan(None);
        if again {
            segments = open(&directory, u64::MAX);
        }
        append(&mut segments, Part::Acts, "third");
        segments.sync_part(Part::Acts).expect("synced");
        place.disk().cut(Cut::any(&mut dice), &mut dice);
        let segments = open(&directory, u64::MAX);
        assert_eq!(numbers(&segments, Direction::OldestFirst), [1, 2, 3], "seed {seed}, {lasts}, {again}");
    }
}

#[test]
fn a_long_segment_of_an_earlier_process_is_not_gone_on_with() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segments = open(directory.path(), u64::MAX);
    append(&mut segments, Part::Acts, &"x".repeat(70_000));
    append(&mut segments, Part::Rest, "x");
    drop(segments);
    fs::write(directory.path().join(".mcpvisor-x.tmp"), "cut short").expect("written");
    let mut segments = open(directory.path(), u64::MAX);
    for part in Part::ALL {
        append(&mut segments, part, "y");
    }
    segments.sync().expect("synced");
    assert_eq!(segments.list().map(|listed| listed.len()), [2, 1, 1]);
    assert_eq!(numbers(&segments, Direction::OldestFirst), [1, 2, 3, 4, 5]);
    assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 4, "nothing is left over");
}

#[test]
fn a_line_that_a_disk_has_damaged_hides_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segments = open(directory.path(), u64::MAX);
    for text in ["a", "b", "c"] {
        append(&mut segments, Part::Acts, text);
    }
    let path = segments.list()[Part::Acts as usize][0].path.clone();
    let mut bytes = fs::read(&path).expect("there");
    let length = bytes.len() / 3;
    bytes[length..2 * length - 1].fill(0xff);
    fs::write(&path, bytes).expect("written");
    assert_eq!(search(segments.list(), 0, 9, |line| line.contains("text")).expect("readable").0, 2);
    segments.strands[Part::Acts as usize].tear();
    append(&mut segments, Part::Acts, "d");
    assert_eq!(numbers(&segments, Direction::OldestFirst), [1, 3, 4], "written anew without it");
    assert_eq!(segments.list()[Part::Acts as usize][0].bytes, on_disk(directory.path()));
}

/// Builds a line of a member's act.
fn act(segments: &Segments, member: &str, action: &str, length: usize) -> Vec<u8> {
    let (number, text) = (segments.next(), "x".repeat(length));
    let value = serde_json::json!({
        "number": number, "at": "now", "action": action, "target": text, "member_id": member,
    });
    format!("{value}\n").into_bytes()
}

fn append_act(segments: &mut Segments, member: &str, action: &str, length: usize) {
    let line = act(segments, member, action, length);
    segments.append(Part::Acts, &line).expect("written");
}

/// Reads the remaining acts of a member: their numbers and the count of each action.
fn acts_of(segments: &Segments, member: &str) -> (Vec<u64>, usize, usize) {
    let mut lines = Lines::of(segments.list(), Direction::OldestFirst);
    let (mut numbers, mut made, mut changed) = (Vec::new(), 0, 0);
    while let Some(line) = lines.next().expect("readable") {
        if line.contains(&format!("\"member_id\":\"{member}\"")) {
            numbers.extend(number_of(line.as_bytes()));
            made += usize::from(line.contains("key.create"));
            changed += usize::from(line.contains("key.change"));
        }
    }
    (numbers, made, changed)
}

#[test]
fn a_member_that_acts_without_a_pause_pushes_out_only_its_own_such_acts() {
    let directory = tempfile::tempdir().expect("a directory");
    let keep = MIB;
    let mut segments = open(directory.path(), keep);
    let mut of_ann = Vec::new();
    let mut gone = Gone::default();
    for round in 0..1_000 {
        if round % 10 == 0 {
            of_ann.push(segments.next());
            append_act(&mut segments, "ann", "key.create", 200);
        }
        if round % 100 == 0 {
            append_act(&mut segments, "joe", "key.create", 2_000);
        }
        append_act(&mut segments, "joe", "key.change", 7_000);
        assert!(on_disk(directory.path()) <= keep, "{}", on_disk(directory.path()));
        gone.add(segments.take_gone().unwrap_or_default());
        if round % 250 == 249 {
            segments = open(directory.path(), keep);
        }
    }
    assert_eq!(acts_of(&segments, "ann").0, of_ann, "7 MiB were written to 1");
    let (_, made, changed) = acts_of(&segments, "joe");
    assert_eq!((made, gone.told()["lines"].as_u64()), (10, Some(1_000 - changed as u64)));
    let files = segments.list()[Part::Acts as usize].len() as u64;
    assert!(files <= 2 * keep / segment_size(settings(keep)), "{files} files: what is left is put together");
}

#[test]
fn whoever_reads_while_lines_go_sees_every_line_that_stays_once() {
    for direction in [Direction::OldestFirst, Direction::NewestFirst] {
        for read_before in [0, 40] {
            let directory = tempfile::tempdir().expect("a directory");
            let mut segments = open(directory.path(), MIB);
            let mut of_ann = Vec::new();
            for round in 0..400 {
                if round % 3 == 0 {
                    of_ann.push(segments.next());
                    append_act(&mut segments, "ann", "key.create", 100);
                }
                append_act(&mut segments, "joe", "key.change", 2_000);
            }
            let mut lines = Lines::of(segments.list(), direction);
            let mut seen = Vec::new();
            for read in 0.. {
                if read == read_before {
                    // All of what was listed changes, most of it more than once.
                    (0..400).for_each(|_| append_act(&mut segments, "joe", "key.change", 2_000));
                }
                let Some(line) = lines.next().expect("readable") else { break };
                seen.extend(line.contains("ann").then(|| number_of(line.as_bytes()).expect("a number")));
            }
            if direction == Direction::NewestFirst {
                seen.reverse();
            }
            assert_eq!(seen, of_ann, "{direction:?}, {read_before} lines before");
        }
    }
}

#[test]
fn lines_that_were_put_together_when_a_process_ended_are_there_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segments = open(directory.path(), MIB);
    let mut ends: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for round in 0..1_000 {
        if round % 5 == 0 {
            append_act(&mut segments, "ann", "key.create", 100);
        }
        append_act(&mut segments, "joe", "key.change", 2_000);
        if round == 400 {
            // The files as they are before they are thinned.
            let listed = &segments.list()[Part::Acts as usize];
            ends = listed[..listed.len() - 1]
                .iter()
                .map(|one| (one.path.clone(), fs::read(&one.path).expect("there")))
                .collect();
        }
    }
    let before = acts_of(&segments, "ann").0;
    let missing: Vec<_> = ends.iter().filter(|(path, _)| !path.exists()).collect();
    assert!(missing.len() > 3, "{} files were put together with others", missing.len());
    drop(segments);
    // As if the process had ended after the lines were added to the file before, and before this file was removed.
    let (path, content) = missing[0];
    fs::write(path, content).expect("written");
    let segments = open(directory.path(), MIB);
    assert_eq!(acts_of(&segments, "ann").0, before);
    assert!(!path.exists());
}

#[test]
fn on_a_failing_disk_what_is_kept_stays_bounded_and_what_was_told_is_there() {
    for seed in 0..40 {
        let (place, mut dice) = (Place::new(), Dice::new(seed));
        place.disk().luck = Dice::new(seed);
        let dir = place.data_dir();
        let directory = dir.path().join("audit");
        let keep = MIB / 4;
        let mut segments = open(&directory, keep);
        let mut synced = Vec::new();
        for round in 0..200 {
            if round % 7 == 0 {
                let fault = Fault { after: dice.below(30), lasts: dice.below(4), full: dice.below(2) == 0 };
                place.disk().plan((dice.below(2) == 0).then_some(fault));
            }
            let number = segments.next();
            let line = act(&segments, if round % 9 == 0 { "ann" } else { "joe" }, "key.change", 4_000);
            let is_told = segments.append(Part::Acts, &line).and_then(|()| segments.sync_part(Part::Acts));
            synced.extend(is_told.is_ok().then_some(number));
            // Allows for the retries of a disk that refuses removals.
            assert!(segments.bytes() <= keep + 8 * 4_200, "seed {seed}: {}", segments.bytes());
        }
        place.disk().plan(None);
        append_act(&mut segments, "joe", "key.change", 4_000);
        assert!(segments.bytes() <= keep, "seed {seed}: {}", segments.bytes());
        place.disk().cut(Cut::any(&mut dice), &mut dice);
        let segments = open(&directory, keep);
        let there = numbers(&segments, Direction::OldestFirst);
        let once: std::collections::HashSet<u64> = there.iter().copied().collect();
        assert_eq!(once.len(), there.len(), "seed {seed}: {there:?}");
        // The newest ones have not gone for lack of room.
        let newest = &synced[synced.len().saturating_sub(3)..];
        assert!(newest.iter().all(|number| there.contains(number)), "seed {seed}: {newest:?} of {there:?}");
    }
}

#[test]
fn a_segment_that_was_thinned_is_as_old_as_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segments = open(directory.path(), MIB);
    let now = 1_795_824_000;
    for round in 0..300 {
        append_act(&mut segments, if round % 9 == 0 { "ann" } else { "joe" }, "key.change", 1_000);
        for one in &segments.list()[Part::Acts as usize] {
            let file = std::fs::File::open(&one.path).expect("there");
            file.set_modified(UNIX_EPOCH + Duration::from_secs(now - 10)).expect("dated");
        }
    }
    (0..900).for_each(|_| append_act(&mut segments, "joe", "key.change", 1_000));
    assert_eq!(acts_of(&segments, "ann").0.len(), 34);
    let oldest = &segments.list()[Part::Acts as usize][0].path;
    let modified = oldest.metadata().and_then(|metadata| metadata.modified()).expect("there");
    assert_eq!(
        modified,
        UNIX_EPOCH + Duration::from_secs(now - 10),
        "so it becomes too old when it did before"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// For any order of writes and reopening: never more than the limit is kept, numbers are unique and in order,
    /// and a part loses nothing while it is within its share.
    #[test]
    fn shares_hold(
        written in prop::collection::vec((0usize..3, 1usize..9_000, prop::bool::weighted(0.02)), 1..150),
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let keep = MIB / 4;
        let mut segments = open(directory.path(), keep);
        let mut ever = [0u64; 3];
        for (part, length, reopen) in written {
            if reopen {
                segments = open(directory.path(), keep);
            }
            append(&mut segments, Part::ALL[part], &"x".repeat(length));
            ever[part] += 1;
            prop_assert!(on_disk(directory.path()) <= keep);
            for (part, listed) in Part::ALL.into_iter().zip(segments.list()) {
                let bytes: u64 = listed.iter().map(|one| one.bytes).sum();
                let mut there = 0;
                for segment in &listed {
                    let lines = fs::read(&segment.path).expect("readable");
                    there += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                }
                // A segment is lost as a whole, and one may be longer than usual by a line.
                let slack = 2 * (segment_size(settings(keep)) + 9_100);
                prop_assert!(
                    there == ever[part as usize] || bytes + slack >= keep / 4 * part.quarters(),
                    "{part:?} has {there} of {} lines in {bytes} bytes", ever[part as usize]
                );
            }
        }
        let seen = numbers(&segments, Direction::OldestFirst);
        prop_assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
