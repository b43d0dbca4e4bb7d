//! The choice of lines to remove when there are too many. Pure: lines in, lines out.
//!
//! If the oldest lines went first, a member that acts without a pause would displace the lines of others, and its
//! own earlier ones. So lines go where there are most: from the member with the most bytes, and there from the
//! action with the most bytes, the oldest first. Members with few lines keep them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use memchr::memmem;
use serde_json::{Map, Value, json};

use super::line::number_of;

/// Maximum number of members, and of actions, named in the report of removed lines.
const NAMED: usize = 5;

/// Member and action of a line, as hashes: there are many lines, and names are text from strangers. All lines
/// without a member, from the daemon or from strangers, count as one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Author {
    member: u64,
    action: u64,
}

/// Number of bytes per author.
pub(super) type Shares = HashMap<Author, u64>;

/// Hasher that determines the authors of lines.
#[derive(Debug, Default)]
pub(super) struct Authors(RandomState);

impl Authors {
    /// Returns the author of one line.
    pub(super) fn of(&self, line: &[u8]) -> Author {
        let hash = |name: Option<&[u8]>| self.0.hash_one(name);
        Author { member: hash(member_of(line)), action: hash(action_of(line)) }
    }
}

/// Returns the member that a line names, in its JSON escaping; `None` if it names none.
fn member_of(line: &[u8]) -> Option<&[u8]> {
    // Details come last, and may have a member of this name. Neither pattern can occur within a text, where quotes
    // are escaped.
    let details = memmem::find(line, b",\"details\":{").unwrap_or(line.len());
    text_after(&line[..details], b",\"member_id\":\"")
}

/// Returns the action that a line names; `None` if it names none.
fn action_of(line: &[u8]) -> Option<&[u8]> {
    text_after(line, b",\"action\":\"")
}

/// Returns the JSON text that begins after a mark, without the closing quote.
fn text_after<'a>(line: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let text = &line[memmem::find(line, mark)? + mark.len()..];
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map(|end| &text[..end])
}

/// Returns the bytes that each author loses so that all together lose `bytes`: everything above one level, and
/// nothing from those below it.
pub(super) fn to_go(shares: &Shares, bytes: u64) -> Shares {
    let mut members: HashMap<u64, Vec<(Author, u64)>> = HashMap::new();
    for (author, share) in shares {
        members.entry(author.member).or_default().push((*author, *share));
    }
    let sum = |own: &Vec<(Author, u64)>| own.iter().map(|(_, share)| share).sum::<u64>();
    let highest = level(members.values().map(sum).collect(), bytes);
    let mut going = Shares::new();
    for own in members.values() {
        let excess = sum(own).saturating_sub(highest);
        if excess > 0 {
            let highest = level(own.iter().map(|(_, share)| *share).collect(), excess);
            let losing = own.iter().filter(|(_, share)| *share > highest);
            going.extend(losing.map(|(author, share)| (*author, share - highest)));
        }
    }
    going
}

/// Returns the highest level above which there are at least `wanted` bytes altogether; 0 if there are fewer.
fn level(mut shares: Vec<u64>, wanted: u64) -> u64 {
    shares.sort_unstable_by(|one, other| other.cmp(one));
    let mut sum = 0;
    for (index, share) in shares.iter().enumerate() {
        let count = index as u64 + 1;
        sum += share;
        let next = shares.get(index + 1).copied().unwrap_or_default();
        if sum - next * count >= wanted {
            return (sum - wanted) / count;
        }
    }
    0
}

/// Returns the bytes of each author in some lines.
pub(super) fn shares_of(lines: &[u8], authors: &Authors) -> Shares {
    thin(lines, authors, &mut Shares::new(), &mut Gone::default()).1
}

/// Adds the bytes of other shares, author by author.
pub(super) fn add(shares: &mut Shares, more: &Shares) {
    more.iter().for_each(|(author, bytes)| *shares.entry(*author).or_default() += bytes);
}

