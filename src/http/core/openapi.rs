//! OpenAPI 3.1 documents of the dialects: files in the repository that are served as they are. Tests build each anew from
//! the list of routes, from the types that are serialized and from each dialect's descriptions, and fail if its file
//! says something else; `make openapi` writes the files.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

#[cfg(test)]
mod document;
#[cfg(test)]
mod schema;

#[cfg(test)]
pub(in crate::http) use self::document::{Answer, Dialect, ErrorAnswer, Operation, check, error, reading};
#[cfg(test)]
pub(in crate::http) use self::schema::{
    Date, False, Members, OpenObject, Schemas, Time, any_of, at_most, described, example, list, nullable,
    one_of, schemas, text, text_like, whole,
};

/// Answers with a document.
pub(in crate::http) fn answer(document: &'static str) -> Response {
    let mut response = Response::new(Body::from(document));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
