//! `GET /ui/events`: the one stream of a page. What has changed of the servers, at most once a second, and the lines of one
//! server's log if they are asked for. It ends with the sign-in, and with the key that signed in.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::response::sse::Event;
use futures_core::Stream;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::board::{Board, Told, now_text};
use super::door::{self, Refusal};
use super::rows;
use crate::clock;
use crate::gateway::{
    Error, Follow, FollowEnd, Followed, LogFollower, LogLine, RegistryError, while_accepted,
};
use crate::http::core::events;
use crate::http::core::plain::error;
use crate::http::core::query;
use crate::http::core::shared::Shared;
use crate::http::core::sign_in::SignedIn;
use crate::http::core::streams::StreamPermit;
use crate::http::core::timestamp::timestamp;

/// Interval of the looks at the servers.
const EVERY: Duration = Duration::from_secs(1);
/// Number of looks without a change after which the page is told that nothing has: it shows how old its data is.
const QUIET: u32 = 5;
/// Number of events that may wait for the connection; beyond that the page misses looks, and the log waits in its ring.
const WAITING: usize = 4;
/// Number of lines of a log that a page gets to begin with.
const TAIL: usize = 200;

/// Reason why a stream ends, as the page is told.
type End = &'static str;

pub(super) async fn stream(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = match query::of(&parts) {
        Ok(query) => query,
        Err(problems) => {
            let sentence = problems.into_iter().next().map(|problem| problem.sentence);
            return error(StatusCode::BAD_REQUEST, &sentence.unwrap_or_default());
        }
    };
    let signed_in = match door::signed_in(&shared, &parts.headers) {
        Ok(signed_in) => signed_in,
        Err(refusal) => return refusal.answer(),
    };
    let Ok(principal) = signed_in.principal.again(clock::now()) else {
        return Refusal::NotSignedIn.answer();
    };
    let given = |name: &str| query.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &**value);
    let after = match given("after").map(str::parse) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(_)) => return error(StatusCode::BAD_REQUEST, "'after' must be the number of a line"),
    };
    let log = match given("log").map(|server| shared.gateway.follow_logs(&principal, server, TAIL, after)) {
        None => None,
        Some(Ok(log)) => Some(log),
        Some(Err(Error::Registry(refused @ RegistryError::ServerNotFound { .. }))) => {
            return error(StatusCode::NOT_FOUND, &refused.to_string());
        }
        Some(Err(refused)) => return error(StatusCode::FORBIDDEN, &refused.to_string()),
    };
    let permit = match shared.streams.open(principal.key_id().clone()) {
        Ok(permit) => permit,
        Err(full) => return error(StatusCode::TOO_MANY_REQUESTS, &full.to_string()),
    };
    let (sender, waiting) = mpsc::channel(WAITING);
    tokio::spawn(feed(Feed { shared, signed_in, log, sender }, permit));
    super::files::harden(events::answer(Waiting(waiting)))
}

/// The parts that feed a stream.
struct Feed {
    shared: Shared,
    signed_in: SignedIn,
    log: Option<LogFollower>,
    sender: mpsc::Sender<Event>,
}

async fn feed(mut feed: Feed, _permit: StreamPermit) {
    let sender = feed.sender.clone();
    let signed_in = feed.signed_in.clone();
    let principal = &signed_in.principal;
    let end = tokio::select! {
        () = sender.closed() => return,
        () = signed_in.ended() => "signed_out",
        // A key that has ended ends the stream at once, whatever waits to be sent.
        ended = while_accepted(principal, feed.run()) => ended.unwrap_or("revoked"),
    };
    // A page that does not read learns it when it asks again.
    let _ = sender.try_send(Event::default().event("end").data(json!({"reason": end}).to_string()));
}

impl Feed {
    async fn run(&mut self) -> End {
        let (mut told, mut quiet) = (Told::default(), 0);
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                _ = looks.tick() => match self.look(&mut told, &mut quiet).await {
                    Ok(event) => event,
                    Err(end) => return end,
                },
                news = next(&mut self.log) => match news {
                    Followed::End(end) => {
                        self.log = None;
                        Some(Event::default().event("log_end").data(json!({"reason": reason(&end)}).to_string()))
                    }
                    Followed::Items(lost, lines) => {
                        let lines: Vec<_> = lines.iter().map(|line| told_line(line)).collect();
                        Some(Event::default().event("log").data(json!({"lost": lost, "lines": lines}).to_string()))
                    }
                },
            };
            if let Some(event) = event
                && self.sender.send(event).await.is_err()
            {
                return "left";
            }
        }
    }

    /// Looks at the servers; the event, or why the stream ends.
    async fn look(&self, told: &mut Told, quiet: &mut u32) -> Result<Option<Event>, End> {
        if self.shared.gateway.is_stopping() {
            return Err("shutting_down");
        }
        let principal = self.signed_in.principal.again(clock::now()).map_err(|_| "revoked")?;
        let (gateway, board) = (&self.shared.gateway, self.shared.kept::<Board>());
        let loads = gateway.loads().await;
        let rows = board.rows(Instant::now(), |windows, now| {
            rows::of(&gateway.all_servers(), loads.as_deref(), windows, now)
        });
        let own = rows.iter().filter(|(id, _)| principal.permissions().allow_mcp(id));
        if let Some(change) = told.change(own) {
            *quiet = 0;
            return Ok(Some(Event::default().event("servers").data(change)));
        }
        *quiet += 1;
        if *quiet < QUIET {
            return Ok(None);
        }
        *quiet = 0;
        Ok(Some(Event::default().event("tick").data(json!({"at": now_text()}).to_string())))
    }
}

/// Waits for news of a log, for ever if there is none.
async fn next(log: &mut Option<LogFollower>) -> Followed<Arc<LogLine>> {
    match log {
        Some(log) => log.next().await,
        None => std::future::pending().await,
    }
}

fn reason(end: &FollowEnd) -> &'static str {
    match end {
        FollowEnd::Removed => "removed",
        FollowEnd::Stopping => "shutting_down",
        FollowEnd::Refused(_) => "refused",
    }
}

fn told_line(line: &LogLine) -> serde_json::Value {
    json!({
        "at": timestamp(line.at),
        "incarnation": line.incarnation,
        "pool": line.pool.as_deref(),
        "stream": line.stream.name(),
        "number": line.number,
        "line": line.text,
    })
}

/// Events that a task feeds.
struct Waiting(mpsc::Receiver<Event>);

impl Stream for Waiting {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}
