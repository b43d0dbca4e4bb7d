//! Requests of the client that have no answer yet: each gets exactly one, unless the client cancels it. Pure.

use std::collections::HashMap;

/// Maximum number of requests of a client without an answer, those that wait for their turn included.
pub(super) const MAX_OPEN: usize = 1024;
/// Maximum number of questions of the server that wait for the client.
const MAX_QUESTIONS: usize = 256;

/// Reason that a request is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// One with the same id has no answer yet.
    SameId,
    /// There are as many as there may be.
    Full,
}

/// Number of a request, which no other has, unlike its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
struct Open<T> {
    ticket: Ticket,
    /// Whatever belongs to the request, for who cancels it.
    kept: T,
}

/// The requests by their ids, raw JSON, and the questions that came with their answers.
#[derive(Debug)]
pub(super) struct PendingRequests<T> {
    open: HashMap<String, Open<T>>,
    /// Ids of the server's questions, raw JSON, each with the request that it came with.
    questions: HashMap<String, Ticket>,
    next: u64,
}

impl<T> Default for PendingRequests<T> {
    fn default() -> PendingRequests<T> {
        PendingRequests { open: HashMap::new(), questions: HashMap::new(), next: 0 }
    }
}

impl<T> PendingRequests<T> {
    /// Begins a request. `kept` makes what belongs to it.
    pub(super) fn begin(&mut self, id: &str, kept: impl FnOnce(Ticket) -> T) -> Result<(), Refusal> {
        if self.open.contains_key(id) {
            return Err(Refusal::SameId);
        }
        if self.open.len() >= MAX_OPEN {
            return Err(Refusal::Full);
        }
        self.next += 1;
        let ticket = Ticket(self.next);
        self.open.insert(id.to_owned(), Open { ticket, kept: kept(ticket) });
        Ok(())
    }

    /// Ends a request with its answer. `false` if it has had one or was cancelled: nothing more is told then.
    pub(super) fn answer(&mut self, id: &str, ticket: Ticket) -> bool {
        let is_open = self.is_open(id, ticket);
        if is_open {
            self.open.remove(id);
        }
        is_open
    }

    /// Reports whether a request still waits for its answer.
    pub(super) fn is_open(&self, id: &str, ticket: Ticket) -> bool {
        self.open.get(id).is_some_and(|open| open.ticket == ticket)
    }

    /// Returns what belongs to the request with this id. `None` if there is none.
    pub(super) fn kept(&self, id: &str) -> Option<&T> {
        self.open.get(id).map(|open| &open.kept)
    }

    /// Cancels the request with this id, and returns what belongs to it. `None` if there is none.
    pub(super) fn cancel(&mut self, id: &str) -> Option<T> {
        self.open.remove(id).map(|open| open.kept)
    }

    /// Takes out all that have no answer, with their ids.
    pub(super) fn give_up(&mut self) -> Vec<(String, T)> {
        self.open.drain().map(|(id, open)| (id, open.kept)).collect()
    }

    /// Notes a question that came with the answer of a request. Beyond 256 they are not noted.
    pub(super) fn asked(&mut self, question: &str, ticket: Ticket) {
        if self.questions.len() < MAX_QUESTIONS {
            self.questions.insert(question.to_owned(), ticket);
        }
    }

    /// Notes that the client has answered a question.
    pub(super) fn told(&mut self, question: &str) {
        self.questions.remove(question);
    }

    /// Takes out the questions of a request that nobody waits for any more.
    pub(super) fn orphaned(&mut self, ticket: Ticket) -> Vec<String> {
        let orphans: Vec<String> =
            self.questions.iter().filter(|(_, of)| **of == ticket).map(|(id, _)| id.clone()).collect();
        orphans.iter().for_each(|id| self.told(id));
        orphans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Begin {
            id: u8,
        },
        /// The answer to the request that was begun as this one, whether or not it is open.
        Answer {
            at: usize,
        },
        Cancel {
            id: u8,
        },
        GiveUp,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u8..6).prop_map(|id| Step::Begin { id }),
            5 => (0usize..40).prop_map(|at| Step::Answer { at }),
            2 => (0u8..6).prop_map(|id| Step::Cancel { id }),
            1 => Just(Step::GiveUp),
        ]
    }

    /// What became of a request.
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    struct Fate {
        answers: usize,
        cancelled: bool,
    }

    proptest! {
        #[test]
        fn every_request_gets_exactly_one_answer_or_is_cancelled(steps in prop::collection::vec(step(), 0..120)) {
            let mut pending = PendingRequests::default();
            let mut begun: Vec<(String, Ticket)> = Vec::new();
            let mut fates: Vec<Fate> = Vec::new();
            let open = |fates: &[Fate], begun: &[(String, Ticket)], id: &str| {
                begun.iter().zip(fates).position(|((of, _), fate)| of == id && *fate == Fate::default())
            };
            for step in steps {
                match step {
                    Step::Begin { id } => {
                        let id = id.to_string();
                        let was_open = open(&fates, &begun, &id).is_some();
                        match pending.begin(&id, |ticket| ticket) {
                            Ok(()) => {
                                prop_assert!(!was_open);
                                let ticket = Ticket(pending.next);
                                begun.push((id, ticket));
                                fates.push(Fate::default());
                            }
                            // It is refused, which is its one answer.
                            Err(refusal) => prop_assert!(was_open && refusal == Refusal::SameId),
                        }
                    }
                    Step::Answer { at } => {
                        let Some((id, ticket)) = begun.get(at) else { continue };
                        let is_first = fates[at] == Fate::default();
                        prop_assert_eq!(pending.answer(id, *ticket), is_first);
                        fates[at].answers += usize::from(is_first);
                    }
                    Step::Cancel { id } => {
                        let id = id.to_string();
                        let at = open(&fates, &begun, &id);
                        let ticket = pending.cancel(&id);
                        prop_assert_eq!(ticket, at.map(|at| begun[at].1));
                        at.into_iter().for_each(|at| fates[at].cancelled = true);
                    }
                    Step::GiveUp => {
                        for (id, _) in pending.give_up() {
                            let at = open(&fates, &begun, &id).expect("only what is open is given up");
                            fates[at].answers += 1;
                        }
                    }
                }
                let waiting = fates.iter().filter(|fate| **fate == Fate::default()).count();
                prop_assert_eq!(pending.open.len(), waiting);
            }
            for (id, _) in pending.give_up() {
                let at = open(&fates, &begun, &id).expect("only what is open is given up");
                fates[at].answers += 1;
            }
            prop_assert!(fates.iter().all(|fate| fate.answers + usize::from(fate.cancelled) == 1), "{fates:?}");
        }
    }

    #[test]
    fn there_is_an_end_to_the_number_of_requests() {
        let mut pending = PendingRequests::default();
        for id in 0..MAX_OPEN {
            pending.begin(&id.to_string(), |_| ()).expect("room");
        }
        assert_eq!(pending.begin("x", |_| ()), Err(Refusal::Full));
        assert_eq!(pending.cancel("0"), Some(()));
        assert_eq!(pending.begin("x", |_| ()), Ok(()));
    }

    #[test]
    fn questions_of_a_request_that_broke_off_are_taken_back_once() {
        let mut pending = PendingRequests::<()>::default();
        let (one, two) = (Ticket(1), Ticket(2));
        for (question, ticket) in [("7", one), ("8", one), ("9", two)] {
            pending.asked(question, ticket);
        }
        pending.told("8");
        assert_eq!(pending.orphaned(one), ["7"]);
        assert!(pending.orphaned(one).is_empty());
        assert_eq!(pending.orphaned(two), ["9"]);
    }
}
