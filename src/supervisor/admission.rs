//! Admission of calls: places on the children that take calls, a bounded and fair queue before them, and
//! the breaker before both. A call goes to the child that has the fewest in flight.
//!
//! Each call takes one short lock twice, and never holds it across an await.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::breaker::{Breaker, BreakerPass, BreakerState};
use super::fair_queue::{FairQueue, Pushed};
use super::fleet::Load;
use super::policy::Policy;
use crate::upstream::Link;

/// Reason why a call was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The queue has reached its limit.
    QueueFull,
    /// The breaker is open: calls to this server got no answer lately.
    Open {
        /// Time to wait before another call has a chance.
        retry_after: Duration,
    },
}

/// Outcome of a call, as far as it says something about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The server answered; the content of the answer does not matter.
    Answered,
    /// The server did not answer within the time allowed.
    Unanswered,
    /// The child ended. All calls that ended with it count as one.
    Lost,
}

/// The places of a server's children and the queue before them.
pub(super) struct Admission {
    server: Arc<str>,
    desk: Mutex<AdmissionState>,
}

struct Slot {
    link: Link,
    /// Generation of the definition that the child was started by.
    generation: u64,
    in_flight: usize,
}

struct Waiter {
    reply: oneshot::Sender<Result<CallPermit, NotAdmitted>>,
    pass: BreakerPass,
}

struct AdmissionState {
    places: Vec<Slot>,
    queue: FairQueue<Waiter>,
    breaker: Breaker,
    /// Maximum number of calls that a child may have in flight.
    per_place: usize,
    queue_limit: usize,
    queue_age: Duration,
    /// Number of calls in flight, including those on children that take no more.
    in_flight: usize,
    admitted: u64,
    /// Number of the last child whose end was counted as a failure.
    lost: u64,
}

/// Change of the breaker, for the log.
enum BreakerTransition {
    Opened,
    Closed,
}

impl Admission {
    pub(super) fn new(server: Arc<str>, policy: &Policy) -> Admission {
        let desk = AdmissionState {
            places: Vec::new(),
            queue: FairQueue::default(),
            breaker: Breaker::new(policy.breaker_failures, policy.breaker_pause),
            per_place: policy.max_in_flight,
            queue_limit: policy.queue,
            queue_age: policy.queue_age,
            in_flight: 0,
            admitted: 0,
            lost: 0,
        };
        Admission { server, desk: Mutex::new(desk) }
    }

