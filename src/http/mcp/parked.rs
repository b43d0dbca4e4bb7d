//! Requests whose servers wait for input of a modern client: each is put aside until the client asks again with the state
//! that it was given (spec 2026-07-28, basic/patterns/mrtr). The state is a secret that nobody can guess, is good once, for
//! one principal, one server and one request, and for a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::running::{Asking, Running};
use crate::gateway::{ClientPort, Disposition, Principal, PushedRequest};
use crate::mcp::translate::{Members, Question, asked, is_accepted, of_next_hop};
use crate::mcp::{Answer, ToolDigest};
use crate::text::hex;

/// Time that a client has to answer.
const TTL: Duration = Duration::from_secs(270);
/// Maximum number of requests that wait altogether.
const MAX_PARKED: usize = 4096;
/// Maximum number of requests of one principal that wait.
const MAX_OF_ONE: usize = 64;
/// Beginning of a state that was made here, before digits of this process. States of servers go through as they are, those
/// of another gateway behind this one included.
const PREFIX: &str = "mcpvisor.";
/// Random bytes of a state.
const STATE_BYTES: usize = 32;

/// What a state is bound to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    /// Id of the member that the client calls as.
    pub(super) principal: Arc<str>,
    /// Id of the server.
    pub(super) server: Arc<str>,
    /// Method of the request.
    pub(super) method: &'static str,
    /// Digest of the `params` without `_meta` and without the answers, in whatever order they are written.
    pub(super) params: ToolDigest,
}

/// A request that waits, with its questions.
pub(super) struct Parked {
    pub(super) running: Running,
    /// Who began it.
    pub(super) caller: Principal,
    /// Questions that were asked and are not answered, by their keys.
    pub(super) questions: Vec<(String, Asking)>,
    /// Number of questions asked so far.
    pub(super) asked: usize,
    /// Answers to what has to be agreed to before the request is made again; none for one that goes on in its server.
    before_again: Vec<oneshot::Receiver<Answer>>,
    /// `true` if something could not be asked that has to be agreed to.
    lacks_consent: bool,
}

/// What becomes of a request that is to be made again once all that was asked is agreed to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// All was agreed to.
    Make,
    /// Something was not.
    GiveUp,
}

impl Parked {
    /// Begins to ask for a request.
    pub(super) fn new(running: Running, caller: Principal) -> Parked {
        Parked {
            running,
            caller,
            questions: Vec::new(),
            asked: 0,
            before_again: Vec::new(),
            lacks_consent: false,
        }
    }

    /// Asks, after the end of the request, for what the server wants agreed to before it is made again.
    pub(super) fn ask_before_again(&mut self, elicitations: Vec<Bytes>) {
        self.running.answer = Box::pin(std::future::pending());
        for params in elicitations {
            let request = PushedRequest { method: asked::ELICIT.to_owned(), params: Some(params) };
            match self.running.port.on_request(request) {
                Disposition::Park(answer) => self.before_again.push(answer),
                // What the client does not support ends the request, as the port tells; of more than it takes at once it
                // is not asked, and so has not agreed.
                Disposition::Answer(_) => self.lacks_consent = true,
            }
        }
    }

    /// Returns what becomes of such a request; `None` as long as answers are missing, and for others.
    pub(super) fn again(&mut self) -> Option<Again> {
        if self.before_again.is_empty() || !self.questions.is_empty() {
            return None;
        }
        let is_agreed = |answer: &mut oneshot::Receiver<Answer>| match answer.try_recv() {
            Ok(Answer::Result(result)) => is_accepted(&result),
            _ => false,
        };
        match !self.lacks_consent && self.before_again.iter_mut().all(is_agreed) {
            true => Some(Again::Make),
            false => Some(Again::GiveUp),
        }
    }

    /// Adds what the server asks. Each question gets a key that this request has not had.
    pub(super) fn ask(&mut self, asking: Vec<Asking>) {
        for one in asking {
            self.asked += 1;
            let kind = match one.method.as_str() {
                asked::ELICIT => "elicitation",
                asked::SAMPLE => "sampling",
                asked::ROOTS => "roots",
                _ => "request",
            };
            self.questions.push((format!("{kind}-{}", self.asked), one));
        }
        // Questions that the server has taken back need no answer.
        self.questions.retain(|(_, one)| !one.answer.is_closed());
        self.running.port.set_unanswered(self.questions.len());
    }

