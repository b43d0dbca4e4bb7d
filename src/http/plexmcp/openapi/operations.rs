//! Descriptions of the routes of MCPs, calls, usage and the audit, and of the dialect itself.

use serde_json::{Value, json};

use super::words::{CallGap, LogEnd, LogGap};
use super::{files, looks, organization, requests};
use crate::gateway::AuditLine;
use crate::http::core::openapi::{
    Answer, Dialect, ErrorAnswer, Members, Operation, Schemas, any_of, check, described, error, list, one_of,
    reading, schemas, text, whole,
};
use crate::http::plexmcp::payloads::schema::{Invocation, Resources};
use crate::http::plexmcp::{activity, calls, errors::ErrorEnvelope, fields, mcp, pins, usage};

const TAGS: [(&str, &str); 9] = [
    ("MCP servers", "Servers, their logs, and the approval of their tools"),
    ("Calls", "Calls of tools and reading of resources"),
    ("Organization", "The organization, its members and its plans"),
    ("API keys", "Keys, what they may do, and what they have done"),
    ("Activity", "The calls of late, one by one"),
    ("Usage", "Numbers of calls"),
    ("Audit", "Record of what was done and refused, and by whom"),
    ("Backup", "All that is configured, as files"),
    ("About", "This document"),
];

const PATH_PARAMETERS: [(&str, &str, &str); 2] = [
    (
        "id",
        "Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is \
         the member whose key is sent",
        "demo",
    ),
    ("name", "Name of the plan or of the secret", "partner"),
];

/// Answers of errors. `docs/http-api.md`, P2 has all codes.
const ERRORS: [ErrorAnswer; 15] = [
    error(
        400,
        "BadRequest",
        "The request cannot be used: `invalid_request`, with what is wrong by member or parameter in \
        `details`; or the MCP refused the arguments of its tool: `invalid_arguments`.",
    ),
    error(
        401,
        "Unauthorized",
        "There is no key or an unknown one: `unauthorized`. Or the key has ended: `expired_key`, \
        `revoked_key`.",
    ),
    error(
        403,
        "Forbidden",
        "The role, the key or a plan does not allow it: `forbidden`, `mcp_not_permitted`, \
        `tool_not_permitted`, `tool_blocked`, `quota_exceeded`. Or `Host` or `Origin` is not accepted: `forbidden`.",
    ),
    error(
        404,
        "NotFound",
        "There is none of this id or name: `not_found`, `tool_not_found`, `resource_not_found`.",
    ),
    error(405, "MethodNotAllowed", "The path has no such method: `method_not_allowed`."),
    error(408, "RequestTimeout", "The body did not arrive in time: `invalid_request`."),
    error(
        409,
        "Conflict",
        "It is not in a state that allows it: `mcp_inactive`, `secret_missing`, `tools_changed`, `conflict`.",
    ),
    error(413, "PayloadTooLarge", "The body is too long: `payload_too_large`."),
    error(415, "UnsupportedMediaType", "The body is not sent as plain JSON: `invalid_request`."),
    error(
        422,
        "UnprocessableContent",
        "A value cannot be accepted: `validation_error`, with what is wrong by member in \
        `details`. Or the tool reported an error: `mcp_error`.",
    ),
    error(
        429,
        "TooManyRequests",
        "There are too many requests, calls or streams, or bad keys: `rate_limited`. Or the calls \
        of this month are used up: `quota_exceeded`.",
    ),
    error(500, "InternalServerError", "A defect of the gateway: `internal_error`."),
    error(
        502,
        "BadGateway",
        "The MCP does not run, has ended, or answered what cannot be used: `mcp_unreachable`, \
        `mcp_error`. Or there was no room for its answer: `answer_dropped`.",
    ),
    error(
        503,
        "ServiceUnavailable",
        "It cannot be done now: `service_unavailable`. Nothing was carried out.",
    ),
    error(504, "GatewayTimeout", "The MCP did not answer in time: `mcp_timeout`."),
];

