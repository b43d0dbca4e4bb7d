//! Bodies of requests: a schema and an example of each.

use serde_json::{Value, json};

use crate::gateway::{MAX_CALLS_AT_ONCE, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND};
use crate::http::core::openapi::{Members, any_of, at_most, example, nullable, one_of, text, text_like};

/// A body's schema and an example of it.
pub(super) type Body = (Value, Value);

fn mcp_id() -> Value {
    example(text(1, 256), "demo")
}

fn timeout() -> Value {
    // The default of `http.max_call_timeout`.
    nullable(at_most(300_000))
}

const MCP: &str = "Id or exact name of the MCP.";
const TIMEOUT: &str = "Time for the answer, in milliseconds, at most what the gateway is set to (300000). Without it the \
                       default of the MCP or the gateway holds, which progress extends.";

/// Returns the body of `POST /v1/mcp/invoke`.
pub(super) fn invocation() -> Body {
    let own = || nullable(json!({"type": "object", "additionalProperties": true}));
    let members = Members::default()
        .must("mcp_id", mcp_id(), MCP)
        .must("tool", example(text(1, 256), "add"), "Name of the tool.")
        .may("arguments", own(), "Arguments of the tool, as its schema wants them; `{}` by default.")
        .may("timeout", timeout(), TIMEOUT)
        .may("context", own(), "Particulars for the MCP, which gets them as `_meta[\"plexmcp/context\"]`.");
    (members.open(), json!({"mcp_id": "demo", "tool": "add", "arguments": {"a": 19, "b": 23}}))
}

/// Returns an answer to the example of a call.
pub(super) fn invoked() -> Value {
    json!({"success": true, "data": {
        "result": {"sum": 42},
        "metadata": {
            "mcp_id": "mcp_01a20423a24175009aa01d5aebe98701", "tool": "add", "latency_ms": 1,
            "timestamp": "2026-11-22T16:43:02Z",
        },
        "content": [{"type": "text", "text": "{\"sum\":42}"}],
        "is_error": false,
    }})
}

/// Returns the body of `POST /v1/mcp/resources`.
pub(super) fn resources() -> Body {
    let uri = nullable(json!({"type": "string", "minLength": 1}));
    let members = Members::default()
        .must("mcp_id", mcp_id(), MCP)
        .may("uri", uri, "URI of the resource to read; all resources are listed without it.")
        .may("timeout", timeout(), TIMEOUT);
    (members.open(), json!({"mcp_id": "demo", "uri": "demo://status"}))
}

/// Returns the body of `POST /v1/mcps/{id}/pins/approve`.
pub(super) fn approval() -> Body {
    let digest = "sha256:0d5a5aa5d6d8a2e0c3d8e7f7f0d2a1c4b3b2a1908f7e6d5c4b3a291807f6e5d4";
    let names =
        json!({"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1, "maxItems": 1000});
    let members = Members::default()
        .must(
            "digest",
            text_like("^sha256:[0-9a-f]{64}$"),
            "Digest of all tools, as the comparison showed it.",
        )
        .may(
            "tools",
            names,
            "Names of the tools to approve; all by default, and then those that are gone are forgotten.",
        );
    (members.open(), json!({"digest": digest, "tools": ["add"]}))
}

/// Returns the schema of a text without characters that are not seen; blanks at its ends are left out.
fn name(most: u64) -> Value {
    let mut name = text(1, most);
    name["pattern"] = "^[A-Za-z0-9]".into();
    name
}

fn end() -> Value {
    any_of(&[
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "null"}),
    ])
}

fn permissions() -> Value {
    let names = || json!({"type": "array", "items": {"type": "string", "maxLength": 256}, "maxItems": 1000});
    let all = || json!({"type": "string", "const": "*"});
    let by_mcp = json!({"type": "object", "additionalProperties": names(), "maxProperties": 1000});
    Members::default()
        .may("mcps", any_of(&[all(), names()]), "MCPs: `*` for all, also those to come, or ids or names of some; `*` by default.")
        .may(
            "tools",
            any_of(&[all(), names(), by_mcp]),
            "Tools: `*` for all, which is the default, or names in which `*` stands for any characters, for all MCPs or by \
             MCP, with `*` for those that are not named.",
        )
        .closed()
}

fn limits() -> Value {
    let most = |most: u64| nullable(at_most(most));
    Members::default()
        .may(
            "requests_per_second",
            most(MAX_REQUESTS_PER_SECOND.into()),
            "Requests in a second; `null` for the default.",
        )
        .may(
            "monthly_requests",
            most(MAX_MONTHLY_REQUESTS),
            "Calls in a month (UTC); `null` for the default.",
        )
        .may(
            "calls_at_once",
            most(MAX_CALLS_AT_ONCE as u64),
            "Calls that may be under way at the same time; `null` for the default.",
        )
        .closed()
}

