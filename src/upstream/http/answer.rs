//! An answer of a remote server, whichever way it came: its head is there, and its body comes in pieces.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::direct::Received;
use super::fault::HttpFault;
use super::network::network_fault;

/// An answer.
pub(super) enum Answer {
    /// Over a connection of ours.
    Direct(Received),
    /// Over one of the library's.
    Library(reqwest::Response),
}

impl Answer {
    /// Returns its status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Answer::Direct(received) => received.status(),
            Answer::Library(response) => response.status(),
        }
    }

    /// Returns its headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        match self {
            Answer::Direct(received) => received.headers(),
            Answer::Library(response) => response.headers(),
        }
    }

    /// Returns the length that was announced; `None` if none was.
    pub(super) fn content_length(&self) -> Option<u64> {
        match self {
            Answer::Direct(received) => received.announced(),
            Answer::Library(response) => response.content_length(),
        }
    }

    /// Lets go of it when nobody wants more of it; its connection is kept if that can be done in a moment.
    pub(super) fn finish(self) {
        if let Answer::Direct(received) = self {
            received.finish();
        }
    }

    /// Returns the next piece of its body; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// If the connection breaks.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpFault> {
        match self {
            Answer::Direct(received) => received.chunk().await,
            Answer::Library(response) => response.chunk().await.map_err(|error| network_fault(&error)),
        }
    }
}
