//! The OpenAPI document of `/v1`, served at `/v1/openapi.json`.

use axum::response::Response;
use serde_json::{Value, json};

use super::{QueryPairs, openapi_keys};
use crate::http::core::openapi::{self, Dialect, Operation, of};

/// Answers with the document. It needs no key (`docs/http-api.md`, P6.1).
pub(super) async fn document(_: QueryPairs) -> Response {
    openapi::answer(&openapi::document(dialect(), super::routes().known(), describe))
}

fn dialect() -> Dialect {
    Dialect {
        title: "mcpvisor, the PlexMCP dialect",
        description: "MCP servers, their tools, keys and usage. Every route but this document needs a key.",
        error: json!({
            "type": "object",
            "required": ["success", "error"],
            "properties": {
                "success": {"const": false},
                "error": {
                    "type": "object",
                    "required": ["code", "message"],
                    "properties": {
                        "code": {"type": "string", "pattern": "^[a-z_]+$"},
                        "message": {"type": "string", "minLength": 1},
                        "details": {"type": "object"},
                    },
                },
            },
        }),
        schemas: schemas(),
    }
}

fn schemas() -> Value {
    let text = json!({"type": "string"});
    let maybe_text = json!({"type": ["string", "null"]});
    let count = json!({"type": "integer", "minimum": 0});
    let time = json!({"type": "string", "format": "date-time"});
    let maybe_time = json!({"type": ["string", "null"], "format": "date-time"});
    let number = json!({"type": ["integer", "null"], "minimum": 0});
    json!({
        "Pagination": object(&["page", "per_page", "total", "total_pages"], json!({
            "page": count, "per_page": count, "total": count, "total_pages": count,
        })),
        "Mcp": object(&["id", "name", "status", "health", "state", "created_at", "request_count"], json!({
            "id": text, "name": text, "endpoint_url": maybe_text, "description": maybe_text,
            "status": {"enum": ["active", "inactive"]}, "health": {"enum": ["healthy", "unhealthy", "unknown"]},
            "created_at": time, "last_active": maybe_time, "request_count": count, "state": text,
        })),
        "McpDetail": {"allOf": [of("Mcp"), object(&["updated_at", "stats", "supervision", "traffic", "tools"], json!({
            "updated_at": time, "stats": {"type": "object"}, "supervision": {"type": "object"},
            "traffic": {"type": "object"}, "tools": {"type": "array", "items": object(&["name", "input_schema"], json!({
                "name": text, "description": maybe_text, "input_schema": {"type": "object"}, "pin": maybe_text,
                "_meta": {"type": "object"},
            }))}, "pins": {"type": "object"},
        }))]},
        "Pins": pins(),
        "LogLine": object(&["at", "incarnation", "stream", "number", "line"], json!({
            "at": time, "incarnation": count, "stream": {"enum": ["stderr", "stdout", "log", "mcpvisor"]},
            "number": count, "line": text,
        })),
        "Invoked": object(&["result", "metadata", "content", "is_error"], json!({
            "metadata": {"type": "object"}, "content": {"type": "array", "items": {}}, "is_error": {"const": false},
        })),
        "Contents": object(&["contents", "metadata"], json!({
            "contents": {"type": "array", "items": {}}, "metadata": {"type": "object"}, "resource_templates": {"type": "array", "items": {}},
        })),
        "Organization": object(&["id", "name", "slug", "plan", "created_at", "limits", "usage"], json!({
            "id": text, "name": text, "slug": text, "description": maybe_text, "plan": text, "created_at": time,
            "settings": {"type": "object"},
            "limits": {"type": "object", "additionalProperties": number},
            "usage": {"type": "object", "additionalProperties": count},
        })),
        "Member": object(&["id", "name", "role", "joined_at"], json!({
            "id": text, "email": maybe_text, "name": text, "role": {"enum": ["owner", "admin", "member", "viewer"]},
            "plan": maybe_text, "source": {"enum": ["built-in", "file", "api"]},
            "joined_at": time, "last_active": maybe_time,
        })),
        "Limits": openapi_keys::limits(),
        "Plan": openapi_keys::plan(),
        "Key": openapi_keys::key(),
        "RotatedKey": openapi_keys::rotated_key(),
        "NewKey": object(&["id", "name", "key", "prefix", "status", "created_at", "permissions"], json!({
            "id": text, "name": text, "key": {"type": "string", "pattern": "^pk_live_"}, "prefix": text,
            "status": {"const": "active"}, "created_at": time, "expires_at": maybe_time, "owner_id": text,
            "created_by": openapi_keys::maker(),
            "permissions": {"type": "object"}, "limits": of("Limits"),
        })),
        "Usage": object(&["period", "start_date", "end_date", "requests", "by_status", "by_mcp", "by_day"], json!({
            "period": text, "start_date": time, "end_date": time,
            "requests": object(&["total", "limit", "percentage"], json!({
                "total": count, "limit": number, "percentage": number,
            })),
            "by_status": {"type": "object", "additionalProperties": count},
            "by_outcome": {"type": "object", "additionalProperties": count},
            "avg_latency_ms": number, "bytes": {"type": "object", "additionalProperties": count},
            "by_mcp": {"type": "array", "items": {}}, "by_tool": {"type": "array", "items": {}}, "by_api_key": {"type": "array", "items": {}},
            "by_day": {"type": "array", "items": {}},
        })),
        "Bucket": object(&["period_start", "period_end", "requests", "errors", "avg_latency_ms"], json!({
            "period_start": time, "period_end": time, "requests": count, "errors": count, "avg_latency_ms": number,
        })),
        "AuditEntry": object(&["number", "at", "action", "target", "outcome"], json!({
            "number": count, "at": time, "action": text, "target": text,
            "outcome": {"enum": ["done", "refused", "failed", "unknown"]}, "status": count,
            "member_id": text, "key_id": text, "peer": text, "uid": count, "request_id": text,
            "details": {"type": "object"},
        })),
        "AuditEnd": object(&["end", "entries"], json!({"end": {"const": true}, "entries": count, "damaged": count})),
    })
}