#[test]
fn the_document_of_v1_is_what_the_code_says() {
    let routes = crate::http::plexmcp::routes();
    let dialect = Dialect {
        title: "mcpvisor, the PlexMCP dialect",
        description: "MCP servers, their tools, keys and usage, in the form of the PlexMCP API. Every request but for this \
                      document carries an API key. A success is `{\"success\": true, \"data\": …}`, everything else \
                      `{\"success\": false, \"error\": …}`. Members may be added to any answer: pass over those that you \
                      do not know. `docs/http-api.md` of the gateway has every rule.",
        tags: &TAGS,
        routes: routes.known(),
        path_parameters: &PATH_PARAMETERS,
        errors: &ERRORS,
        describe: |schemas, method, path| {
            describe(schemas, method, path)
                .or_else(|| organization::describe(schemas, method, path))
                .or_else(|| files::describe(method, path))
        },
        error: Schemas::of::<ErrorEnvelope<'static>>,
    };
    check(&dialect, "src/http/plexmcp/openapi.json", super::DOCUMENT);
}

#[test]
fn every_parameter_that_a_route_knows_is_described_and_no_other_is() {
    for route in crate::http::plexmcp::routes().known() {
        let mut schemas = Schemas::new();
        let described = describe(&mut schemas, route.method, route.path)
            .or_else(|| organization::describe(&mut schemas, route.method, route.path))
            .or_else(|| files::describe(route.method, route.path));
        let described: Vec<&str> =
            described.iter().flat_map(|operation| &operation.query).map(|(name, ..)| *name).collect();
        assert_eq!(described, route.query, "{} {}", route.method, route.path);
    }
}

schemas! {
    /// The value `true`.
    True = {"type": "boolean", "const": true};
}

/// Returns the schema of a success around its data; `more` are members beside it.
fn envelope(schemas: &mut Schemas, data: Value, more: Members) -> Value {
    let success = schemas.of::<True>();
    let beside = Members::default().must("success", success, "`true`.");
    let mut schema = more.open();
    let mut whole = beside.open();
    whole["properties"]["data"] = data;
    whole["required"] = json!(["success", "data"]);
    for name in schema["required"].as_array().cloned().unwrap_or_default() {
        whole["required"].as_array_mut().expect("made above").push(name);
    }
    if let Some(members) = schema["properties"].as_object_mut() {
        whole["properties"].as_object_mut().expect("made above").append(members);
    }
    whole
}

/// Returns the schema of a success with this data.
pub(super) fn data<T: schemars::JsonSchema>(schemas: &mut Schemas) -> Value {
    let data = schemas.of::<T>();
    envelope(schemas, data, Members::default())
}

/// Returns the schema of a success with this data, and with warnings where there is something to say.
pub(super) fn data_with_warnings<T: schemars::JsonSchema>(schemas: &mut Schemas) -> Value {
    let data = schemas.of::<T>();
    let warnings = "Remarks on what does not come true today, such as a pattern that fits no tool; absent if there are none.";
    envelope(schemas, data, Members::default().may("warnings", list(json!({"type": "string"})), warnings))
}

/// Returns the schema of a page of a list.
pub(super) fn page<T: schemars::JsonSchema>(schemas: &mut Schemas) -> Value {
    let items = list(schemas.of::<T>());
    let pagination = schemas.of::<fields::Pagination>();
    envelope(
        schemas,
        items,
        Members::default().must("pagination", pagination, "Place of this page in the list."),
    )
}

/// Query parameters.
pub(super) type Query = Vec<(&'static str, Value, &'static str)>;

fn page_parameters() -> Query {
    vec![
        ("page", whole(1), "Number of the page, from 1, which is the default"),
        (
            "per_page",
            whole(1),
            "Number of entries on a page: 20 by default, and more than 100 are taken as 100",
        ),
    ]
}

/// Returns the parameters of a page, and more behind them.
pub(super) fn page_query(more: Query) -> Query {
    page_parameters().into_iter().chain(more).collect()
}

