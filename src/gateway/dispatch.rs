//! One call, from admission to its outcome. A call waits for a child that is starting. A call that a child may have
//! seen is never repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::Error;
use super::not_found;
use super::standing::Asker;
use crate::pins::Gate;
use crate::supervisor::{
    Admitted, CallOutcome, CallPermit, Cause, Leaving, NotAdmitted, QueuedStartView, ServerHandle, State,
    Status, Ticket,
};
use crate::telemetry::traces::{CallTrace, ChildFailure};
use crate::text::shell_word;
use crate::upstream::{Call, Catalog, Limits, Outcome, Refusal, Stream, too_long};

/// Time after which callers are told to retry when the queue is full.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);

/// Number of failures in a row from which callers do not wait for the next start.
const MAX_WAITED_FAILURES: u32 = 3;

/// The same for a remote server that has served before, which by then is tried every 16 seconds.
const MAX_WAITED_REMOTE_FAILURES: u32 = 6;

/// Time that a call waits for a server whose last start has failed: it may soon be ready, but is more likely to fail
/// again.
const FAILING_START_TIMEOUT: Duration = Duration::from_secs(1);

/// Deadline from which an unanswered call is blamed on the server, unless calls usually get less; one with a shorter
/// deadline may be due to its caller.
const MIN_BLAMED_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a lost call waits to learn the cause of its child's end, even if its deadline is nearer.
const EXIT_REASON_GRACE: Duration = Duration::from_millis(50);
/// Longest such time: on a busy machine a child that was killed is seen to have ended some time after its output has.
const MAX_EXIT_REASON_GRACE: Duration = Duration::from_secs(2);

/// Terms of a call, before a child is chosen for it.
pub(super) struct CallTerms<'a> {
    pub(super) started: Instant,
    pub(super) limits: Limits,
    /// Id of the caller's key; each key has its own queue.
    pub(super) caller: &'a Arc<str>,
    /// `true` if the server is to blame for an answer that does not come in time, and not the caller's short deadline.
    pub(super) blames: bool,
    /// Check that is due once a child has announced its lists; `None` if none is. Boxed, because it is rare.
    pub(super) unchecked: Option<Box<Unchecked>>,
    /// Trace of the call; `None` if it is not traced.
    pub(super) trace: Option<&'a CallTrace>,
}

/// Check that could not be made before the call.
#[derive(Debug, Clone)]
pub(super) enum Unchecked {
    /// Check that the server has this tool, and that it is as approved where a gate is given.
    Tool(String, Option<Gate>),
    /// Check that the server has resources, such as the one with this URI.
    Resource(String),
}

impl<'a> CallTerms<'a> {
    /// Returns the terms of a call that began at `started` and ends within `limits`. `usual` is the deadline of calls
    /// that name none.
    pub(super) fn new(
        started: Instant,
        limits: Limits,
        caller: &'a Arc<str>,
        usual: Duration,
    ) -> CallTerms<'a> {
        let deadline = limits.first.min(limits.hard);
        let blames = deadline - started >= MIN_BLAMED_TIMEOUT.min(usual);
        CallTerms { started, limits, caller, blames, unchecked: None, trace: None }
    }

    /// Returns the end of the time that the call may wait, without a sign of life, for a child or for its answer.
    fn deadline(&self) -> Instant {
        self.limits.first.min(self.limits.hard)
    }

    fn timed_out(&self, in_flight: bool) -> Error {
        let (nominal, spent) = (self.deadline() - self.started, self.started.elapsed());
        // Progress may have extended the call far beyond its first deadline.
        let after = if spent < nominal + Duration::from_millis(250) { nominal } else { spent };
        Error::TimedOut { after, in_flight, meanwhile: None }
    }
}

/// Answer of the child: a result, or a JSON-RPC error.
pub(super) type Said = Result<Bytes, crate::jsonrpc::RpcError>;