fn pins() -> Value {
    let text = json!({"type": "string"});
    let maybe_text = json!({"type": ["string", "null"]});
    let maybe_time = json!({"type": ["string", "null"], "format": "date-time"});
    let digest = json!({"type": "string", "pattern": DIGEST});
    object(
        &["pin", "digest", "tools"],
        json!({
            "pin": {"enum": ["off", "warn", "block"]}, "digest": digest,
            "tools": {"type": "array", "items": object(&["name", "state", "digest", "approved_digest", "differences"], json!({
                "name": text, "state": {"enum": ["pinned", "reordered", "changed", "new", "gone"]},
                "digest": maybe_text, "approved_digest": maybe_text, "approved_at": maybe_time, "approved_by": maybe_text,
                "differences": {"type": "array", "items": object(&["path"], json!({"path": text}))},
                "more_differences": {"type": "boolean"}, "hidden_characters": {"type": "array", "items": text},
            }))},
        }),
    )
}

pub(super) fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

pub(super) fn data(schema: Value) -> (u16, &'static str, Value) {
    let warnings = json!({"type": "array", "items": {"type": "string"}});
    let members = json!({"success": {"const": true}, "data": schema, "warnings": warnings});
    let envelope = object(&["success", "data"], members);
    (200, JSON, envelope)
}

pub(super) fn list(name: &str) -> (u16, &'static str, Value) {
    let members = json!({
        "success": {"const": true}, "data": {"type": "array", "items": of(name)}, "pagination": of("Pagination"),
    });
    (200, JSON, object(&["success", "data", "pagination"], members))
}

/// Pattern of a digest of tools.
const DIGEST: &str = "^sha256:[0-9a-f]{64}$";

const JSON: &str = "application/json";

pub(super) fn page() -> Vec<(&'static str, Value)> {
    let number = json!({"type": "integer", "minimum": 1, "maximum": 1_000_000_000});
    vec![("page", number.clone()), ("per_page", number)]
}

pub(super) fn one_of(words: &[&str]) -> Value {
    json!({"enum": words})
}

pub(super) fn span() -> Vec<(&'static str, Value)> {
    let date = json!({"type": "string", "format": "date"});
    vec![("period", one_of(&["day", "week", "month"])), ("start_date", date.clone()), ("end_date", date)]
}

fn audit_query() -> Vec<(&'static str, Value)> {
    let text = json!({"type": "string"});
    vec![
        ("action", text.clone()),
        ("outcome", one_of(&["done", "refused", "failed", "unknown"])),
        ("member_id", text.clone()),
        ("key_id", text),
    ]
}