/// Returns some parameters, and those of a page behind them.
fn page_query_behind(first: Query) -> Query {
    first.into_iter().chain(page_parameters()).collect()
}

/// Returns the parameters of a span of time.
pub(super) fn span_query(more: Query) -> Query {
    let mut query = vec![
        ("period", one_of(&["day", "week", "month"]), "Current day, week or month (UTC); `month` by default"),
        ("start_date", moment(), "First day of the span, in place of `period`, together with `end_date`"),
        ("end_date", moment(), "Last day of the span, at most 366 days after the first"),
    ];
    query.extend(more);
    query
}

/// Returns the description of a route of MCPs or of calls; `None` for others.
fn describe(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    Some(match (method, path) {
        ("GET", "/v1/openapi.json") => Operation {
            description: "OpenAPI 3.1. The same file is in the gateway's repository.",
            ..reading("getOpenApi", "About", "Get this document", document())
        },
        ("GET", "/v1/mcps") => Operation {
            description: "Newest first. MCPs that the key may not use are left out.",
            query: page_query(vec![
                ("status", one_of(&["active", "inactive", "all"]), "Only these; `all` by default"),
                ("health", one_of(&["healthy", "unhealthy", "unknown"]), "Only those of this health"),
            ]),
            ..reading(
                "listMcps",
                "MCP servers",
                "List MCPs",
                Answer::json(200, "A page of MCPs.", page::<mcp::Mcp<'_>>(schemas)),
            )
        },
        ("GET", "/v1/mcps/{id}") => Operation {
            description: "Answers at once, without asking the MCP.",
            errors: vec![404],
            ..reading(
                "getMcp",
                "MCP servers",
                "Get an MCP",
                Answer::json(200, "The MCP.", data::<mcp::McpDetail<'_>>(schemas)),
            )
        },
        ("GET", "/v1/mcps/{id}/logs") => logs(schemas),
        ("POST", "/v1/mcps/{id}/restart") => {
            let nothing = envelope(
                schemas,
                json!({"type": "object", "additionalProperties": false}),
                Members::default(),
            );
            Operation {
                description: "Its processes are replaced, each when its successor is ready, and a start that is waited \
                              for is tried now. Answered at once: ask for the MCP to see what comes of it.",
                errors: vec![404, 408, 409, 413, 502],
                ..reading(
                    "restartMcp",
                    "MCP servers",
                    "Restart an MCP",
                    Answer::json(200, "It is being restarted.", nothing),
                )
            }
        }
        ("GET", "/v1/mcps/{id}/pins") => Operation {
            description: "Compares each tool with the one that was approved, or that was there when the MCP was first seen.",
            errors: vec![404],
            ..reading(
                "getPins",
                "MCP servers",
                "Compare an MCP's tools with the approved ones",
                Answer::json(200, "The comparison.", data::<pins::Report<'_>>(schemas)),
            )
        },
        ("POST", "/v1/mcps/{id}/pins/approve") => Operation {
            description: "Refused with `tools_changed` if the tools are not any more what the digest stands for.",
            body: Some(requests::approval()),
            errors: vec![404, 409],
            ..reading(
                "approveTools",
                "MCP servers",
                "Approve an MCP's tools as they are",
                Answer::json(200, "The comparison after the approval.", data::<pins::Report<'_>>(schemas)),
            )
        },
        _ => {
            return looks::describe(schemas, method, path)
                .or_else(|| describe_switch(schemas, method, path))
                .or_else(|| describe_calls(schemas, method, path));
        }
    })
}

/// Returns the description of a route that starts or stops an MCP; `None` for others.
fn describe_switch(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    Some(match (method, path) {
        ("POST", "/v1/mcps/{id}/stop") => switch(
            schemas,
            ("stopMcp", "Stop an MCP", "It is being stopped."),
            "Its calls under way have ten seconds. It stays stopped, and its calls are refused, until it is started or \
             restarted, or the gateway is. Answered at once.",
        ),
        ("POST", "/v1/mcps/{id}/start") => switch(
            schemas,
            ("startMcp", "Start an MCP", "It is being started."),
            "One that was stopped, or that rests until its first call. Answered at once: ask for the MCP to see what comes of it.",
        ),
        ("POST", "/v1/mcps/{id}/disable") => switch(
            schemas,
            ("disableMcp", "Switch an MCP off", "It is switched off."),
            "In its definition, by `disabled`, so that it stays off when the gateway is started anew. Needs a key without limits.",
        ),
        ("POST", "/v1/mcps/{id}/enable") => switch(
            schemas,
            ("enableMcp", "Switch an MCP on", "It is switched on."),
            "In its definition. It is started as its definition says: at once, or by its first call. Needs a key without limits.",
        ),
        _ => return None,
    })
}

fn switch(
    schemas: &mut Schemas,
    (id, title, done): (&'static str, &'static str, &'static str),
    description: &'static str,
) -> Operation {
    let nothing =
        envelope(schemas, json!({"type": "object", "additionalProperties": false}), Members::default());
    Operation {
        description,
        errors: vec![404, 408, 409, 413, 422, 503],
        ..reading(id, "MCP servers", title, Answer::json(200, done, nothing))
    }
}

fn describe_calls(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    Some(match (method, path) {
        ("POST", "/v1/mcp/invoke") => Operation {
            description: "A call that the MCP may have seen is never sent again: an error says in `details.phase` whether \
                          it may have been carried out. Leaving cancels the call; with an `Idempotency-Key` after five \
                          seconds in which nobody comes back for it.",
            headers: vec![(
                "Idempotency-Key",
                json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
                "Text that no other call of this API key has. The call is carried out once, however often it comes, and its \
                 reply is kept for 24 hours.",
            )],
            body: Some(requests::invocation()),
            errors: vec![404, 409, 422, 502, 504],
            ..reading(
                "invokeTool",
                "Calls",
                "Call a tool",
                Answer {
                    content: vec![(
                        "application/json",
                        json!({
                            "schema": data::<Invocation>(schemas), "example": requests::invoked(),
                        }),
                    )],
                    headers: &["Idempotent-Replayed"],
                    ..Answer::json(200, "The tool's result.", Value::Null)
                },
            )
        },
        ("POST", "/v1/mcp/resources") => Operation {
            description: "Without `uri` all resources are listed, as the MCP last announced them.",
            body: Some(requests::resources()),
            errors: vec![404, 409, 422, 502, 504],
            ..reading(
                "readResource",
                "Calls",
                "Read a resource, or list all resources",
                Answer::json(200, "The resource's contents, or all resources.", data::<Resources>(schemas)),
            )
        },
        _ => return describe_numbers(schemas, method, path),
    })
}

fn usage_query() -> Query {
    let mut query = span_query(vec![
        ("since", moment(), "First second of the span, in place of all others"),
        ("until", moment(), "Last second of the span; now by default"),
        (
            "by",
            text(0, 30),
            "`key`, `server`, `tool`, or several of them with commas between: calls across them, in `groups`",
        ),
        (
            "step",
            text(0, 20),
            "Length of steps of time, such as `5m`, `1h` or `1d`: `groups` has each of them alone",
        ),
        ("key_id", text(0, 256), "Only calls with this key"),
        ("mcp_id", text(0, 256), "Only calls of this MCP: its id or exact name"),
        ("tool", text(0, 256), "Only calls of this tool"),
    ]);
    query[0] = (
        "period",
        one_of(&["hour", "day", "week", "month"]),
        "Current hour, day, week or month (UTC); `month` by default",
    );
    query
}

fn document() -> Answer {
    Answer::json(200, "The document.", json!({"type": "object", "additionalProperties": true}))
}

fn logs(schemas: &mut Schemas) -> Operation {
    let line = schemas.of::<mcp::LogLine<'_>>();
    let lines = envelope(schemas, list(line.clone()), Members::default());
    let events = json!({"line": line, "gap": schemas.of::<LogGap>(), "end": schemas.of::<LogEnd>()});
    // Some read it as the schema of the text, and some as that of each event.
    let stream = described(
        json!({}),
        "Server-Sent Events, whose data are JSON: `line` with a `LogLine` and its number as `id`, `gap` with a `LogGap` \
         where the reader was too slow, and `end` with a `LogEnd`. Send the last `id` as `Last-Event-ID` to go on where \
         you were. A quiet stream has a comment every 15 seconds.",
    );
    Operation {
        description: "What its processes write beside their answers, newest last.",
        query: vec![
            ("tail", whole(1), "Number of lines: 100 by default, and more than 1000 are taken as 1000"),
            (
                "follow",
                json!({"type": "boolean"}),
                "`true` for the lines to come as well, as a stream of events",
            ),
        ],
        errors: vec![404],
        ..reading(
            "getLogs",
            "MCP servers",
            "Read or follow an MCP's log",
            Answer {
                content: vec![
                    ("application/json", json!({"schema": lines})),
                    ("text/event-stream", json!({"schema": stream, "x-events": events})),
                ],
                headers: &["Cache-Control"],
                ..Answer::json(200, "The lines, or a stream of them.", Value::Null)
            },
        )
    }
}

/// Last line of an export of activity, without which it is not whole.
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its description is read")]
struct ActivityEnd {
    /// `true`.
    #[schemars(with = "True")]
    end: bool,
    /// Number of calls before it.
    calls: u64,
}

fn activity(schemas: &mut Schemas) -> Operation {
    let call = schemas.of::<calls::Item<'_>>();
    let events = json!({"call": call, "gap": schemas.of::<CallGap>(), "end": schemas.of::<LogEnd>()});
    // Some read it as the schema of the text, and some as that of each event.
    let stream = described(
        json!({}),
        "Server-Sent Events, whose data are JSON: `call` with an `ActivityCall` and its number as `id`, `gap` with a `CallGap` \
         where the reader was too slow, and `end` with a `LogEnd`. Send the last `id` as `Last-Event-ID` to go on where you were. \
         A quiet stream has a comment every 15 seconds.",
    );
    let line = any_of(&[call, schemas.of::<ActivityEnd>()]);
    let lines = described(
        json!({"type": "string"}),
        "Lines of JSON: an `ActivityCall` each, oldest first, and at last an `ActivityEnd`.",
    );
    let values = described(
        json!({"type": "string"}),
        "Comma-separated values with a head, oldest first, of the members of an `ActivityCall`.",
    );
    Operation {
        description: "Who called what, when, how long, and how it ended, newest first, also calls that were refused: all for \
                      administrators, those of the member for others. Arguments and results are never kept, and nothing outlives \
                      the gateway.",
        query: vec![
            ("key", text(0, 256), "Only calls with this key: its id or name"),
            ("server", text(0, 256), "Only calls of this MCP: its id or name"),
            ("tool", text(0, 256), "Only calls of this tool"),
            (
                "outcome",
                text(0, 64),
                "Only those that ended so: `ok`, `failed` for all others, or one of these by its word",
            ),
            ("since", moment(), "Only those that began then or later"),
            ("until", moment(), "Only those that began then or before, to the end of that second or day"),
            (
                "limit",
                whole(0),
                "Number of calls: 100 by default, and more than 1000 are taken as 1000; in a stream those to begin with, 10 by default",
            ),
            ("cursor", whole(1), "`next_cursor` of the page before"),
            (
                "format",
                one_of(&["json", "csv", "ndjson"]),
                "`csv` or `ndjson` for an export of all calls that match, oldest first",
            ),
            (
                "follow",
                json!({"type": "boolean"}),
                "`true` for the calls to come as well, as a stream of events",
            ),
        ],
        ..reading(
            "listActivity",
            "Activity",
            "List, follow or export calls",
            Answer {
                content: vec![
                    ("application/json", json!({"schema": data::<activity::Activity<'_>>(schemas)})),
                    ("text/event-stream", json!({"schema": stream, "x-events": events})),
                    ("application/x-ndjson", json!({"schema": lines, "x-lines": line})),
                    ("text/csv", json!({"schema": values})),
                ],
                headers: &["Cache-Control"],
                ..Answer::json(200, "The calls, or a stream of them.", Value::Null)
            },
        )
    }
}

/// Last line of an export, without which it is not whole.
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its description is read")]
struct AuditEnd {
    /// `true`.
    #[schemars(with = "True")]
    end: bool,
    /// Number of entries before it.
    entries: u64,
    /// Number of entries that a disk has damaged, which are left out; absent if there are none.
    #[serde(skip_serializing_if = "no")]
    damaged: u64,
}

/// Returns the schema of a moment.
fn moment() -> Value {
    any_of(&[json!({"type": "string", "format": "date"}), json!({"type": "string", "format": "date-time"})])
}

fn audit_query() -> Query {
    vec![
        (
            "action",
            text(0, 200),
            "Only acts of this name, such as `key.create`, or of those that begin so, such as `key`",
        ),
        ("outcome", one_of(&["done", "refused", "failed", "unknown"]), "Only those with this result"),
        ("member_id", text(0, 200), "Only those of this member"),
        ("key_id", text(0, 200), "Only those with this key"),
        ("since", moment(), "Only those of then or later"),
        ("until", moment(), "Only those of then or before, to the end of that second or day"),
    ]
}

fn describe_numbers(schemas: &mut Schemas, method: &str, path: &str) -> Option<Operation> {
    Some(match (method, path) {
        ("GET", "/v1/audit") => Operation {
            description: "What was done and refused, newest first.",
            query: page_query(audit_query()),
            ..reading(
                "listAudit",
                "Audit",
                "List the audit",
                Answer::json(200, "A page of the audit.", page::<AuditLine<'_>>(schemas)),
            )
        },
        ("GET", "/v1/audit/export") => {
            let line = any_of(&[schemas.of::<AuditLine<'_>>(), schemas.of::<AuditEnd>()]);
            let lines = described(
                json!({"type": "string"}),
                "Lines of JSON: an `AuditEntry` each, oldest first, and at last an `AuditEnd`. Without that the export was \
                 cut on its way.",
            );
            Operation {
                description: "All of the audit, for other programs to keep.",
                query: audit_query(),
                ..reading(
                    "exportAudit",
                    "Audit",
                    "Export the audit",
                    Answer {
                        content: vec![("application/x-ndjson", json!({"schema": lines, "x-lines": line}))],
                        headers: &["Cache-Control"],
                        ..Answer::json(200, "The audit.", Value::Null)
                    },
                )
            }
        }
        ("GET", "/v1/activity") => activity(schemas),
        ("GET", "/v1/usage") => Operation {
            description: "Of all keys for administrators, of the member's own keys for others. A span by `since` is widened to \
                          whole minutes if it began in the last three hours, else to whole hours or days, as `resolution` says.",
            query: usage_query(),
            ..reading(
                "getUsage",
                "Usage",
                "Get the calls of a span of time",
                Answer::json(200, "The calls of the span.", data::<usage::Report<'_>>(schemas)),
            )
        },
        ("GET", "/v1/usage/history") => Operation {
            description: "Newest first, up to now, also those without calls.",
            query: span_query(page_query_behind(vec![
                (
                    "granularity",
                    one_of(&["hour", "day", "month"]),
                    "Length of a part: `day` by default; `hour` for at most 31 days",
                ),
                ("mcp_id", text(0, 256), "Only calls of this MCP: its id or exact name"),
                ("key_id", text(0, 256), "Only calls with this key"),
            ])),
            ..reading(
                "getUsageHistory",
                "Usage",
                "List the calls by hours, days or months",
                Answer::json(200, "A page of hours, days or months.", page::<usage::Item>(schemas)),
            )
        },
        _ => return None,
    })
}
