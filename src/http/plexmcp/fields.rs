//! Common parts of `/v1`: fields that are checked all at once, pages of lists, and the envelope of a success
//! (`docs/http-api.md`, P1 and P4).

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::errors::ApiError;
use crate::http::core::body::is_object;
use crate::http::core::timestamp::parse_moment;
use crate::nearest::closest;
use crate::text::json_string;
use crate::unix_time;

/// The longest id, name or tool name in a request, in characters.
pub(super) const MAX_NAME: usize = 256;

/// Collector of the problems of all fields, so that one answer names them all.
#[derive(Default)]
pub(super) struct Fields {
    problems: Map<String, Value>,
    /// Sentence about the first unknown member; `None` if there is none.
    unknown: Option<String>,
}

impl Fields {
    pub(super) fn problem(&mut self, field: &str, reason: impl Into<String>) {
        self.problems.insert(field.to_owned(), Value::String(reason.into()));
    }

    /// Notes an unknown member, beside the known ones.
    pub(super) fn unknown(&mut self, path: &str, given: &str, known: &[&str]) {
        let hint = match closest(given, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {}", known.join(", ")),
        };
        let name = format!("{path}{given}");
        self.unknown.get_or_insert_with(|| format!("Unknown member '{name}'; {hint}"));
        self.problem(&name, format!("is no member that there is; {hint}"));
    }

    /// Notes that a body names nothing, unless a member of it is unknown.
    pub(super) fn nothing(&mut self, reason: String) {
        if self.unknown.is_none() {
            self.problem("body", reason);
        }
    }

    /// Notes a change without any of the members `names`.
    pub(super) fn nothing_to_change(&mut self, names: &[&str]) {
        self.nothing(format!("names nothing to change; there are {}", names.join(", ")));
    }

    pub(super) fn name<'a>(&mut self, field: &str, raw: Option<&'a RawValue>) -> Cow<'a, str> {
        let Some(raw) = raw else {
            self.problem(field, "is required");
            return Cow::Borrowed("");
        };
        match json_string(raw) {
            Some(name) if (1..=MAX_NAME).contains(&name.chars().count()) => return name,
            Some(_) => self.problem(field, format!("must be 1 to {MAX_NAME} characters long")),
            None => self.problem(field, "must be a string"),
        }
        Cow::Borrowed("")
    }

    pub(super) fn timeout(&mut self, raw: Option<&RawValue>, longest: Duration) -> Option<Duration> {
        let raw = raw?;
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        match raw.get().parse() {
            Ok(ms) if (1..=longest).contains(&ms) => Some(Duration::from_millis(ms)),
            _ => {
                self.problem(
                    "timeout",
                    format!("must be a whole number of milliseconds from 1 to {longest}"),
                );
                None
            }
        }
    }

    /// Checks that a member is an object, and returns it as it was written.
    pub(super) fn object<'a>(&mut self, field: &str, raw: Option<&'a RawValue>) -> Option<&'a RawValue> {
        let raw = raw?;
        if !is_object(raw) {
            self.problem(field, "must be an object");
            return None;
        }
        Some(raw)
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, ApiError> {
        match self.problems.is_empty() {
            true => Ok(value),
            false => Err(ApiError::invalid_fields(self.problems, self.unknown)),
        }
    }
}

/// The requested page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    page: u64,
    per_page: u64,
}

/// Place of a page in its list.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Pagination {
    /// Number of this page, from 1.
    page: u64,
    /// Number of entries on a page, at most 100.
    per_page: u64,
    /// Number of entries on all pages.
    total: u64,
    /// Number of pages; 0 without any entries.
    total_pages: u64,
}

impl Page {
    /// Reads `page` and `per_page` (`docs/http-api.md`, P4.1).
    pub(super) fn read(query: &[(String, String)], fields: &mut Fields) -> Page {
        let mut number =
            |name: &str, default: u64| match last(query, name).map(|text| (text, text.parse::<u64>())) {
                None => default,
                Some((text, Ok(number))) if number >= 1 && !text.starts_with('+') => number,
                Some(_) => {
                    fields.problem(name, "must be an integer >= 1");
                    default
                }
            };
        Page { page: number("page", 1), per_page: number("per_page", 20).min(100) }
    }

    /// Returns the items of this page, out of all.
    pub(super) fn of<T>(self, items: &[T]) -> (&[T], Pagination) {
        let total = items.len() as u64;
        let (skip, take) = self.bounds();
        let begin = skip.min(total);
        let end = begin.saturating_add(take).min(total);
        (&items[begin as usize..end as usize], self.pagination(total))
    }

    /// Returns the number of items before the page, and the most that the page can hold.
    pub(super) fn bounds(self) -> (u64, u64) {
        ((self.page - 1).saturating_mul(self.per_page), self.per_page)
    }

    /// Returns the pagination beside this page of `total` items altogether.
    pub(super) fn pagination(self, total: u64) -> Pagination {
        let total_pages = total.div_ceil(self.per_page);
        Pagination { page: self.page, per_page: self.per_page, total, total_pages }
    }
}

/// Returns the value of a query parameter; of a repeated one the last counts.
pub(super) fn last<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// Reads a moment, in seconds since 1970.
pub(super) fn moment(query: &[(String, String)], name: &str, fields: &mut Fields) -> Option<u64> {
    let given = last(query, name)?;
    let at = parse_moment(given, name == "until");
    if at.is_none() {
        fields.problem(name, "must be a date or a time as RFC 3339 writes it");
    }
    at.map(unix_time::seconds)
}

/// Reads `since` and `until`, each of which may be missing, in seconds since 1970.
pub(super) fn ends(query: &[(String, String)], fields: &mut Fields) -> (Option<u64>, Option<u64>) {
    let (since, until) = (moment(query, "since", fields), moment(query, "until", fields));
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        fields.problem("until", "must not be before since");
    }
    (since, until)
}

#[derive(Serialize)]
struct Success<'a, T> {
    success: bool,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

/// Writes a success of this dialect around its data.
pub(super) fn success<T: Serialize>(data: T, pagination: Option<Pagination>) -> Vec<u8> {
    // Writing plain values to memory cannot fail.
    serde_json::to_vec(&Success { success: true, data, pagination, warnings: &[] }).unwrap_or_default()
}

/// Writes a success that carries warnings.
pub(super) fn success_with<T: Serialize>(data: T, warnings: &[String]) -> Vec<u8> {
    serde_json::to_vec(&Success { success: true, data, pagination: None, warnings }).unwrap_or_default()
}
