//! Calls in numbers, and how long they took.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::gateway::{Gateway, INVOKE};
use super::http::Connection;

/// How one call went. Its time counts from when it was due, so that a call which could not be sent
/// because others were slow is slow itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shot {
    pub(crate) took: Duration,
    pub(crate) status: u16,
}

/// So many calls one after the other, over one connection.
pub(crate) async fn in_turn(gateway: &Gateway, body: &Value, count: usize) -> Vec<Shot> {
    let mut connection = gateway.connect().await;
    let mut shots = Vec::with_capacity(count);
    for _ in 0..count {
        let due = Instant::now();
        let status = connection.send("POST", INVOKE, Some(body)).await.expect("an answer").status;
        shots.push(Shot { took: due.elapsed(), status });
    }
    shots
}

/// Calls at a steady rate whether or not earlier ones were answered, each over a connection that
/// is free, or a new one; the bodies take turns. Returns when all have been answered.
pub(crate) async fn at_a_rate(
    gateway: &Arc<Gateway>,
    bodies: &[Value],
    per_second: u32,
    length: Duration,
) -> Vec<Shot> {
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let bodies: Vec<Arc<Value>> = bodies.iter().cloned().map(Arc::new).collect();
    let gap = Duration::from_secs(1) / per_second;
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for (number, body) in (0..).zip(bodies.iter().cycle()) {
        let due = gap * number;
        if due >= length {
            break;
        }
        sleep_until(start + due).await;
        let (gateway, idle, body) = (gateway.clone(), idle.clone(), body.clone());
        calls.spawn(async move {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match kept.filter(Connection::is_usable) {
                Some(connection) => connection,
                None => gateway.connect().await,
            };
            let status = connection.send("POST", INVOKE, Some(&body)).await.expect("an answer").status;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Shot { took: start.elapsed().saturating_sub(due), status }
        });
    }
    calls.join_all().await
}

/// The time that so many of a hundred calls did not exceed.
pub(crate) fn percentile<'a>(shots: impl IntoIterator<Item = &'a Shot>, percent: usize) -> Duration {
    let mut times: Vec<Duration> = shots.into_iter().map(|shot| shot.took).collect();
    times.sort_unstable();
    let last = times.len().checked_sub(1).expect("there were calls");
    times[(times.len() * percent / 100).min(last)]
}

/// The calls with this status.
pub(crate) fn of_status(shots: &[Shot], status: u16) -> Vec<Shot> {
    shots.iter().filter(|shot| shot.status == status).copied().collect()
}
