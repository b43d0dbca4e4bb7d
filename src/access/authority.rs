//! What a caller may make of a key: nothing that allows more than its own does. Pure.

use super::charter::Member;
use super::key::KeyRecord;
use super::limits::KeyLimits;
use super::ring::Principal;

/// Says why a caller may not make this key, or make this of one that was `before`. Whatever is narrower
/// than it was is allowed; what is wider has to be within the caller's own key, and its member's role
/// no higher than the caller's.
pub fn check_grant(
    caller: &Principal,
    before: Option<&KeyRecord>,
    after: &KeyRecord,
    owner: &Member,
    defaults: KeyLimits,
) -> Result<(), &'static str> {
    let own = caller.record();
    let narrower = before.is_some_and(|before| after.permissions.are_within(&before.permissions));
    if !narrower && !after.permissions.are_within(&own.permissions) {
        return Err("A key cannot allow more than the key that makes it");
    }
    let sooner = before.is_some_and(|before| ends_within(after.expires_at, before.expires_at));
    if !sooner && !ends_within(after.expires_at, own.expires_at) {
        return Err("A key cannot be valid for longer than the key that makes it");
    }
    let tighter = before.is_some_and(|before| after.limits.are_within(&before.limits));
    if !tighter {
        check_limits(caller, &after.limits, defaults)?;
    }
    if !(narrower && sooner && tighter) && owner.role > caller.role() {
        return Err("A key cannot have a higher role than the key that makes it");
    }
    Ok(())
}

/// Says why a caller may not give a key these limits. Two keys with the limits of one may twice as much:
/// so a key that has limits of its own makes no others. Who does not administer cannot give more than
/// the default for keys, which would limit nobody otherwise.
pub fn check_limits(caller: &Principal, limits: &KeyLimits, defaults: KeyLimits) -> Result<(), &'static str> {
    if !caller.record().limits.are_none() {
        return Err("A key with limits of its own cannot make or widen keys: they would multiply its limits");
    }
    if !caller.role().may_administer() && !limits.or(defaults).are_within(&defaults) {
        return Err("Your role does not allow limits beyond the default for keys");
    }
    Ok(())
}

/// Whether an end is no later than another one; `None` is never.
fn ends_within(end: Option<u64>, wider: Option<u64>) -> bool {
    wider.is_none_or(|wider| end.is_some_and(|end| end <= wider))
}
