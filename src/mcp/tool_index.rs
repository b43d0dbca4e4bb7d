//! Search over the tools of a catalog: an index that is made once, and a rank (BM25 over name, title, description and the
//! names of arguments). No IO.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::json_text;

/// Weights of words by where they stand.
const NAME: f32 = 4.0;
const TITLE: f32 = 3.0;
const ARGUMENT: f32 = 1.5;
const DESCRIPTION: f32 = 1.0;
/// Most tools of an index, words of a tool, and characters of a word: what is beyond is not found by it.
const MAX_TOOLS: usize = 20_000;
const MAX_WORDS: usize = 400;
const MAX_WORD: usize = 40;
/// Most words of a question, and words that the beginning of one may stand for.
const MAX_ASKED: usize = 32;
const MAX_LONGER: usize = 40;
/// Fewest characters of the beginning of a word.
const BEGINNING: usize = 3;
/// Constants of BM25 as they are used everywhere.
const K1: f32 = 1.2;
const B: f32 = 0.75;

/// The words of tools, by which they are found. Tools are known by their places.
#[derive(Debug, Default)]
pub struct ToolIndex {
    /// Tools that have a word, with what it weighs in each.
    words: BTreeMap<Box<str>, Vec<(u32, f32)>>,
    /// Length of each tool's text by the weights of its words.
    lengths: Vec<f32>,
    mean: f32,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<&'a RawValue>,
    #[serde(borrow, default)]
    description: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "inputSchema")]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow, default)]
    properties: BTreeMap<std::borrow::Cow<'a, str>, serde::de::IgnoredAny>,
}

impl ToolIndex {
    /// Reads tools: for each its entry in a list, raw JSON, and further text that it is to be found by.
    pub fn new<'a>(tools: impl Iterator<Item = (&'a RawValue, String)>) -> ToolIndex {
        let mut index = ToolIndex::default();
        for (at, (entry, more)) in tools.take(MAX_TOOLS).enumerate() {
            let mut words: BTreeMap<String, f32> = BTreeMap::new();
            let mut left = MAX_WORDS;
            let mut add = |text: &str, weight: f32| {
                for word in words_of(text).take(left) {
                    left -= 1;
                    *words.entry(word).or_default() += weight;
                }
            };
            let text = |raw: Option<&'a RawValue>| raw.and_then(|raw| json_text(raw.get()));
            if let Ok(entry) = serde_json::from_str::<Entry<'_>>(entry.get()) {
                add(&text(entry.name).unwrap_or_default(), NAME);
                add(&text(entry.title).unwrap_or_default(), TITLE);
                add(&more, NAME);
                let schema = entry.schema.and_then(|raw| serde_json::from_str::<Schema<'_>>(raw.get()).ok());
                for argument in schema.iter().flat_map(|schema| schema.properties.keys()) {
                    add(argument, ARGUMENT);
                }
                add(&text(entry.description).unwrap_or_default(), DESCRIPTION);
            }
            index.lengths.push(words.values().sum());
            for (word, weight) in words {
                // There are no more than can be counted so.
                index.words.entry(word.into()).or_default().push((at as u32, weight));
            }
        }
        index.mean = index.lengths.iter().sum::<f32>() / index.lengths.len().max(1) as f32;
        index
    }

    /// Returns the places of the tools that fit a question best, the best first, of those that `may` lets through; at most
    /// `limit`. A question without words lets all fit alike.
    pub fn rank(&self, question: &str, limit: usize, may: impl Fn(usize) -> bool) -> Vec<usize> {
        let asked: Vec<String> = words_of(question).take(MAX_ASKED).collect();
        if asked.is_empty() {
            return (0..self.lengths.len()).filter(|at| may(*at)).take(limit).collect();
        }
        let mut scores = vec![0.0_f32; self.lengths.len()];
        for word in &asked {
            match self.words.get(&**word) {
                Some(tools) => self.score(tools, 1.0, &mut scores),
                None if word.chars().count() >= BEGINNING => {
                    let from = (Bound::Included(&**word), Bound::Unbounded);
                    let longer = self.words.range::<str, _>(from);
                    let longer = longer.take_while(|(known, _)| known.starts_with(&**word));
                    longer.take(MAX_LONGER).for_each(|(_, tools)| self.score(tools, 0.5, &mut scores));
                }
                None => {}
            }
        }
        let mut found: Vec<usize> = (0..scores.len()).filter(|at| scores[*at] > 0.0 && may(*at)).collect();
        // A stable sort: of equal ones the first of the list comes first.
        found.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        found.truncate(limit);
        found
    }

    fn score(&self, tools: &[(u32, f32)], share: f32, scores: &mut [f32]) {
        let (all, with) = (self.lengths.len() as f32, tools.len() as f32);
        let rarity = ((all - with + 0.5) / (with + 0.5)).ln_1p();
        for (at, weight) in tools {
            let at = *at as usize;
            let length = 1.0 - B + B * self.lengths[at] / self.mean.max(f32::MIN_POSITIVE);
            scores[at] += share * rarity * weight * (K1 + 1.0) / (weight + K1 * length);
        }
    }
}