    /// Returns the questions for the client.
    pub(super) fn questions(&self) -> Vec<Question> {
        let question = |(key, one): &(String, Asking)| {
            let params = one.params.as_deref().and_then(|params| std::str::from_utf8(params).ok());
            let params = params.map(|params| of_next_hop(params, true));
            Question { key: key.clone(), method: one.method.clone(), params }
        };
        self.questions.iter().map(question).collect()
    }

    /// Hands the client's answers to the server. Answers to what was not asked are ignored.
    pub(super) fn answer(&mut self, responses: &Members<'_>) {
        let waiting = std::mem::take(&mut self.questions);
        for (key, one) in waiting {
            match responses.get(&key) {
                Some(response) => {
                    let result = Bytes::copy_from_slice(response.get().as_bytes());
                    let _ = one.answer.send(Answer::Result(result));
                }
                None => self.questions.push((key, one)),
            }
        }
        self.running.port.set_unanswered(self.questions.len());
    }
}

/// The requests that wait. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct ParkedRequests(Arc<Mutex<HashMap<String, Waiting>>>);

/// A request that waits, what its state is bound to, and the task that ends its time.
struct Waiting {
    bound: Bound,
    parked: Parked,
    end: AbortHandle,
}

/// Refusal to let a further request wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl ParkedRequests {
    fn table(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports whether a state was made here, as it seems.
    pub(super) fn is_own(state: &str) -> bool {
        state.starts_with(own_prefix())
    }

    /// Puts a request aside and returns its state. When its time is over, it is dropped and so cancelled.
    pub(super) fn put(&self, bound: Bound, parked: Parked) -> Result<String, TooMany> {
        let state = new_state().ok_or(TooMany)?;
        let mut table = self.table();
        let of_this = table.values().filter(|other| other.bound.principal == bound.principal).count();
        if table.len() >= MAX_PARKED || of_this >= MAX_OF_ONE {
            return Err(TooMany);
        }
        let (requests, expired) = (Arc::downgrade(&self.0), state.clone());
        let end = tokio::spawn(async move {
            tokio::time::sleep(TTL).await;
            if let Some(requests) = requests.upgrade() {
                let late = requests.lock().unwrap_or_else(PoisonError::into_inner).remove(&expired);
                drop(late);
            }
        });
        table.insert(state.clone(), Waiting { bound, parked, end: end.abort_handle() });
        Ok(state)
    }

    /// Takes the request with this state. `None` if there is none, or if the state is bound to something else, which leaves
    /// it where it is: who guesses must not end it.
    pub(super) fn take(&self, state: &str, bound: &Bound) -> Option<Parked> {
        let mut table = self.table();
        if table.get(state).is_none_or(|known| known.bound != *bound) {
            return None;
        }
        let waiting = table.remove(state)?;
        waiting.end.abort();
        Some(waiting.parked)
    }
}

fn new_state() -> Option<String> {
    let mut random = [0u8; STATE_BYTES];
    getrandom::fill(&mut random).ok()?;
    Some(format!("{}{}", own_prefix(), hex(&random)))
}

