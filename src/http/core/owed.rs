//! Answers on their way to a client: bodies in pieces that are handed on as they are, and bodies whose memory and
//! end are counted until the client has taken them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

use crate::gateway::UnreadAnswer;
use crate::http::server::state::ConnectionState;

/// Largest answer, in bytes, that is not counted: it is copied out of its source, and with all places taken such
/// answers hold at most that much each.
pub(in crate::http) const SMALL: u64 = 64 * 1024;

/// Bytes of memory that an answer made of slices keeps, where that is not its length.
#[derive(Debug, Clone, Copy)]
struct Weight(usize);

/// Builds an answer in pieces, which keeps `weight` bytes in memory.
pub(in crate::http) fn in_pieces(pieces: impl IntoIterator<Item = Bytes>, weight: usize) -> Response {
    let mut response = Response::new(body_of(pieces));
    response.extensions_mut().insert(Weight(weight));
    response
}

/// Takes the body of an answer that is in memory apart into its pieces. What a stream would still have is left out.
pub(in crate::http) async fn pieces_of(response: &mut Response) -> Vec<Bytes> {
    let (mut body, mut pieces) = (std::mem::take(response.body_mut()), Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        pieces.extend(frame.into_data());
    }
    pieces
}

/// Returns a body of these pieces, handed on as they are.
pub(in crate::http) fn body_of(pieces: impl IntoIterator<Item = Bytes>) -> Body {
    let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let left = pieces.iter().map(|piece| piece.len() as u64).sum();
    Body::new(Pieces { pieces, left })
}

struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Returns the bytes of memory that an answer is counted with. `None` if it is small, or of unknown length: a
/// streamed answer holds a bounded number of events.
pub(in crate::http) fn weight(response: &mut Response) -> Option<usize> {
    let weight = response.extensions_mut().remove::<Weight>().map(|Weight(weight)| weight);
    let exact = response.body().size_hint().exact()?;
    let exact = usize::try_from(exact).unwrap_or(usize::MAX);
    (exact as u64 > SMALL).then_some(weight.unwrap_or(exact))
}

/// Wraps an answer so that it counts until it has been taken to its end, and the connection is then told.
pub(in crate::http) fn owing(
    response: Response,
    owed: Option<UnreadAnswer>,
    watch: Option<Arc<ConnectionState>>,
) -> Response {
    response.map(|body| Body::new(Owing { body, owed: owed.map(Arc::new), _answered: Answered(watch) }))
}

struct Owing {
    body: Body,
    owed: Option<Arc<UnreadAnswer>>,
    _answered: Answered,
}

/// Guard that tells the connection, when dropped, that the answer has ended.
struct Answered(Option<Arc<ConnectionState>>);

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(watch) = &self.0 {
            watch.answered();
        }
    }
}

/// Bytes that count as long as they are kept.
struct Counted {
    bytes: Bytes,
    _owed: Arc<UnreadAnswer>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Owing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(owed) = &self.owed else { return Poll::Ready(frame) };
        // The bytes are written long after this body has ended.
        let counted = |bytes| Bytes::from_owner(Counted { bytes, _owed: Arc::clone(owed) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(counted))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_handed_on_as_they_are_and_their_length_is_known() {
        let slices = ["a".repeat(40_000), String::new(), "b".repeat(40_000)].map(Bytes::from);
        let mut response = in_pieces(slices.clone(), 50_000);
        assert_eq!(response.body().size_hint().exact(), Some(80_000));
        assert_eq!(weight(&mut response), Some(50_000));
        assert_eq!(weight(&mut response), Some(80_000), "said once");
        let mut body = owing(response, None, None).into_body();
        for slice in [&slices[0], &slices[2]] {
            let frame = body.frame().await.expect("a piece").expect("in memory").into_data().expect("data");
            assert_eq!(frame.as_ptr(), slice.as_ptr(), "not copied");
        }
        assert!(body.is_end_stream());
    }
}
