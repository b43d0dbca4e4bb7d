//! `/api`: the MCP CLI dialect (`docs/http-api.md`, M1 to M7). It defines programs to run, so the right to use it is
//! checked before anything else (M1.1).

mod bodies;
mod errors;
mod openapi;
mod query;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use bytes::Bytes;

use self::errors::ApiError;
use super::Shared;
use super::core::auth::{RequestContext, admit_to_api, visitor};
use super::core::body;
use super::core::routes::{Access, Routes};
use super::edge::guard::EdgeRejection;
use crate::service::{Error, Principal, ServerView, told_of_change};

/// Returns the routes of the dialect.
pub(super) fn routes() -> Routes {
    use Access::{Operator, Public};
    Routes::default()
        .on("GET", "/api/openapi.json", Public, get(openapi::document))
        .on("GET", "/api/status", Operator, get(status))
        .on("GET", "/api/servers", Operator, get(list))
        .acting("server.add", "POST", "/api/servers", Operator, &[], post(add))
        .on("GET", "/api/servers/{name}", Operator, get(detail))
        .acting("server.change", "PUT", "/api/servers/{name}", Operator, &[], put(change))
        .acting("server.remove", "DELETE", "/api/servers/{name}", Operator, &[], delete(remove))
        .on("GET", "/api/servers/{name}/tools", Operator, get(tools))
        .calling("/api/query", Operator, post(query::run))
        .acting("config.export", "POST", "/api/config/export", Operator, &[], post(export))
        .acting("config.import", "POST", "/api/config/import", Operator, &[], post(import))
}

/// Extractor of a caller who may use this dialect, with the state that the handlers need.
struct Api(Shared, Principal, Arc<RequestContext>);

impl FromRequestParts<Shared> for Api {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Api, ApiError> {
        let caller = admit_to_api(shared, parts).await?;
        Ok(Api(shared.clone(), caller, visitor(parts)?.clone()))
    }
}

impl Api {
    async fn read(&self, request: Request) -> Result<Bytes, ApiError> {
        Ok(self.0.body(request).await?)
    }

    /// Records for the audit that values of `env` are shown, if any are: they may be secrets.
    fn shows<'a>(&self, mut servers: impl Iterator<Item = &'a ServerView>, target: &str) {
        if !self.0.settings.redact_env && servers.any(|server| !server.definition.env().is_empty()) {
            self.2.looks("servers.read", target);
        }
    }

    fn fail(&self, error: Error) -> ApiError {
        ApiError::of(error, &self.0.gateway)
    }

    /// Returns the name in a path. A name that is not UTF-8 when decoded names no existing server.
    fn name(&self, path: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
        match path {
            Ok(Path(name)) => Ok(name),
            Err(_) => Err(self.fail(Error::ServerNotFound { name: "\u{fffd}".to_owned() })),
        }
    }
}

type Name = Result<Path<String>, PathRejection>;

async fn status(_: Api) -> Response {
    json(bodies::STATUS)
}

async fn list(api: Api) -> Response {
    let servers = api.0.gateway.servers(&api.1);
    api.shows(servers.iter(), "*");
    json(bodies::servers(&servers, api.0.settings.redact_env))
}

async fn detail(api: Api, name: Name) -> Result<Response, ApiError> {
    let name = api.name(name)?;
    let server = api.0.gateway.server_named(&api.1, &name).map_err(|error| api.fail(error))?;
    api.shows(std::iter::once(&server), &name);
    Ok(json(bodies::server(&server.name, &server.definition, api.0.settings.redact_env)))
}

async fn add(api: Api, request: Request) -> Result<Response, ApiError> {
    let new = bodies::read_new_server(&api.read(request).await?)?;
    api.2.audit_as("server.add", &new.name);
    api.2.tells_all(told_of_change(&new.members));
    api.0.gateway.add_server(&api.1, &new.name, new.members).await.map_err(|error| api.fail(error))?;
    Ok(json(bodies::done(&format!("Server '{}' added successfully", new.name))))
}

async fn change(api: Api, name: Name, request: Request) -> Result<Response, ApiError> {
    let mut members = bodies::read_changes(&api.read(request).await?)?;
    let name = api.name(name)?;
    api.2.audit_as("server.change", &name);
    api.2.tells_all(told_of_change(&members));
    if api.0.settings.redact_env {
        let stored = api.0.gateway.server_named(&api.1, &name).map_err(|error| api.fail(error))?;
        bodies::restore_redacted(&mut members, &stored.definition)?;
    }
    api.0.gateway.update_server(&api.1, &name, members).await.map_err(|error| api.fail(error))?;
    Ok(json(bodies::done(&format!("Server '{name}' updated successfully"))))
}

async fn remove(api: Api, name: Name, request: Request) -> Result<Response, ApiError> {
    let name = api.name(name)?;
    let settings = &api.0.settings;
    body::skip(request, settings.body_limit, settings.body_timeout).await?;
    api.2.audit_as("server.remove", &name);
    api.0.gateway.remove_server(&api.1, &name).await.map_err(|error| api.fail(error))?;
    Ok(json(bodies::done(&format!("Server '{name}' removed successfully"))))
}

async fn tools(api: Api, name: Name) -> Result<Response, ApiError> {
    let name = api.name(name)?;
    // In this dialect a server has a name and no other id.
    let server = api.0.gateway.server_named(&api.1, &name).map_err(|error| api.fail(error))?;
    let (_, catalog) =
        api.0.gateway.catalog(&api.1, &server.id, None).await.map_err(|error| api.fail(error))?;
    Ok(json(bodies::tools(&catalog)))
}

async fn export(api: Api, request: Request) -> Result<Response, ApiError> {
    let path = bodies::read_path(&api.read(request).await?)?;
    api.2.audit_as("config.export", &path);
    api.0.gateway.export_config(&api.1, &path).await.map_err(|error| api.fail(error))?;
    api.2.tells("servers", api.0.gateway.servers(&api.1).len());
    Ok(json(bodies::done(&format!("Configuration exported to {path}"))))
}

async fn import(api: Api, request: Request) -> Result<Response, ApiError> {
    let path = bodies::read_path(&api.read(request).await?)?;
    api.2.audit_as("config.import", &path);
    let told = api.0.gateway.import_config(&api.1, &path).await.map_err(|error| api.fail(error))?;
    api.2.tells_all(told);
    Ok(json(bodies::done(&format!("Configuration imported from {path}"))))
}

fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers a request whose path has no route, without asking for a key.
pub(super) fn unknown_route() -> Response {
    ApiError::new(StatusCode::NOT_FOUND, "Not found").into_response()
}

/// Answers a request whose path is known and whose method is not. Callers who may not use the dialect learn only
/// that.
pub(super) async fn wrong_method(shared: &Shared, parts: &Parts) -> Response {
    match admit_to_api(shared, parts).await {
        Ok(_) => ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed").into_response(),
        Err(denied) => ApiError::from(denied).into_response(),
    }
}

/// Answers for an error of the gateway that the guard met itself.
pub(super) fn failure(error: Error) -> Response {
    ApiError::from(error).into_response()
}

/// Answers for a refusal of the guard, in this dialect's shape.
pub(super) fn refusal(refusal: EdgeRejection<'_>) -> Response {
    ApiError::from(refusal).into_response()
}
