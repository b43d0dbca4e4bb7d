//! Document at `/api/openapi.json`.

use axum::response::Response;
use serde_json::{Value, json};

use crate::http::core::openapi::{self, Dialect, Operation, of};

/// Serves the document. It contains only public facts.
pub(super) async fn document() -> Response {
    openapi::answer(&openapi::document(dialect(), super::routes().known(), describe))
}

fn dialect() -> Dialect {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let env = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let server =
        json!({"name": {"type": "string"}, "command": {"type": "string"}, "args": texts, "env": env});
    Dialect {
        title: "mcpvisor, the MCP CLI dialect",
        description: "Defines MCP servers, which is running programs: for this machine, or an administrator's key.",
        error: object(
            &["error"],
            json!({"error": {"type": "string", "minLength": 1}, "code": {"type": "string"}}),
        ),
        schemas: json!({
            "Server": object(&["name", "command", "args", "env"], server),
            "Done": object(&["status", "message"], json!({
                "status": {"const": "success"}, "message": {"type": "string"},
            })),
            "Tool": object(&["name", "parameters"], json!({
                "name": {"type": "string"}, "description": {"type": ["string", "null"]},
                "parameters": {"type": "object"},
            })),
        }),
    }
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

const JSON: &str = "application/json";

/// Error statuses of a request with a body.
const ERRORS: &[u16] = &[404, 408, 409, 413, 415];

fn describe(method: &str, path: &str) -> Option<Operation> {
    let answer = |schema: Value| (200, JSON, schema);
    let reading = |summary, schema| Operation {
        summary,
        query: Vec::new(),
        body: None,
        answer: answer(schema),
        errors: &[404, 409],
    };
    let writing = |summary, body| Operation {
        summary,
        query: Vec::new(),
        body: Some(body),
        answer: answer(of("Done")),
        errors: ERRORS,
    };
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let env = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    let text = || json!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9]+$"});
    let own = || json!({"type": "object"});
    let path_body = || object(&["filepath"], json!({"filepath": text()}));
    Some(match (method, path) {
        ("GET", "/api/openapi.json") => reading("This document", json!({"type": "object"})),
        ("GET", "/api/status") => reading("That it is there", object(&["status", "version"], json!({}))),
        ("GET", "/api/servers") => {
            let servers = json!({"servers": {"type": "array", "items": of("Server")}});
            reading("List servers", object(&["servers"], servers))
        }
        ("POST", "/api/servers") => {
            let members =
                json!({"name": text(), "command": text(), "args": texts(), "env": env(), "mcpvisor": own()});
            writing("Add a server", object(&["name", "command"], members))
        }
        ("GET", "/api/servers/{name}") => reading("One server", of("Server")),
        ("PUT", "/api/servers/{name}") => {
            let members = json!({"command": text(), "args": texts(), "env": env(), "mcpvisor": own()});
            writing("Change a server", json!({"type": "object", "minProperties": 1, "properties": members}))
        }
        ("DELETE", "/api/servers/{name}") => {
            Operation { errors: ERRORS, ..reading("Remove a server", of("Done")) }
        }
        ("GET", "/api/servers/{name}/tools") => {
            let tools =
                json!({"status": {"const": "success"}, "tools": {"type": "array", "items": of("Tool")}});
            reading("A server's tools", object(&["status", "tools"], tools))
        }
        ("POST", "/api/query") => {
            let members = json!({
                "server": text(), "query": text(), "model": text(), "servers": texts(), "tools": texts(),
                "stream": {"const": false}, "max_turns": {"type": "integer", "minimum": 1},
                "temperature": {"type": "number", "minimum": 0, "maximum": 2},
                "timeout": {"type": "integer", "minimum": 1}, "include_steps": {"type": "boolean"},
            });
            let answered = json!({
                "status": {"const": "success"}, "result": {"type": "string"}, "finish_reason": {"type": "string"},
                "model": {"type": "string"}, "turns": {"type": "integer"}, "usage": {"type": "object"},
                "steps": {"type": "array", "items": {}}, "left_out": {"type": "array", "items": {"type": "object"}},
            });
            Operation {
                summary: "Answer a question with a server's tools",
                query: Vec::new(),
                body: Some(object(&["server", "query"], members)),
                answer: answer(object(&["status", "result"], answered)),
                errors: ERRORS,
            }
        }
        ("POST", "/api/config/export") => writing("Write the servers to a file", path_body()),
        ("POST", "/api/config/import") => writing("Replace the servers by a file's", path_body()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        for route in super::super::routes().known() {
            assert!(describe(route.method, route.path).is_some(), "{} {}", route.method, route.path);
        }
    }
}
