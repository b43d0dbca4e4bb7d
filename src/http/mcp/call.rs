//! A modern request, complete with what it came with.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::message::Request;
use super::state::McpState;
use crate::gateway::{Gateway, Principal};
use crate::http::settings::Settings;

/// A request with what it came with.
pub(super) struct Call<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) settings: &'a Settings,
    pub(super) state: &'a McpState,
    pub(super) caller: &'a Principal,
    /// Server as the path names it.
    pub(super) server: &'a Arc<str>,
    pub(super) request: &'a Request<'a>,
    pub(super) headers: &'a HeaderMap,
}
