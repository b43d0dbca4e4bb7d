//! The replicas that a server should have: how many, of which definition, and which have to go. Pure:
//! events and the time in, actions out. Each replica looks after its own child; this module looks after the
//! replicas.
//!
//! A changed definition makes a new generation of replicas. A replica of an earlier generation that serves
//! stays until one of the new generation serves in its place.

use std::time::{Duration, Instant};

use super::policy::{Policy, StartMode, UpdateMode};

/// Time for which a server must be busy before it gets a further replica.
const BUSY_FOR: Duration = Duration::from_millis(500);
/// Time for which a server must have had too many replicas before one goes.
const SLACK_FOR: Duration = Duration::from_secs(30);
/// Interval between two looks at a server whose number of replicas may change.
const SCALE_EVERY: Duration = Duration::from_millis(250);

/// An action on a server's replicas; actions are performed in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Make a replica of the current definition.
    Add {
        /// The number of the replica; never used twice.
        number: u64,
        /// `true` if its first child takes the place of another one.
        replaces: bool,
    },
    /// Tell a replica to let its calls finish and end.
    Leave {
        /// The number of the replica.
        number: u64,
    },
    /// Tell a replica that waits for its next start to try now.
    Retry {
        /// The number of the replica.
        number: u64,
    },
}

/// Phase of a replica, as far as the other replicas depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplicaPhase {
    /// Nothing has happened yet, or a start is under way or due.
    Coming,
    /// Its child takes calls.
    Serving,
    /// Its child has ended, and its restart policy does not replace it.
    Over,
}

#[derive(Debug, Clone)]
struct ReplicaEntry {
    number: u64,
    generation: u64,
    doing: ReplicaPhase,
    leaving: bool,
}

/// Current load of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Number of calls in flight.
    pub in_flight: usize,
    /// Number of calls that wait for a place.
    pub queued: usize,
    /// Number of calls admitted since the server was made.
    pub admitted: u64,
}

/// State machine of a server's replicas; see the module documentation.
#[derive(Debug)]
pub(super) struct Fleet {
    policy: Policy,
    /// `true` if the definition is to run at all.
    enabled: bool,
    /// `true` if the server is asked for; always `true` for an eager server that never stops when idle.
    asked: bool,
    /// `true` from when an operator stops the server until one starts it.
    stopped: bool,
    generation: u64,
    members: Vec<ReplicaEntry>,
    next: u64,
    target: usize,
    /// `true` if the children that are started now take the place of others.
    replacing: bool,
    seen: u64,
    idle_since: Option<Instant>,
    busy_since: Option<Instant>,
    slack_since: Option<Instant>,
}

impl Fleet {
    /// Returns the state of a server without replicas; [`Fleet::define`] makes them.
    pub(super) fn new() -> Fleet {
        Fleet {
            policy: Policy::default(),
            enabled: false,
            asked: false,
            stopped: false,
            generation: 0,
            members: Vec::new(),
            next: 0,
            target: 0,
            replacing: false,
            seen: 0,
            idle_since: None,
            busy_since: None,
            slack_since: None,
        }
    }

    /// Takes a new definition. `new_child` is `true` if running children are out of date. Replicas that
    /// wait for their next start try at once.
    pub(super) fn define(&mut self, policy: &Policy, runs: bool, new_child: bool) -> Vec<Action> {
        let switched_on = runs && !self.enabled;
        self.enabled = runs;
        // What is switched off and on again is as new.
        self.stopped &= runs;
        self.policy = policy.clone();
        if switched_on || policy.start == StartMode::Eager {
            self.asked = policy.start == StartMode::Eager;
        }
        self.target = self.target.clamp(policy.replicas.min, policy.replicas.max);
        (self.idle_since, self.busy_since, self.slack_since) = (None, None, None);
        if new_child {
            return self.renew();
        }
        let mut actions = self.retries();
        actions.extend(self.settle());
        actions
    }

    fn retries(&self) -> Vec<Action> {
        let waiting =
            self.members.iter().filter(|member| !member.leaving && member.doing != ReplicaPhase::Serving);
        waiting.map(|member| Action::Retry { number: member.number }).collect()
    }

