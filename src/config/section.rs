//! Reads one TOML table: each setting is requested by name, with its expected values. Wrong values and, at the
//! end, names that were never requested become problems with their line and column.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use serde_json::{Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Position, Problems, did_you_mean, path_step};
use super::values;
use crate::supervisor::parse_duration;
use crate::text::cut;

/// Text that is being read, and its name for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'d> {
    pub(super) source: &'d str,
    pub(super) text: &'d str,
    /// Keeper of what is asked of it; `None` if nobody wants to know.
    pub(super) asked: Option<&'d Asked>,
}

/// Keeper of the settings that were asked of a document.
#[derive(Debug, Default)]
pub(super) struct Asked(RefCell<Vec<AskedSetting>>);

/// A setting that was asked of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AskedSetting {
    /// Path of the setting, for example `server.port`.
    pub(super) path: String,
    /// What it may be, worded to follow "must be".
    pub(super) expected: String,
    /// Its place and its text, as written; `None` if it is not there.
    pub(super) written: Option<(Position, String)>,
}

impl Asked {
    /// Returns the settings in the order in which they were asked for.
    pub(super) fn take(&self) -> Vec<AskedSetting> {
        self.0.take()
    }
}

impl<'d> Document<'d> {
    /// Returns a document that nobody watches.
    pub(super) fn new(source: &'d str, text: &'d str) -> Document<'d> {
        Document { source, text, asked: None }
    }

    fn position(&self, span: &Range<usize>) -> Option<Position> {
        Some(Position::of(self.text, span.start))
    }

    /// Returns a value as written in the file, shortened.
    fn quote(&self, span: Range<usize>) -> String {
        cut(self.text.get(span).unwrap_or_default().to_owned(), 60)
    }
}

struct Entry<'t> {
    name: &'t str,
    name_span: Range<usize>,
    value: &'t Spanned<DeValue<'t>>,
}

/// One table of the file. Request every setting, then call [`Section::finish`].
pub(super) struct Section<'t> {
    document: Document<'t>,
    path: String,
    entries: Vec<Entry<'t>>,
    asked: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// Returns the table of the whole file.
    pub(super) fn top(document: Document<'t>, table: &'t DeTable<'t>) -> Section<'t> {
        Section::new(document, String::new(), table)
    }

    fn new(document: Document<'t>, path: String, table: &'t DeTable<'t>) -> Section<'t> {
        let entries = table
            .iter()
            .map(|(name, value)| Entry { name: name.get_ref().as_ref(), name_span: name.span(), value })
            .collect();
        Section { document, path, entries, asked: Vec::new() }
    }

    /// Returns the table of this name; an empty one if it is missing.
    pub(super) fn section(&mut self, name: &'static str, problems: &mut Problems) -> Section<'t> {
        let path = self.path_of(name);
        let empty = Section { document: self.document, path, entries: Vec::new(), asked: Vec::new() };
        let Some(entry) = self.take(name) else { return empty };
        match entry.value.get_ref() {
            DeValue::Table(table) => Section::new(self.document, empty.path, table),
            _ => {
                self.wrong(&entry, &format!("a section: [{}]", empty.path), problems);
                empty
            }
        }
    }

    /// Returns the tables of this array of tables, in their order.
    pub(super) fn sections(&mut self, name: &'static str, problems: &mut Problems) -> Vec<Section<'t>> {
        let path = self.path_of(name);
        let Some(entry) = self.take(name) else { return Vec::new() };
        let tables = entry.value.get_ref().as_array().map(|items| {
            let read = |item: &'t Spanned<DeValue<'t>>| match item.get_ref() {
                DeValue::Table(table) => Some(Section::new(self.document, path.clone(), table)),
                _ => None,
            };
            items.iter().map(read).collect::<Option<Vec<_>>>()
        });
        tables.flatten().unwrap_or_else(|| {
            self.wrong(&entry, &format!("sections: [[{path}]]"), problems);
            Vec::new()
        })
    }

    /// Returns the tables in this one, by the names that the operator has chosen.
    pub(super) fn named(&mut self, problems: &mut Problems) -> Vec<(String, Section<'t>)> {
        let entries = std::mem::take(&mut self.entries);
        let mut named = Vec::new();
        for entry in &entries {
            let path = self.path_of(entry.name);
            match entry.value.get_ref() {
                DeValue::Table(table) => {
                    named.push((entry.name.to_owned(), Section::new(self.document, path, table)));
                }
                _ => self.wrong(entry, &format!("a section: [{path}]"), problems),
            }
        }
        named
    }

    /// Reports a setting whose value was read and cannot be used.
    pub(super) fn refuse(&self, name: &'static str, reason: String, problems: &mut Problems) {
        problems.at(self.document.source, self.position(name), self.path_of(name), reason);
    }

    /// Reports the table itself, by its path.
    pub(super) fn refuse_all(&self, reason: &str, problems: &mut Problems) {
        let first = self.entries.first().and_then(|entry| self.document.position(&entry.name_span));
        problems.at(self.document.source, first, self.path.clone(), reason);
    }

    /// Reads a setting into its slot, or reports that it "must be" as expected.
    pub(super) fn set<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        slot: &mut T,
        problems: &mut Problems,
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) {
        let entry = self.take(name);
        if let Some(asked) = self.document.asked {
            let written = entry.as_ref().map(|entry| {
                let span = entry.value.span();
                let text = self.document.text.get(span.clone()).unwrap_or_default();
                (Position::of(self.document.text, span.start), text.to_owned())
            });
            let setting = AskedSetting { path: self.path_of(name), expected: expected.to_owned(), written };
            asked.0.borrow_mut().push(setting);
        }
        let Some(entry) = entry else { return };
        match read(entry.value.get_ref()) {
            Some(value) => *slot = value,
            None => self.wrong(&entry, expected, problems),
        }
    }

    /// Reads a duration within a range.
    pub(super) fn duration(
        &mut self,
        name: &'static str,
        range: RangeInclusive<Duration>,
        slot: &mut impl From<Duration>,
        problems: &mut Problems,
    ) {
        let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
        let expected = format!("a duration from {least} to {most}, such as \"500ms\", \"10s\" or \"2m\"");
        self.set(name, &expected, slot, problems, |value| {
            duration(value).filter(|duration| range.contains(duration)).map(Into::into)
        });
    }

    /// Reads a whole number within a range.
    pub(super) fn count<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        slot: &mut T,
        problems: &mut Problems,
    ) {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.set(name, &expected, slot, problems, |value| {
            integer(value).filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok())
        });
    }

    /// Reads one of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
        slot: &mut T,
        problems: &mut Problems,
    ) {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = format!("one of {}", words.join(", "));
        self.set(name, &expected, slot, problems, |value| {
            let given = value.as_str()?;
            choices.iter().find(|(word, _)| *word == given).map(|(_, choice)| *choice)
        });
    }

    /// Reads `true` or `false`.
    pub(super) fn switch(&mut self, name: &'static str, slot: &mut bool, problems: &mut Problems) {
        self.set(name, "true or false", slot, problems, |value| value.as_bool());
    }

    /// Returns the position of a setting's value. `None` if it is not set.
    pub(super) fn position(&self, name: &str) -> Option<Position> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        self.document.position(&entry.value.span())
    }

    /// Reports every name that was never requested.
    pub(super) fn finish(self, problems: &mut Problems) {
        #[cfg(test)]
        KNOWN.with_borrow_mut(|known| known.push((self.path.clone(), self.asked.clone())));
        for entry in &self.entries {
            if self.asked.contains(&entry.name) {
                continue;
            }
            let what = if self.path.is_empty() { "section" } else { "setting" };
            let reason = format!("is not a known {what}{}", did_you_mean(entry.name, &self.asked));
            let position = self.document.position(&entry.name_span);
            problems.at(self.document.source, position, self.path_of(entry.name), reason);
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Entry<'t>> {
        self.asked.push(name);
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(Entry { name: entry.name, name_span: entry.name_span.clone(), value: entry.value })
    }

    fn wrong(&self, entry: &Entry<'_>, expected: &str, problems: &mut Problems) {
        let found = self.document.quote(entry.value.span());
        let position = self.document.position(&entry.value.span());
        let reason = format!("must be {expected} (found {found})");
        problems.at(self.document.source, position, self.path_of(entry.name), reason);
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { path_step(name) } else { format!("{}.{}", self.path, path_step(name)) }
    }
}

