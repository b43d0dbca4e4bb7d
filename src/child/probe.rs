//! Whether a running child is still there: asked now and then when it is idle, and judged
//! together with its traffic and the state of its process. A child that is busy is not asked:
//! many servers do one thing at a time, and silence is how they work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{Call, Link, Outcome};
use crate::mcp::{Era, method};
use crate::process::TreeView;

/// How many questions in a row may go unanswered.
pub(super) const MISSES: u32 = 3;

/// How often and how patiently a child is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSettings {
    /// How long a child may be idle before it is asked; zero for never.
    pub every: Duration,
    /// How long it may take to answer.
    pub patience: Duration,
}

/// What the wire task sees of a child, for others to look at.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    heard_ms: AtomicU64,
    in_flight: AtomicUsize,
    /// How many of the calls in flight are open streams, which are always in flight.
    listening: AtomicUsize,
    /// How many calls have run out of time since the child was last heard.
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

    /// Notes that bytes came from the child.
    pub(super) fn heard(&self, now: Instant) {
        let ms = now.duration_since(self.start).as_millis().max(1);
        self.heard_ms.store(ms.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        self.expired.store(0, Ordering::Relaxed);
    }

    /// Notes that calls have run out of time.
    pub(super) fn expired(&self, calls: usize) {
        self.expired.fetch_add(calls, Ordering::Relaxed);
    }

    /// Notes whether a stream of notifications is open.
    pub(super) fn set_listening(&self, open: bool) {
        self.listening.store(usize::from(open), Ordering::Relaxed);
    }

    /// Whether silence is likely to be work: calls are in flight, and none has run out of time.
    fn is_busy(&self) -> bool {
        let calls =
            self.in_flight.load(Ordering::Relaxed).saturating_sub(self.listening.load(Ordering::Relaxed));
        calls > 0 && self.expired.load(Ordering::Relaxed) == 0
    }

    /// Notes how many calls are in flight.
    pub(super) fn set_in_flight(&self, calls: usize) {
        self.in_flight.store(calls, Ordering::Relaxed);
    }

    /// Whether bytes have ever come from the child.
    fn was_heard(&self) -> bool {
        self.heard_ms.load(Ordering::Relaxed) > 0
    }

    fn silent_for(&self, now: Instant) -> Duration {
        now.duration_since(self.start)
            .saturating_sub(Duration::from_millis(self.heard_ms.load(Ordering::Relaxed)))
    }
}

/// How far a child is on its way to being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPhase {
    /// It was spawned and has said nothing yet.
    Spawned,
    /// Its launcher fetches or builds it.
    Installing,
    /// It speaks; the handshake and the first lists are under way.
    Handshake,
}

impl StartPhase {
    /// The phase's name, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            StartPhase::Spawned => "spawned",
            StartPhase::Installing => "installing",
            StartPhase::Handshake => "handshake",
        }
    }
}

/// How long a launcher may take to find that there is nothing to install.
const LAUNCHING: Duration = Duration::from_secs(2);

/// Pure: what can be told of a child that is not ready yet. A launcher that takes long without its server
/// saying anything installs. Whoever else is silent is only slow: most servers log before they answer.
fn start_phase(heard: bool, launcher: bool, age: Duration) -> StartPhase {
    match heard {
        true => StartPhase::Handshake,
        false if launcher && age >= LAUNCHING => StartPhase::Installing,
        false => StartPhase::Spawned,
    }
}

/// A look at a child that is on its way. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone)]
pub struct StartView {
    activity: Arc<Activity>,
    /// Whether a launcher is at work that may have to fetch the server.
    launcher: Arc<AtomicBool>,
}

impl StartView {
    pub(super) fn new(activity: Arc<Activity>, launcher: bool) -> StartView {
        StartView { activity, launcher: Arc::new(AtomicBool::new(launcher)) }
    }

    /// Says whether the launcher still works by itself.
    pub(super) fn set_launching(&self, launching: bool) {
        self.launcher.store(launching, Ordering::Relaxed);
    }

