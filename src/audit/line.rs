//! A line of the audit, as far as its files are concerned.

use serde::de::IgnoredAny;

/// Returns the number that a line begins with; `None` if it begins otherwise.
pub(super) fn number_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"number\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Reports whether a line is an entry, and not the damaged remains of one.
pub(super) fn is_entry(line: &[u8]) -> bool {
    number_of(line).is_some() && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}