/// Makes a call on the child that the server has, or that it gets within the deadline. What few calls wait for is
/// boxed, so that the future of the others is small. `call` has the call, and `None` once a child may have it.
pub(super) async fn dispatch(
    handle: &ServerHandle,
    call: &mut Option<Call>,
    terms: &CallTerms<'_>,
    asker: &Asker<'_>,
) -> Result<Said, Error> {
    // The first attempt comes at once.
    let mut now = terms.started;
    loop {
        let permit = match handle.admit(terms.caller, now) {
            Ok(Admitted::Now(permit)) => permit,
            Ok(Admitted::Queued(ticket)) => Box::pin(queued(handle, terms, asker, ticket)).await?,
            Err(refused) => return Err(not_admitted(handle, refused)),
        };
        // A slow request body, the quota or the queue may have delayed the call.
        asker.check()?;
        // A future in a box at once, so that the error does not take room in that of each call.
        let updating = check(handle, terms.unchecked.as_deref())
            .err()
            .map(|missing| Box::pin(await_other_lists(handle, terms, asker, missing)));
        if let Some(updating) = updating {
            drop(permit);
            updating.await?;
            now = Instant::now();
            continue;
        }
        let Some(request) = call.take() else {
            return Err(Error::Internal { reason: "a call was made twice".to_owned() });
        };
        if let Some(trace) = terms.trace {
            trace.begin_child(permit.link().is_remote(), permit.link().incarnation());
        }
        let outcome = permit.link().call(request, terms.limits).await;
        if let Some(trace) = terms.trace {
            trace.end_child(outcome.failure().map(|(kind, code)| ChildFailure { kind, code }));
        }
        match outcome {
            Outcome::Result(result) => {
                permit.end(CallOutcome::Answered);
                return Ok(Ok(result));
            }
            Outcome::Error(error) => {
                permit.end(CallOutcome::Answered);
                return Ok(Err(error));
            }
            Outcome::Unusable(reason) => {
                permit.end(CallOutcome::Answered);
                return Err(Error::BadReply { reason: reason.into_owned() });
            }
            Outcome::TooLong { length, limit } => {
                permit.end(CallOutcome::Answered);
                return Err(Error::BadReply { reason: too_long(length, limit) });
            }
            Outcome::TimedOut { sent, asked } => {
                if sent && !asked && terms.blames {
                    permit.end(CallOutcome::Unanswered);
                }
                return Err(terms.timed_out(sent));
            }
            Outcome::Refused(refusal) => {
                // What a server refuses is an answer; what it fails may have been begun (R58).
                permit.end(if refusal.unseen { CallOutcome::Answered } else { CallOutcome::Unanswered });
                return Err(refused_by_remote(handle, *refusal));
            }
            Outcome::Gone { unsent: None } => {
                let incarnation = permit.link().incarnation();
                permit.end(CallOutcome::Lost);
                let left = terms.deadline().saturating_duration_since(Instant::now());
                let grace = left.clamp(EXIT_REASON_GRACE, MAX_EXIT_REASON_GRACE);
                return Err(Box::pin(lost_in_flight(handle, incarnation, grace)).await);
            }
            // The child never saw the call: the next one may.
            Outcome::Gone { unsent: Some(unsent) } => {
                permit.close_place();
                *call = Some(*unsent);
            }
        }
        now = Instant::now();
    }
}

/// Waits while a changed definition is being brought up, until the call's deadline: its lists may have what is missing.
/// Fails with `missing` if there was no update or it did not end, and if the caller may not go on.
async fn await_other_lists(
    handle: &ServerHandle,
    terms: &CallTerms<'_>,
    asker: &Asker<'_>,
    missing: Error,
) -> Result<(), Error> {
    let updated = tokio::select! {
        biased;
        refused = asker.refused() => return Err(refused),
        updated = await_update(handle, terms.deadline()) => updated,
    };
    if updated { Ok(()) } else { Err(missing) }
}

/// Waits in the queue for a place for the call, and notes how long that took.
async fn queued(
    handle: &ServerHandle,
    terms: &CallTerms<'_>,
    asker: &Asker<'_>,
    ticket: Ticket,
) -> Result<CallPermit, Error> {
    let since = Instant::now();
    if let Some(trace) = terms.trace {
        trace.begin_queue();
    }
    let granted = wait_for_place(handle, terms, asker, ticket).await;
    handle.counters().waited(since.elapsed());
    if let Some(trace) = terms.trace {
        trace.end_queue(granted.as_ref().err().map(|error| error.facts().name));
    }
    granted
}

