//! One call, from admission to its outcome. Waits for a child that is starting; never repeats a
//! call that a child may have seen.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::Error;
use crate::child::{Call, Limits, Link, Outcome};
use crate::supervisor::{Leaving, NotAdmitted, ServerHandle, State, Status};

/// What a caller is told to wait when the queue is full.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);

/// After so many failures in a row callers are not kept waiting for the next start.
const CRASH_LOOP: u32 = 3;

/// A request to a child, before it is known which child that will be.
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) members: Bytes,
    pub(super) meta: Bytes,
    pub(super) progress: bool,
    pub(super) started: Instant,
    pub(super) limits: Limits,
    /// A tool that has to be looked up once a child is there to have announced it.
    pub(super) unchecked_tool: Option<String>,
}

/// What the child said.
pub(super) type Said = Result<Bytes, crate::jsonrpc::RpcError>;

/// Makes a call on whatever child the server has, or gets within the deadline.
pub(super) async fn dispatch(handle: &ServerHandle, request: Request) -> Result<Said, Error> {
    let Request { method, members, meta, progress, started, limits, unchecked_tool } = request;
    let deadline = limits.first.min(limits.hard);
    let timed_out = |in_flight| {
        let (nominal, spent) = (deadline - started, started.elapsed());
        // Progress may have extended the call far beyond its first deadline.
        let after = if spent < nominal + Duration::from_millis(250) { nominal } else { spent };
        Error::TimedOut { after, in_flight }
    };
    let _permit = handle.admit(deadline).await.map_err(|refused| match refused {
        NotAdmitted::TooOld if Instant::now() >= deadline => timed_out(false),
        NotAdmitted::TooOld | NotAdmitted::QueueFull => Error::Overloaded { retry_after: OVERLOAD_PAUSE },
    })?;
    let mut after = 0;
    loop {
        let link = await_link(handle, after, deadline).await?.ok_or_else(|| timed_out(false))?;
        if let Some(tool) = &unchecked_tool {
            require_tool(handle, tool)?;
        }
        let call = Call { method, members: members.clone(), meta: meta.clone(), progress, limits };
        match link.call(call).await {
            Outcome::Result(result) => return Ok(Ok(result)),
            Outcome::Error(error) => return Ok(Err(error)),
            Outcome::Unusable(reason) => return Err(Error::BadReply { reason: reason.to_owned() }),
            Outcome::TimedOut { sent } => return Err(timed_out(sent)),
            Outcome::Gone { sent: true } => return Err(lost_in_flight(handle)),
            // The child never saw it: the next one may.
            Outcome::Gone { sent: false } => after = link.incarnation(),
        }
    }
}

/// The link of a child later than `after`; `None` when the deadline passed first.
pub(super) async fn await_link(
    handle: &ServerHandle,
    after: u64,
    deadline: Instant,
) -> Result<Option<std::sync::Arc<Link>>, Error> {
    let usable = || handle.link().filter(|link| link.incarnation() > after);
    if let Some(link) = usable() {
        return Ok(Some(link));
    }
    let mut changes = handle.watch();
    loop {
        let status = changes.borrow_and_update().clone();
        if let Some(link) = usable() {
            return Ok(Some(link));
        }
        match handle.leaving() {
            None => check_worth_waiting(handle.name(), &status, deadline)?,
            Some(Leaving::Removed) => return Err(Error::ServerNotFound { name: handle.name().to_string() }),
            Some(Leaving::Shutdown) => return Err(Error::ShuttingDown),
        }
        match tokio::time::timeout_at(deadline.into(), changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Error::ServerNotFound { name: handle.name().to_string() }),
            Err(_) => return Ok(None),
        }
    }
}

/// Whether the lists are those of the child that calls go to now. Between two children they are
/// the last one's, and the next one may be another program.
pub(super) fn lists_are_current(handle: &ServerHandle) -> bool {
    let current = match handle.status().state {
        State::Ready | State::Degraded => true,
        State::Disabled
        | State::Idle
        | State::Starting
        | State::Stopping
        | State::Backoff { .. }
        | State::Failed { .. } => false,
    };
    current && handle.catalog().is_loaded()
}

/// Whether the child is on its way out, or the one before was ended in order: what comes next may
/// have other lists.
pub(super) fn is_being_replaced(handle: &ServerHandle) -> bool {
    let status = handle.status();
    match status.state {
        State::Stopping => true,
        State::Starting => status.last_exit.is_none(),
        State::Disabled
        | State::Idle
        | State::Ready
        | State::Degraded
        | State::Backoff { .. }
        | State::Failed { .. } => false,
    }
}

/// Refuses a tool that is not in the lists.
pub(super) fn require_tool(handle: &ServerHandle, tool: &str) -> Result<(), Error> {
    let catalog = handle.catalog();
    if catalog.tool(tool).is_some() {
        return Ok(());
    }
    let suggestion = catalog.closest_tool(tool).map(str::to_owned);
    Err(Error::ToolNotFound { tool: tool.to_owned(), suggestion })
}

/// Refuses at once when no child can be there before the deadline.
fn check_worth_waiting(name: &str, status: &Status, deadline: Instant) -> Result<(), Error> {
    match &status.state {
        State::Disabled => Err(Error::ServerDisabled { name: name.to_owned() }),
        State::Backoff { until, attempt, .. } if *until >= deadline || *attempt >= CRASH_LOOP => {
            Err(unreachable(name, status, false))
        }
        State::Failed { .. } => Err(unreachable(name, status, false)),
        // It has run, has ended, and its restart policy leaves it at that.
        State::Idle if status.last_exit.is_some() => Err(unreachable(name, status, false)),
        State::Idle
        | State::Starting
        | State::Ready
        | State::Degraded
        | State::Stopping
        | State::Backoff { .. } => Ok(()),
    }
}

/// Says what a server is doing instead of answering.
pub(super) fn unreachable(name: &str, status: &Status, in_flight: bool) -> Error {
    let now = Instant::now();
    let (mut reason, retry_after) = match &status.state {
        State::Backoff { attempt, until, cause } => {
            let wait = until.saturating_duration_since(now);
            let text = format!(
                "Server '{name}' is not running: it {cause} (failure {attempt} in a row); next start in {:.1} s",
                wait.as_secs_f32()
            );
            (text, Some(wait))
        }
        State::Failed { cause } => (format!("Server '{name}' {cause}"), None),
        State::Idle if status.last_exit.is_some() => {
            let cause = status.last_exit.as_ref().map(ToString::to_string).unwrap_or_default();
            (format!("Server '{name}' is not running: it {cause} and is not to be restarted"), None)
        }
        other => (format!("Server '{name}' is {}", other.name()), None),
    };
    if let Some(line) = status.last_stderr.last() {
        reason.push_str("; last line on stderr: ");
        reason.extend(line.chars().take(300));
    }
    Error::Unreachable { reason, in_flight, retry_after }
}

fn lost_in_flight(handle: &ServerHandle) -> Error {
    let name = handle.name();
    Error::Unreachable {
        reason: format!("Server '{name}' ended during the call; it may or may not have been carried out"),
        in_flight: true,
        retry_after: None,
    }
}
