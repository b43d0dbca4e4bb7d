//! Descriptions of keys, members and plans in the document.

use serde_json::{Value, json};

use super::openapi::{CALL_ERRORS, data, list, object, one_of, page, reading, span, writing};
use crate::gateway::{MAX_CALLS_AT_ONCE, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND};
use crate::http::core::openapi::{Operation, of};

fn most(number: impl Into<Value>) -> Value {
    json!({"type": ["integer", "null"], "minimum": 1, "maximum": number.into()})
}

/// Returns the schema of a key's limits.
pub(super) fn limits() -> Value {
    closed(json!({
        "requests_per_second": most(MAX_REQUESTS_PER_SECOND), "monthly_requests": most(MAX_MONTHLY_REQUESTS),
        "calls_at_once": most(MAX_CALLS_AT_ONCE),
    }))
}

/// Returns the schema of a key.
pub(super) fn key() -> Value {
    let (text, maybe_text) = (json!({"type": "string"}), json!({"type": ["string", "null"]}));
    let (time, maybe_time) = times();
    object(
        &["id", "name", "prefix", "status", "created_at", "permissions", "limits", "usage"],
        json!({
            "id": text, "name": text, "description": maybe_text, "prefix": text,
            "status": {"enum": ["active", "revoked", "expired"]}, "created_at": time, "last_used": maybe_time,
            "expires_at": maybe_time, "revoked_at": maybe_time, "owner_id": text,
            "created_by": maker(), "permissions": {"type": "object"}, "limits": of("Limits"),
            "rotated_at": maybe_time, "previous_key_until": maybe_time,
            "usage": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
        }),
    )
}

/// Returns the schema of a key that was given another text.
pub(super) fn rotated_key() -> Value {
    let text = json!({"type": "string"});
    let (time, maybe_time) = times();
    object(
        &["id", "name", "key", "prefix", "rotated_at"],
        json!({
            "id": text, "name": text, "key": {"type": "string", "pattern": "^pk_live_"}, "prefix": text,
            "rotated_at": time, "previous_key_until": maybe_time, "expires_at": maybe_time,
        }),
    )
}

/// Returns the schema of the key that made a key, and its member.
pub(super) fn maker() -> Value {
    let text = json!({"type": "string"});
    json!({"anyOf": [
        {"type": "null"},
        object(&["key_id", "member_id"], json!({"key_id": text, "member_id": text})),
    ]})
}

/// Returns the schema of the answer to a revocation: the key, and the keys that it had made.
fn revoked_key() -> Value {
    let text = json!({"type": "string"});
    let members = json!({
        "id": text, "status": one_of(&["active", "revoked", "expired"]), "revoked_at": times().1,
        "revoked_keys": {"type": "array", "items": text}, "durable": {"type": "boolean"}, "warning": text,
    });
    object(&["id", "status", "revoked_at", "revoked_keys", "durable"], members)
}

/// Returns the schema of the answer to the removal of a member and its keys.
fn removed_member() -> Value {
    let text = json!({"type": "string"});
    let members = json!({
        "id": text, "status": {"const": "removed"}, "keys_revoked": {"type": "integer", "minimum": 0},
        "durable": {"type": "boolean"}, "warning": text,
    });
    object(&["id", "status", "keys_revoked", "durable"], members)
}

fn removed_plan() -> Value {
    object(&["name", "status"], json!({"name": {"type": "string"}, "status": {"const": "removed"}}))
}

/// Returns the schemas of a time, and of a time that may be missing.
fn times() -> (Value, Value) {
    (
        json!({"type": "string", "format": "date-time"}),
        json!({"type": ["string", "null"], "format": "date-time"}),
    )
}

/// Returns the schema of a plan.
pub(super) fn plan() -> Value {
    let count = json!({"type": "integer", "minimum": 0});
    let mut members = plan_limits();
    members["name"] = json!({"type": "string"});
    members["source"] = one_of(&["built-in", "file", "api"]);
    members["is_of_organization"] = json!({"type": "boolean"});
    members["members"] = count;
    object(&["name", "source", "is_of_organization", "members"], members)
}

fn plan_limits() -> Value {
    json!({
        "requests_per_second": most(MAX_REQUESTS_PER_SECOND), "monthly_requests": most(MAX_MONTHLY_REQUESTS),
        "max_mcps": most(MAX_MONTHLY_REQUESTS), "max_api_keys": most(MAX_MONTHLY_REQUESTS),
        "max_members": most(MAX_MONTHLY_REQUESTS),
    })
}

