//! Every route given up at every point: its answer is polled k times and dropped, for all k until it is
//! there. Whatever k was, what is in force is in the audit and what is in the audit is in force, and no
//! gauge, no place and no stream is held by somebody who has left.
//!
//! The gateway is in this process and no socket is between, so that a poll is a poll. The routes come from
//! the router's own list; a route that is not in [`routes`] by name is asked with an empty body.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod inside;
mod model;
mod polled;
mod routes;

use std::time::Duration;

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use mcpvisor::http::{Effect, Route, known_routes};
use serde_json::Value;

use inside::{Inside, State};
use polled::{Ended, Moment, polled};
use routes::Case;

/// No handler is polled more often than this.
const MAX_POLLS: usize = 200;
/// How many frames of an answer that goes on are read before it is dropped.
const FRAMES: [usize; 3] = [0, 1, 3];

#[tokio::test]
async fn every_act_that_is_given_up_anywhere_is_in_force_and_recorded_or_neither() {
    of_effect(Effect::Acts).await;
}

#[tokio::test]
async fn every_call_that_is_given_up_anywhere_is_recorded_and_holds_nothing() {
    of_effect(Effect::Calls).await;
}

#[tokio::test]
async fn every_look_that_is_given_up_anywhere_changes_and_holds_nothing() {
    of_effect(Effect::Reads).await;
}

async fn of_effect(effect: Effect) {
    let inside = Inside::start().await;
    let mut tried = 0;
    for route in known_routes().into_iter().filter(|route| route.effect == effect) {
        for case in routes::cases(&route) {
            tried += given_up_everywhere(&inside, &route, &case).await;
        }
    }
    eprintln!("{effect:?}: {tried} requests were given up");
    assert!(tried >= 20, "{tried}");
    inside.stop().await;
}

/// Gives a route up after each number of polls until it is over by then; how often that was.
async fn given_up_everywhere(inside: &Inside, route: &Route, case: &Case) -> usize {
    let moments: &[Moment] = match route.effect {
        Effect::Reads => &[Moment::AtOnce],
        Effect::Calls => &[Moment::AtOnce, Moment::Turns(3)],
        // Where an act goes on elsewhere, how far it is depends on when its caller leaves.
        Effect::Acts => &[Moment::AtOnce, Moment::Turns(1), Moment::Turns(4), Moment::Woken],
    };
    let mut tried = 0;
    for moment in moments {
        for polls in 1..=MAX_POLLS {
            let is_over = given_up(inside, route, case, polls, *moment).await;
            tried += 1;
            if is_over {
                break;
            }
            assert!(polls < MAX_POLLS, "{} {} does not end", route.method, route.path);
        }
    }
    tried
}

/// Gives a route up after so many polls and holds what is left against the promises; whether it was over.
async fn given_up(inside: &Inside, route: &Route, case: &Case, polls: usize, moment: Moment) -> bool {
    let asked = (case.prepare)(inside).await;
    let what = format!("{} {} {} polled {polls} times, left {moment:?}", route.method, asked.path, case.name);
    let (before, executed_before) = (inside.state().await, inside.executed().await);
    let (request, gone) = inside.request(route.method, &asked);
    let ended = polled(inside.guard.call(request.map(Body::new), inside.visit()), polls, moment, &gone).await;
    let mut status = None;
    if let Ended::Answered(response) = ended {
        status = Some(response.status().as_u16());
        assert_ne!(status, Some(500), "{what}");
        read_some(response.into_body(), FRAMES[polls % FRAMES.len()]).await;
    }
    inside.settled().await;
    inside.is_quiet(&what).await;
    let after = inside.state().await;
    let lines = inside.lines_of(&asked.request_id).await;
    judge(&what, route.effect, (&before, &after), &lines, status.filter(|_| asked.is_call));
    if inside.executed().await > executed_before + 1 && route.effect == Effect::Calls {
        assert!(!lines.is_empty(), "{what}: a child has carried out what nobody recorded");
    }
    if let Some(done) = asked.done {
        done(inside, &lines).await;
    }
    inside.holds_nothing(&what).await;
    status.is_some()
}

/// Reads so many frames of an answer, or all of one that has an end.
async fn read_some(mut body: axum::body::Body, frames: usize) {
    if body.size_hint().exact().is_some() {
        body.collect().await.expect("a body");
        return;
    }
    for _ in 0..frames {
        // One that has nothing more to say for now is left as well.
        if tokio::time::timeout(Duration::from_secs(1), body.frame()).await.is_err() {
            return;
        }
    }
}

fn judge(
    what: &str,
    effect: Effect,
    (before, after): (&State, &State),
    lines: &[Value],
    status: Option<u16>,
) {
    let in_force: Vec<&Value> =
        lines.iter().filter(|line| line["outcome"] == "done" || line["outcome"] == "unknown").collect();
    let differ = State::differences(before, after);
    match effect {
        Effect::Acts => {
            let is_unseen = |line: &Value| {
                routes::UNSEEN.iter().any(|action| line["action"] == *action)
                    || line["target"] == routes::UNSEEN_EXPORT
            };
            let unseen = lines.iter().any(is_unseen);
            assert!(in_force.len() <= 1, "{what}: recorded twice: {lines:?}");
            assert_eq!(
                !differ.is_empty() || unseen && !in_force.is_empty(),
                !in_force.is_empty(),
                "{what}: in force {differ:?}, in the audit {lines:?}"
            );
            if status.is_some_and(|status| status < 300) {
                assert_eq!(in_force.len(), 1, "{what}: {lines:?}");
            }
        }
        Effect::Calls => {
            assert!(differ.is_empty(), "{what}: changed {differ:?}");
            assert!(
                lines.iter().filter(|line| line["details"]["by"].is_null()).count() <= 1,
                "{what}: {lines:?}"
            );
            if status.is_some() {
                assert!(!lines.is_empty(), "{what}: an answered call is recorded");
            }
        }
        Effect::Reads => assert!(differ.is_empty(), "{what}: changed {differ:?}"),
    }
}
