//! Reader of bodies that grant or limit: every member has to be a known one, and `null` has a meaning of its own.
//! Elsewhere unknown members are ignored (`docs/http-api.md`, G3.5).

use serde_json::Value;
use serde_json::value::RawValue;

use super::errors::ApiError;
use super::fields::Fields;
use crate::http::core::body::{is_object, strict_object, string};
use crate::text::is_invisible;

/// Reads the members of a body; unknown ones are noted as problems.
pub(super) fn read<'a, const N: usize>(
    body: &'a [u8],
    names: [&str; N],
    fields: &mut Fields,
) -> Result<[Option<&'a RawValue>; N], ApiError> {
    let (members, unknown) = strict_object(body, names)?;
    unknown.iter().for_each(|given| fields.unknown("", given, &names));
    Ok(members)
}

/// Reads the members of an object in a body; unknown ones are noted as problems.
pub(super) fn nested<'a, const N: usize>(
    raw: &'a RawValue,
    path: &str,
    names: [&str; N],
    fields: &mut Fields,
) -> [Option<&'a RawValue>; N] {
    let read = is_object(raw).then(|| strict_object(raw.get().as_bytes(), names).ok()).flatten();
    let Some((members, unknown)) = read else {
        fields.problem(path, "must be an object");
        return [None; N];
    };
    unknown.iter().for_each(|given| fields.unknown(&format!("{path}."), given, &names));
    members
}

/// Reads a member that is a text of 1 to `most` characters, without the blanks at both ends.
pub(super) fn text(fields: &mut Fields, field: &str, raw: Option<&RawValue>, most: usize) -> Option<String> {
    let text = string(raw?).map(|text| text.trim().to_owned());
    let good = text.filter(|text| (1..=most).contains(&text.chars().count()));
    let Some(good) = good else {
        fields.problem(field, format!("must be a string of 1 to {most} characters"));
        return None;
    };
    if let Some(c) = good.chars().find(|c| is_invisible(*c)) {
        let reason = "must not contain characters that are not seen or turn the direction of text";
        fields.problem(field, format!("{reason} (found U+{:04X})", u32::from(c)));
        return None;
    }
    Some(good)
}

/// Reads a member that may be `null`. The outer `None` means that it is absent, the inner one that it is `null`.
pub(super) fn or_null<'a, T>(
    raw: Option<&'a RawValue>,
    read: impl FnOnce(Option<&'a RawValue>) -> Option<T>,
) -> Option<Option<T>> {
    match raw? {
        null if null.get() == "null" => Some(None),
        raw => read(Some(raw)).map(Some),
    }
}

/// Reads a member as a value; one that cannot be read (numbers beyond every range) is a problem.
pub(super) fn value(fields: &mut Fields, field: &str, raw: Option<&RawValue>) -> Option<Value> {
    let value = serde_json::from_str(raw?.get()).ok();
    if value.is_none() {
        fields.problem(field, "cannot be read");
    }
    value
}
