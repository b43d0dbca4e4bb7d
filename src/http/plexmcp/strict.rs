//! Bodies that grant or limit: every member has to be one that there is, and `null` says something of its
//! own. Elsewhere unknown members are ignored (contract, section 3).

use serde_json::Value;
use serde_json::value::RawValue;

use super::errors::Failure;
use super::fields::Fields;
use crate::http::body::{is_object, strict_object, string};
use crate::text::is_invisible;

/// The members of a body; unknown ones are noted as problems.
pub(super) fn read<'a, const N: usize>(
    body: &'a [u8],
    names: [&str; N],
    fields: &mut Fields,
) -> Result<[Option<&'a RawValue>; N], Failure> {
    let (members, unknown) = strict_object(body, names)?;
    unknown.iter().for_each(|given| fields.unknown("", given, &names));
    Ok(members)
}

/// The members of an object in a body.
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

/// A member that is a text of so many characters when blanks at both ends are left out.
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

/// A member that may be `null`, which is nothing: `None` where it is not there.
pub(super) fn or_null<'a, T>(
    raw: Option<&'a RawValue>,
    read: impl FnOnce(Option<&'a RawValue>) -> Option<T>,
) -> Option<Option<T>> {
    match raw? {
        null if null.get() == "null" => Some(None),
        raw => read(Some(raw)).map(Some),
    }
}

/// A member as a value; what cannot be one (numbers beyond every range) is a problem.
pub(super) fn value(fields: &mut Fields, field: &str, raw: Option<&RawValue>) -> Option<Value> {
    let value = serde_json::from_str(raw?.get()).ok();
    if value.is_none() {
        fields.problem(field, "cannot be read");
    }
    value
}