/// Returns the words of a text, in small letters and without the `s` of the plural: at most those of its first 8,192 bytes.
/// `getHTTPUser_names` is `get`, `http`, `user` and `name`.
fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    let end = (0..=text.len().min(8192)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let parts = text[..end].split(|letter: char| !letter.is_alphanumeric()).filter(|part| !part.is_empty());
    parts.flat_map(humps).map(|word| {
        let word: String = word.chars().take(MAX_WORD).flat_map(char::to_lowercase).collect();
        match word.strip_suffix('s') {
            Some(one) if one.len() > 2 && !one.ends_with(['s', 'u', 'i']) => one.to_owned(),
            _ => word,
        }
    })
}

/// Cuts a word where a capital letter begins another one.
fn humps(word: &str) -> Vec<&str> {
    let letters: Vec<(usize, char)> = word.char_indices().collect();
    let (mut parts, mut begin) = (Vec::new(), 0);
    for at in 1..letters.len() {
        let (before, here) = (letters[at - 1].1, letters[at].1);
        let next_is_small = letters.get(at + 1).is_some_and(|(_, next)| next.is_lowercase());
        if here.is_uppercase() && (!before.is_uppercase() || next_is_small) {
            parts.push(&word[begin..letters[at].0]);
            begin = letters[at].0;
        }
    }
    parts.push(&word[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn index(tools: &[serde_json::Value]) -> ToolIndex {
        let raw: Vec<Box<RawValue>> =
            tools.iter().map(|tool| RawValue::from_string(tool.to_string()).expect("JSON")).collect();
        ToolIndex::new(raw.iter().map(|raw| (&**raw, String::new())))
    }

    fn some() -> ToolIndex {
        index(&[
            json!({"name": "get_forecast", "description": "Tells the weather of the next days at a place."}),
            json!({"name": "createIssue", "title": "New issue", "description": "Makes an issue in a repository.",
                "inputSchema": {"properties": {"repository": {}, "labels": {}}}}),
            json!({"name": "list_issues", "description": "Lists the issues of a repository, newest first."}),
            json!({"name": "send_mail", "description": "Sends a letter. It says nothing about the weather."}),
        ])
    }

    #[test]
    fn words_are_found_in_names_titles_descriptions_and_arguments() {
        let rank = |question: &str| some().rank(question, 10, |_| true);
        assert_eq!(rank("weather forecast"), [0, 3]);
        assert_eq!(rank("create an ISSUE")[..2], [1, 2]);
        assert_eq!(rank("label"), [1]);
        assert_eq!(rank("repo")[..2], [1, 2], "the beginning of a word");
        assert_eq!(rank("quaternions"), [0_usize; 0]);
        assert_eq!(rank("  "), [0, 1, 2, 3]);
        assert_eq!(some().rank("issue", 1, |_| true).len(), 1);
    }

    #[test]
    fn words_are_cut_where_people_read_them() {
        let words: Vec<String> = words_of("getHTTPUser_names, Größe-2 status").collect();
        assert_eq!(words, ["get", "http", "user", "name", "größe", "2", "status"]);
    }

    proptest! {
        #[test]
        fn only_what_may_be_found_is_and_the_best_come_first(
            names in proptest::collection::vec("[a-c]{1,3}(_[a-c]{1,3}){0,2}|\\PC{0,20}", 0..12),
            question in "[a-c]{1,3}( [a-c]{1,3}){0,2}|\\PC{0,20}",
            hidden in any::<u16>(),
            limit in 0usize..8,
        ) {
            let tools: Vec<_> = names.iter().map(|name| json!({"name": name, "description": name})).collect();
            let index = index(&tools);
            let may = |at: usize| hidden & (1 << at) == 0;
            let found = index.rank(&question, limit, may);
            prop_assert!(found.len() <= limit && found.iter().all(|at| may(*at)));
            let all = index.rank(&question, usize::MAX, |_| true);
            let expected: Vec<usize> = all.into_iter().filter(|at| may(*at)).take(limit).collect();
            prop_assert_eq!(found, expected, "what is hidden changes no order");
        }
    }
}
