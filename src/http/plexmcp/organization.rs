//! `/v1/organization` and its members (`docs/http-api.md`, P12).

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::errors::ApiError;
use super::fields::{Fields, Page, last, success};
use super::{Caller, QueryPairs, Shared, json};
use crate::gateway::{MemberView, Role};
use crate::http::core::timestamp::{format_second, timestamp};
#[cfg(test)]
use {
    super::openapi::words::{Role as RoleName, Source},
    crate::http::core::openapi::Time,
};

/// The organization that the gateway serves.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Organization<'a> {
    /// Id.
    id: &'a str,
    /// Name for people.
    name: &'a str,
    /// Name for addresses: lower-case letters, digits and `-`.
    slug: &'a str,
    /// Description; `null` if there is none.
    description: Option<&'a str>,
    /// Name of its plan.
    plan: &'a str,
    /// Time at which it was made.
    #[cfg_attr(test, schemars(with = "Time"))]
    created_at: String,
    /// Settings.
    settings: OrganizationSettings,
    /// Limits of its plan.
    limits: OrganizationLimits,
    /// Numbers that count against the limits.
    usage: OrganizationUsage,
}

/// Settings of the organization.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OrganizationSettings {
    /// Protection of the dashboard by a PIN, which this gateway does not have: `false`.
    pin_protection: bool,
}

/// Limits of the organization's plan; `null` is unlimited.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OrganizationLimits {
    /// Number of MCPs.
    mcps: Option<u64>,
    /// Number of API keys.
    api_keys: Option<u64>,
    /// Number of members.
    team_members: Option<u64>,
    /// Number of calls in a month (UTC).
    monthly_requests: Option<u64>,
}

/// Numbers that count against the limits of the organization's plan.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OrganizationUsage {
    /// Number of MCPs.
    mcps: u64,
    /// Number of API keys.
    api_keys: u64,
    /// Number of members.
    team_members: u64,
    /// Number of calls in this month (UTC).
    monthly_requests: u64,
}

pub(super) async fn show(Caller(caller): Caller, State(shared): State<Shared>) -> Result<Response, ApiError> {
    let seen = shared.gateway.organization(&caller);
    let plan = &seen.plan;
    let monthly = shared.gateway.requests_this_month(&caller).await?;
    Ok(json(success(
        Organization {
            id: &seen.id,
            name: &seen.name,
            slug: &seen.slug,
            description: seen.description.as_deref(),
            plan: &plan.name,
            created_at: timestamp(seen.created_at),
            settings: OrganizationSettings { pin_protection: false },
            limits: OrganizationLimits {
                mcps: plan.max_mcps,
                api_keys: plan.max_api_keys,
                team_members: plan.max_members,
                monthly_requests: plan.monthly_requests,
            },
            usage: OrganizationUsage {
                mcps: seen.mcps,
                api_keys: seen.api_keys,
                team_members: seen.team_members,
                monthly_requests: monthly,
            },
        },
        None,
    )))
}

pub(super) async fn members(
    Caller(caller): Caller,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    let mut fields = Fields::default();
    let page = Page::read(&query, &mut fields);
    let role = last(&query, "role").map(|given| Role::ALL.iter().find(|(name, _)| *name == given));
    if let Some(None) = role {
        fields.problem("role", "must be owner, admin, member or viewer");
    }
    let page = fields.finish(page)?;
    let mut members = shared.gateway.members(&caller);
    members.retain(|seen| role.flatten().is_none_or(|(_, role)| seen.member.role == *role));
    // The latest to join come first, and the ids settle the rest (`docs/http-api.md`, P4.3).
    members.sort_by(|a, b| b.joined_at.cmp(&a.joined_at).then_with(|| a.member.id.cmp(&b.member.id)));
    let (shown, pagination) = page.of(&members);
    Ok(json(success(shown.iter().map(item).collect::<Vec<_>>(), Some(pagination))))
}

/// A member of the organization.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Member"))]
pub(super) struct Item<'a> {
    /// Id, by which keys name their owner.
    id: &'a str,
    /// Email address; `null` if none was given.
    email: Option<&'a str>,
    /// Name for people.
    name: &'a str,
    /// Role, with which all its keys act.
    #[cfg_attr(test, schemars(with = "RoleName"))]
    role: &'static str,
    /// Name of a plan of its own; `null` for the organization's.
    plan: Option<&'a str>,
    /// Place where it was made and can be changed.
    #[cfg_attr(test, schemars(with = "Source"))]
    source: &'static str,
    /// Time at which it was made.
    #[cfg_attr(test, schemars(with = "Time"))]
    joined_at: String,
    /// Time at which one of its keys was last used; `null` if none was.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    last_active: Option<String>,
}

pub(super) fn item(seen: &MemberView) -> Item<'_> {
    Item {
        id: &seen.member.id,
        email: seen.member.email.as_deref(),
        name: &seen.member.name,
        role: seen.member.role.name(),
        plan: seen.member.plan.as_ref().map(|plan| &*plan.name),
        source: seen.member.source.name(),
        joined_at: format_second(seen.joined_at),
        last_active: seen.last_active.map(format_second),
    }
}
