//! Audit records of requests: handlers name their action in the audit's words, and the guard records it when its
//! outcome is known.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::RequestContext;
use crate::gateway::{AuditEntry, AuditHandle, EntryKind, Error, Outcome, Retry};

/// Facts that handlers gave of a request so far. Most requests have none: then it costs nothing.
#[derive(Debug, Default)]
pub(in crate::http) struct Record(OnceLock<Box<AuditSubject>>);

/// The requested action, in the words of the audit.
#[derive(Debug)]
struct AuditSubject {
    sort: EntryKind,
    action: &'static str,
    target: String,
    details: Mutex<Details>,
    /// `true` if the answer's status does not tell the outcome.
    is_unknown: AtomicBool,
    /// `true` if the answer goes on after its head, and so does the action.
    goes_on: AtomicBool,
    /// `true` once it is in the audit.
    is_recorded: AtomicBool,
    /// The answer's status and the request's id, once there is a head.
    answered: OnceLock<(StatusCode, String)>,
}

/// Description of a request, from its head, for use if no handler has described it.
#[derive(Debug)]
pub(in crate::http) struct Unnamed {
    /// Method and path of the request.
    pub(in crate::http) request: String,
    /// Action of the audit that the request asks for, and its target; `None` if it asks for no act.
    pub(in crate::http) act: Option<(&'static str, String)>,
}

impl Unnamed {
    /// Returns the audit's entry. An act has its line also if it failed before its handler knew its target; a
    /// refusal has one whatever was asked for; anything else has none.
    fn entry(self, outcome: Outcome, is_act: bool) -> Option<AuditEntry> {
        match (outcome, self.act) {
            (Outcome::Refused, _) => {
                Some(AuditEntry::new(EntryKind::Look, "request", &self.request, outcome))
            }
            (_, Some((action, target))) if is_act => {
                Some(AuditEntry::new(EntryKind::Act, action, &target, outcome))
            }
            // An act that no handler described, by a route that is in no list.
            (Outcome::Done, None) if is_act => {
                Some(AuditEntry::new(EntryKind::Act, "request", &self.request, outcome))
            }
            _ => None,
        }
    }
}

/// Callback that adds the details which are known only at the end.
type Late = Box<dyn FnOnce(&mut Map<String, Value>) + Send>;

#[derive(Default)]
struct Details {
    known: Map<String, Value>,
    late: Option<Late>,
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known.fmt(f)
    }
}

impl Record {
    fn say(&self, sort: EntryKind, action: &'static str, target: String) {
        let said = AuditSubject {
            sort,
            action,
            target,
            details: Mutex::default(),
            is_unknown: AtomicBool::new(false),
            goes_on: AtomicBool::new(false),
            is_recorded: AtomicBool::new(false),
            answered: OnceLock::new(),
        };
        let _ = self.0.set(Box::new(said));
    }

    fn is_act(&self) -> bool {
        self.0.get().is_some_and(|said| said.sort == EntryKind::Act)
    }
}

impl RequestContext {
    /// Reports whether a handler has marked the request as an act.
    pub(in crate::http) fn is_act(&self) -> bool {
        self.record.is_act()
    }

    /// Marks the request as an act: something that changes what is configured or running. Only a route that is
    /// carried out to its end may call this; see [`Effect`](crate::http::core::routes::Effect).
    pub(in crate::http) fn audit_as(&self, action: &'static str, target: &str) {
        self.record.say(EntryKind::Act, action, target.to_owned());
    }

    /// Marks the request as a call.
    pub(in crate::http) fn calls(&self, target: String, arguments: &[u8]) {
        self.record.say(EntryKind::Call, "call", target);
        self.tells_all(AuditEntry::details_of_call(arguments));
    }

    /// Marks the request as a question, whose calls are known at its end.
    pub(in crate::http) fn asks(
        &self,
        target: String,
        details: Map<String, Value>,
        late: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
    ) {
        self.record.say(EntryKind::Call, "query", target);
        self.tells_all(details);
        if let Some(said) = self.record.0.get() {
            said.details.lock().unwrap_or_else(PoisonError::into_inner).late = Some(Box::new(late));
        }
    }

    /// Marks the request as a look at data that may hold secrets.
    pub(in crate::http) fn looks(&self, action: &'static str, target: &str) {
        self.record.say(EntryKind::Look, action, target.to_owned());
    }

    /// Adds a detail to the audit's entry of the request; never a secret.
    pub(in crate::http) fn tells(&self, name: &str, value: impl Into<Value>) {
        self.tells_all(Map::from_iter([(name.to_owned(), value.into())]));
    }

    /// Adds several details to the entry.
    pub(in crate::http) fn tells_all(&self, details: Map<String, Value>) {
        if let Some(said) = self.record.0.get() {
            said.details.lock().unwrap_or_else(PoisonError::into_inner).known.extend(details);
        }
    }