    /// Whether anything came from the child.
    pub(super) fn was_heard(&self) -> bool {
        self.activity.was_heard()
    }

    /// How far the child is now.
    pub fn phase(&self) -> StartPhase {
        let launcher = self.launcher.load(Ordering::Relaxed);
        start_phase(self.activity.was_heard(), launcher, self.activity.start.elapsed())
    }
}

/// What a look at a child says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, or speaks unasked.
    Alive,
    /// It did not answer this many times in a row.
    Missed(u32),
}

/// What to do at a look. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// It spoke not long ago.
    Fine,
    /// It works; ask again later.
    Busy,
    /// Ask it.
    Ask,
    /// Its process is stopped: no need to ask.
    Stopped,
}

fn look(silent: Duration, every: Duration, busy: bool, stopped: bool) -> Look {
    match (stopped, silent < every, busy) {
        (true, ..) => Look::Stopped,
        (false, true, _) => Look::Fine,
        (false, false, true) => Look::Busy,
        (false, false, false) => Look::Ask,
    }
}

/// Looks after a child until it is aborted or the child is gone.
pub(super) async fn watch(
    link: Link,
    settings: ProbeSettings,
    activity: Arc<Activity>,
    process: TreeView,
    tell: impl Fn(Verdict),
) {
    if settings.every.is_zero() {
        return;
    }
    let mut missed = 0;
    loop {
        // After a miss the next look comes sooner: three of them are to take seconds, not minutes.
        let pause = if missed == 0 { settings.every } else { settings.every.min(settings.patience) };
        tokio::time::sleep(pause).await;
        let busy = activity.is_busy();
        let silent = activity.silent_for(Instant::now());
        let answered = match look(silent, pause, busy, process.is_stopped()) {
            Look::Busy => continue,
            Look::Fine => true,
            Look::Stopped => false,
            Look::Ask => match ask(&link, settings.patience).await {
                Outcome::Gone { .. } => return,
                Outcome::TimedOut { .. } => false,
                Outcome::Result(_) | Outcome::Error(_) | Outcome::Unusable(_) | Outcome::TooLong { .. } => {
                    true
                }
            },
        };
        if answered && missed > 0 {
            missed = 0;
            tell(Verdict::Alive);
        } else if !answered {
            missed += 1;
            tell(Verdict::Missed(missed));
        }
    }
}

/// `ping` is gone in the modern era; what every modern server answers is `server/discover`.
async fn ask(link: &Link, patience: Duration) -> Outcome {
    let method = match link.era() {
        Era::Legacy => method::PING,
        Era::Modern => method::DISCOVER,
    };
    let now = Instant::now();
    let limits = Link::within(now + patience, now);
    link.call(Call { method, members: Bytes::new(), meta: Bytes::new(), progress: false, limits }).await
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
    fn a_launcher_that_takes_its_time_is_installing_until_its_server_speaks() {
        let (soon, later) = (Duration::from_millis(100), LAUNCHING);
        assert_eq!(start_phase(false, true, soon), StartPhase::Spawned);
        assert_eq!(start_phase(false, true, later), StartPhase::Installing);
        assert_eq!(start_phase(false, false, later), StartPhase::Spawned, "it is only slow");
        assert_eq!(start_phase(true, true, later), StartPhase::Handshake);
    }

    #[test]
    fn silence_is_judged_together_with_work_and_process_state() {
        let (short, long, every) =
            (Duration::from_secs(1), Duration::from_secs(100), Duration::from_secs(30));
        assert_eq!(look(short, every, false, false), Look::Fine);
        assert_eq!(look(short, every, true, false), Look::Fine);
        assert_eq!(look(long, every, true, false), Look::Busy, "a silent busy child is left alone");
        assert_eq!(look(long, every, false, false), Look::Ask);
        assert_eq!(look(short, every, true, true), Look::Stopped, "work is no excuse for a stopped process");
    }
}
