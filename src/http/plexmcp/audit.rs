//! `/v1/audit`: changes and refusals, each with its caller. For administrators.

use axum::body::{Body, HttpBody};
use axum::extract::{Extension, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::value::RawValue;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::errors::ApiError;
use super::fields::{Fields, Page, ends, last, success};
use super::{Administrator, QueryPairs, RequestContext, Shared, json};
use crate::gateway::{AuditExport, AuditPieces, AuditQuery, Error, Outcome};
use crate::http::core::streams::StreamPermit;
use crate::http::core::timestamp::format_second;

pub(super) async fn list(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    context.looks("audit.read", "/v1/audit");
    let mut fields = Fields::default();
    let page = Page::read(&query, &mut fields);
    let query = read(&query, &mut fields);
    let (page, query) = fields.finish((page, query))?;
    let (skip, take) = page.bounds();
    let (total, lines) = shared.gateway.audit_page(&caller, query, skip, take).await?;
    let entries: Vec<&RawValue> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(json(success(entries, Some(page.pagination(total)))))
}

/// Answers with lines of JSON, oldest first, for other programs to keep. The last line says how many there are. A
/// long answer comes piece by piece, and has a place among the streams of its key.
pub(super) async fn export(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    context.looks("audit.export", "/v1/audit/export");
    let mut fields = Fields::default();
    let query = read(&query, &mut fields);
    let query = fields.finish(query)?;
    let permit = shared.streams.open(caller.key_id().clone())?;
    let body = match shared.gateway.audit_export(&caller, query).await? {
        AuditExport::Whole(lines) => Body::from(lines),
        AuditExport::Pieces(pieces) => Body::new(ExportBody { pieces, _permit: permit }),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A body that comes piece by piece. A failure is an error of the body: the connection ends without the chunk
/// that marks the answer as whole.
struct ExportBody {
    pieces: AuditPieces,
    _permit: StreamPermit,
}

impl HttpBody for ExportBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.pieces.poll_next(context).map(|next| next.map(|piece| piece.map(Frame::data)))
    }
}

fn read(query: &[(String, String)], fields: &mut Fields) -> AuditQuery {
    let given = |name: &str| last(query, name).map(str::to_owned);
    let outcome = given("outcome");
    let known = Outcome::ALL.map(Outcome::name);
    if outcome.as_ref().is_some_and(|outcome| !known.contains(&outcome.as_str())) {
        fields.problem("outcome", "must be done, refused, failed or unknown");
    }
    let (since, until) = ends(query, fields);
    let (since, until) = (since.map(format_second), until.map(format_second));
    let (action, member_id, key_id) = (given("action"), given("member_id"), given("key_id"));
    AuditQuery { action, outcome, member_id, key_id, since, until }
}