/// Waits in the queue for a place for the call.
async fn wait_for_place(
    handle: &ServerHandle,
    terms: &CallTerms<'_>,
    asker: &Asker<'_>,
    mut ticket: Ticket,
) -> Result<CallPermit, Error> {
    let deadline = terms.deadline();
    let mut changes = handle.watch();
    // The time in the queue counts from when only the place itself is missing.
    let mut queued_since = None;
    let mut failing_since = None;
    let refused = asker.refused();
    tokio::pin!(refused);
    loop {
        let status = changes.borrow_and_update().clone();
        let until = if handle.takes_calls() {
            deadline.min(*queued_since.get_or_insert_with(Instant::now) + handle.queue_age())
        } else {
            queued_since = None;
            match worth_waiting(handle, &status, deadline)? {
                WaitBudget::ToTheDeadline => deadline,
                WaitBudget::AMoment => {
                    deadline.min(*failing_since.get_or_insert_with(Instant::now) + FAILING_START_TIMEOUT)
                }
            }
        };
        tokio::select! {
            biased;
            refused = &mut refused => return Err(refused),
            granted = &mut ticket => return granted.map_err(|refused| not_admitted(handle, refused)),
            // The handle lives as long as this borrow; its sender does, too.
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(until.into()) => {
                if until != deadline {
                    return Err(match handle.takes_calls() {
                        true => Error::Overloaded { retry_after: OVERLOAD_PAUSE },
                        false => unreachable(handle, &status, false),
                    });
                }
                let mut error = terms.timed_out(false);
                if let Error::TimedOut { meanwhile: told, .. } = &mut error {
                    *told = Some(meanwhile(handle));
                }
                return Err(error);
            }
        }
    }
}

fn not_admitted(handle: &ServerHandle, refused: NotAdmitted) -> Error {
    match refused {
        NotAdmitted::QueueFull => Error::Overloaded { retry_after: OVERLOAD_PAUSE },
        NotAdmitted::Open { retry_after } => {
            Error::BreakerOpen { name: handle.name().to_string(), retry_after }
        }
    }
}

/// Waits until a child takes calls. Returns `false` if the deadline passed first.
pub(super) async fn await_child(handle: &ServerHandle, deadline: Instant) -> Result<bool, Error> {
    let mut changes = handle.watch();
    let moment = deadline.min(Instant::now() + FAILING_START_TIMEOUT);
    loop {
        let status = changes.borrow_and_update().clone();
        if handle.takes_calls() {
            return Ok(true);
        }
        let until = match worth_waiting(handle, &status, deadline)? {
            WaitBudget::ToTheDeadline => deadline,
            WaitBudget::AMoment => moment,
        };
        if tokio::time::timeout_at(until.into(), changes.changed()).await.is_err() {
            return if until == deadline { Ok(false) } else { Err(unreachable(handle, &status, false)) };
        }
    }
}

/// Waits while a changed definition is being brought up, until the deadline at the latest. Returns `true` if there
/// was an update and it has ended.
pub(super) async fn await_update(handle: &ServerHandle, deadline: Instant) -> bool {
    if !is_updating(&handle.status()) {
        return false;
    }
    let mut changes = handle.watch();
    let settled = async {
        while is_updating(&changes.borrow_and_update().clone()) && changes.changed().await.is_ok() {}
    };
    tokio::time::timeout_at(deadline.into(), settled).await.is_ok()
}

fn is_updating(status: &Status) -> bool {
    status.update.as_ref().is_some_and(|update| !update.has_failed)
}

/// Reports whether the lists are those of the child that takes calls now, with no successor under way. Between two
/// children they are the last one's, and the next one may be another program.
pub(super) fn lists_are_current(handle: &ServerHandle) -> bool {
    let status = handle.status();
    status.state.serves() && !is_updating(&status) && handle.catalog().is_loaded()
}

/// Makes the check that was postponed.
fn check(handle: &ServerHandle, unchecked: Option<&Unchecked>) -> Result<(), Error> {
    match unchecked {
        None => Ok(()),
        Some(Unchecked::Tool(tool, gate)) => require_tool(&handle.catalog(), tool, gate.as_ref()),
        Some(Unchecked::Resource(uri)) => {
            let status = handle.status();
            let known = status.introduction.as_ref();
            if known.is_none_or(|known| known.capabilities.get("resources").is_some()) {
                return Ok(());
            }
            let name = handle.name();
            let message = format!("Resource '{uri}' not found: server '{name}' has no resources");
            Err(Error::ResourceNotFound { message })
        }
    }
}