    /// Replaces all children, as if the definition had changed.
    pub(super) fn renew(&mut self) -> Vec<Action> {
        self.generation += 1;
        self.replacing = !self.members.is_empty();
        let mut actions = self.leave_if(|member| member.doing != ReplicaPhase::Serving);
        actions.extend(self.settle());
        actions
    }

    /// Takes the new phase of a replica.
    pub(super) fn on_phase(&mut self, number: u64, doing: ReplicaPhase) -> Vec<Action> {
        let Some(member) = self.members.iter_mut().find(|member| member.number == number) else {
            return Vec::new();
        };
        member.doing = doing;
        if doing == ReplicaPhase::Over && self.policy.start == StartMode::OnDemand {
            // The next call starts it again.
            let mut actions = self.leave_if(|member| member.number == number);
            self.asked = self.members.iter().any(|member| !member.leaving);
            actions.extend(self.settle());
            return actions;
        }
        self.settle()
    }

    /// Removes a replica that has ended, whether or not it was asked to.
    pub(super) fn gone(&mut self, number: u64) -> Vec<Action> {
        self.members.retain(|member| member.number != number);
        self.settle()
    }

    /// Notes that the server is asked for.
    pub(super) fn demand(&mut self) -> Vec<Action> {
        self.asked = true;
        self.idle_since = None;
        self.settle()
    }

    /// Ends all replicas; the next demand makes others.
    pub(super) fn rest(&mut self) -> Vec<Action> {
        self.asked = false;
        self.settle()
    }

    /// Ends all replicas and makes no further ones, whoever asks for the server, until it is started.
    pub(super) fn stop(&mut self) -> Vec<Action> {
        self.stopped = true;
        self.settle()
    }

    /// Ends the effect of [`Fleet::stop`]; one that is `asked` for is started at once, and what waits for its next start
    /// tries now.
    pub(super) fn start(&mut self, asked: bool) -> Vec<Action> {
        self.resume();
        self.asked |= asked;
        self.idle_since = None;
        let mut actions = self.retries();
        actions.extend(self.settle());
        actions
    }

    /// Ends the effect of [`Fleet::stop`], for what comes next.
    pub(super) fn resume(&mut self) {
        self.stopped = false;
    }

    /// Reports whether an operator has stopped the server.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Ends all replicas and makes no further ones.
    pub(super) fn close(&mut self) -> Vec<Action> {
        self.enabled = false;
        self.settle()
    }

    /// Returns the interval at which [`Fleet::look`] should be called; `None` while nothing depends on it.
    pub(super) fn look_every(&self) -> Option<Duration> {
        let scales = self.policy.replicas.min < self.policy.replicas.max;
        let idles = self.policy.idle_stop > Duration::ZERO;
        if !self.is_wanted() || !(scales || idles) {
            return None;
        }
        let idle = self.policy.idle_stop / 4;
        let idle = idle.clamp(Duration::from_millis(50), Duration::from_secs(10));
        Some(match (scales, idles) {
            (true, true) => idle.min(SCALE_EVERY),
            (true, false) => SCALE_EVERY,
            (false, _) => idle,
        })
    }

    /// Looks at the load: an idle server stops, a busy one grows, one with spare replicas shrinks.
    pub(super) fn look(&mut self, load: Load, now: Instant) -> Vec<Action> {
        let used = load.admitted != self.seen || load.in_flight > 0 || load.queued > 0;
        self.seen = load.admitted;
        if self.is_idle(used, now) {
            self.asked = false;
            return self.settle();
        }
        self.scale(load, now);
        self.settle()
    }

    fn is_idle(&mut self, used: bool, now: Instant) -> bool {
        let limit = self.policy.idle_stop;
        if used || limit.is_zero() || !self.asked {
            self.idle_since = None;
            return false;
        }
        now.duration_since(*self.idle_since.get_or_insert(now)) >= limit
    }

