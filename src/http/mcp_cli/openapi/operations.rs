//! Descriptions of the routes of `/api`, and of the dialect itself.

use serde_json::{Value, json};

use super::words::{Status, TokenEvent, ToolCallEvent, ToolResultEvent};
use crate::http::core::openapi::{
    Answer, Dialect, ErrorAnswer, Members, Operation, Schemas, check, described, error, nullable, reading,
    text, whole,
};
use crate::http::mcp_cli::{bodies, errors, query};

const TAGS: [(&str, &str); 4] = [
    ("Servers", "MCP servers: the programs that are run for them, and their tools"),
    ("Query", "Questions that a model answers with a server's tools"),
    ("Configuration", "All servers, written to a file and read from one"),
    ("About", "The API itself"),
];

const PATH_PARAMETERS: [(&str, &str, &str); 1] = [("name", "Name of the server", "playwright")];

const ERRORS: [ErrorAnswer; 12] = [
    error(400, "BadRequest", "The request cannot be used; `error` says why."),
    error(401, "Unauthorized", "A key is needed, and there is none that is accepted."),
    error(
        403,
        "Forbidden",
        "The key, a plan or the configuration does not allow it, or `Host` or `Origin` is not accepted.",
    ),
    error(404, "NotFound", "There is no such server, tool or file."),
    error(405, "MethodNotAllowed", "The path has no such method."),
    error(408, "RequestTimeout", "The body did not arrive in time."),
    error(
        409,
        "Conflict",
        "The name is taken by another definition or a group of servers, or the server is switched off.",
    ),
    error(413, "PayloadTooLarge", "The body is too long."),
    error(415, "UnsupportedMediaType", "The body is not sent as plain JSON."),
    error(429, "TooManyRequests", "There are too many requests, calls or bad keys."),
    error(
        500,
        "InternalServerError",
        "The server, the model or a file failed, by `code`; or a defect of the gateway.",
    ),
    error(503, "ServiceUnavailable", "It cannot be done now, and nothing was carried out."),
];

#[test]
fn the_document_of_api_is_what_the_code_says() {
    let routes = crate::http::mcp_cli::routes();
    let dialect = Dialect {
        title: "mcpvisor, the MCP CLI dialect",
        description: "MCP servers, their tools, and questions that a model answers with them, in the form of the MCP CLI API. \
                      Whoever may use it has programs run: the gateway's own user needs no key where the gateway can tell \
                      who is asking, everybody else an administrator's key without limited permissions. An error is \
                      `{\"error\": \"text\"}`. Members may be added to any answer: pass over those that you do not know. \
                      `docs/http-api.md` of the gateway has every rule.",
        tags: &TAGS,
        routes: routes.known(),
        path_parameters: &PATH_PARAMETERS,
        errors: &ERRORS,
        describe,
        error: Schemas::of::<errors::Shape<'static>>,
    };
    check(&dialect, "src/http/mcp_cli/openapi.json", super::DOCUMENT);
}

fn some_text() -> Value {
    json!({"type": "string", "minLength": 1})
}

