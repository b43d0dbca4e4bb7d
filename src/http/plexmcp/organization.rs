//! `/v1/organization` and its members (`docs/http-api.md`, P12).

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::errors::ApiError;
use super::fields::{Fields, Page, last, success};
use super::keys::moment;
use super::{Caller, QueryPairs, Shared, json};
use crate::gateway::{MemberView, Role};
use crate::http::core::timestamp::timestamp;

pub(super) async fn show(Caller(caller): Caller, State(shared): State<Shared>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Organization<'a> {
        id: &'a str,
        name: &'a str,
        slug: &'a str,
        description: Option<&'a str>,
        plan: &'a str,
        created_at: String,
        settings: Value,
        limits: Value,
        usage: Value,
    }
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
            settings: json!({"pin_protection": false}),
            limits: json!({
                "mcps": plan.max_mcps,
                "api_keys": plan.max_api_keys,
                "team_members": plan.max_members,
                "monthly_requests": plan.monthly_requests,
            }),
            usage: json!({
                "mcps": seen.mcps,
                "api_keys": seen.api_keys,
                "team_members": seen.team_members,
                "monthly_requests": monthly,
            }),
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

#[derive(Serialize)]
pub(super) struct Item<'a> {
    id: &'a str,
    email: Option<&'a str>,
    name: &'a str,
    role: &'static str,
    /// Plan of the member itself; `null` for the organization's.
    plan: Option<&'a str>,
    /// Source that the member comes from, where it can be changed.
    source: &'static str,
    joined_at: String,
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
        joined_at: moment(seen.joined_at),
        last_active: seen.last_active.map(moment),
    }
}