/// Refuses a tool that is not in the lists, and one that the gate does not let through.
pub(super) fn require_tool(catalog: &Catalog, tool: &str, gate: Option<&Gate>) -> Result<(), Error> {
    let Some(known) = catalog.tool(tool) else {
        let open = |name: &&str| match (gate, catalog.tool(name)) {
            (Some(gate), Some(known)) => gate.blocks(known).is_none(),
            _ => true,
        };
        let suggestion = catalog.closest_tool(tool).filter(open).map(str::to_owned);
        return Err(Error::ToolNotFound { tool: tool.to_owned(), suggestion });
    };
    match gate.and_then(|gate| gate.blocks(known)) {
        None => Ok(()),
        Some(state) => Err(Error::ToolBlocked { tool: tool.to_owned(), state }),
    }
}

/// Time that it is worth to wait for a child.
enum WaitBudget {
    ToTheDeadline,
    /// The server is being tried again after a failed start.
    AMoment,
}

/// Refuses at once when no child can be there before the deadline; otherwise demands one, as a server may be idle
/// for lack of demand.
fn worth_waiting(
    handle: &ServerHandle,
    status: &Arc<Status>,
    deadline: Instant,
) -> Result<WaitBudget, Error> {
    let name = || handle.name().to_string();
    match handle.leaving() {
        None => {}
        Some(Leaving::Removed) => return Err(not_found(&name())),
        Some(Leaving::PoolEnded) => return Err(pool_ended(handle.name())),
        Some(Leaving::Shutdown) => return Err(Error::ShuttingDown),
    }
    match &status.state {
        State::Disabled => return Err(Error::ServerDisabled { name: name() }),
        State::Stopped => return Err(Error::ServerStopped { name: name() }),
        State::Backoff { until, attempt, cause, .. }
            if *until >= deadline || *attempt >= most_waited_failures(status, cause) =>
        {
            return Err(unreachable(handle, status, false));
        }
        State::Unauthorized { .. } | State::Failed { .. } | State::Exited { .. } => {
            return Err(unreachable(handle, status, false));
        }
        State::Idle
        | State::Starting
        | State::Ready
        | State::Degraded
        | State::Stopping
        | State::Backoff { .. } => {}
    }
    handle.demand();
    let comes_back = status.last_exit.as_ref().is_some_and(|cause| may_come_back(status, cause));
    Ok(if status.failed_starts > 0 && !comes_back { WaitBudget::AMoment } else { WaitBudget::ToTheDeadline })
}

/// Reports whether a server is elsewhere and has served before: it is started there, and may take its time for that (R58).
fn may_come_back(status: &Status, cause: &Cause) -> bool {
    status.introduction.is_some() && matches!(cause.bare(), Cause::Remote { .. })
}

/// Returns the number of failures in a row from which callers do not wait for the next start.
fn most_waited_failures(status: &Status, cause: &Cause) -> u32 {
    if may_come_back(status, cause) { MAX_WAITED_REMOTE_FAILURES } else { MAX_WAITED_FAILURES }
}

/// Returns the error for a call whose pool ended before a child had it.
pub(super) fn pool_ended(server: &str) -> Error {
    let reason = format!(
        "The pool of server '{server}' that this call was for has ended, with its session or member or by another definition"
    );
    Error::Unreachable { reason, in_flight: false, retry_after: None, status: None }
}

/// Describes what a server was doing while a call waited for it in vain.
pub(super) fn meanwhile(handle: &ServerHandle) -> String {
    let (name, status) = (handle.name(), handle.status());
    if status.state.serves() {
        return format!("server '{name}' had no place for the call");
    }
    if let Some(before) = status.turn.as_ref().and_then(QueuedStartView::before) {
        return format!("server '{name}' waits for its turn to start ({before} before it)");
    }
    let phase = status.phase().map(|phase| format!(" ({phase})")).unwrap_or_default();
    let mut text = format!("server '{name}' is {}{phase}", status.state.name());
    if let Some(line) = handle.log().tail(1).last() {
        let stream = line.stream.name();
        text.push_str(&match line.stream {
            Stream::Stderr | Stream::Stdout | Stream::Log => format!("; last line on {stream}: "),
            Stream::Gateway => "; its log says: ".to_owned(),
        });
        text.extend(line.text.chars().take(300));
    }
    if let Some(cause) = status.cause() {
        text.push_str("; ");
        text.push_str(&cause);
    }
    text
}

