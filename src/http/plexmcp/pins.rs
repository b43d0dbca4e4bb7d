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
#[cfg(test)]
use {
    super::openapi::words::{Digest, PinMode, PinState},
    crate::http::core::openapi::Time,
};

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
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, ApiError> {
    let id = mcp_id(id)?;
    let body = shared.body(request).await?;
    context.audit_as("tool.approve", &id);
    let approval = read_approval(&body)?;
    context.tells("digest", approval.digest.to_string());
    context.tells("tools", approval.tools.clone().map_or_else(|| Value::from("*"), Value::from));
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

/// Comparison of an MCP's tools with the approved ones.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Pins"))]
pub(super) struct Report<'a> {
    /// Treatment of tools that are not as they were approved.
    #[cfg_attr(test, schemars(with = "PinMode"))]
    pin: &'static str,
    /// Digest of all announced tools, which an approval has to name.
    #[cfg_attr(test, schemars(with = "Digest"))]
    digest: String,
    /// Announced tools in their order, then those that are gone; empty if nothing is compared.
    tools: Vec<Item<'a>>,
}

/// A tool beside the approved one of the same name.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PinnedTool"))]
struct Item<'a> {
    /// Name.
    name: &'a str,
    /// State against the approved tool.
    #[cfg_attr(test, schemars(with = "PinState"))]
    state: &'static str,
    /// Digest of the tool as it is announced; `null` if it is gone.
    #[cfg_attr(test, schemars(with = "Option<Digest>"))]
    digest: Option<String>,
    /// Digest of the approved tool; `null` if none of this name was approved.
    #[cfg_attr(test, schemars(with = "Option<Digest>"))]
    approved_digest: Option<String>,
    /// Time of the approval; `null` if there was none.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    approved_at: Option<String>,
    /// Id of the member that approved it; `null` if nobody did because it was there when the MCP was first seen.
    approved_by: Option<&'a str>,
    /// Places where it differs from the approved tool, at most 100.
    differences: Vec<Place<'a>>,
    /// `true` if there are further places.
    more_differences: bool,
    /// Characters in it that are not seen or turn the direction of text, such as `U+200B`.
    hidden_characters: &'a [String],
}

/// A place where a tool differs from the approved one.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ToolDifference"))]
struct Place<'a> {
    /// Place in the tool, as a JSON Pointer (RFC 6901).
    path: &'a str,
    /// Value of the approved tool; absent if it has none there.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Value>,
    /// Value as it is announced; absent if there is none.
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
