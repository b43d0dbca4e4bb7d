//! What serves the requests of a connection, as its deadlines and its end know it (`connection.rs`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Interim answer that the client is asked with; every client of HTTP/1.1 must accept one (RFC 9110, section
/// 15.2). The kernel of a client that has left answers with a reset, and the next write fails.
const STILL_AT_IT: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// Asks a client that has closed its sending half whether it is still there. No answer has been sent yet, so nothing is
/// buffered before this one; a short write counts as an error.
pub(super) fn ask(stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> io::Result<()> {
    match Pin::new(&mut *stream).poll_write(cx, STILL_AT_IT) {
        Poll::Ready(Ok(count)) if count == STILL_AT_IT.len() => {
            let _ = Pin::new(stream).poll_flush(cx)?;
            Ok(())
        }
        Poll::Ready(Err(error)) => Err(error),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Reason why a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The connection ended by itself, with its last answer written.
    Itself,
    /// A deadline has passed, the connection failed, or the daemon stops.
    Over,
    /// Another connection needs the place.
    MadeRoom,
    /// A request has come that is not plain: the connection goes on, with hyper.
    HandsOver,
}

/// What serves the requests of a connection, as its deadlines and its end know it.
pub(super) trait Driven {
    /// Goes on as far as it can. `Ready` once the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended>;

    /// Ends the connection with the answer to the request being served.
    fn stop(&mut self);
}
