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
use super::core::auth::{admit_to_api, request_context};
use super::core::body;
use super::core::context::RequestContext;
use super::core::dialect::{Answering, Dialect, is_under};
use super::core::rejection::EdgeRejection;
use super::core::routes::{Access, Routes};
use super::core::shared::Shared;
use crate::gateway::{Error, Principal, RegistryError, ServerView, Surface, told_of_change};

/// The dialect.
pub(super) struct McpCli;

impl Dialect for McpCli {
    fn owns(&self, path: &str) -> bool {
        is_under(path, "/api")
    }

    fn surface(&self) -> Surface {
        Surface::McpCli
    }

    fn routes(&self) -> Routes {
        routes()
    }

    fn trusts_nearness(&self) -> bool {
        true
    }

    fn unknown_route(&self) -> Response {
        ApiError::new(StatusCode::NOT_FOUND, "Not found").into_response()
    }

    fn wrong_method<'a>(&'a self, shared: &'a Shared, parts: &'a Parts) -> Answering<'a> {
        Box::pin(async move {
            match admit_to_api(shared, parts).await {
                Ok(_) => ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed").into_response(),
                Err(denied) => ApiError::from(denied).into_response(),
            }
        })
    }

    fn reject(&self, rejection: EdgeRejection<'_>) -> Response {
        ApiError::from(rejection).into_response()
    }

    fn failure(&self, error: Error) -> Response {
        ApiError::from(error).into_response()
    }
}

/// Returns the routes of the dialect.
fn routes() -> Routes {
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
        .acting("server.login_begin", "POST", "/api/servers/{name}/login", Operator, &[], post(begin_login))
        .acting("server.login", "POST", "/api/servers/{name}/login/finish", Operator, &[], post(finish_login))
        .calling("POST", "/api/query", Operator, post(query::run))
        .acting("config.export", "POST", "/api/config/export", Operator, &[], post(export))
        .acting("config.import", "POST", "/api/config/import", Operator, &[], post(import))
}

/// Extractor of a caller who may use this dialect, with the state that the handlers need.
struct Api {
    shared: Shared,
    caller: Principal,
    context: Arc<RequestContext>,
}

impl FromRequestParts<Shared> for Api {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Api, ApiError> {
        let caller = admit_to_api(shared, parts).await?;
        Ok(Api { shared: shared.clone(), caller, context: request_context(parts)?.clone() })
    }
}

impl Api {
    async fn read(&self, request: Request) -> Result<Bytes, ApiError> {
        Ok(self.shared.body(request).await?)
    }

    /// Records for the audit that values of `env` are shown, if any are: they may be secrets.
    fn shows<'a>(&self, mut servers: impl Iterator<Item = &'a ServerView>, target: &str) {
        if !self.shared.settings.redact_env && servers.any(|server| !server.definition.env().is_empty()) {
            self.context.looks("servers.read", target);
        }
    }

    fn fail(&self, error: Error) -> ApiError {
        ApiError::of(error, &self.shared.gateway)
    }

    /// Returns the name in a path. A name that is not UTF-8 when decoded names no existing server.
    fn name(&self, path: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
        match path {
            Ok(Path(name)) => Ok(name),
            Err(_) => Err(self.fail(RegistryError::ServerNotFound { name: "\u{fffd}".to_owned() }.into())),
        }
    }
}

type Name = Result<Path<String>, PathRejection>;

async fn status(_: Api) -> Response {
    json(bodies::STATUS)
}

async fn list(api: Api) -> Response {
    let servers = api.shared.gateway.servers(&api.caller);
    api.shows(servers.iter(), "*");
    json(bodies::servers(&servers, api.shared.settings.redact_env))
}

async fn detail(api: Api, name: Name) -> Result<Response, ApiError> {
    let name = api.name(name)?;
    let server = api.shared.gateway.server_named(&api.caller, &name).map_err(|error| api.fail(error))?;
    api.shows(std::iter::once(&server), &name);
    Ok(json(bodies::server(&server.name, &server.definition, api.shared.settings.redact_env)))
}