fn definition(members: Members) -> Members {
    let text = || nullable(json!({"type": "string"}));
    let args = nullable(json!({"type": "array", "items": {"type": "string"}}));
    let env = nullable(json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let own = nullable(json!({"type": "object", "additionalProperties": true}));
    let headers = nullable(json!({"type": "object", "additionalProperties": {"type": "string"}}));
    members
        .may("command", text(), "Program to run; a server has either this or `url`.")
        .may("url", text(), "Address of a server that is elsewhere.")
        .may("type", text(), "Way in which such a server is spoken to; found out by default.")
        .may("headers", headers, "Headers to send to such a server; none by default.")
        .may("args", args, "Arguments of the program; none by default.")
        .may("env", env, "Environment variables to set for it; none by default.")
        .may("mcpvisor", own, "Treatment of the server, as `docs/configuration.md` of the gateway has it.")
}

fn path_body() -> (Value, Value) {
    let about = "Path of the file. With a key it has to be in the folder that `api.config_root` names.";
    (
        Members::default().must("filepath", some_text(), about).open(),
        json!({"filepath": "/path/to/config.json"}),
    )
}

/// Returns the description of a route; `None` if it has none.
fn describe(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    let ok = |description, schema| Answer::json(200, description, schema);
    Some(match (method, path) {
        ("GET", "/api/openapi.json") => Operation {
            description: "OpenAPI 3.1. The same file is in the gateway's repository.",
            ..reading(
                "getOpenApi",
                "About",
                "Get this document",
                ok("The document.", json!({"type": "object", "additionalProperties": true})),
            )
        },
        ("GET", "/api/status") => Operation {
            description: "Answers while the API does, however the servers are.",
            ..reading(
                "getStatus",
                "About",
                "Check that the API answers",
                ok("It answers.", schemas.of::<Status>()),
            )
        },
        ("POST", "/api/query") => asking(schemas),
        ("POST", "/api/config/export") => Operation {
            description: "Written whole or not at all; an existing file is replaced.",
            body: Some(path_body()),
            ..reading(
                "exportConfig",
                "Configuration",
                "Write all servers to a file",
                ok("It is written.", schemas.of::<bodies::Done<'_>>()),
            )
        },
        ("POST", "/api/config/import") => Operation {
            description: "All or nothing. Servers that are equal keep running.",
            body: Some(path_body()),
            errors: vec![404, 409],
            ..reading(
                "importConfig",
                "Configuration",
                "Replace all servers by those of a file",
                ok("They are replaced.", schemas.of::<bodies::Done<'_>>()),
            )
        },
        ("GET", "/api/servers/{name}/tools") => Operation {
            description: "A server that has announced none yet is waited for.",
            query: vec![(
                "model",
                json!({"type": "string"}),
                "Passed over: no model is needed to list tools",
            )],
            errors: vec![404, 409],
            ..reading(
                "listTools",
                "Servers",
                "List a server's tools",
                ok("Its tools.", schemas.of::<bodies::Tools<'_>>()),
            )
        },
        _ => return describe_servers(schemas, method, path),
    })
}

fn describe_servers(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    let ok = |description, schema| Answer::json(200, description, schema);
    Some(match (method, path) {
        ("GET", "/api/servers") => reading(
            "listServers",
            "Servers",
            "List servers",
            ok("All servers.", schemas.of::<bodies::Servers<'_>>()),
        ),
        ("POST", "/api/servers") => {
            let name = text(1, 128);
            let body = json!({
                "name": "playwright", "command": "npx", "args": ["@playwright/mcp@latest"], "env": {"DISPLAY": ":1"},
            });
            Operation {
                description: "Stored when it is answered, and started in the background. The same definition again is no \
                              change.",
                body: Some((definition(Members::default().must("name", name, "Unique name.")).open(), body)),
                errors: vec![409],
                ..reading(
                    "addServer",
                    "Servers",
                    "Add a server",
                    ok("It is added.", schemas.of::<bodies::Done<'_>>()),
                )
            }
        }
        ("GET", "/api/servers/{name}") => Operation {
            errors: vec![404],
            ..reading(
                "getServer",
                "Servers",
                "Get a server",
                ok("The server.", schemas.of::<bodies::Shown<'_>>()),
            )
        },
        ("PUT", "/api/servers/{name}") => {
            let body = json!({
                "command": "npx", "args": ["@playwright/mcp@latest", "--headless"],
                "env": {"DISPLAY": ":1", "DEBUG": "pw:api"},
            });
            Operation {
                description: "At least one member is needed. Each replaces the stored one as a whole, the others stay.",
                body: Some((definition(Members::default()).open(), body)),
                errors: vec![404],
                ..reading(
                    "updateServer",
                    "Servers",
                    "Change a server",
                    ok("It is changed.", schemas.of::<bodies::Done<'_>>()),
                )
            }
        }
        ("DELETE", "/api/servers/{name}") => Operation {
            errors: vec![404, 408, 413],
            ..reading(
                "removeServer",
                "Servers",
                "Remove a server",
                ok("It is removed.", schemas.of::<bodies::Done<'_>>()),
            )
        },
        _ => return describe_logins(schemas, method, path),
    })
}

fn describe_logins(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    let ok = |description, schema| Answer::json(200, description, schema);
    Some(match (method, path) {
        ("POST", "/api/servers/{name}/login") => {
            let members = Members::default().must(
                "redirect_uri",
                some_text(),
                "Address of the person's own machine that the browser is sent to at the end.",
            );
            Operation {
                description: "For a remote server whose `mcpvisor.auth` is of type `login`. The login must be finished within \
                              ten minutes.",
                body: Some((members.open(), json!({"redirect_uri": "http://127.0.0.1:7777/callback"}))),
                errors: vec![404, 409],
                ..reading(
                    "beginLogin",
                    "Servers",
                    "Begin a login at a remote server",
                    ok("Where to go.", schemas.of::<bodies::Login<'_>>()),
                )
            }
        }
        ("POST", "/api/servers/{name}/login/finish") => {
            let members = Members::default()
                .must("state", some_text(), "Text that came back, as it was given at the beginning.")
                .may("code", some_text(), "Code that came back.")
                .may("iss", some_text(), "Authorization server that sent it back, if it said (RFC 9207).")
                .may("error", some_text(), "Error that came back.");
            Operation {
                description: "The server is connected to at once.",
                body: Some((
                    members.open(),
                    json!({"state": "k3v…", "code": "spl…", "iss": "https://auth.example.org"}),
                )),
                errors: vec![404, 409],
                ..reading(
                    "finishLogin",
                    "Servers",
                    "Finish a login at a remote server",
                    ok("The login is kept.", schemas.of::<bodies::Done<'_>>()),
                )
            }
        }
        _ => return None,
    })
}

fn question() -> (Value, Value) {
    let names =
        || json!({"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1, "maxItems": 256});
    let maybe_text = || nullable(some_text());
    let switch = || json!({"type": ["boolean", "null"]});
    let temperature = json!({"type": ["number", "null"], "minimum": 0, "maximum": 2});
    let members = Members::default()
        .must("query", some_text(), "Question.")
        .may(
            "server",
            maybe_text(),
            "Name or id of the server whose tools are used; required unless `servers` is given.",
        )
        .may("model", maybe_text(), "Model; by default the one that the gateway is set to.")
        .may("servers", names(), "Further servers.")
        .may("tools", names(), "Tools that may be used; all by default.")
        .may("stream", switch(), "`true` for a stream of events; `false` by default.")
        .may(
            "max_turns",
            nullable(whole(1)),
            "How often the model is asked at most; what the gateway is set to by default.",
        )
        .may("temperature", temperature, "Temperature of the model; its own by default.")
        .may(
            "timeout",
            nullable(whole(1)),
            "Time for the answer, in milliseconds; what the gateway is set to by default.",
        )
        .may("include_steps", switch(), "`true` to have the tool calls in the answer; `false` by default.");
    let body = json!({
        "server": "playwright", "query": "Find the best restaurants in San Francisco", "model": "gpt-3.5-turbo",
    });
    (members.open(), body)
}

fn asking(schemas: &mut Schemas) -> Operation {
    let answer = schemas.of::<query::Success<'_>>();
    let error = schemas.of::<errors::Shape<'_>>();
    // The name of each event is in its data as well; what an answer or an error has besides is theirs.
    let with_name = |schema: Value, name: &str| {
        let kind = json!({"type": "object", "required": ["type"], "properties": {"type": {"type": "string", "const": name}}});
        json!({"allOf": [schema, kind]})
    };
    let events = json!({
        "token": schemas.of::<TokenEvent>(),
        "tool_call": schemas.of::<ToolCallEvent>(),
        "tool_result": schemas.of::<ToolResultEvent>(),
        "final": with_name(answer.clone(), "final"),
        "error": with_name(error, "error"),
    });
    let stream = described(
        json!({"type": "string"}),
        "Server-Sent Events, whose data are JSON with the event's name as `type`: `token` with a `TokenEvent`, `tool_call` \
         with a `ToolCallEvent`, `tool_result` with a `ToolResultEvent`, and at the end `final` with a `QueryAnswer` or \
         `error` with an `ErrorResponse`. A quiet stream has a comment every 15 seconds.",
    );
    Operation {
        description: "The model is asked again and again, and the tools that it wants are called, until it has an answer. \
                      Leaving cancels all of it.",
        body: Some(question()),
        errors: vec![404, 409],
        ..reading(
            "runQuery",
            "Query",
            "Answer a question with a server's tools",
            Answer {
                content: vec![
                    ("application/json", json!({"schema": answer})),
                    ("text/event-stream", json!({"schema": stream, "x-events": events})),
                ],
                headers: &["Cache-Control"],
                ..Answer::json(200, "The answer, or a stream of events that ends with it.", Value::Null)
            },
        )
    }
}
