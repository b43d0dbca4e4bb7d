//! The stream of a legacy session that is about no call: changes of lists, updates of resources, questions
//! (`remote-upstreams.md`, R38 and R41 to R43).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::events::{EventStream, is_stream};
use super::fault::HttpFault;
use super::hub::{Doubt, Hub, Incident};
use super::pauses::Pauses;
use super::session::Session;
use crate::mcp::{Declared, HandshakeInfo};
use crate::upstream::parked::Parked;

/// Pauses while the server holds an earlier stream of ours for open.
const WHILE_TAKEN: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];
/// Time within which any pause ends.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Silence after which a stream that was not silent before is dead.
const SILENCE: Duration = Duration::from_secs(60);

/// Reports whether a server may have something to say outside of answers, by what it declared and what was declared to it.
pub(super) fn are_worth_following(facts: &HandshakeInfo, declared: Declared) -> bool {
    if declared.elicitation || declared.sampling || declared.roots {
        return true;
    }
    let capabilities = &facts.capabilities;
    let changes = ["tools", "resources", "prompts"];
    changes.iter().any(|list| capabilities[list]["listChanged"] == true)
        || capabilities["resources"]["subscribe"] == true
        || capabilities.get("logging").is_some()
}

/// Follows the stream of each session, one after the other; the task must be aborted with the upstream. `tried` is told
/// once the server has answered the first request for one: what it says before that is lost.
pub(super) async fn follow(hub: Arc<Hub>, tried: watch::Sender<bool>) {
    let mut renewed = hub.renewed.subscribe();
    loop {
        renewed.borrow_and_update();
        let session = hub.session();
        let over = async {
            if session.id.is_none() {
                tried.send_replace(true);
            } else {
                follow_one(&hub, &session, &tried).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = over => {}
            changed = renewed.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Follows the stream of a session until the server says that it has none, or does not know the session here.
async fn follow_one(hub: &Arc<Hub>, session: &Session, tried: &watch::Sender<bool>) {
    let (mut taken, mut pauses, mut last_id) = (0, Pauses::default(), None::<String>);
    loop {
        // A server that is asked too often is left alone with this as well (R55).
        drop(hub.throttle.turn(Instant::now() + FOR_EVER).await);
        let answered = hub.client.get(session.headers_behind(last_id.as_deref())).await;
        tried.send_replace(true);
        let (wait, why) = match answered {
            // A page, or an answer without a body, is no stream, and none will come of asking again.
            Ok(response) if response.status().is_success() && !is_stream(&response) => return,
            Ok(response) if response.status().is_success() => {
                taken = 0;
                // Open is enough: the first sign of life comes after fifteen seconds with most servers.
                (hub.incident)(Incident::Healed(Doubt::Stream));
                let began = Instant::now();
                let mut stream = EventStream::apart(response, hub);
                let ended = read(hub, session, &mut stream).await;
                last_id = stream.last_id().map(str::to_owned).or(last_id);
                if ended.was_alive && began.elapsed() > Pauses::LONGEST {
                    pauses = Pauses::default();
                }
                let pause = pauses.next();
                let said = stream.retry_ms().map(Duration::from_millis);
                (said.map_or(pause, |said| said.max(pause)).min(Pauses::LONGEST), ended.fault)
            }
            Ok(response) => match response.status().as_u16() {
                // No stream, a stream for itself, or a session that the next call will find lost.
                400 | 401 | 403 | 404 | 405 => return,
                409 => {
                    taken += 1;
                    (WHILE_TAKEN[(taken - 1).min(WHILE_TAKEN.len() - 1)], None)
                }
                _ => (pauses.next().max(hub.note_limit(&response).unwrap_or_default()), None),
            },
            Err(fault) => (pauses.next(), Some(fault)),
        };
        if let Some(fault) = why {
            let what = format!("its stream of notifications is not there: it {fault}");
            (hub.incident)(Incident::Doubtful(Doubt::Stream, what.into()));
        }
        tokio::time::sleep(wait).await;
    }
}

/// How a stream ended.
struct Ended {
    /// `true` if anything came on it.
    was_alive: bool,
    /// Why it broke; `None` if the server ended it in order.
    fault: Option<HttpFault>,
}

async fn read(hub: &Arc<Hub>, session: &Session, stream: &mut EventStream) -> Ended {
    let mut parked = Parked::default();
    let mut was_alive = false;
    loop {
        tokio::select! {
            more = stream.read() => match more {
                Ok(true) => was_alive = true,
                Ok(false) => return Ended { was_alive, fault: None },
                Err(fault) => return Ended { was_alive, fault: Some(fault) },
            },
            never = hub.post_parked(session, &mut parked) => match never {},
            () = tokio::time::sleep(SILENCE), if was_alive => return Ended { was_alive, fault: None },
        }
        while let Some(event) = stream.take() {
            if event.is_message()
                && let Some(message) = hub.read(&Bytes::from(event.data))
            {
                hub.take_stray(session, &mut parked, message);
            }
        }
    }
}