async fn add(api: Api, request: Request) -> Result<Response, ApiError> {
    let mut new = bodies::read_new_server(&api.read(request).await?)?;
    bodies::restore_remote(&mut new.members, None)?;
    api.context.audit_as("server.add", &new.name);
    api.context.tells_all(told_of_change(&new.members));
    api.shared
        .gateway
        .add_server(&api.caller, &new.name, new.members)
        .await
        .map_err(|error| api.fail(error))?;
    Ok(json(bodies::done(&format!("Server '{}' added successfully", new.name))))
}

async fn change(api: Api, name: Name, request: Request) -> Result<Response, ApiError> {
    let mut members = bodies::read_changes(&api.read(request).await?)?;
    let name = api.name(name)?;
    api.context.audit_as("server.change", &name);
    api.context.tells_all(told_of_change(&members));
    let stored = api.shared.gateway.server_named(&api.caller, &name).map_err(|error| api.fail(error))?;
    if api.shared.settings.redact_env {
        bodies::restore_env(&mut members, &stored.definition)?;
    }
    bodies::restore_remote(&mut members, Some(&stored.definition))?;
    api.shared.gateway.update_server(&api.caller, &name, members).await.map_err(|error| api.fail(error))?;
    Ok(json(bodies::done(&format!("Server '{name}' updated successfully"))))
}

async fn remove(api: Api, name: Name, request: Request) -> Result<Response, ApiError> {
    let name = api.name(name)?;
    let settings = &api.shared.settings;
    body::skip(request, settings.body_limit, settings.body_timeout).await?;
    api.context.audit_as("server.remove", &name);
    api.shared.gateway.remove_server(&api.caller, &name).await.map_err(|error| api.fail(error))?;
    Ok(json(bodies::done(&format!("Server '{name}' removed successfully"))))
}

async fn tools(api: Api, name: Name) -> Result<Response, ApiError> {
    let name = api.name(name)?;
    // In this dialect a server has a name and no other id.
    let server = api.shared.gateway.server_named(&api.caller, &name).map_err(|error| api.fail(error))?;
    let (_, catalog) =
        api.shared.gateway.catalog(&api.caller, &server.id, None).await.map_err(|error| api.fail(error))?;
    Ok(json(bodies::tools(&catalog)))
}

async fn begin_login(api: Api, name: Name, request: Request) -> Result<Response, ApiError> {
    let redirect_uri = bodies::read_login(&api.read(request).await?)?;
    let name = api.name(name)?;
    api.context.audit_as("server.login_begin", &name);
    let begun = api.shared.gateway.begin_login(&api.caller, &name, redirect_uri).await;
    Ok(json(bodies::login(&begun.map_err(|error| api.fail(error))?)))
}

async fn finish_login(api: Api, name: Name, request: Request) -> Result<Response, ApiError> {
    let finish = bodies::read_login_finish(&api.read(request).await?)?;
    let name = api.name(name)?;
    api.context.audit_as("server.login", &name);
    api.shared.gateway.finish_login(&api.caller, &name, finish).await.map_err(|error| api.fail(error))?;
    Ok(json(bodies::done(&format!("Logged in to server '{name}'"))))
}

async fn export(api: Api, request: Request) -> Result<Response, ApiError> {
    let path = bodies::read_path(&api.read(request).await?)?;
    api.context.audit_as("config.export", &path);
    api.shared.gateway.export_config(&api.caller, &path).await.map_err(|error| api.fail(error))?;
    api.context.tells("servers", api.shared.gateway.servers(&api.caller).len());
    Ok(json(bodies::done(&format!("Configuration exported to {path}"))))
}

async fn import(api: Api, request: Request) -> Result<Response, ApiError> {
    let path = bodies::read_path(&api.read(request).await?)?;
    api.context.audit_as("config.import", &path);
    let told = api.shared.gateway.import_config(&api.caller, &path).await.map_err(|error| api.fail(error))?;
    api.context.tells_all(told);
    Ok(json(bodies::done(&format!("Configuration imported from {path}"))))
}

fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
