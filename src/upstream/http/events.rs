//! A body that is a stream of events, read one by one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;

use super::answer::Answer;
use super::fault::{HttpFault, Word};
use super::hub::Hub;
use super::room::{Room, RoomPermit};
use super::verdict::{self, Form};
use crate::sse::{SseData, SseEvent, TooLong};
use crate::upstream::probe::Activity;

/// A stream of events that is being read.
pub(super) struct EventStream {
    response: Answer,
    sse: SseData,
    ready: VecDeque<SseEvent>,
    /// What has come and is not read yet.
    came: Option<Bytes>,
    room: Room,
    /// Room for the event that is being read, if it is long.
    held: Option<RoomPermit>,
    activity: Arc<Activity>,
}

impl From<TooLong> for HttpFault {
    fn from(too_long: TooLong) -> HttpFault {
        too_large(too_long.limit)
    }
}

/// Returns the media type of a body; `None` if the answer names none that can be read.
pub(super) fn content_type(response: &Answer) -> Option<&str> {
    response.headers().get(CONTENT_TYPE)?.to_str().ok()
}

/// Reports whether a body is a stream of events.
pub(super) fn is_stream(response: &Answer) -> bool {
    verdict::form(content_type(response)) == Form::Events
}

/// Describes an answer beyond the limit.
pub(super) fn too_large(limit: usize) -> HttpFault {
    let what =
        format!("sent an answer of more than {limit} bytes, which is as much as mcpvisor.max_answer allows");
    HttpFault::unknown(Word::TooLarge, what)
}

impl EventStream {
    /// Reads the answer to a call, with events of at most as many bytes as an answer may have.
    pub(super) fn new(response: Answer, hub: &Hub) -> EventStream {
        EventStream::with_room(response, hub, hub.room.clone())
    }

    /// Reads a stream that no call waits for. It has room of its own: it has no deadline, and an event of it that is never
    /// ended would take that of the answers for ever.
    pub(super) fn apart(response: Answer, hub: &Hub) -> EventStream {
        EventStream::with_room(response, hub, Room::new(hub.room.longest()))
    }

    fn with_room(response: Answer, hub: &Hub, room: Room) -> EventStream {
        let activity = hub.activity.clone();
        let sse = SseData::with_limit(room.longest());
        EventStream { response, sse, ready: VecDeque::new(), came: None, room, held: None, activity }
    }

    /// Returns the next event that has data; `None` at the end of the stream. Cancel safe.
    ///
    /// # Errors
    /// If the stream breaks, or an event is too long.
    pub(super) async fn next(&mut self) -> Result<Option<SseEvent>, HttpFault> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// Reads what has come; returns `false` at the end of the stream. A comment is no event, and a sign of life. Cancel safe.
    pub(super) async fn read(&mut self) -> Result<bool, HttpFault> {
        if self.came.is_none() {
            let Some(chunk) = self.response.chunk().await? else { return Ok(false) };
            self.activity.heard(Instant::now());
            self.came = Some(chunk);
        }
        let so_far = self.sse.unfinished() + self.came.as_ref().map_or(0, Bytes::len);
        self.room.hold(&mut self.held, so_far, None).await;
        let chunk = self.came.take().unwrap_or_default();
        let ready = &mut self.ready;
        self.sse.feed_events(&chunk, |event| {
            ready.push_back(event);
            Ok::<(), HttpFault>(())
        })?;
        if self.sse.unfinished() == 0 {
            self.held = None;
        }
        Ok(true)
    }

    /// Lets go of it, after all that was waited for.
    pub(super) fn finish(self) {
        self.response.finish();
    }

    /// Returns an event that was read already.
    pub(super) fn take(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    /// Returns the id that the stream can be taken up with; `None` if it had none.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.sse.last_id()
    }

    /// Returns the time to wait before that, in milliseconds; `None` if it has not said.
    pub(super) fn retry_ms(&self) -> Option<u64> {
        self.sse.retry_ms()
    }
}