    fn scale(&mut self, load: Load, now: Instant) {
        let places = self.policy.max_in_flight;
        let serving = self.members.iter().filter(|member| self.is_current(member)).count();
        let all_serve = serving == self.target
            && self
                .members
                .iter()
                .all(|member| !self.is_current(member) || member.doing == ReplicaPhase::Serving);
        let busy = all_serve && (load.queued > 0 || load.in_flight >= places.saturating_mul(serving));
        let slack = load.queued == 0
            && load.in_flight.saturating_mul(2) <= places.saturating_mul(self.target.saturating_sub(1));
        if lasts(&mut self.busy_since, busy, BUSY_FOR, now) && self.target < self.policy.replicas.max {
            self.target += 1;
        }
        if lasts(&mut self.slack_since, slack, SLACK_FOR, now) && self.target > self.policy.replicas.min {
            self.target -= 1;
        }
    }

    /// Reports whether the server should have children now.
    pub(super) fn is_wanted(&self) -> bool {
        self.enabled && self.asked && !self.stopped
    }

    /// Reports whether the definition is to run at all.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Reports whether no replica is left.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the generation of the replicas that are made now.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    fn is_current(&self, member: &ReplicaEntry) -> bool {
        member.generation == self.generation && !member.leaving
    }

    /// Brings the replicas to the wanted state, as far as that is possible now.
    fn settle(&mut self) -> Vec<Action> {
        if !self.is_wanted() {
            self.target = self.policy.replicas.min;
            self.replacing = false;
            return self.leave_if(|_| true);
        }
        let generation = self.generation;
        let stop_first = self.policy.update == UpdateMode::StopFirst;
        let mut actions = self.leave_if(|member| stop_first && member.generation != generation);
        actions.extend(self.fill());
        let current = self.members.iter().filter(|member| self.is_current(member)).count();
        for _ in self.target..current {
            actions.extend(self.leave_worst(|member| member.generation == generation));
        }
        let serving = self
            .members
            .iter()
            .filter(|member| self.is_current(member) && member.doing == ReplicaPhase::Serving)
            .count();
        let old = self.members.iter().filter(|member| member.generation != generation && !member.leaving);
        for _ in self.target.saturating_sub(serving)..old.count() {
            actions.extend(self.leave_worst(|member| member.generation != generation));
        }
        self.replacing &= serving < self.target;
        actions
    }

    /// Adds replicas of the current generation until there are enough.
    fn fill(&mut self) -> Vec<Action> {
        let old = self.members.iter().any(|member| member.generation != self.generation);
        if old && self.policy.update == UpdateMode::StopFirst {
            return Vec::new();
        }
        let current = self.members.iter().filter(|member| self.is_current(member)).count();
        (current..self.target)
            .map(|_| {
                let number = self.next;
                self.next += 1;
                let member = ReplicaEntry {
                    number,
                    generation: self.generation,
                    doing: ReplicaPhase::Coming,
                    leaving: false,
                };
                self.members.push(member);
                Action::Add { number, replaces: self.replacing }
            })
            .collect()
    }

    /// Makes one of the matching replicas leave: one that does not serve, otherwise the newest.
    fn leave_worst(&mut self, of: impl Fn(&ReplicaEntry) -> bool) -> Option<Action> {
        let candidates = self.members.iter_mut().filter(|member| !member.leaving && of(member));
        let worst = candidates.max_by_key(|member| (member.doing != ReplicaPhase::Serving, member.number))?;
        worst.leaving = true;
        Some(Action::Leave { number: worst.number })
    }

    fn leave_if(&mut self, of: impl Fn(&ReplicaEntry) -> bool) -> Vec<Action> {
        let leaving = self.members.iter_mut().filter(|member| !member.leaving && of(member));
        leaving
            .map(|member| {
                member.leaving = true;
                Action::Leave { number: member.number }
            })
            .collect()
    }
}

/// Reports whether a condition has held for at least `long`. The time counts anew from then.
fn lasts(since: &mut Option<Instant>, is_so: bool, long: Duration, now: Instant) -> bool {
    if !is_so {
        *since = None;
        return false;
    }
    let lasts = now.duration_since(*since.get_or_insert(now)) >= long;
    if lasts {
        *since = Some(now);
    }
    lasts
}

#[cfg(test)]
mod tests;