    fn desk(&self) -> MutexGuard<'_, AdmissionState> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_policy(self: &Arc<Self>, policy: &Policy) {
        let mut desk = self.desk();
        desk.per_place = policy.max_in_flight;
        desk.queue_limit = policy.queue;
        desk.queue_age = policy.queue_age;
        desk.breaker.set(policy.breaker_failures, policy.breaker_pause);
        self.serve_queue(&mut desk);
    }

    /// Lets a child take calls from now on.
    pub(super) fn open_place(self: &Arc<Self>, link: Link, generation: u64) {
        let mut desk = self.desk();
        desk.places.push(Slot { link, generation, in_flight: 0 });
        desk.breaker.renewed();
        self.serve_queue(&mut desk);
    }

    /// Gives a child no further calls; those in flight continue.
    pub(super) fn close_place(&self, incarnation: u64) {
        self.desk().places.retain(|place| place.link.incarnation() != incarnation);
    }

    /// Reports whether a child takes calls.
    pub(super) fn has_place(&self) -> bool {
        !self.desk().places.is_empty()
    }

    pub(super) fn load(&self) -> Load {
        self.desk().load()
    }

    /// Adds the number of calls that each caller has waiting.
    pub(super) fn add_waiting(&self, callers: &mut HashMap<Arc<str>, usize>) {
        for (caller, waiting) in self.desk().queue.lines() {
            *callers.entry(caller.clone()).or_default() += waiting;
        }
    }

    pub(super) fn queue_limit(&self) -> usize {
        self.desk().queue_limit
    }

    pub(super) fn queue_age(&self) -> Duration {
        self.desk().queue_age
    }

    pub(super) fn reading(&self, now: Instant) -> (Load, BreakerState) {
        let desk = self.desk();
        (desk.load(), desk.breaker.state(now))
    }

    /// Gives a call a place on a child, or one in the queue.
    pub(super) fn admit(self: &Arc<Self>, caller: &Arc<str>, now: Instant) -> Result<Admitted, NotAdmitted> {
        let mut desk = self.desk();
        let pass = desk.breaker.pass(now).map_err(|retry_after| NotAdmitted::Open { retry_after })?;
        if desk.queue.len() == 0
            && let Some(place) = desk.free_place()
        {
            return Ok(Admitted::Now(self.occupy(&mut desk, place, pass)));
        }
        let (reply, granted) = oneshot::channel();
        // While there is no child that could have calls in flight, their number is added to the queue's
        // limit.
        let limit = desk.queue_limit + if desk.places.is_empty() { desk.per_place } else { 0 };
        let number = match desk.queue.push(caller, Waiter { reply, pass }, limit) {
            Pushed::Waiting(number) => number,
            Pushed::Displaced(number, displaced) => {
                desk.breaker.abandoned(displaced.pass);
                let _ = displaced.reply.send(Err(NotAdmitted::QueueFull));
                number
            }
            Pushed::Full(_) => {
                desk.breaker.abandoned(pass);
                return Err(NotAdmitted::QueueFull);
            }
        };
        drop(desk);
        let (admission, caller) = (self.clone(), caller.clone());
        Ok(Admitted::Queued(Ticket { admission, caller, number, granted }))
    }

    fn occupy(self: &Arc<Self>, desk: &mut AdmissionState, place: usize, pass: BreakerPass) -> CallPermit {
        desk.in_flight += 1;
        desk.admitted += 1;
        let place = &mut desk.places[place];
        place.in_flight += 1;
        CallPermit { admission: Some(self.clone()), link: place.link.clone(), pass, verdict: None }
    }

    /// Gives free places to the waiting calls, fairly.
    fn serve_queue(self: &Arc<Self>, desk: &mut AdmissionState) {
        while let Some(place) = desk.free_place() {
            let Some(waiter) = desk.queue.pop() else { return };
            let permit = self.occupy(desk, place, waiter.pass);
            // The waiter has just left, so the place is still free. The lock is held, so the permit must
            // not give itself back.
            if let Err(Ok(mut permit)) = waiter.reply.send(Ok(permit)) {
                permit.admission = None;
                desk.vacate(permit.link.incarnation());
                desk.breaker.abandoned(waiter.pass);
            }
        }
    }

    fn give_back(self: &Arc<Self>, incarnation: u64, pass: BreakerPass, verdict: Option<CallOutcome>) {
        let turned = {
            let mut desk = self.desk();
            desk.vacate(incarnation);
            let turned = desk.judge(incarnation, pass, verdict, Instant::now());
            if matches!(turned, Some(BreakerTransition::Opened)) {
                desk.refuse_queue();
            }
            self.serve_queue(&mut desk);
            turned
        };
        match turned {
            Some(BreakerTransition::Opened) => {
                tracing::warn!(server = %self.server, "calls got no answer: refusing further ones for a while");
            }
            Some(BreakerTransition::Closed) => {
                tracing::info!(server = %self.server, "a call was answered: taking calls again")
            }
            None => {}
        }
    }
}

impl AdmissionState {
    fn load(&self) -> Load {
        Load { in_flight: self.in_flight, queued: self.queue.len(), admitted: self.admitted }
    }

    /// Returns the place with the fewest calls in flight among those of the newest definition that have
    /// room; `None` if there is no room.
    fn free_place(&self) -> Option<usize> {
        let places = self.places.iter().enumerate().filter(|(_, place)| place.in_flight < self.per_place);
        let best = places.min_by_key(|(_, place)| (Reverse(place.generation), place.in_flight));
        best.map(|(index, _)| index)
    }