/// Returns the schema of an object that has no other members.
fn closed(properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn closed_with(required: &[&str], properties: Value) -> Value {
    let mut schema = closed(properties);
    schema["required"] = json!(required);
    schema
}

fn at_least_one(properties: Value) -> Value {
    let mut schema = closed(properties);
    schema["minProperties"] = json!(1);
    schema
}

fn permissions() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {
        "mcps": {"anyOf": [{"const": "*"}, {"type": "array", "items": {"type": "string"}, "maxItems": 1000}]},
        "tools": {},
    }})
}

fn member() -> Value {
    let text = json!({"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[A-Za-z0-9]"});
    json!({
        "id": {"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,128}$"}, "name": text, "email": text,
        "role": one_of(&["owner", "admin", "member", "viewer"]), "plan": text,
    })
}

fn or_null(schema: &Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// Describes each of these routes; `None` for other routes.
pub(super) fn describe(method: &str, path: &str) -> Option<Operation> {
    let name = || json!({"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9]"});
    let description = || json!({"type": ["string", "null"], "maxLength": 1000});
    let end = || json!({"type": ["string", "null"], "format": "date-time"});
    Some(match (method, path) {
        ("GET", "/v1/api-keys") => {
            let mut query = page();
            query.push(("status", one_of(&["active", "revoked", "expired", "all"])));
            reading("List keys", query, list("Key"))
        }
        ("POST", "/v1/api-keys") => {
            let members = json!({
                "name": name(), "description": description(), "expires_at": end(), "permissions": permissions(),
                "owner_id": {"type": "string"}, "member": closed(member()), "limits": of("Limits"),
            });
            let (_, kind, schema) = data(of("NewKey"));
            writing("Make a key", closed_with(&["name"], members), (201, kind, schema))
        }
        ("GET", "/v1/api-keys/{id}") => reading("One key", vec![], data(of("Key"))),
        ("PATCH", "/v1/api-keys/{id}") => {
            let members = json!({
                "name": name(), "description": description(), "expires_at": end(), "permissions": permissions(),
                "limits": of("Limits"),
            });
            writing("Change a key", at_least_one(members), data(of("Key")))
        }
        ("POST", "/v1/api-keys/{id}/rotate") => {
            let grace = json!({"grace": {"type": "string", "pattern": "^[0-9]{1,3}[smh]$"}});
            writing("Give a key another text", closed(grace), data(of("RotatedKey")))
        }
        ("DELETE", "/v1/api-keys/{id}") => {
            let query = vec![("descendants", one_of(&["true", "false", "only"]))];
            Operation { errors: CALL_ERRORS, ..reading("Revoke a key", query, data(revoked_key())) }
        }
        ("GET", "/v1/api-keys/{id}/usage") => reading("A key's usage", span(), data(of("Usage"))),
        _ => return describe_organization(method, path),
    })
}

fn describe_organization(method: &str, path: &str) -> Option<Operation> {
    Some(match (method, path) {
        ("POST", "/v1/organization/members") => {
            let (_, kind, schema) = data(of("Member"));
            writing("Make a member", closed_with(&["name"], member()), (201, kind, schema))
        }
        ("GET", "/v1/organization/members/{id}") => reading("One member", vec![], data(of("Member"))),
        ("PATCH", "/v1/organization/members/{id}") => {
            let mut members = member();
            let (email, plan) = (or_null(&members["email"]), or_null(&members["plan"]));
            if let Some(members) = members.as_object_mut() {
                members.shift_remove("id");
                members.extend([("email".to_owned(), email), ("plan".to_owned(), plan)]);
            }
            writing("Change a member that was made here", at_least_one(members), data(of("Member")))
        }
        ("DELETE", "/v1/organization/members/{id}") => {
            let answer = data(removed_member());
            Operation { errors: CALL_ERRORS, ..reading("Remove a member and end its keys", vec![], answer) }
        }
        ("GET", "/v1/organization/plans") => {
            reading("The plans", vec![], data(json!({"type": "array", "items": of("Plan")})))
        }
        ("PUT", "/v1/organization/plans/{name}") => {
            writing("Make a plan, or replace one", at_least_one(plan_limits()), data(of("Plan")))
        }
        ("DELETE", "/v1/organization/plans/{name}") => {
            Operation { errors: CALL_ERRORS, ..reading("Remove a plan", vec![], data(removed_plan())) }
        }
        _ => return None,
    })
}
