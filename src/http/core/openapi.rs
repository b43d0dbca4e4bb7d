//! OpenAPI 3.1 documents, built from the list of routes and each dialect's descriptions. A route that is not
//! described, or a description without a route, fails a test.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::http::core::routes::{Access, Route};

/// A dialect's description of one of its routes.
pub(in crate::http) struct Operation {
    /// Summary of one line.
    pub(in crate::http) summary: &'static str,
    /// Query parameters: name and schema.
    pub(in crate::http) query: Vec<(&'static str, Value)>,
    /// Schema of the body; `None` if there is none.
    pub(in crate::http) body: Option<Value>,
    /// Status of a success, the type of its content, and its schema.
    pub(in crate::http) answer: (u16, &'static str, Value),
    /// Statuses of errors beside those that every route has.
    pub(in crate::http) errors: &'static [u16],
}

/// A dialect's description of itself.
pub(in crate::http) struct Dialect {
    /// Title of the document.
    pub(in crate::http) title: &'static str,
    /// One sentence about the dialect, for `info.description`.
    pub(in crate::http) description: &'static str,
    /// Schema of every error body.
    pub(in crate::http) error: Value,
    /// Schemas that others refer to.
    pub(in crate::http) schemas: Value,
}

/// Builds the document of a dialect. `describe` returns the description of a route, by its method and path; a
/// route for which it returns `None` is left out.
pub(in crate::http) fn document(
    dialect: Dialect,
    routes: &[Route],
    describe: impl Fn(&str, &str) -> Option<Operation>,
) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let Some(operation) = describe(route.method, route.path) else { continue };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = describe_operation(route, operation);
    }
    let mut schemas = dialect.schemas;
    schemas["Error"] = dialect.error;
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": dialect.title, "description": dialect.description, "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    })
}

fn describe_operation(route: &Route, operation: Operation) -> Value {
    let mut parameters: Vec<Value> = path_parameters(route.path)
        .map(|name| {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}})
        })
        .collect();
    let query = operation.query.into_iter();
    parameters.extend(query.map(|(name, schema)| json!({"name": name, "in": "query", "schema": schema})));
    let (status, kind, schema) = operation.answer;
    let mut responses = Map::new();
    responses
        .insert(status.to_string(), json!({"description": "success", "content": {kind: {"schema": schema}}}));
    let asks_for_key = !matches!(route.access, Access::Public);
    let general: &[u16] =
        if asks_for_key { &[400, 401, 403, 405, 429, 500, 503] } else { &[400, 403, 405, 500] };
    for status in operation.errors.iter().chain(general) {
        let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
        let error = json!({"description": "error", "content": content});
        responses.entry(status.to_string()).or_insert(error);
    }
    let mut described = json!({
        "summary": operation.summary,
        "operationId": operation_id(route),
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(schema) = operation.body {
        described["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    if asks_for_key {
        let mut ways = vec![json!({"bearer": []}), json!({"apiKey": []})];
        if route.access == Access::Operator {
            ways.push(json!({}));
        }
        described["security"] = Value::Array(ways);
    }
    described
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn operation_id(route: &Route) -> String {
    let mut id = route.method.to_lowercase();
    for part in route.path.split(['/', '-', '.', '{', '}']).filter(|part| !part.is_empty()) {
        id.push('_');
        id.push_str(part);
    }
    id
}

/// Answers with a document.
pub(in crate::http) fn answer(document: &Value) -> Response {
    let mut response = Response::new(Body::from(document.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns a reference to a schema of the document.
pub(in crate::http) fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
