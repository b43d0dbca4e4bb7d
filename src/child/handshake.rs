//! From a spawned process to a child that is understood: era, introduction, first lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::call::{Call, Link, Outcome, too_long};
use super::catalog::Catalog;
use crate::jsonrpc::RpcError;
use crate::mcp::{self, Era, Facts, ListKind, Probe, method};

/// How long the probe may go unanswered before `initialize` is sent too. The probe's answer still
/// counts after that: a server that `npx` downloads first reads both late.
const PROBE_GRACE: Duration = Duration::from_secs(5);
/// How long a list may take after the handshake, when it is read again.
const REFRESH_LIMIT: Duration = Duration::from_secs(30);
/// How long a list may take that a server can do without.
const OPTIONAL_LIST_LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of one list.
const MAX_LIST_BYTES: usize = 32 * 1024 * 1024;
/// The most pages of one list.
const MAX_PAGES: usize = 500;
/// The most entries of one list.
const MAX_ENTRIES: usize = 50_000;

/// Which opening to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Probe, and fall back.
    Probe,
    /// `initialize` only: the operator said so, or an earlier child ended on the probe.
    Legacy,
    /// The modern opening only.
    Modern,
}

/// What a handshake found out.
#[derive(Debug, Clone)]
pub struct Introduced {
    /// The era the child is spoken to in.
    pub era: Era,
    /// What it said of itself.
    pub facts: Facts,
    /// Its first lists.
    pub catalog: Arc<Catalog>,
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeError {
    /// The child ended while the probe was out: it may be one that cannot bear it.
    GoneOnProbe,
    /// The child ended later.
    Gone,
    /// The start deadline passed.
    TimedOut {
        /// What had not been answered.
        phase: &'static str,
    },
    /// The child answered, but not as MCP says.
    Refused(String),
}

/// Which step a handshake is at: what a child that hangs has not answered.
#[derive(Debug, Default)]
struct Phase(AtomicUsize);

const PHASES: [&str; 3] = [method::DISCOVER, method::INITIALIZE, method::TOOLS_LIST];

impl Phase {
    fn set(&self, phase: &'static str) {
        let index = PHASES.iter().position(|known| *known == phase).unwrap_or_default();
        self.0.store(index, Ordering::Relaxed);
    }

    /// The step's name: the method that has not been answered.
    fn name(&self) -> &'static str {
        PHASES[self.0.load(Ordering::Relaxed).min(PHASES.len() - 1)]
    }
}

/// Runs the handshake. On success the link in the child's era comes with it.
pub(super) async fn shake_hands(
    link: &Link,
    opening: Opening,
    deadline: Instant,
) -> Result<(Link, Introduced), HandshakeError> {
    let phase = &Phase::default();
    let attempt = async {
        let (era, facts) = match opening {
            Opening::Probe => open_by_probe(link, deadline, phase).await?,
            Opening::Legacy => (Era::Legacy, initialize(link, deadline, phase).await?),
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
        let catalog = load_catalog(&link, &facts, deadline, &Catalog::default()).await?;
        Ok((link, Introduced { era, facts, catalog: Arc::new(catalog) }))
    };
    match tokio::time::timeout_at(deadline.into(), attempt).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeError::TimedOut { phase: phase.name() }),
    }
}