/// Describes what a server is doing instead of answering.
pub(super) fn unreachable(handle: &ServerHandle, status: &Arc<Status>, in_flight: bool) -> Error {
    let (name, now) = (handle.name(), Instant::now());
    let (mut reason, retry_after) = match &status.state {
        State::Backoff { attempt, until, cause, hopeless } => {
            let wait = until.saturating_duration_since(now);
            let hopeless = match hopeless {
                true => {
                    "; it always ends so and was never ready, so trying again will not help before it is mended"
                }
                false => "",
            };
            let text = format!(
                "Server '{name}' is not running: it {cause} (failure {attempt} in a row){hopeless}; next start in {:.1} s",
                wait.as_secs_f32()
            );
            (text, Some(wait))
        }
        State::Unauthorized { cause, until } => {
            let wait = until.saturating_duration_since(Instant::now());
            (format!("Server '{name}' {cause}"), Some(wait))
        }
        State::Failed { cause } => (format!("Server '{name}' {cause}"), None),
        State::Exited { cause } => {
            (format!("Server '{name}' is not running: it {cause} and is not to be restarted"), None)
        }
        other => match status.last_failure() {
            Some(cause) => {
                let failures = status.failures;
                let doing = match other {
                    State::Stopping => "it is stopping",
                    _ => "it is being started again",
                };
                (
                    format!(
                        "Server '{name}' is not running: it {cause} (failure {failures} in a row); {doing}"
                    ),
                    Some(FAILING_START_TIMEOUT),
                )
            }
            None => (format!("Server '{name}' is {}", other.name()), None),
        },
    };
    if let Some(known) = status.diagnosis() {
        reason.push_str(&format!("; what to do: {}", known.fix.trim_end_matches('.')));
    }
    if !status.last_stderr.is_empty() {
        reason.push_str(&format!("; its log: mcpvisor logs {}", shell_word(name)));
    }
    Error::Unreachable { reason, in_flight, retry_after, status: Some(status.clone()) }
}

/// Returns the error for a call that a remote server refused or failed. Its 401 and 403 are never the gateway's own: a
/// client would begin to log in here (R18).
fn refused_by_remote(handle: &ServerHandle, refusal: Refusal) -> Error {
    let Refusal { sentence, unseen, too_large, pause } = refusal;
    let name = handle.name();
    if too_large {
        return Error::RequestTooLarge { name: name.to_string() };
    }
    let known = if unseen { "" } else { "; it may or may not have been carried out" };
    let reason = format!("Server '{name}' {sentence}{known}");
    Error::Unreachable { reason, in_flight: !unseen, retry_after: pause, status: Some(handle.status()) }
}

/// Returns the error for a call that was lost with its child. Waits `grace` at most for the cause of the child's end, which
/// becomes known shortly after.
async fn lost_in_flight(handle: &ServerHandle, incarnation: u64, grace: Duration) -> Error {
    let mut changes = handle.watch();
    let is_told = |status: &Arc<Status>| {
        let mut replicas = status.replicas.iter();
        let replica = replicas.find(|replica| replica.incarnation == incarnation);
        replica.is_none_or(|replica| !replica.state.serves() && replica.state != State::Stopping)
    };
    let _ = tokio::time::timeout(grace, changes.wait_for(is_told)).await;
    let (name, status) = (handle.name(), handle.status());
    let cause = status.last_exit.as_ref().filter(|_| status.incarnation == incarnation);
    let cause = cause.map(|cause| format!(" (it {cause})")).unwrap_or_default();
    let text =
        format!("Server '{name}' ended during the call{cause}; it may or may not have been carried out");
    Error::Unreachable { reason: text, in_flight: true, retry_after: None, status: Some(status) }
}