#[cfg(test)]
thread_local! {
    static KNOWN: std::cell::RefCell<Vec<(String, Vec<&'static str>)>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Returns the sections below the top that `read` read on this thread, each with the settings that were
/// requested: the documentation has to list these.
#[cfg(test)]
pub(super) fn known_settings(read: impl FnOnce()) -> Vec<(String, Vec<&'static str>)> {
    KNOWN.take();
    read();
    let mut known: Vec<_> = KNOWN.take().into_iter().filter(|(path, _)| !path.is_empty()).collect();
    let sections: Vec<String> = known.iter().map(|(path, _)| path.clone()).collect();
    // A section within another is not one of its settings.
    for (path, settings) in &mut known {
        settings.retain(|setting| !sections.contains(&format!("{path}.{setting}")));
    }
    known
}

/// Returns a TOML integer that is not negative. `None` for anything else.
pub(super) fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Reads a size in bytes: a whole number, or a text as [`values::size`] takes it. `None` for anything else.
pub(super) fn size(value: &DeValue<'_>) -> Option<usize> {
    match value {
        DeValue::String(text) => values::size(text),
        other => usize::try_from(integer(other)?).ok(),
    }
}

/// Reads an array of strings, each with a check. `None` if one of them fails it.
pub(super) fn texts<T>(value: &DeValue<'_>, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|item| item.get_ref().as_str().and_then(&read)).collect()
}

fn duration(value: &DeValue<'_>) -> Option<Duration> {
    let plain = match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(_) => Value::Number(integer(value)?.into()),
        DeValue::Float(number) => Value::Number(Number::from_f64(number.as_str().parse().ok()?)?),
        _ => return None,
    };
    parse_duration(&plain)
}

/// Formats a duration in the largest unit that shows it exactly.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units: [(u128, &str); 4] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit)).unwrap_or((1, "ms"));
    format!("{}{name}", ms / unit)
}
