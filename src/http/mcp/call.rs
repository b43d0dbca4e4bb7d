//! A modern request, complete with what it came with.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::message::Request;
use super::routing::Router;
use super::said::Said;
use super::state::McpState;
use super::target::Target;
use crate::gateway::{Gateway, Principal};
use crate::http::core::context::RequestContext;
use crate::http::settings::Settings;

/// A request with what it came with.
pub(super) struct Call<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) settings: &'a Settings,
    pub(super) state: &'a McpState,
    pub(super) caller: &'a Principal,
    /// What the path is the endpoint of.
    pub(super) target: &'a Target,
    pub(super) request: &'a Request<'a>,
    pub(super) headers: &'a HeaderMap,
    /// What it says besides what it asks.
    pub(super) said: &'a Arc<Said>,
    /// Record of the request, for the audit.
    pub(super) context: &'a RequestContext,
}

impl<'a> Call<'a> {
    /// Returns who asks, and where.
    pub(super) fn router(&self) -> Router<'a> {
        Router { gateway: self.gateway, caller: self.caller, target: self.target }
    }
}