    /// Notes an error of a call that may have been carried out all the same.
    pub(in crate::http) fn failed_with(&self, error: &Error) {
        if error.facts().retry == Retry::OutcomeUnknown {
            self.is_unclear();
        }
    }

    /// Notes that the answer's status does not tell whether it was done.
    pub(in crate::http) fn is_unclear(&self) {
        if let Some(said) = self.record.0.get() {
            said.is_unknown.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that the action goes on while its answer is read: the code that feeds the answer calls
    /// [`RequestContext::ended`].
    pub(in crate::http) fn goes_on(&self) {
        if let Some(said) = self.record.0.get() {
            said.goes_on.store(true, Ordering::Relaxed);
        }
    }

    /// Reports whether the audit may need an entry for the request, which was answered with this status. Most are
    /// calls that went well, which need none.
    pub(in crate::http) fn is_worth_recording(&self, status: StatusCode, is_act: bool) -> bool {
        is_act || !status.is_success() || self.record.0.get().is_some()
    }

    /// Records in the audit what it needs of the request, now that there is an answer: acts, calls, looks, and
    /// refusals of any request. Returns a receiver that the answer has to wait for, or `None`. `asked` describes
    /// a request that no handler described; `is_act` tells whether it was an act all the same.
    pub(in crate::http) fn answered(
        &self,
        audit: &AuditHandle,
        status: StatusCode,
        request_id: &str,
        is_act: bool,
        asked: impl FnOnce() -> Unnamed,
    ) -> Option<oneshot::Receiver<()>> {
        let outcome = Outcome::of_status(status.as_u16());
        let Some(said) = self.record.0.get() else {
            // Most requests are neither: for them nothing is formatted.
            let entry = (is_act || outcome == Outcome::Refused).then(asked)?.entry(outcome, is_act)?;
            return hand_over(audit, self.complete(entry).answered(Some(status.as_u16()), request_id));
        };
        debug_assert!(
            said.sort != EntryKind::Act || asked().act.is_none_or(|(action, _)| action == said.action),
            "the handler calls the act {:?}, and the list of routes otherwise",
            said.action
        );
        if said.sort == EntryKind::Look && outcome == Outcome::Failed {
            // The caller saw nothing.
            return None;
        }
        if said.goes_on.load(Ordering::Relaxed) && outcome == Outcome::Done {
            let _ = said.answered.set((status, request_id.to_owned()));
            return None;
        }
        let is_unknown = said.is_unknown.load(Ordering::Relaxed);
        let outcome = if is_unknown { Outcome::Unknown } else { outcome };
        self.record(said, audit, outcome, Some(status), request_id)
    }

    /// Records in the audit a request whose caller left before the answer.
    pub(in crate::http) fn left(&self, audit: &AuditHandle, request_id: &str) {
        if let Some(said) = self.record.0.get() {
            self.tells("why", "the caller left");
            self.record(said, audit, Outcome::Unknown, None, request_id);
        }
    }

    /// Records in the audit an action that went on after its answer had begun.
    pub(in crate::http) fn ended(&self, audit: &AuditHandle, outcome: Outcome) {
        if let Some(said) = self.record.0.get() {
            if outcome == Outcome::Unknown {
                self.tells("why", "the caller left");
            }
            let answered = said.answered.get();
            let request_id = answered.map(|(_, id)| id.as_str()).unwrap_or_default();
            self.record(said, audit, outcome, answered.map(|(status, _)| *status), request_id);
        }
    }

    fn record(
        &self,
        said: &AuditSubject,
        audit: &AuditHandle,
        outcome: Outcome,
        status: Option<StatusCode>,
        request_id: &str,
    ) -> Option<oneshot::Receiver<()>> {
        if said.is_recorded.swap(true, Ordering::Relaxed) {
            return None;
        }
        let Details { mut known, late } =
            std::mem::take(&mut *said.details.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(late) = late {
            late(&mut known);
        }
        let entry = AuditEntry::new(said.sort, said.action, &said.target, outcome);
        let entry = self.complete(entry).answered(status.map(|status| status.as_u16()), request_id);
        hand_over(audit, entry.with(known))
    }

    fn complete(&self, entry: AuditEntry) -> AuditEntry {
        let entry = entry.from(self.peer.address(), self.peer.uid());
        match self.caller() {
            Some(caller) => entry.by(caller),
            None => entry,
        }
    }
}

/// Hands an entry to the audit. Only an act in force returns a receiver to wait for.
fn hand_over(audit: &AuditHandle, entry: AuditEntry) -> Option<oneshot::Receiver<()>> {
    if entry.is_act_in_force() {
        return Some(audit.record(entry));
    }
    audit.note(entry);
    None
}