    fn vacate(&mut self, incarnation: u64) {
        self.in_flight -= 1;
        if let Some(place) = self.places.iter_mut().find(|place| place.link.incarnation() == incarnation) {
            place.in_flight -= 1;
        }
    }

    fn judge(
        &mut self,
        incarnation: u64,
        pass: BreakerPass,
        verdict: Option<CallOutcome>,
        now: Instant,
    ) -> Option<BreakerTransition> {
        let opened = |opened: bool| opened.then_some(BreakerTransition::Opened);
        match verdict {
            Some(CallOutcome::Answered) => self.breaker.succeeded(pass).then_some(BreakerTransition::Closed),
            Some(CallOutcome::Unanswered) => opened(self.breaker.failed(pass, now)),
            Some(CallOutcome::Lost) if self.lost != incarnation || pass == BreakerPass::Probe => {
                self.lost = incarnation;
                opened(self.breaker.failed(pass, now))
            }
            Some(CallOutcome::Lost) => None,
            None => {
                self.breaker.abandoned(pass);
                None
            }
        }
    }

    /// Tells all waiting calls that the breaker is open.
    fn refuse_queue(&mut self) {
        let now = Instant::now();
        let until = self.breaker.state(now).until();
        let retry_after = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        while let Some(waiter) = self.queue.pop() {
            let _ = waiter.reply.send(Err(NotAdmitted::Open { retry_after }));
        }
    }
}

/// Successful outcome of asking to call.
pub enum Admitted {
    /// A place on a child.
    Now(CallPermit),
    /// A place in the queue.
    Queued(Ticket),
}

/// A call's place on a child. Dropping it frees the place.
pub struct CallPermit {
    /// `None` if there is nothing to give back.
    admission: Option<Arc<Admission>>,
    link: Link,
    pass: BreakerPass,
    verdict: Option<CallOutcome>,
}

impl CallPermit {
    /// Returns the link to the child that takes the call.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Ends the call and records its outcome. A permit that is only dropped shows nothing about the server.
    pub fn end(mut self, verdict: CallOutcome) {
        self.verdict = Some(verdict);
    }

    /// Closes the child's place because the child has ended and did not get the call: no further call goes
    /// there.
    pub fn close_place(self) {
        if let Some(admission) = &self.admission {
            admission.close_place(self.link.incarnation());
        }
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            admission.give_back(self.link.incarnation(), self.pass, self.verdict);
        }
    }
}

/// A place in the queue: a future that resolves when it is the call's turn. Dropping it leaves the queue.
pub struct Ticket {
    admission: Arc<Admission>,
    caller: Arc<str>,
    number: u64,
    granted: oneshot::Receiver<Result<CallPermit, NotAdmitted>>,
}

