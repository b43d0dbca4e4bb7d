//! `/ui`: the dashboard, and what it needs beside the other dialects (`docs/dashboard.md`). A person signs in with a key and
//! has a cookie; requests below `/ui/api` stand for those of `/v1` and `/api` and are made into them at the edge.
//! Errors are `{"error": "<text>", "code": "<word>"}`.

mod board;
mod door;
mod events;
mod files;
mod rows;
mod windows;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{LOCATION, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

use self::door::Refusal;
use self::files::harden;
use super::core::auth::{AuthError, admit_to_sign_in};
use super::core::body::skip;
use super::core::context::RequestContext;
use super::core::dialect::{Answering, Dialect, is_under};
use super::core::head::RequestHead;
use super::core::plain::{self, answer, refused_query};
use super::core::rejection::EdgeRejection;
use super::core::routes::{Access, Routes};
use super::core::shared::Shared;
use super::core::sign_in::SignedIn;
use super::core::timestamp::retry_seconds;
use crate::clock;
use crate::gateway::{CredentialError, Error, Principal, Surface};

/// The dialect.
pub(super) struct Ui;

impl Dialect for Ui {
    fn owns(&self, path: &str) -> bool {
        is_under(path, "/ui")
    }

    fn routes(&self) -> Routes {
        use Access::{Public, SignIn, SignedIn};
        Routes::default()
            .on("GET", "/ui", Public, get(to_folder))
            .on("GET", "/ui/", Public, get(index))
            .on("GET", "/ui/{file}", Public, get(file))
            .on("GET", SIGN_IN, SignedIn, get(whoami))
            .calling("POST", SIGN_IN, SignIn, post(sign_in))
            .calling("DELETE", SIGN_IN, SignedIn, delete(sign_out))
            .asking("GET", "/ui/events", SignedIn, &["log", "after"], get(events::stream))
    }

    fn trusts_nearness(&self) -> bool {
        true
    }

    fn surface(&self) -> Surface {
        Surface::Ui
    }

    fn stands_for(
        &self,
        shared: &Shared,
        head: &RequestHead,
    ) -> Option<Result<(RequestHead, SignedIn), Response>> {
        door::stands_for(shared, head)
    }

    fn unknown_route(&self) -> Response {
        harden(plain::error(StatusCode::NOT_FOUND, "Not found"))
    }

    fn wrong_method<'a>(&'a self, _: &'a Shared, _: &'a Parts) -> Answering<'a> {
        let refused = plain::error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
        Box::pin(std::future::ready(harden(refused)))
    }

    fn reject(&self, rejection: EdgeRejection<'_>) -> Response {
        plain::reject(rejection)
    }

    fn failure(&self, failed: Error) -> Response {
        plain::failure(&failed)
    }
}

/// Path of a sign-in: made by POST, told by GET, ended by DELETE.
const SIGN_IN: &str = "/ui/session";

/// Sends a browser to the folder of the page. The way is relative, so that it is right below any prefix of a proxy.
async fn to_folder(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(refused) = refused_query(&parts) {
        return refused;
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("ui/"));
    harden(response)
}

async fn index(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    refused_query(&parts).unwrap_or_else(|| files::file("index.html", &parts.headers))
}

async fn file(Path(name): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    refused_query(&parts).unwrap_or_else(|| files::file(&name, &parts.headers))
}

