//! Calls in numbers, and how long they took.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Semaphore;
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

/// No more connections at once, of the 1,024 that the daemon has places for.
const MAX_CONNECTIONS: usize = 512;

/// A request that is sent again and again, with all its headers.
pub(crate) struct Repeated {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Repeated {
    /// A call with the owner's key.
    pub(crate) fn call(gateway: &Gateway, body: &Value) -> Repeated {
        Repeated::call_with(("authorization", &format!("Bearer {}", gateway.key())), body)
    }

    /// A call with the key in this header.
    pub(crate) fn call_with(key: (&str, &str), body: &Value) -> Repeated {
        let headers = [key, ("content-type", "application/json")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Repeated { method: "POST", path: INVOKE, headers, body: body.to_string().into() }
    }

    async fn send(&self, connection: &mut Connection) -> u16 {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = connection.send_bytes(self.method, self.path, &headers, self.body.clone()).await;
        reply.expect("an answer").status
    }
}

/// Calls at a steady rate with the owner's key; the bodies take turns. See [`paced`].
pub(crate) async fn at_a_rate(
    gateway: &Gateway,
    bodies: &[Value],
    per_second: u32,
    length: Duration,
) -> Vec<Shot> {
    let calls = bodies.iter().map(|body| Repeated::call(gateway, body)).collect();
    paced(gateway.address(), calls, per_second, length).await
}

/// Requests at a steady rate whether or not earlier ones were answered, each over a connection that
/// is free, or a new one; they take turns. Returns when all have been answered. When the machine is so slow
/// that most connections of the daemon are taken, the next request waits, which counts as its time.
pub(crate) async fn paced(
    address: SocketAddr,
    requests: Vec<Repeated>,
    per_second: u32,
    length: Duration,
) -> Vec<Shot> {
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let requests: Vec<Arc<Repeated>> = requests.into_iter().map(Arc::new).collect();
    let gap = Duration::from_secs(1) / per_second;
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for (number, request) in (0..).zip(requests.iter().cycle()) {
        let due = gap * number;
        if due >= length {
            break;
        }
        sleep_until(start + due).await;
        let (request, idle, places) = (request.clone(), idle.clone(), places.clone());
        calls.spawn(async move {
            let _place = places.acquire_owned().await.expect("never closed");
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match kept.filter(Connection::is_usable) {
                Some(connection) => connection,
                None => Connection::open(address, &[]).await.expect("the daemon accepts connections"),
            };
            let status = request.send(&mut connection).await;
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
