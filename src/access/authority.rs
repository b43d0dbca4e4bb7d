//! Limits on the keys that a caller may make or change: none may allow more than the caller's own. Pure.

use super::key::KeyRecord;
use super::limits::KeyLimits;
use super::principal::Principal;
use super::tenancy::Member;

/// Checks that a caller may make this key, or change the key `before` into it; an error gives the reason. A
/// narrower key is always allowed; a wider one must be within the caller's own key, and its member's role
/// must be no higher than the caller's.
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
    if !sooner && !ends_within(after.expires_at, caller.expires_at()) {
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

/// Checks that a caller may give a key these limits; an error gives the reason. Two keys with the limits of
/// one may do twice as much, so a key that has limits of its own makes no others. A caller who is not an
/// administrator cannot exceed the default for keys, which would otherwise limit nobody.
pub fn check_limits(caller: &Principal, limits: &KeyLimits, defaults: KeyLimits) -> Result<(), &'static str> {
    if !caller.record().limits.are_none() {
        return Err("A key with limits of its own cannot make or widen keys: they would multiply its limits");
    }
    if !caller.role().may_administer() && !limits.or(defaults).are_within(&defaults) {
        return Err("Your role does not allow limits beyond the default for keys");
    }
    Ok(())
}

/// Reports whether an end is no later than another; `None` means never.
fn ends_within(end: Option<u64>, wider: Option<u64>) -> bool {
    wider.is_none_or(|wider| end.is_some_and(|end| end <= wider))
}