/// Signs in whoever shows a key, or is the daemon's own user where that user needs none.
async fn sign_in(
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(refused) = refused_query(&parts) {
        return refused;
    }
    if let Err(refusal) = door::check_origin(&parts.headers) {
        return refusal.answer();
    }
    let principal = match admit_to_sign_in(&shared, &parts).await {
        Ok(principal) => principal,
        Err(denied) => return refused(&shared, &denied),
    };
    let (limit, time) = (shared.settings.body_limit, shared.settings.body_timeout);
    if skip(Request::from_parts(parts.clone(), body), limit, time).await.is_err() {
        return plain::error(StatusCode::BAD_REQUEST, "Signing in takes no body");
    }
    context.looks("dashboard.sign_in", &principal.member().id);
    let is_over = |known: &Principal| known.again(clock::now()).is_err();
    let (key, now) = (principal.key_id(), Instant::now());
    let Some(new) = shared.sign_ins.begin(key, principal.clone(), now, is_over) else {
        let mut full =
            plain::error(StatusCode::SERVICE_UNAVAILABLE, "Too many are signed in; please retry later");
        full.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        return full;
    };
    let mut who = who(&principal);
    who["token"] = Value::from(new.token);
    let mut response = harden(answer(StatusCode::OK, &who));
    if let Some(cookie) = door::set_cookie(&parts.headers, &new.cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Answers somebody who may not sign in, with what would help.
fn refused(shared: &Shared, denied: &AuthError) -> Response {
    let key = "Sign in with a key: owner.key in the data directory has the owner's";
    let (status, code, text) = match denied {
        AuthError::Unproven { why } => {
            (StatusCode::UNAUTHORIZED, "key_needed", format!("{key}. Without one: {why}"))
        }
        AuthError::Missing if shared.settings.oidc.is_none() => {
            (StatusCode::UNAUTHORIZED, "key_needed", key.to_owned())
        }
        AuthError::TooMany { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many attempts. Please retry later".to_owned(),
        ),
        AuthError::Unverifiable { why, .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", why.clone()),
        AuthError::Refused { refused, .. } => {
            (StatusCode::UNAUTHORIZED, "refused", why_refused(*refused).to_owned())
        }
        AuthError::Token { why } => (StatusCode::UNAUTHORIZED, "refused", why.text().to_owned()),
        AuthError::RoleTooLow | AuthError::ScopeMissing => {
            (StatusCode::FORBIDDEN, "forbidden", "This key may not sign in".to_owned())
        }
        AuthError::Missing | AuthError::Unverified => {
            (StatusCode::UNAUTHORIZED, "key_needed", key.to_owned())
        }
    };
    let mut response = harden(answer(status, &json!({"error": text, "code": code})));
    match denied {
        AuthError::TooMany { retry_after } | AuthError::Unverifiable { retry_after, .. } => {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_seconds(*retry_after)));
        }
        _ if status == StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(WWW_AUTHENTICATE, denied.challenge());
            response.extensions_mut().insert(denied.failed_login());
        }
        _ => {}
    }
    response
}

/// Returns why a key does not count, for whoever typed it.
fn why_refused(refused: CredentialError) -> &'static str {
    match refused {
        CredentialError::Unknown => "There is no such key here",
        CredentialError::Revoked => "This key was revoked",
        CredentialError::Expired => "This key has expired",
    }
}

/// Tells the page who is signed in and what they may do.
fn who(principal: &Principal) -> Value {
    let (member, permissions, role) = (principal.member(), principal.permissions(), principal.role());
    json!({
        "member": {"id": &*member.id, "name": member.name, "role": role.name()},
        "key": {"id": &**principal.key_id(), "name": principal.record().name, "is_local": principal.is_local_operator()},
        "may": {
            "call": role.may_invoke(),
            "administer": role.may_administer(),
            "define": role.may_administer() && permissions.are_unlimited(),
        },
        "version": env!("CARGO_PKG_VERSION"),
    })
}

async fn whoami(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(refused) = refused_query(&parts) {
        return refused;
    }
    match door::signed_in(&shared, &parts.headers) {
        Ok(signed_in) => match signed_in.principal.again(clock::now()) {
            Ok(principal) => harden(answer(StatusCode::OK, &who(&principal))),
            Err(_) => Refusal::NotSignedIn.answer(),
        },
        Err(refusal) => refusal.answer(),
    }
}

async fn sign_out(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(refused) = refused_query(&parts) {
        return refused;
    }
    match door::signed_in(&shared, &parts.headers) {
        Ok(signed_in) => {
            shared.sign_ins.end(&signed_in);
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            if let Some(cookie) = door::set_cookie(&parts.headers, "") {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            harden(response)
        }
        Err(refusal) => refusal.answer(),
    }
}