const END: &str =
    "Time from which on the key is refused, or a date, of which it is the last second; `null` for none.";

fn key_members(name: Members) -> Members {
    name.may("description", nullable(text(0, 1000)), "Description; `null` for none.")
        .may("expires_at", end(), END)
        .may(
            "permissions",
            permissions(),
            "MCPs and tools that the key may use, never more than the key that asks may.",
        )
        .may("limits", limits(), "Limits of its own, beside those of its owner's plan.")
}

/// Returns the body of `POST /v1/api-keys`.
pub(super) fn new_key() -> Body {
    let owner = Members::default()
        .may("id", member_id(), "Id; made by default.")
        .may("name", name(200), "Name for people; the key's by default.")
        .may("email", name(200), "Email address.")
        .may("role", role(), "Role; `member` by default.")
        .may("plan", name(200), "Name of a plan of its own.");
    let members = key_members(Members::default().must(
        "name",
        example(name(100), "Bob"),
        "Name, which need not be unique.",
    ))
    .may("owner_id", json!({"type": "string"}), "Id of the member that is to own it; your own by default.")
    .may(
        "member",
        owner.closed(),
        "Member to be made along with the key, which is to own it, in place of `owner_id`.",
    );
    let body = json!({
        "name": "Bob", "permissions": {"mcps": "*", "tools": ["echo", "add"]}, "limits": {"requests_per_second": 5},
    });
    (members.closed(), body)
}

/// Returns the body of `PATCH /v1/api-keys/{id}`.
pub(super) fn key_change() -> Body {
    let members = key_members(Members::default().may("name", name(100), "Name, which need not be unique."));
    (
        members.at_least_one(),
        json!({"description": "For the night's reports", "limits": {"calls_at_once": 4}}),
    )
}

/// Returns the body of `POST /v1/api-keys/{id}/rotate`.
pub(super) fn rotation() -> Body {
    let grace = any_of(&[
        text_like("^[0-9]+(ms|s|m|h)$"),
        json!({"type": "number", "minimum": 0, "maximum": 604_800}),
    ]);
    let text = "Time for which the earlier text is accepted as well: with a unit (`ms`, `s`, `m`, `h`), or as a number of \
                seconds; at most seven days, and none by default.";
    (Members::default().may("grace", grace, text).closed(), json!({"grace": "1h"}))
}

fn member_id() -> Value {
    text_like("^[A-Za-z0-9._@-]{1,128}$")
}

fn role() -> Value {
    one_of(&["owner", "admin", "member", "viewer"])
}

/// Returns the body of `POST /v1/organization/members`.
pub(super) fn new_member() -> Body {
    let members = Members::default()
        .must("name", example(name(200), "Ada"), "Name for people.")
        .may("id", member_id(), "Id; made by default.")
        .may("email", name(200), "Email address.")
        .may("role", role(), "Role, at most your own; `member` by default.")
        .may("plan", name(200), "Name of a plan of its own, which only owners give.");
    (members.closed(), json!({"name": "Ada", "email": "ada@example.com", "role": "viewer"}))
}

/// Returns the body of `PATCH /v1/organization/members/{id}`.
pub(super) fn member_change() -> Body {
    let members = Members::default()
        .may("name", name(200), "Name for people.")
        .may("email", nullable(name(200)), "Email address; `null` takes it away.")
        .may("role", role(), "Role, at most your own.")
        .may(
            "plan",
            nullable(name(200)),
            "Name of a plan of its own, which only owners give; `null` takes it away.",
        );
    (members.at_least_one(), json!({"role": "member"}))
}

/// Returns the body of `PUT /v1/organization/plans/{name}`.
pub(super) fn plan() -> Body {
    let most = |most: u64| nullable(at_most(most));
    let members = Members::default()
        .may(
            "requests_per_second",
            most(MAX_REQUESTS_PER_SECOND.into()),
            "Requests in a second of each member.",
        )
        .may("monthly_requests", most(MAX_MONTHLY_REQUESTS), "Calls in a month (UTC).")
        .may("max_mcps", most(MAX_MONTHLY_REQUESTS), "MCPs.")
        .may("max_api_keys", most(MAX_MONTHLY_REQUESTS), "API keys.")
        .may("max_members", most(MAX_MONTHLY_REQUESTS), "Members.");
    (members.at_least_one(), json!({"requests_per_second": 50, "monthly_requests": 100_000}))
}

/// Returns the body of `PUT /v1/members/{id}/secrets/{name}`.
pub(super) fn secret() -> Body {
    let members = Members::default().must("value", text(1, 8192), "The secret, without NUL.");
    (members.closed(), json!({"value": "an access token"}))
}
