//! What the tests stand on: the real daemon as a process, HTTP clients made by hand,
//! the scripted server, and a look into `/proc`. The rule of the house: a test waits for a state with
//! a deadline, never for a time, and ends with `stop`, which fails it for anything left behind.

pub(crate) mod ask;
pub(crate) mod bridge;
pub(crate) mod canaries;
pub(crate) mod elsewhere;
pub(crate) mod fake;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod issuer;
pub(crate) mod llm;
pub(crate) mod load;
pub(crate) mod mcp;
pub(crate) mod power;
pub(crate) mod processes;
pub(crate) mod proxies;
pub(crate) mod recording;
pub(crate) mod scripted_http;
pub(crate) mod site;
pub(crate) mod strangers;
pub(crate) mod terminal;
pub(crate) mod usage;
pub(crate) mod wire;

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Long enough for anything that is going to happen at all, on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until the answer is there, and returns it. Panics after `deadline`, naming
/// `what` was waited for.
pub(crate) async fn wait_until<T, F>(what: &str, deadline: Duration, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