/// Probes in place; a server that answers neither way within the grace is asked both ways, and
/// the first usable answer settles the era (spec 2026-07-28, basic/transports/stdio).
async fn open_by_probe(
    link: &Link,
    deadline: Instant,
    phase: &Phase,
) -> Result<(Era, Facts), HandshakeError> {
    let mut probe = std::pin::pin!(discover(link, deadline, phase));
    let verdict = tokio::select! {
        verdict = &mut probe => Some(verdict),
        _ = tokio::time::sleep(PROBE_GRACE) => None,
    };
    if let Some(verdict) = verdict {
        return match verdict.map_err(gone_on_probe)? {
            (Probe::Modern, Some(facts)) => Ok((Era::Modern, facts)),
            (Probe::Modern, None) => Err(HandshakeError::Refused("it refused server/discover".to_owned())),
            (Probe::Unsupported { offered }, _) => Err(unsupported(&offered)),
            (Probe::Legacy, _) => Ok((Era::Legacy, initialize(link, deadline, phase).await?)),
        };
    }
    tracing::debug!("server/discover is not answered yet; trying initialize as well");
    let mut opening = std::pin::pin!(initialize(link, deadline, phase));
    tokio::select! {
        verdict = &mut probe => match verdict.map_err(gone_on_probe)? {
            (Probe::Modern, Some(facts)) => Ok((Era::Modern, facts)),
            (Probe::Unsupported { offered }, _) => Err(unsupported(&offered)),
            _ => Ok((Era::Legacy, opening.await?)),
        },
        opened = &mut opening => match opened {
            Ok(facts) => Ok((Era::Legacy, facts)),
            Err(HandshakeError::Refused(reason)) => match tokio::time::timeout(PROBE_GRACE, probe).await {
                Ok(Ok((Probe::Modern, Some(facts)))) => Ok((Era::Modern, facts)),
                Ok(_) | Err(_) => Err(HandshakeError::Refused(reason)),
            },
            Err(other) => Err(gone_on_probe(other)),
        },
    }
}

fn gone_on_probe(error: HandshakeError) -> HandshakeError {
    if error == HandshakeError::Gone { HandshakeError::GoneOnProbe } else { error }
}

fn unsupported(offered: &[String]) -> HandshakeError {
    HandshakeError::Refused(format!("it speaks only {}", offered.join(", ")))
}

async fn discover(
    link: &Link,
    deadline: Instant,
    phase: &Phase,
) -> Result<(Probe, Option<Facts>), HandshakeError> {
    phase.set(method::DISCOVER);
    let link = link.in_era(Era::Modern, mcp::modern_meta());
    match ask(&link, method::DISCOVER, Bytes::new(), deadline, phase).await? {
        Ok(result) => Ok(mcp::read_discover(&result)),
        Err(error) => Ok((mcp::read_probe_error(&error), None)),
    }
}

async fn initialize(link: &Link, deadline: Instant, phase: &Phase) -> Result<Facts, HandshakeError> {
    phase.set(method::INITIALIZE);
    match ask(link, method::INITIALIZE, mcp::initialize_params().into(), deadline, phase).await? {
        Ok(result) => {
            let facts = mcp::read_initialize(&result).map_err(HandshakeError::Refused)?;
            link.notify(method::INITIALIZED).await;
            Ok(facts)
        }
        Err(error) => Err(HandshakeError::Refused(refusal(method::INITIALIZE, &error))),
    }
}

fn refusal(method: &str, error: &RpcError) -> String {
    format!("{method} was answered with error {}: {}", error.code, error.message)
}

/// One request of the handshake: its result, the child's error, or the end of the handshake.
async fn ask(
    link: &Link,
    method: &'static str,
    members: Bytes,
    deadline: Instant,
    phase: &Phase,
) -> Result<Result<Bytes, RpcError>, HandshakeError> {
    let limits = Link::within(deadline, Instant::now());
    match link.call(Call { method, members, meta: Bytes::new(), progress: false, limits }).await {
        Outcome::Result(result) => Ok(Ok(result)),
        Outcome::Error(error) => Ok(Err(error)),
        Outcome::Unusable(reason) => Err(HandshakeError::Refused(format!("{method}: {reason}"))),
        Outcome::TooLong { length, limit } => {
            Err(HandshakeError::Refused(format!("{method}: {}", too_long(length, limit))))
        }
        Outcome::TimedOut { .. } => Err(HandshakeError::TimedOut { phase: phase.name() }),
        Outcome::Gone { .. } => Err(HandshakeError::Gone),
    }
}

