//! Liveness of a running child: it is probed from time to time while idle, and judged together with its traffic and the
//! state of its process. A busy child is not probed: many servers do one thing at a time and are silent while they
//! work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{Call, Link, Outcome};
use super::jitter::{jitter, spread};
use crate::mcp::{Era, method};

/// Number of probes in a row that may go unanswered.
pub(super) const MISSES: u32 = 3;

/// Interval and timeout of the liveness probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Idle time before a child is probed; zero turns probing off.
    pub every: Duration,
    /// Time the child may take to answer.
    pub patience: Duration,
}

/// Traffic of a child as the wire task sees it, shared with its observers.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    heard_ms: AtomicU64,
    in_flight: AtomicUsize,
    /// Number of calls in flight that are open streams, which are always in flight.
    listening: AtomicUsize,
    /// Number of calls that have timed out since the child last sent bytes.
    expired: AtomicUsize,
}

impl Activity {
    pub(super) fn new() -> Arc<Activity> {
        Arc::new(Activity {
            start: Instant::now(),
            heard_ms: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            listening: AtomicUsize::new(0),
            expired: AtomicUsize::new(0),
        })
    }

    /// Records that bytes came from the child.
    pub(super) fn heard(&self, now: Instant) {
        let ms = now.duration_since(self.start).as_millis().max(1);
        self.heard_ms.store(ms.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        self.expired.store(0, Ordering::Relaxed);
    }

    /// Records that `calls` calls have timed out.
    pub(super) fn expired(&self, calls: usize) {
        self.expired.fetch_add(calls, Ordering::Relaxed);
    }

    /// Records whether a stream of notifications is open.
    pub(super) fn set_listening(&self, open: bool) {
        self.listening.store(usize::from(open), Ordering::Relaxed);
    }

    /// Reports whether silence is likely to be work: calls are in flight, and none has timed out.
    fn is_busy(&self) -> bool {
        let calls =
            self.in_flight.load(Ordering::Relaxed).saturating_sub(self.listening.load(Ordering::Relaxed));
        calls > 0 && self.expired.load(Ordering::Relaxed) == 0
    }

    /// Records the number of calls in flight.
    pub(super) fn set_in_flight(&self, calls: usize) {
        self.in_flight.store(calls, Ordering::Relaxed);
    }

    /// Returns the time since the child was started.
    pub(super) fn age(&self) -> Duration {
        self.start.elapsed()
    }

    /// Reports whether bytes have ever come from the child.
    pub(super) fn was_heard(&self) -> bool {
        self.heard_ms.load(Ordering::Relaxed) > 0
    }

    fn silent_for(&self, now: Instant) -> Duration {
        now.duration_since(self.start)
            .saturating_sub(Duration::from_millis(self.heard_ms.load(Ordering::Relaxed)))
    }
}

/// Result of a liveness check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeResult {
    /// It answered, or sent something on its own.
    Alive,
    /// It missed this number of probes in a row.
    Missed(u32),
}

/// Decision at a liveness check. Pure.
#[derive(Debug, PartialEq, Eq)]
enum ProbeStep {
    /// It has sent bytes within the interval.
    Fine,
    /// Calls are in flight; check again later.
    Busy,
    /// Send a probe.
    Ask,
    /// Its process is stopped: a probe would be pointless.
    Stopped,
}

fn look(silent: Duration, every: Duration, busy: bool, stopped: bool) -> ProbeStep {
    match (stopped, silent < every, busy) {
        (true, ..) => ProbeStep::Stopped,
        (false, true, _) => ProbeStep::Fine,
        (false, false, true) => ProbeStep::Busy,
        (false, false, false) => ProbeStep::Ask,
    }
}

/// Highest factor of the interval, for a server that says that it is asked too often.
const RAREST: u32 = 16;

/// Probes a child until the task is aborted or the child is gone.
pub(super) async fn watch(
    link: Link,
    settings: ProbeSettings,
    activity: Arc<Activity>,
    is_stopped: impl Fn() -> bool,
    tell: impl Fn(ProbeResult),
) {
    if settings.every.is_zero() {
        return;
    }
    let (mut missed, mut factor) = (0, 1);
    loop {
        // After a miss the next check comes sooner: three of them are to take seconds, not minutes.
        let pause = if missed == 0 { settings.every * factor } else { settings.every.min(settings.patience) };
        // Many daemons may ask the same one, and began when it came back (remote-upstreams.md, R74).
        let pause = if link.is_remote() { spread(pause, jitter()) } else { pause };
        tokio::time::sleep(pause).await;
        let busy = activity.is_busy();
        let silent = activity.silent_for(Instant::now());
        let answered = match look(silent, pause, busy, is_stopped()) {
            ProbeStep::Busy => continue,
            ProbeStep::Fine => true,
            ProbeStep::Stopped => false,
            ProbeStep::Ask => match ask(&link, settings.patience).await {
                Outcome::Gone { .. } => return,
                Outcome::TimedOut { .. } => false,
                // Asked too often (remote-upstreams.md, R74).
                Outcome::Refused(refusal) if refusal.unseen && refusal.pause.is_some() => {
                    factor = (factor * 2).min(RAREST);
                    continue;
                }
                Outcome::Refused(refusal) => refusal.unseen,
                Outcome::Result(_) | Outcome::Error(_) | Outcome::Unusable(_) | Outcome::TooLong { .. } => {
                    true
                }
            },
        };
        factor = 1;
        if answered && missed > 0 {
            missed = 0;
            tell(ProbeResult::Alive);
        } else if !answered {
            missed += 1;
            tell(ProbeResult::Missed(missed));
        }
    }
}

/// Sends one probe. The modern era has no `ping`; every modern server answers `server/discover`.
async fn ask(link: &Link, patience: Duration) -> Outcome {
    let method = match link.era() {
        Era::Legacy => method::PING,
        Era::Modern => method::DISCOVER,
    };
    let now = Instant::now();
    let limits = Link::within(now + patience, now);
    link.call(Call::new(method, Bytes::new()), limits).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_ran_out_of_time_are_no_excuse_for_silence() {
        let activity = Activity::new();
        assert!(!activity.is_busy());
        activity.set_in_flight(2);
        assert!(activity.is_busy());
        activity.expired(1);
        assert!(!activity.is_busy());
        activity.heard(Instant::now());
        assert!(activity.is_busy());
        activity.set_in_flight(1);
        activity.set_listening(true);
        assert!(!activity.is_busy(), "an open stream is no work");
    }

    #[test]
    fn silence_is_judged_together_with_work_and_process_state() {
        let (short, long, every) =
            (Duration::from_secs(1), Duration::from_secs(100), Duration::from_secs(30));
        assert_eq!(look(short, every, false, false), ProbeStep::Fine);
        assert_eq!(look(short, every, true, false), ProbeStep::Fine);
        assert_eq!(look(long, every, true, false), ProbeStep::Busy, "a silent busy child is left alone");
        assert_eq!(look(long, every, false, false), ProbeStep::Ask);
        assert_eq!(
            look(short, every, true, true),
            ProbeStep::Stopped,
            "work is no excuse for a stopped process"
        );
    }
}
