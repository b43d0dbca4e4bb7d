//! Builder of a document, and the comparison with its file.

use serde_json::{Map, Value, json};

use super::schema::Schemas;
use crate::http::core::routes::{Access, Route};

/// A dialect's description of one of its routes.
pub(in crate::http) struct Operation {
    /// Name of the operation, which generators of clients make a function's name of.
    pub(in crate::http) id: &'static str,
    /// Tag, one of the dialect's.
    pub(in crate::http) tag: &'static str,
    /// Summary of one line.
    pub(in crate::http) summary: &'static str,
    /// Description; empty if the summary says everything.
    pub(in crate::http) description: &'static str,
    /// Query parameters: name, schema and description.
    pub(in crate::http) query: Vec<(&'static str, Value, &'static str)>,
    /// Headers of the request: name, schema and description.
    pub(in crate::http) headers: Vec<(&'static str, Value, &'static str)>,
    /// Schema of the body and an example of one; `None` if there is none.
    pub(in crate::http) body: Option<(Value, Value)>,
    /// `true` if the body may be left out.
    pub(in crate::http) may_lack_body: bool,
    /// Answer of a success.
    pub(in crate::http) answer: Answer,
    /// Statuses of errors beside those that every route has.
    pub(in crate::http) errors: Vec<u16>,
}

/// Answer of a success.
pub(in crate::http) struct Answer {
    pub(in crate::http) status: u16,
    pub(in crate::http) description: &'static str,
    /// Types of its content, each with the media type object of the document.
    pub(in crate::http) content: Vec<(&'static str, Value)>,
    /// Names of headers beside those that every answer has.
    pub(in crate::http) headers: &'static [&'static str],
}

impl Answer {
    /// Creates the description of an answer in JSON.
    pub(in crate::http) fn json(status: u16, description: &'static str, schema: Value) -> Answer {
        let content = vec![("application/json", json!({"schema": schema}))];
        Answer { status, description, content, headers: &[] }
    }
}

/// A dialect's description of the answers of an error status.
#[derive(Clone, Copy)]
pub(in crate::http) struct ErrorAnswer {
    pub(in crate::http) status: u16,
    /// Name among the document's responses.
    pub(in crate::http) name: &'static str,
    pub(in crate::http) description: &'static str,
}

/// Describes the answers of an error status.
pub(in crate::http) const fn error(
    status: u16,
    name: &'static str,
    description: &'static str,
) -> ErrorAnswer {
    ErrorAnswer { status, name, description }
}

/// Begins the description of a route that reads.
pub(in crate::http) fn reading(
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    answer: Answer,
) -> Operation {
    Operation {
        id,
        tag,
        summary,
        description: "",
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        may_lack_body: false,
        answer,
        errors: Vec::new(),
    }
}

/// A dialect's description of itself.
pub(in crate::http) struct Dialect<'a> {
    pub(in crate::http) title: &'static str,
    pub(in crate::http) description: &'static str,
    /// Tags with their descriptions, in the order of the document.
    pub(in crate::http) tags: &'a [(&'static str, &'static str)],
    pub(in crate::http) routes: &'a [Route],
    /// Parameters of paths: name, description and example.
    pub(in crate::http) path_parameters: &'a [(&'static str, &'static str, &'static str)],
    /// Answers of errors, by status.
    pub(in crate::http) errors: &'a [ErrorAnswer],
    /// Returns the description of a route, by its method and path.
    pub(in crate::http) describe: fn(&mut Schemas, &str, &str) -> Option<Operation>,
    /// Returns the schema of an error's body.
    pub(in crate::http) error: fn(&mut Schemas) -> Value,
}

/// Builds a dialect's document and compares it with its file, which is given by its path in the repository and its
/// content. With `UPDATE_OPENAPI` in the environment it writes the file instead.
#[track_caller]
pub(in crate::http) fn check(dialect: &Dialect<'_>, path: &str, file: &str) {
    let mut built = serde_json::to_string_pretty(&dialect.document()).expect("plain values");
    built.push('\n');
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::write(&path, built).expect("the file can be written");
        return;
    }
    let differing = built.lines().zip(file.lines()).position(|(one, other)| one != other);
    let at = differing.unwrap_or(built.lines().count().min(file.lines().count()));
    let show = |text: &str| text.lines().nth(at).unwrap_or("the end of the file").to_owned();
    assert!(
        built == file,
        "{path}:{} is not what the code says: run `make openapi`\nfile: {}\ncode: {}",
        at + 1,
        show(file),
        show(&built)
    );
}