/// Removes the first lines, each with its end, of the authors in `going`, and returns the other lines and their
/// shares. `going` has the bytes that each author still has to lose, before and after.
pub(super) fn thin(
    lines: &[u8],
    authors: &Authors,
    going: &mut Shares,
    gone: &mut Gone,
) -> (Vec<u8>, Shares) {
    let (mut left, mut shares) = (Vec::with_capacity(lines.len()), Shares::new());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let (author, size) = (authors.of(line), line.len() as u64);
        match going.get_mut(&author).filter(|bytes| **bytes > 0) {
            Some(bytes) => {
                *bytes = bytes.saturating_sub(size);
                gone.count(line);
            }
            None => {
                left.extend_from_slice(line);
                *shares.entry(author).or_default() += size;
            }
        }
    }
    (left, shares)
}

/// Lines removed because there were too many.
#[derive(Debug, Clone, Default)]
pub(super) struct Gone {
    lines: u64,
    first: Option<u64>,
    last: Option<u64>,
    by_member: HashMap<Vec<u8>, u64>,
    by_action: HashMap<Vec<u8>, u64>,
}

impl Gone {
    /// Reports whether any line was removed.
    pub(super) fn any(&self) -> bool {
        self.lines > 0
    }

    /// Counts one removed line.
    pub(super) fn count(&mut self, line: &[u8]) {
        self.lines += 1;
        if let Some(number) = number_of(line) {
            self.first = Some(self.first.map_or(number, |first| first.min(number)));
            self.last = self.last.max(Some(number));
        }
        *self.by_member.entry(member_of(line).unwrap_or(b"nobody").to_vec()).or_default() += 1;
        *self.by_action.entry(action_of(line).unwrap_or(b"unreadable").to_vec()).or_default() += 1;
    }

    /// Adds the counts of another one.
    pub(super) fn add(&mut self, more: Gone) {
        self.lines += more.lines;
        self.first = self.first.into_iter().chain(more.first).min();
        self.last = self.last.max(more.last);
        for (own, more) in [(&mut self.by_member, more.by_member), (&mut self.by_action, more.by_action)] {
            more.into_iter().for_each(|(name, lines)| *own.entry(name).or_default() += lines);
        }
    }

    /// Returns the details of the audit entry about them.
    pub(super) fn told(self) -> Map<String, Value> {
        Map::from_iter([
            ("lines".to_owned(), json!(self.lines)),
            ("first_number".to_owned(), json!(self.first)),
            ("last_number".to_owned(), json!(self.last)),
            ("mostly_by".to_owned(), most(self.by_member)),
            ("mostly".to_owned(), most(self.by_action)),
        ])
    }
}

