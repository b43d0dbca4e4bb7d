//! `/v1/mcps/{id}/pins`: comparison of an MCP's tools with the approved ones, and approvals. For administrators.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::errors::ApiError;
use super::fields::{Fields, success};
use super::{Administrator, Id, Shared, json, mcp_id};
use crate::gateway::{Approval, Difference, PinReport, PinnedTool, ToolDigest};
use crate::http::core::body::{object, string};
use crate::http::core::context::RequestContext;
use crate::http::core::timestamp::timestamp;
use crate::unix_time;

/// The most tools that one approval names.
const MAX_TOOLS: usize = 1_000;

pub(super) async fn show(
    Administrator(caller): Administrator,
    State(shared): State<Shared>,
    id: Id,
) -> Result<Response, ApiError> {
    Ok(json(report(&shared.gateway.pins(&caller, &mcp_id(id)?)?)))
}

pub(super) async fn approve(
    Administrator(caller): Administrator,
    Extension(visitor): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, ApiError> {
    let id = mcp_id(id)?;
    let body = shared.body(request).await?;
    visitor.audit_as("tool.approve", &id);
    let approval = read_approval(&body)?;
    visitor.tells("digest", approval.digest.to_string());
    visitor.tells("tools", approval.tools.clone().map_or_else(|| Value::from("*"), Value::from));
    Ok(json(report(&shared.gateway.approve_tools(&caller, &id, approval).await?)))
}

fn read_approval(body: &[u8]) -> Result<Approval, ApiError> {
    let [digest, tools] = object(body, ["digest", "tools"])?.members;
    let mut fields = Fields::default();
    let digest = read_digest(&mut fields, digest);
    let tools = tools.and_then(|raw| read_tools(&mut fields, raw));
    fields.finish(Approval { digest, tools })
}

/// Reads the digest; returns the digest of no tools if a problem was noted.
fn read_digest(fields: &mut Fields, raw: Option<&RawValue>) -> ToolDigest {
    match raw.map(|raw| string(raw).and_then(|text| text.parse().ok())) {
        Some(Some(digest)) => return digest,
        Some(None) => fields.problem("digest", "must be \"sha256:\" and 64 hexadecimal digits"),
        None => fields.problem("digest", "is required: the digest that GET of this MCP's pins shows"),
    }
    ToolDigest::of_all(std::iter::empty())
}

fn read_tools(fields: &mut Fields, raw: &RawValue) -> Option<Vec<String>> {
    match serde_json::from_str::<Vec<String>>(raw.get()) {
        Ok(tools) if (1..=MAX_TOOLS).contains(&tools.len()) => Some(tools),
        _ => {
            fields.problem("tools", format!("must be an array of 1 to {MAX_TOOLS} names of tools"));
            None
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    pin: &'static str,
    digest: String,
    tools: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    name: &'a str,
    state: &'static str,
    digest: Option<String>,
    approved_digest: Option<String>,
    approved_at: Option<String>,
    approved_by: Option<&'a str>,
    differences: Vec<Place<'a>>,
    more_differences: bool,
    hidden_characters: &'a [String],
}

#[derive(Serialize)]
struct Place<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a Value>,
}

fn report(report: &PinReport) -> Vec<u8> {
    let tools = report.tools.iter().map(item).collect();
    success(Report { pin: report.mode.name(), digest: report.digest.to_string(), tools }, None)
}

fn item(tool: &PinnedTool) -> Item<'_> {
    let at = tool.approved_at_ms.map(|ms| timestamp(unix_time::from_millis(ms)));
    Item {
        name: &tool.name,
        state: tool.state.name(),
        digest: tool.digest.map(|digest| digest.to_string()),
        approved_digest: tool.approved_digest.map(|digest| digest.to_string()),
        approved_at: at,
        approved_by: tool.approved_by.as_deref(),
        differences: tool.differences.iter().map(place).collect(),
        more_differences: tool.more_differences,
        hidden_characters: &tool.hidden_characters,
    }
}

fn place(difference: &Difference) -> Place<'_> {
    let Difference { path, before, after } = difference;
    Place { path, before: before.as_ref(), after: after.as_ref() }
}