impl Dialect<'_> {
    fn document(&self) -> Value {
        let mut schemas = Schemas::new();
        let mut paths = Map::new();
        for route in self.routes {
            let described = (self.describe)(&mut schemas, route.method, route.path);
            let operation =
                described.unwrap_or_else(|| panic!("{} {} is not described", route.method, route.path));
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[route.method.to_lowercase()] = self.operation(route, operation);
        }
        let error = (self.error)(&mut schemas);
        let answers = self.errors.iter().map(|answer| (answer.name.to_owned(), error_answer(answer, &error)));
        let answers: Map<String, Value> = answers.collect();
        let tags =
            self.tags.iter().map(|(name, description)| json!({"name": name, "description": description}));
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "description": self.description,
                "version": env!("CARGO_PKG_VERSION"),
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/", "description": "The gateway that serves this document"}],
            "tags": tags.collect::<Vec<_>>(),
            "paths": paths,
            "components": {
                "schemas": schemas.finish(),
                "responses": answers,
                "headers": headers(),
                "securitySchemes": {
                    "bearer": {
                        "type": "http", "scheme": "bearer",
                        "description": "An API key, as `Authorization: Bearer KEY`. `Authorization: ApiKey KEY` does as well.",
                    },
                    "apiKey": {
                        "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key.",
                    },
                },
            },
        })
    }

    fn operation(&self, route: &Route, operation: Operation) -> Value {
        let what = format!("{} {}", route.method, route.path);
        assert!(self.tags.iter().any(|(name, _)| *name == operation.tag), "{what}: no tag {}", operation.tag);
        let asks_for_key = !matches!(route.access, Access::Public);
        let mut described = json!({
            "operationId": operation.id,
            "tags": [operation.tag],
            "summary": operation.summary,
        });
        if !operation.description.is_empty() {
            described["description"] = operation.description.into();
        }
        let mut parameters: Vec<Value> =
            path_parameters(route.path).map(|name| self.path_parameter(name)).collect();
        for (place, described) in [("query", operation.query), ("header", operation.headers)] {
            parameters.extend(described.into_iter().map(|(name, schema, description)| {
                json!({"name": name, "in": place, "description": description, "schema": schema})
            }));
        }
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        let has_body = operation.body.is_some();
        if let Some((schema, example)) = operation.body {
            described["requestBody"] = json!({
                "required": !operation.may_lack_body,
                "content": {"application/json": {"schema": schema, "example": example}},
            });
        }
        let mut statuses: Vec<u16> = match asks_for_key {
            true => vec![400, 401, 403, 405, 429, 500, 503],
            false => vec![400, 403, 405, 500],
        };
        statuses.extend(operation.errors);
        if has_body {
            statuses.extend([408, 413, 415]);
        }
        statuses.sort_unstable();
        statuses.dedup();
        let Answer { status, description, content, headers } = operation.answer;
        let content: Map<String, Value> =
            content.into_iter().map(|(kind, it)| (kind.to_owned(), it)).collect();
        let mut responses = Map::new();
        let success = json!({"description": description, "headers": header_references(asks_for_key, headers), "content": content});
        responses.insert(status.to_string(), success);
        for status in statuses {
            let answer = self.errors.iter().find(|answer| answer.status == status);
            let name = answer.unwrap_or_else(|| panic!("{what}: {status} is not described")).name;
            responses.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{name}")}));
        }
        described["responses"] = responses.into();
        if asks_for_key {
            let mut ways = vec![json!({"bearer": []}), json!({"apiKey": []})];
            if route.access == Access::Operator {
                // Where the daemon's own user is known, or nobody is asked.
                ways.push(json!({}));
            }
            described["security"] = Value::Array(ways);
        }
        described
    }

    fn path_parameter(&self, name: &str) -> Value {
        let known = self.path_parameters.iter().find(|(known, ..)| *known == name);
        let (_, description, example) = known.unwrap_or_else(|| panic!("parameter {name} is not described"));
        json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": {"type": "string", "minLength": 1}, "example": example,
        })
    }
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Headers that every answer to a valid key has where there is a rate.
const RATES: [&str; 3] = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];

fn header_references(with_rates: bool, more: &[&str]) -> Value {
    let rates = RATES.iter().filter(|_| with_rates);
    let names = ["X-Request-Id"].iter().chain(rates).chain(more);
    let reference =
        |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    names.map(reference).collect()
}

fn error_answer(answer: &ErrorAnswer, schema: &Value) -> Value {
    let more: &[&str] = match answer.status {
        401 => &["WWW-Authenticate"],
        405 => &["Allow"],
        409 | 429 | 500 | 502 | 503 => &["Retry-After"],
        _ => &[],
    };
    json!({
        "description": answer.description,
        "headers": header_references(answer.status != 401, more),
        "content": {"application/json": {"schema": schema}},
    })
}

fn headers() -> Value {
    let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    let number =
        |description: &str| json!({"description": description, "schema": {"type": "integer", "minimum": 0}});
    json!({
        "X-Request-Id": text(
            "Id of the request: the one that it was sent with, or one made here. The gateway's log and audit have it, too."
        ),
        "X-RateLimit-Limit": number("Number of requests that may come at once; absent where there is no limit."),
        "X-RateLimit-Remaining": number("Number of those that may come now; absent where there is no limit."),
        "X-RateLimit-Reset": number(
            "Unix time in seconds at which all of them may come again; absent where there is no limit."
        ),
        "Retry-After": number("Seconds after which asking again is worth it; absent where that is not known."),
        "WWW-Authenticate": text("Challenge (RFC 6750)."),
        "Allow": text("Methods of the path."),
        "Location": text("Path of what was made."),
        "Idempotent-Replayed": text("`true`: the reply was made for an earlier request with the same `Idempotency-Key`."),
        "Cache-Control": text("`no-store`: the answer must not be kept by caches."),
    })
}