/// Returns the beginning of the states of this process.
fn own_prefix() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let mut random = [0u8; 4];
        // Without random bytes no state is made either.
        let _ = getrandom::fill(&mut random);
        format!("{PREFIX}{}.", hex(&random))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::KeyRing;
    use crate::http::mcp::running::ModernPort;
    use crate::mcp::translate::Abilities;
    use serde_json::{Value, json, value::to_raw_value};

    fn bound(principal: &str, params: Value) -> Bound {
        let params = ToolDigest::of(&to_raw_value(&params).expect("JSON"));
        Bound { principal: principal.into(), server: "mcp_1".into(), method: "tools/call", params }
    }

    fn asking(method: &str) -> (Parked, Vec<tokio::sync::oneshot::Receiver<Answer>>) {
        let port =
            ModernPort::new(1, "p".into(), Abilities { form: true, sampling: true, ..Abilities::default() });
        let mut answers = Vec::new();
        for _ in 0..2 {
            let request = PushedRequest { method: method.to_owned(), params: Some("{\"a\":1}".into()) };
            let Disposition::Park(answer) = port.on_request(request) else { panic!("parked") };
            answers.push(answer);
        }
        let running = Running { answer: Box::pin(std::future::pending()), events: None, port };
        let mut parked = Parked::new(running, KeyRing::default().local_operator());
        let asked = parked.running.take_asked();
        parked.ask(asked);
        (parked, answers)
    }

    #[tokio::test]
    async fn a_state_is_good_once_and_only_for_what_it_was_given_for() {
        let requests = ParkedRequests::default();
        let arguments = json!({"name": "t", "arguments": {"x": 1, "y": 2}});
        let mine = bound("a", arguments.clone());
        let state = requests.put(mine.clone(), asking(asked::ELICIT).0).expect("room");
        assert!(ParkedRequests::is_own(&state) && !ParkedRequests::is_own("mcpvisor.00000000.00"));
        assert!(requests.take(&state, &bound("b", arguments)).is_none(), "another principal");
        assert!(requests.take(&state, &bound("a", json!({"name": "t"}))).is_none(), "another request");
        assert!(requests.take("mcpvisor.00", &mine).is_none());
        let reordered = bound("a", json!({"arguments": {"y": 2, "x": 1}, "name": "t"}));
        assert!(requests.take(&state, &reordered).is_some());
        assert!(requests.take(&state, &mine).is_none(), "it was used");
    }

    #[tokio::test]
    async fn answers_reach_the_questions_of_their_keys_and_the_rest_stays_open() {
        let (mut parked, mut answers) = asking(asked::SAMPLE);
        let keys: Vec<String> = parked.questions().into_iter().map(|question| question.key).collect();
        assert_eq!(keys, ["sampling-1", "sampling-2"]);
        let responses = r#"{"sampling-2":{"role":"assistant"},"other":{}}"#;
        parked.answer(&Members::read(responses).expect("an object"));
        let second = answers.pop().expect("two").await;
        assert_eq!(second.ok(), Some(Answer::Result("{\"role\":\"assistant\"}".into())));
        assert_eq!(parked.questions().len(), 1);
        drop(answers);
        parked.ask(Vec::new());
        assert!(parked.questions().is_empty(), "what the server took back is not asked again");
    }

    #[tokio::test]
    async fn a_request_is_made_again_once_all_addresses_were_agreed_to() {
        let address = || Bytes::from(r#"{"mode":"url","url":"https://a.example/"}"#);
        for (second, verdict) in [("accept", Again::Make), ("cancel", Again::GiveUp)] {
            let port = ModernPort::new(1, "p".into(), Abilities { url: true, ..Abilities::default() });
            let running = Running { answer: Box::pin(std::future::pending()), events: None, port };
            let mut parked = Parked::new(running, KeyRing::default().local_operator());
            assert_eq!(parked.again(), None, "nothing was asked");
            parked.ask_before_again(vec![address(), address()]);
            let asked = parked.running.take_asked();
            parked.ask(asked);
            let answer = |key: &str, action: &str| format!(r#"{{"{key}":{{"action":"{action}"}}}}"#);
            parked.answer(&Members::read(&answer("elicitation-1", "accept")).expect("an object"));
            assert_eq!(parked.again(), None, "one answer is missing");
            parked.answer(&Members::read(&answer("elicitation-2", second)).expect("an object"));
            assert_eq!(parked.again(), Some(verdict));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_client_does_not_come_back_is_given_up_in_time() {
        let requests = ParkedRequests::default();
        let (parked, mut answers) = asking(asked::ELICIT);
        requests.put(bound("a", json!({})), parked).expect("room");
        tokio::time::sleep(TTL + Duration::from_secs(1)).await;
        assert!(requests.table().is_empty());
        assert!(answers.pop().expect("two").await.is_err(), "the server is told that the client has gone");
    }

    #[tokio::test]
    async fn one_principal_cannot_fill_the_table() {
        let requests = ParkedRequests::default();
        for _ in 0..MAX_OF_ONE {
            requests.put(bound("a", json!({})), asking(asked::ELICIT).0).expect("room");
        }
        assert_eq!(requests.put(bound("a", json!({})), asking(asked::ELICIT).0).err(), Some(TooMany));
        assert!(requests.put(bound("b", json!({})), asking(asked::ELICIT).0).is_ok());
    }
}