/// Reads the lists that the child's capabilities announce, side by side. Only the tools must be
/// had: another list that cannot be read stays as it was, and takes nothing down with it.
async fn load_catalog(
    link: &Link,
    facts: &Facts,
    deadline: Instant,
    previous: &Catalog,
) -> Result<Catalog, HandshakeError> {
    let announced = |kind: ListKind| facts.capabilities.get(kind.capability()).is_some();
    let tools = async {
        if announced(ListKind::Tools) {
            load_list(link, ListKind::Tools, deadline).await
        } else {
            Ok(Vec::new())
        }
    };
    let optional_deadline = deadline.min(Instant::now() + OPTIONAL_LIST_LIMIT);
    let optional = |kind: ListKind| async move {
        if !announced(kind) {
            return Ok(Vec::new());
        }
        match load_list(link, kind, optional_deadline).await {
            Err(HandshakeError::Refused(reason)) => {
                tracing::warn!(reason, "a list cannot be read and stays as it was");
                Ok(previous.entries(kind))
            }
            Err(HandshakeError::TimedOut { phase }) => {
                tracing::warn!("{phase} was not answered in time; the list stays as it was");
                Ok(previous.entries(kind))
            }
            other => other,
        }
    };
    let (tools, resources, templates, prompts) = tokio::join!(
        tools,
        optional(ListKind::Resources),
        optional(ListKind::Templates),
        optional(ListKind::Prompts),
    );
    let (catalog, unusable) = Catalog::build(tools?, resources?, templates?, prompts?);
    if unusable > 0 {
        tracing::warn!(unusable, "entries of the lists have no name or URI and were left out");
    }
    Ok(catalog)
}

/// Reads the lists anew, for when the child said that they changed.
pub(super) async fn reload_catalog(
    link: &Link,
    facts: &Facts,
    previous: &Catalog,
) -> Result<Catalog, HandshakeError> {
    load_catalog(link, facts, Instant::now() + REFRESH_LIMIT, previous).await
}

/// Reads all pages of a list, within bounds. A child that announces a list and does not know the
/// method has an empty one.
async fn load_list(
    link: &Link,
    kind: ListKind,
    deadline: Instant,
) -> Result<Vec<Box<RawValue>>, HandshakeError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let members = match &cursor {
            Some(cursor) => Bytes::from(format!("\"cursor\":{}", serde_json::Value::from(cursor.as_str()))),
            None => Bytes::new(),
        };
        let limits = Link::within(deadline, Instant::now());
        let call = Call { method: kind.method(), members, meta: Bytes::new(), progress: false, limits };
        let result = match link.call(call).await {
            Outcome::Result(result) => result,
            Outcome::Error(error) if error.code == -32601 => return Ok(entries),
            Outcome::Error(error) => return Err(HandshakeError::Refused(refusal(kind.method(), &error))),
            Outcome::Unusable(reason) => {
                return Err(HandshakeError::Refused(format!("{}: {reason}", kind.method())));
            }
            Outcome::TooLong { length, limit } => {
                let reason = too_long(length, limit);
                return Err(HandshakeError::Refused(format!("{}: {reason}", kind.method())));
            }
            Outcome::TimedOut { .. } => return Err(HandshakeError::TimedOut { phase: kind.method() }),
            Outcome::Gone { .. } => return Err(HandshakeError::Gone),
        };
        bytes += result.len();
        if bytes > MAX_LIST_BYTES {
            return Err(HandshakeError::Refused(format!(
                "{} gave more than {MAX_LIST_BYTES} bytes",
                kind.method()
            )));
        }
        let mut page = mcp::read_page(kind, &result).map_err(HandshakeError::Refused)?;
        entries.append(&mut page.entries);
        if entries.len() > MAX_ENTRIES {
            return Err(HandshakeError::Refused(format!(
                "{} gave more than {MAX_ENTRIES} entries",
                kind.method()
            )));
        }
        match page.next_cursor {
            None => return Ok(entries),
            same if same == cursor => {
                return Err(HandshakeError::Refused(format!("{} gave the same cursor twice", kind.method())));
            }
            next => cursor = next,
        }
    }
    Err(HandshakeError::Refused(format!("{} gave more than {MAX_PAGES} pages", kind.method())))
}