/// Returns the names with the most lines, and their counts.
fn most(counts: HashMap<Vec<u8>, u64>) -> Value {
    let mut counts: Vec<(Vec<u8>, u64)> = counts.into_iter().collect();
    counts.sort_by(|(name, lines), (other, more)| more.cmp(lines).then_with(|| name.cmp(other)));
    let named = counts.into_iter().take(NAMED);
    Value::Object(
        named.map(|(name, lines)| (String::from_utf8_lossy(&name).into_owned(), lines.into())).collect(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(number: u64, member: Option<&str>, action: &str, length: usize) -> Vec<u8> {
        let mut value =
            json!({"number": number, "at": "now", "action": action, "target": "x".repeat(length)});
        if let Some(member) = member {
            value["member_id"] = member.into();
        }
        value["details"] = json!({"a": 1, "member_id": "forged"});
        format!("{value}\n").into_bytes()
    }

    #[test]
    fn a_line_is_of_the_member_and_action_that_stand_before_its_details() {
        let tricky = json!({
            "number": 1, "at": "now", "action": "key.create", "member_id": "a\",\"member_id\":\"b\\",
            "details": {"action": "x"},
        });
        let tricky = tricky.to_string().into_bytes();
        assert_eq!(member_of(&tricky), Some(&br#"a\",\"member_id\":\"b\\"#[..]));
        assert_eq!(action_of(&tricky), Some(&b"key.create"[..]));
        let nobody = line(1, None, "request", 1);
        assert_eq!((member_of(&nobody), action_of(&nobody)), (None, Some(&b"request"[..])));
        assert_eq!((member_of(b"\0\0damaged"), action_of(b"")), (None, None));
    }

    #[test]
    fn those_above_the_level_lose_what_is_above_it() {
        assert_eq!(level(vec![10, 50, 30], 20), 30);
        assert_eq!(level(vec![10, 50, 30], 40), 20);
        assert_eq!(level(vec![10, 50, 30], 90), 0);
        assert_eq!(level(vec![10, 50, 30], 1_000), 0);
        assert_eq!(level(Vec::new(), 1), 0);
    }

    #[test]
    fn the_oldest_of_the_action_that_a_member_did_most_go_and_are_told() {
        let authors = Authors::default();
        let mut lines = line(1, Some("joe"), "key.create", 10);
        lines.extend(line(2, Some("ann"), "key.change", 10));
        (3..100).for_each(|number| lines.extend(line(number, Some("joe"), "key.change", 100)));
        let whole = lines.len() as u64;
        let mut going = to_go(&shares_of(&lines, &authors), whole / 2);
        let mut gone = Gone::default();
        let (left, _) = thin(&lines, &authors, &mut going, &mut gone);
        let numbers: Vec<u64> = left.split(|byte| *byte == b'\n').filter_map(number_of).collect();
        assert!(left.len() as u64 <= whole / 2, "{} of {whole}", left.len());
        assert_eq!((numbers[..2].to_vec(), numbers.last()), (vec![1, 2], Some(&99)));
        let lost = 99 - numbers.len() as u64;
        let told = Value::Object(gone.told());
        let expected = json!({
            "lines": lost, "first_number": 3, "last_number": 2 + lost,
            "mostly_by": {"joe": lost}, "mostly": {"key.change": lost},
        });
        assert_eq!(told, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// For any input: enough goes, at most one line per author too much, order is kept, and no member that still
        /// has less than another one has lost anything.
        #[test]
        fn nobody_loses_who_has_less_than_others_keep(
            written in prop::collection::vec((0usize..4, 0usize..3, 0usize..400), 1..200),
            part in 0u64..12,
        ) {
            let authors = Authors::default();
            let name = |member: usize| format!("m{member}");
            let mut lines = Vec::new();
            for (number, (member, action, length)) in written.iter().enumerate() {
                lines.extend(line(number as u64 + 1, Some(&name(*member)), &format!("a{action}"), *length));
            }
            let before = shares_of(&lines, &authors);
            let wanted = lines.len() as u64 * part / 10;
            let mut going = to_go(&before, wanted);
            let mut gone = Gone::default();
            let (left, after) = thin(&lines, &authors, &mut going, &mut gone);
            let freed = (lines.len() - left.len()) as u64;
            let most = 12 * 600;
            prop_assert!(freed >= wanted.min(lines.len() as u64) && freed <= wanted + most);
            let numbers: Vec<u64> = left.split(|byte| *byte == b'\n').filter_map(number_of).collect();
            prop_assert!(numbers.is_sorted());
            prop_assert_eq!(numbers.len() as u64 + gone.lines, written.len() as u64);
            let of = |shares: &Shares, member: u64| -> u64 {
                shares.iter().filter(|(author, _)| author.member == member).map(|(_, bytes)| bytes).sum()
            };
            for author in before.keys() {
                let (had, has) = (of(&before, author.member), of(&after, author.member));
                let richest = before.keys().map(|other| of(&after, other.member)).max().unwrap_or_default();
                // Three actions, one line too much for each.
                prop_assert!(had == has || has + 3 * 600 >= richest, "{has} of {had}, others {richest}");
            }
        }
    }
}
