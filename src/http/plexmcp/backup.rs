//! `POST /v1/backup` and `POST /v1/export`: everything that is configured, as it was written. For owners.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::errors::ApiError;
use super::{DiscardBody, Owner, Shared};
use crate::gateway::{BackupFile, Error};

/// Answers with a whole backup, which `mcpvisor restore` takes: its checksum and its length say whether all of it came.
pub(super) async fn make(
    Owner(caller): Owner,
    State(shared): State<Shared>,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let backup = shared.gateway.backup(&caller).await?;
    // `2026-11-30T08:00:00Z` without what file systems and shells do not like.
    let at: String = backup.created_at().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    Ok(file(Body::new(BackupBody(backup)), &format!("mcpvisor-backup-{at}.json")))
}

/// Answers with a servers file, which `mcpvisor import` and a daemon take.
pub(super) async fn export(
    Owner(caller): Owner,
    State(shared): State<Shared>,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let text = shared.gateway.servers_file(&caller).await?;
    Ok(file(Body::from(text), "servers.json"))
}

/// Returns an answer that is a file, to be kept by nobody on its way.
fn file(body: Body, name: &str) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(named) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, named);
    }
    response
}

/// A body that is taken piece by piece. Whoever may not read any more gets an error, and fewer bytes than were said.
struct BackupBody(BackupFile);

impl HttpBody for BackupBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(self.0.next_piece().map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.left() as u64)
    }
}
