//! The handshake: era, server information and first lists of a child that was just spawned.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::start_clock::{Judgement, LAUNCHER_LOOK, PROBE_GRACE, ProbeGrace, Seen, StartClock};
use super::start_view::ProcessStart;
use crate::mcp::{self, Declared, Era, HandshakeInfo, Probe, method};
use crate::process::{TreeView, Usage};
use crate::upstream::call::Link;
use crate::upstream::catalog::Catalog;
use crate::upstream::listing::load_catalog;
use crate::upstream::report::{HandshakeOutcome, Opening};
use crate::upstream::request::{HandshakeError, ask, refusal};
use crate::upstream::teller::Teller;

/// Current step of a handshake: the method that a hanging child has not answered.
#[derive(Debug, Default)]
struct Phase(AtomicUsize);

const PHASES: [&str; 3] = [method::DISCOVER, method::INITIALIZE, method::TOOLS_LIST];

impl Phase {
    fn set(&self, phase: &'static str) {
        let index = PHASES.iter().position(|known| *known == phase).unwrap_or_default();
        self.0.store(index, Ordering::Relaxed);
    }

    /// Returns the name of the step: the method that has not been answered.
    fn name(&self) -> &'static str {
        PHASES[self.0.load(Ordering::Relaxed).min(PHASES.len() - 1)]
    }
}

/// Inputs of a handshake.
pub(super) struct Start {
    /// Link to the child, not yet in its era.
    pub(super) link: Link,
    /// What the child is told that its client can be asked.
    pub(super) declared: Declared,
    pub(super) opening: Opening,
    /// Time of the spawn.
    pub(super) begun: Instant,
    pub(super) start_timeout: Duration,
    /// Time a launcher may take in addition; `None` for a command that is not a launcher.
    pub(super) install_timeout: Option<Duration>,
    /// Start progress, updated while the launcher works.
    pub(super) view: ProcessStart,
    pub(super) tree: TreeView,
    pub(super) teller: Teller,
}

/// Runs the handshake. On success returns the link in the child's era, too.
pub(super) async fn shake_hands(start: Start) -> Result<(Link, HandshakeOutcome), HandshakeError> {
    let phase = &Phase::default();
    let mut clock = StartClock::new(start.start_timeout, start.install_timeout, start.begun);
    let longest = clock.longest();
    let deadline = start.begun + longest;
    let attempt = async {
        let Start { link, teller, .. } = &start;
        let declared = start.declared;
        let (era, facts) = match start.opening {
            Opening::Probe => {
                open_by_probe(link, declared, deadline, phase, Some(&start.tree), teller).await?
            }
            Opening::Patient => open_by_probe(link, declared, deadline, phase, None, teller).await?,
            Opening::Legacy => (Era::Legacy, initialize(link, declared, deadline, phase).await?),
            Opening::Modern => match discover(link, deadline, phase).await? {
                (Probe::Modern, Some(facts)) => (Era::Modern, facts),
                _ => return Err(HandshakeError::Refused("it does not speak 2026-07-28".to_owned())),
            },
        };
        let link = match era {
            Era::Modern => link.in_era(Era::Modern, mcp::modern_meta()),
            Era::Legacy => link.clone(),
        };
        phase.set(method::TOOLS_LIST);
        let catalog = load_catalog(&link, &facts, deadline, &Catalog::default(), teller).await?;
        Ok((link, HandshakeOutcome { era, facts, catalog: Arc::new(catalog) }))
    };
    let over = await_end_of_time(&mut clock, &start);
    tokio::select! {
        biased;
        result = attempt => result.map_err(|error| match error {
            HandshakeError::TimedOut { .. } => {
                HandshakeError::TimedOut { phase: phase.name(), after: longest, installing: false }
            }
            other => other,
        }),
        (after, installing) = over => {
            Err(HandshakeError::TimedOut { phase: phase.name(), after, installing })
        }
    }
}

/// Watches the tree until its time is up; returns how long it had, and `true` if the launcher was still alone.
async fn await_end_of_time(clock: &mut StartClock, start: &Start) -> (Duration, bool) {
    let mut looked = start.begun;
    loop {
        let due = clock.next_look(looked);
        tokio::time::sleep_until(due.into()).await;
        looked = Instant::now();
        // A look that is slightly late must not change the comparison.
        let at = if looked.saturating_duration_since(due) < LAUNCHER_LOOK { due } else { looked };
        let Some(usage) = usage_of(&start.tree).await else { continue };
        let heard = start.view.was_heard();
        let seen = Seen { heard, processes: usage.processes, cpu: usage.cpu_time };
        match clock.look(seen, at) {
            Judgement::Going { launching } => start.view.set_launching(launching),
            Judgement::Over { after, launching } => return (after, launching),
        }
    }
}

/// Returns the current resource use of a tree; `None` if the look at it failed.
async fn usage_of(tree: &TreeView) -> Option<Usage> {
    let tree = tree.clone();
    // Reads /proc.
    tokio::task::spawn_blocking(move || tree.usage()).await.ok()
}

