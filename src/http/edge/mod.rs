//! Checks that every request passes before a route sees it, and every answer after.

pub(in crate::http) mod guard;
pub(in crate::http) mod origin;