pub(super) fn reading(
    summary: &'static str,
    query: Vec<(&'static str, Value)>,
    answer: (u16, &'static str, Value),
) -> Operation {
    Operation { summary, query, body: None, answer, errors: &[404] }
}

pub(super) fn writing(summary: &'static str, body: Value, answer: (u16, &'static str, Value)) -> Operation {
    Operation { summary, query: Vec::new(), body: Some(body), answer, errors: CALL_ERRORS }
}

/// Error statuses of a request with a body, or of a call.
pub(super) const CALL_ERRORS: &[u16] = &[404, 408, 409, 413, 415, 422, 502, 504];

/// Returns the description of a route; `None` if the route has none.
fn describe(method: &str, path: &str) -> Option<Operation> {
    let with = |mut query: Vec<(&'static str, Value)>, more: Vec<(&'static str, Value)>| {
        query.extend(more);
        query
    };
    let name = || json!({"type": "string", "minLength": 1, "maxLength": 256});
    let timeout = || json!({"type": "integer", "minimum": 1, "maximum": 300_000});
    Some(match (method, path) {
        ("GET", "/v1/openapi.json") => {
            reading("This document", vec![], (200, JSON, json!({"type": "object"})))
        }
        ("GET", "/v1/mcps") => {
            let status = ("status", one_of(&["active", "inactive", "all"]));
            let health = ("health", one_of(&["healthy", "unhealthy", "unknown"]));
            reading("List MCPs", with(page(), vec![status, health]), list("Mcp"))
        }
        ("GET", "/v1/mcps/{id}") => reading("One MCP with its tools", vec![], data(of("McpDetail"))),
        ("GET", "/v1/mcps/{id}/logs") => {
            let lines = json!({"type": "array", "items": of("LogLine")});
            let tail = ("tail", json!({"type": "integer", "minimum": 1, "maximum": 1000}));
            reading("What an MCP's processes wrote", vec![tail], data(lines))
        }
        ("POST", "/v1/mcps/{id}/restart") => Operation {
            errors: CALL_ERRORS,
            ..reading("Replace an MCP's processes", vec![], data(json!({"type": "object"})))
        },
        ("GET", "/v1/mcps/{id}/pins") => {
            reading("How an MCP's tools stand to what was approved", vec![], data(of("Pins")))
        }
        ("POST", "/v1/mcps/{id}/pins/approve") => {
            let names =
                json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1000});
            let members = json!({"digest": {"type": "string", "pattern": DIGEST}, "tools": names});
            writing("Approve an MCP's tools as they are", object(&["digest"], members), data(of("Pins")))
        }
        ("POST", "/v1/mcp/invoke") => {
            let body = object(
                &["mcp_id", "tool"],
                json!({
                    "mcp_id": name(), "tool": name(), "arguments": {"type": "object"}, "timeout": timeout(),
                    "context": {"type": "object"},
                }),
            );
            writing("Call a tool", body, data(of("Invoked")))
        }
        ("POST", "/v1/mcp/resources") => {
            let uri = json!({"type": "string", "minLength": 1});
            let body = object(&["mcp_id"], json!({"mcp_id": name(), "uri": uri, "timeout": timeout()}));
            writing("Read a resource, or list them", body, data(of("Contents")))
        }
        ("GET", "/v1/organization") => reading("The organization", vec![], data(of("Organization"))),
        ("GET", "/v1/organization/members") => {
            let role = ("role", one_of(&["owner", "admin", "member", "viewer"]));
            reading("Its members", with(page(), vec![role]), list("Member"))
        }
        ("GET", "/v1/audit") => reading("Acts and refusals", with(page(), audit_query()), list("AuditEntry")),
        ("GET", "/v1/audit/export") => {
            let line = json!({"oneOf": [of("AuditEntry"), of("AuditEnd")]});
            reading(
                "All of them as lines of JSON, the last of which says how many",
                audit_query(),
                (200, "application/x-ndjson", line),
            )
        }
        ("GET", "/v1/usage") => reading("Usage of a span", span(), data(of("Usage"))),
        ("GET", "/v1/usage/history") => {
            let text = json!({"type": "string"});
            let more = vec![
                ("granularity", one_of(&["hour", "day", "month"])),
                ("mcp_id", text.clone()),
                ("key_id", text),
            ];
            reading("Usage in buckets", with(with(page(), span()), more), list("Bucket"))
        }
        _ => return openapi_keys::describe(method, path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        for route in super::super::routes().known() {
            let described = describe(route.method, route.path);
            let described = described.unwrap_or_else(|| panic!("{} {}", route.method, route.path));
            // `follow` is not described: its answer is not JSON.
            for (name, _) in described.query {
                assert!(route.query.contains(&name), "{} {} takes no {name}", route.method, route.path);
            }
        }
    }
}