/// Probes in place (spec 2026-07-28, basic/transports/stdio). With a tree to look at, a server that has not answered
/// within its grace gets `initialize` as well.
async fn open_by_probe(
    link: &Link,
    declared: Declared,
    deadline: Instant,
    phase: &Phase,
    grace: Option<&TreeView>,
    teller: &Teller,
) -> Result<(Era, HandshakeInfo), HandshakeError> {
    let mut probe = std::pin::pin!(discover(link, deadline, phase));
    let verdict = match grace {
        Some(tree) => {
            tokio::select! {
                biased;
                verdict = &mut probe => Some(verdict),
                () = await_end_of_grace(tree) => None,
            }
        }
        None => Some((&mut probe).await),
    };
    let Some(verdict) = verdict else {
        tracing::debug!(server = %teller.server, "server/discover is not answered yet; trying initialize as well");
        return open_both_ways(link, declared, probe, deadline, phase).await;
    };
    match verdict? {
        (Probe::Modern, Some(facts)) => Ok((Era::Modern, facts)),
        (Probe::Modern, None) => Err(HandshakeError::Refused("it refused server/discover".to_owned())),
        (Probe::Unsupported { offered }, _) => Err(unsupported(&offered)),
        (Probe::Legacy, _) => {
            // Noted only if the child has complained, so that nobody blames the server for it.
            if teller.log.pass_over_probe(teller.incarnation) {
                teller.note(
                    "asked server/discover first, which servers of the older protocol do not know: what it wrote \
                     about that is no fault of its own",
                );
            }
            Ok((Era::Legacy, initialize(link, declared, deadline, phase).await?))
        }
    }
}

/// Waits until the grace for the first answer is over: a child that is still loading has not read the probe yet, and
/// sending `initialize` as well would be pointless.
async fn await_end_of_grace(tree: &TreeView) {
    let mut grace = ProbeGrace::new(Instant::now());
    loop {
        tokio::time::sleep_until(grace.next_look().into()).await;
        let usage = usage_of(tree).await.unwrap_or_default();
        if grace.is_over(usage.cpu_time, Instant::now()) {
            return;
        }
    }
}

/// Sends `initialize` while the probe is open. From then on the answer to `initialize` decides: some servers answer
/// both and serve the older era from then on, whatever their answer to the probe says. If the child refuses
/// `initialize` or does not answer it, the probe decides.
async fn open_both_ways(
    link: &Link,
    declared: Declared,
    mut probe: Pin<&mut impl Future<Output = Result<(Probe, Option<HandshakeInfo>), HandshakeError>>>,
    deadline: Instant,
    phase: &Phase,
) -> Result<(Era, HandshakeInfo), HandshakeError> {
    let mut opening = std::pin::pin!(initialize(link, declared, deadline, phase));
    let verdict = tokio::select! {
        biased;
        opened = &mut opening => return match opened {
            Err(HandshakeError::Refused(reason)) => {
                match tokio::time::timeout(PROBE_GRACE, probe).await {
                    Ok(Ok((Probe::Modern, Some(facts)))) => Ok((Era::Modern, facts)),
                    Ok(Ok((Probe::Unsupported { offered }, _))) => Err(unsupported(&offered)),
                    Ok(_) | Err(_) => Err(HandshakeError::Refused(reason)),
                }
            }
            opened => Ok((Era::Legacy, opened?)),
        },
        verdict = &mut probe => verdict?,
    };
    match verdict {
        (Probe::Modern, Some(facts)) => match tokio::time::timeout(PROBE_GRACE, opening).await {
            Ok(Ok(legacy)) => Ok((Era::Legacy, legacy)),
            Ok(Err(HandshakeError::Gone)) => Err(HandshakeError::Gone),
            Ok(Err(_)) | Err(_) => Ok((Era::Modern, facts)),
        },
        (Probe::Unsupported { offered }, _) => match opening.await {
            Err(HandshakeError::Refused(_)) => Err(unsupported(&offered)),
            opened => Ok((Era::Legacy, opened?)),
        },
        (Probe::Modern | Probe::Legacy, _) => Ok((Era::Legacy, opening.await?)),
    }
}

fn unsupported(offered: &[String]) -> HandshakeError {
    HandshakeError::Refused(format!("it speaks only {}", offered.join(", ")))
}

async fn discover(
    link: &Link,
    deadline: Instant,
    phase: &Phase,
) -> Result<(Probe, Option<HandshakeInfo>), HandshakeError> {
    phase.set(method::DISCOVER);
    let link = link.in_era(Era::Modern, mcp::modern_meta());
    match ask(&link, method::DISCOVER, Bytes::new(), deadline).await? {
        Ok(result) => Ok(mcp::read_discover(&result)),
        Err(error) => Ok((mcp::read_probe_error(&error), None)),
    }
}

async fn initialize(
    link: &Link,
    declared: Declared,
    deadline: Instant,
    phase: &Phase,
) -> Result<HandshakeInfo, HandshakeError> {
    phase.set(method::INITIALIZE);
    match ask(link, method::INITIALIZE, mcp::initialize_params(declared).into(), deadline).await? {
        Ok(result) => {
            let facts = mcp::read_initialize(&result).map_err(HandshakeError::Refused)?;
            link.notify(method::INITIALIZED).await;
            Ok(facts)
        }
        Err(error) => Err(HandshakeError::Refused(refusal(method::INITIALIZE, &error))),
    }
}
