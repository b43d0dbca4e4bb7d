//! Metadata of the resources (RFC 9728), which tell a client where its access tokens come from. There is none without an
//! authorization server: clients would look for one. Errors are `{"error": "<text>"}`.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;

use super::core::dialect::{Answering, Dialect, is_under};
use super::core::plain::{self, answer, error, refused_query};
use super::core::rejection::EdgeRejection;
use super::core::routes::{Access, Routes};
use super::core::shared::Shared;
use super::settings::Settings;
use crate::gateway::{Error, Surface};
use crate::oidc::{METADATA_PATH, metadata};

/// The dialect.
pub(super) struct OAuth;

impl Dialect for OAuth {
    fn owns(&self, path: &str) -> bool {
        is_under(path, METADATA_PATH)
    }

    fn surface(&self) -> Surface {
        Surface::OAuth
    }

    fn routes(&self) -> Routes {
        Routes::default()
            .on("GET", METADATA_PATH, Access::Public, get(document))
            .on("GET", "/.well-known/oauth-protected-resource/mcp", Access::Public, get(document))
            .on("GET", "/.well-known/oauth-protected-resource/mcp/{server}", Access::Public, get(document))
    }

    fn is_served(&self, settings: &Settings) -> bool {
        settings.oidc.is_some()
    }

    fn trusts_nearness(&self) -> bool {
        false
    }

    fn unknown_route(&self) -> Response {
        error(StatusCode::NOT_FOUND, "Not found")
    }

    fn wrong_method<'a>(&'a self, _: &'a Shared, _: &'a Parts) -> Answering<'a> {
        Box::pin(std::future::ready(error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")))
    }

    fn reject(&self, rejection: EdgeRejection<'_>) -> Response {
        plain::reject(rejection)
    }

    fn failure(&self, failed: Error) -> Response {
        plain::failure(&failed)
    }
}

/// Answers with the metadata of a resource. Whether there is a server of this name is not told: nobody has shown a key.
async fn document(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(refused) = refused_query(&parts) {
        return refused;
    }
    let Some(tokens) = &shared.tokens else { return OAuth.unknown_route() };
    let path = parts.uri.path().strip_prefix(METADATA_PATH).unwrap_or_default();
    answer(StatusCode::OK, &metadata(tokens.settings(), path))
}