impl Future for Ticket {
    type Output = Result<CallPermit, NotAdmitted>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The queue drops no waiter without a reply.
        Pin::new(&mut self.granted).poll(context).map(|said| said.unwrap_or(Err(NotAdmitted::QueueFull)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut desk = self.admission.desk();
        if let Some(waiter) = desk.queue.remove(&self.caller, self.number) {
            desk.breaker.abandoned(waiter.pass);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(places: usize, queue: usize) -> Arc<Admission> {
        let policy = Policy { max_in_flight: places, queue, ..Policy::default() };
        Arc::new(Admission::new("s".into(), &policy))
    }

    fn who(name: &str) -> Arc<str> {
        name.into()
    }

    fn now_permit(admission: &Arc<Admission>, caller: &str) -> CallPermit {
        match admission.admit(&who(caller), Instant::now()) {
            Ok(Admitted::Now(permit)) => permit,
            _ => panic!("there is a free place"),
        }
    }

    fn ticket(admission: &Arc<Admission>, caller: &str) -> Ticket {
        match admission.admit(&who(caller), Instant::now()) {
            Ok(Admitted::Queued(ticket)) => ticket,
            _ => panic!("there is a place in the queue"),
        }
    }

    #[test]
    fn calls_go_where_the_fewest_are_in_flight() {
        let admission = admission(10, 0);
        for incarnation in 1..=3 {
            admission.open_place(Link::to_nobody(incarnation), 1);
        }
        let permits: Vec<CallPermit> = (0..9).map(|_| now_permit(&admission, "a")).collect();
        for incarnation in 1..=3 {
            let own = permits.iter().filter(|permit| permit.link().incarnation() == incarnation);
            assert_eq!(own.count(), 3);
        }
        drop(permits);
        assert_eq!(admission.load(), Load { in_flight: 0, queued: 0, admitted: 9 });
    }

    #[test]
    fn the_newest_definition_comes_first() {
        let admission = admission(1, 0);
        admission.open_place(Link::to_nobody(1), 1);
        admission.open_place(Link::to_nobody(2), 2);
        let first = now_permit(&admission, "a");
        let second = now_permit(&admission, "a");
        assert_eq!((first.link().incarnation(), second.link().incarnation()), (2, 1));
    }

    #[tokio::test]
    async fn one_caller_cannot_starve_the_others() {
        let admission = admission(1, 8);
        admission.open_place(Link::to_nobody(1), 1);
        let held = now_permit(&admission, "greedy");
        let mut greedy: Vec<Ticket> = (0..8).map(|_| ticket(&admission, "greedy")).collect();
        assert!(matches!(admission.admit(&who("greedy"), Instant::now()), Err(NotAdmitted::QueueFull)));
        let modest = ticket(&admission, "modest");
        let displaced = greedy.pop().expect("the newest");
        assert!(matches!(displaced.await, Err(NotAdmitted::QueueFull)), "it made room");
        drop(held);
        let first = greedy.remove(0).await.unwrap_or_else(|_| panic!("its turn"));
        drop(first);
        let second = modest.await.unwrap_or_else(|_| panic!("its turn, before the many of the other"));
        assert_eq!(admission.load().in_flight, 1);
        drop((second, greedy));
        assert_eq!((admission.load().in_flight, admission.load().queued), (0, 0));
    }

    #[tokio::test]
    async fn calls_that_wait_for_a_child_get_its_places_when_it_is_there() {
        let admission = admission(2, 1);
        let waiting: Vec<Ticket> = (0..3).map(|_| ticket(&admission, "a")).collect();
        assert!(admission.admit(&who("a"), Instant::now()).is_err(), "as many as there may be");
        admission.open_place(Link::to_nobody(7), 1);
        assert_eq!(admission.load(), Load { in_flight: 2, queued: 1, admitted: 2 });
        drop(waiting);
        assert_eq!(admission.load().in_flight + admission.load().queued, 0);
    }

    #[test]
    fn a_child_that_ends_with_many_calls_is_one_failure() {
        let admission = admission(100, 0);
        admission.open_place(Link::to_nobody(1), 1);
        let permits: Vec<CallPermit> = (0..50).map(|_| now_permit(&admission, "a")).collect();
        permits.into_iter().for_each(|permit| permit.end(CallOutcome::Lost));
        assert_eq!(admission.reading(Instant::now()).1, BreakerState::Closed);
        for _ in 0..4 {
            now_permit(&admission, "a").end(CallOutcome::Unanswered);
        }
        assert!(matches!(admission.reading(Instant::now()).1, BreakerState::Open { .. }));
        let refused = admission.admit(&who("a"), Instant::now());
        assert!(matches!(refused, Err(NotAdmitted::Open { .. })));
        admission.open_place(Link::to_nobody(2), 1);
        let probe = now_permit(&admission, "a");
        assert!(admission.admit(&who("a"), Instant::now()).is_err(), "one shows how it is");
        probe.end(CallOutcome::Answered);
        assert_eq!(admission.reading(Instant::now()).1, BreakerState::Closed);
    }
}
