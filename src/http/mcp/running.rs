//! A request of a modern client that is under way: its answer, its events, and what the server asks meanwhile. It can be
//! put aside between two requests of the client, and goes on where it was.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::gateway::{ClientPort, Disposition, Error, Event, PushedRequest, Relayed};
use crate::mcp::Answer;
use crate::mcp::translate::{Abilities, Members, asked};

/// Maximum number of questions that may wait at once for one request.
const MAX_ASKED: usize = 16;

/// Answer of the gateway that is on its way.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Relayed, Error>> + Send>>;

/// Question of a server that waits for the client's answer.
#[derive(Debug)]
pub(super) struct Asking {
    /// Method of the question.
    pub(super) method: String,
    /// Its `params`, raw JSON; `None` if there are none.
    pub(super) params: Option<Bytes>,
    /// Place for the answer.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Port of a client that is asked by the answer to its request.
pub(super) struct ModernPort {
    client: u64,
    principal: Arc<str>,
    abilities: Abilities,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    waiting: Vec<Asking>,
    /// Number of questions that the client was asked and that are not answered.
    unanswered: usize,
    /// Capabilities that a question needed and the client lacks, as JSON.
    lacking: Option<&'static str>,
    /// Wakes who waits for any of it.
    waker: Option<Waker>,
}

impl Asked {
    fn has_arrived(&self) -> bool {
        !self.waiting.is_empty() || self.lacking.is_some()
    }
}

impl ModernPort {
    /// Creates the port of a client with this number, which no other request has, and which calls as this principal.
    pub(super) fn new(client: u64, principal: Arc<str>, abilities: Abilities) -> Arc<ModernPort> {
        Arc::new(ModernPort { client, principal, abilities, asked: Mutex::default() })
    }

    /// Notes how many questions the client has not answered.
    pub(super) fn set_unanswered(&self, count: usize) {
        self.asked().unanswered = count;
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something was asked, for one at a time. Cancel safe.
    async fn arrival(&self) {
        poll_fn(|context| {
            let mut asked = self.asked();
            if asked.has_arrived() {
                return Poll::Ready(());
            }
            match &mut asked.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Wakes who waits for what was asked.
    fn wake(mut asked: MutexGuard<'_, Asked>) {
        let waker = asked.waker.take();
        drop(asked);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl ClientPort for ModernPort {
    fn client(&self) -> u64 {
        self.client
    }

    fn principal(&self) -> &Arc<str> {
        &self.principal
    }

    fn is_awaited(&self) -> bool {
        let asked = self.asked();
        asked.unanswered > 0 && asked.waiting.is_empty()
    }

    fn on_request(&self, request: PushedRequest) -> Disposition {
        let params = request.params.as_deref().and_then(|params| std::str::from_utf8(params).ok());
        let members = params.and_then(Members::read);
        let mut asked = self.asked();
        if let Some(lacking) = self.abilities.lacks(&request.method, members.as_ref()) {
            // No server is told that there are roots. One that asks all the same has its own, and needs no error.
            if request.method == asked::ROOTS {
                return Disposition::Answer(Answer::Result(Bytes::from_static(b"{\"roots\":[]}")));
            }
            if lacking != "{}" {
                asked.lacking = Some(lacking);
                ModernPort::wake(asked);
            }
            let text = format!("this client does not support {}", request.method);
            return Disposition::Answer(Answer::Error(-32601, text.into()));
        }
        if asked.waiting.len() == MAX_ASKED {
            let text = "too many questions wait for this client";
            return Disposition::Answer(Answer::Error(-32603, text.into()));
        }
        let (answer, answered) = oneshot::channel();
        asked.waiting.push(Asking { method: request.method, params: request.params, answer });
        ModernPort::wake(asked);
        Disposition::Park(answered)
    }
}

/// A request under way.
pub(super) struct Running {
    pub(super) answer: Answering,
    /// Receiver of the events; `None` if the client wants none.
    pub(super) events: Option<mpsc::Receiver<Event>>,
    pub(super) port: Arc<ModernPort>,
}

/// What comes next of a request.
pub(super) enum Step {
    /// The server reports something.
    Event(Event),
    /// The server asks something: see [`Running::take_asked`].
    Asked,
    /// The server asked something that the client has not declared; the JSON names the capabilities.
    Lacking(&'static str),
    /// The request is over.
    Over(Result<Relayed, Error>),
}

impl Running {
    /// Waits for what comes next. Events come in their order and before the answer. Cancel safe.
    pub(super) async fn step(&mut self) -> Step {
        let Running { answer, events, port } = self;
        let event = async {
            match events {
                Some(events) => events.recv().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            Some(event) = event => Step::Event(event),
            () = port.arrival() => match port.asked().lacking.take() {
                Some(lacking) => Step::Lacking(lacking),
                None => Step::Asked,
            },
            over = answer => Step::Over(over),
        }
    }

    /// Takes what was asked and is not answered.
    pub(super) fn take_asked(&self) -> Vec<Asking> {
        std::mem::take(&mut self.port.asked().waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str) -> PushedRequest {
        PushedRequest { method: method.to_owned(), params: None }
    }

    fn running(port: &Arc<ModernPort>, events: Option<mpsc::Receiver<Event>>) -> Running {
        Running { answer: Box::pin(async { Ok(Ok(Bytes::from_static(b"{}"))) }), events, port: port.clone() }
    }

    #[tokio::test]
    async fn events_and_questions_come_before_the_answer() {
        let port = ModernPort::new(1, "p".into(), Abilities { form: true, ..Abilities::default() });
        let (events, received) = mpsc::channel(4);
        let mut running = running(&port, Some(received));
        events.try_send(Event::Progress("1".into())).expect("room");
        let Disposition::Park(answered) = port.on_request(request(asked::ELICIT)) else { panic!("parked") };
        assert!(matches!(running.step().await, Step::Event(_)));
        assert!(matches!(running.step().await, Step::Asked));
        let asked = running.take_asked();
        drop(events);
        assert!(asked.len() == 1 && matches!(running.step().await, Step::Over(Ok(Ok(_)))));
        drop(asked);
        assert!(answered.await.is_err(), "the child is told that the client has gone");
    }

    #[tokio::test]
    async fn a_question_that_the_client_cannot_answer_is_told_with_the_capability() {
        let port = ModernPort::new(1, "p".into(), Abilities::default());
        let mut running = running(&port, None);
        let refused = port.on_request(request(asked::SAMPLE));
        assert!(matches!(refused, Disposition::Answer(Answer::Error(-32601, _))));
        assert!(matches!(running.step().await, Step::Lacking(r#"{"sampling":{}}"#)));
        let roots = port.on_request(request(asked::ROOTS));
        assert!(matches!(roots, Disposition::Answer(Answer::Result(_))));
        assert!(matches!(running.step().await, Step::Over(_)));
    }

    #[tokio::test]
    async fn questions_beyond_the_bound_are_refused() {
        let port = ModernPort::new(1, "p".into(), Abilities { form: true, ..Abilities::default() });
        let parked: Vec<Disposition> =
            (0..=MAX_ASKED).map(|_| port.on_request(request(asked::ELICIT))).collect();
        let refused = parked.iter().filter(|one| matches!(one, Disposition::Answer(_))).count();
        assert_eq!(refused, 1);
    }
}
