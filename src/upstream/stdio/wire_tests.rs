//! The calls task against a child that a test plays, over pipes in memory.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use super::wire::{self, WireConfig};
use crate::mcp::{Answer, Era};
use crate::upstream::call::{Call, Link, Outcome};
use crate::upstream::counters::Counters;
use crate::upstream::exchange::{ClientPort, Disposition, Event, Exchange, PushedRequest, Sharing};
use crate::upstream::log::ServerLog;
use crate::upstream::notices::{Notices, NoticesOfAll, Notification};
use crate::upstream::pending::Limits;
use crate::upstream::probe::Activity;
use crate::upstream::pushed::Announcer;
use crate::upstream::refresh::ListChanges;

/// A child that the test plays.
struct Played {
    link: Link,
    requests: Lines<BufReader<DuplexStream>>,
    answers: DuplexStream,
    notices: broadcast::Receiver<Notification>,
    lists_changed: Arc<ListChanges>,
}

impl Played {
    fn new() -> Played {
        let (stdin, its_stdin) = tokio::io::duplex(1 << 20);
        let (its_stdout, stdout) = tokio::io::duplex(1 << 20);
        let (calls, calls_in) = mpsc::channel(16);
        let (control, control_in) = mpsc::channel(4);
        let sender = Notices::new("s".into(), NoticesOfAll::default());
        let notices = sender.subscribe();
        let (abandoned, lists_changed) = (Arc::new(Notify::new()), Arc::<ListChanges>::default());
        let config = WireConfig {
            server: "played".into(),
            calls: calls_in,
            abandoned: abandoned.clone(),
            control: control_in,
            announcer: Announcer {
                notices: sender,
                lists_changed: lists_changed.clone(),
                counters: Arc::new(Counters::default()),
                log: ServerLog::default(),
                incarnation: 7,
                sharing: Sharing::All,
            },
            activity: Activity::new(),
            max_frame: 1 << 20,
        };
        tokio::spawn(async move {
            let _control = control;
            wire::run(stdout, stdin, |_| None, config).await
        });
        let link = Link::new(calls, abandoned, 7, Era::Legacy, Bytes::new());
        Played {
            link,
            requests: BufReader::new(its_stdin).lines(),
            answers: its_stdout,
            notices,
            lists_changed,
        }
    }

    /// Makes a call and returns its outcome to come, with the id that the child sees.
    async fn call(&mut self, exchange: Option<Exchange>) -> (tokio::task::JoinHandle<Outcome>, u64) {
        let far = Instant::now() + Duration::from_secs(60);
        let limits = Limits { first: far, idle: Duration::from_secs(60), hard: far };
        let call = Call {
            progress: true,
            exchange: exchange.map(Arc::new),
            ..Call::new("tools/call", Bytes::from_static(b"\"name\":\"t\""))
        };
        let link = self.link.clone();
        let outcome = tokio::spawn(async move { link.call(call, limits).await });
        let request = self.heard().await;
        (outcome, request["id"].as_u64().expect("an id"))
    }

    async fn heard(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(10), self.requests.next_line()).await;
        let line = line.expect("in time").expect("readable").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    async fn says(&mut self, message: Value) {
        self.answers.write_all(format!("{message}\n").as_bytes()).await.expect("the gateway reads");
    }

    async fn answers(&mut self, id: u64) {
        self.says(json!({"jsonrpc": "2.0", "id": id, "result": {}})).await;
    }
}

/// A client that is asked and answers when the test says so.
#[derive(Default)]
struct Asked {
    client: u64,
    questions: Mutex<Vec<(PushedRequest, oneshot::Sender<Answer>)>>,
    came: Notify,
}

impl ClientPort for Asked {
    fn principal(&self) -> &Arc<str> {
        static PRINCIPALS: std::sync::LazyLock<[Arc<str>; 3]> =
            std::sync::LazyLock::new(|| ["a".into(), "b".into(), "c".into()]);
        &PRINCIPALS[self.client as usize % 3]
    }

    fn client(&self) -> u64 {
        self.client
    }

    fn on_request(&self, request: PushedRequest) -> Disposition {
        let (answer, waits) = oneshot::channel();
        self.questions.lock().expect("not poisoned").push((request, answer));
        self.came.notify_one();
        Disposition::Park(waits)
    }
}

impl Asked {
    async fn question(&self) -> (PushedRequest, oneshot::Sender<Answer>) {
        loop {
            if let Some(question) = self.questions.lock().expect("not poisoned").pop() {
                return question;
            }
            self.came.notified().await;
        }
    }
}

fn asks(client: u64) -> (Arc<Asked>, Exchange) {
    let asked = Arc::new(Asked { client, ..Asked::default() });
    let exchange = Exchange::default().answered_by(asked.clone());
    (asked, exchange)
}

#[tokio::test]
async fn progress_goes_to_the_caller_of_its_request_as_it_was_written() {
    let mut child = Played::new();
    let (exchange, mut events) = Exchange::with_events(false);
    let (quiet, first) = child.call(None).await;
    let (told, second) = child.call(Some(exchange)).await;
    for id in [first, second, 999] {
        let progress = json!({"progressToken": id, "progress": 0.5, "message": "half", "x": [1]});
        child.says(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})).await;
    }
    child.answers(second).await;
    child.answers(first).await;
    assert!(matches!(told.await, Ok(Outcome::Result(_))) && matches!(quiet.await, Ok(Outcome::Result(_))));
    let Some(Event::Progress(params)) = events.recv().await else { panic!("no progress") };
    let params: Value = serde_json::from_slice(&params).expect("JSON");
    assert_eq!(params, json!({"progressToken": second, "progress": 0.5, "message": "half", "x": [1]}));
    assert_eq!(events.recv().await, None, "the events end with the request");
}

#[tokio::test]
async fn a_log_message_goes_to_the_only_caller_that_it_can_be_for() {
    let mut child = Played::new();
    let log = |text: &str| {
        let params = json!({"level": "info", "data": text});
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
    };
    let (mut asked, mut other) = (Exchange::with_events(true), Exchange::with_events(true));
    let (one, first) = child.call(Some(std::mem::take(&mut asked.0))).await;
    child.says(log("mine")).await;
    let Some(Event::Log(params)) = asked.1.recv().await else { panic!("no log message") };
    assert!(params.windows(4).any(|part| part == b"mine"));
    let (two, second) = child.call(Some(std::mem::take(&mut other.0))).await;
    child.says(log("whose?")).await;
    child.answers(first).await;
    child.answers(second).await;
    let _ = (one.await, two.await);
    assert_eq!((asked.1.recv().await, other.1.recv().await), (None, None), "it may be of either");
}

#[tokio::test]
async fn a_pushed_request_waits_for_its_client_and_is_answered_by_the_child_s_id() {
    let mut child = Played::new();
    let (asked, exchange) = asks(1);
    let (outcome, id) = child.call(Some(exchange)).await;
    let params = json!({"message": "Sure?"});
    for own in [json!(0), json!("a\"b")] {
        child
            .says(json!({"jsonrpc": "2.0", "id": own, "method": "elicitation/create", "params": params}))
            .await;
        let (question, answer) = asked.question().await;
        assert_eq!(question.method, "elicitation/create");
        assert_eq!(question.params.as_deref(), Some(params.to_string().as_bytes()));
        // Meanwhile the child is not held up.
        child.says(json!({"jsonrpc": "2.0", "id": "p", "method": "ping"})).await;
        assert_eq!(child.heard().await, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
        answer.send(Answer::Result("{\"action\":\"accept\"}".into())).expect("waited for");
        let answered = json!({"jsonrpc": "2.0", "id": own, "result": {"action": "accept"}});
        assert_eq!(child.heard().await, answered);
    }
    child.answers(id).await;
    assert!(matches!(outcome.await, Ok(Outcome::Result(_))));
}

#[tokio::test]
async fn a_pushed_request_is_answered_whoever_goes() {
    let mut child = Played::new();
    let (asked, exchange) = asks(1);
    let (outcome, _) = child.call(Some(exchange)).await;
    let elicit = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create"});
    child.says(elicit(1)).await;
    drop(asked.question().await);
    let refused = child.heard().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(1), &json!(-32603)));
    // The child takes it back: whoever is asked learns it, and nothing is sent.
    child.says(elicit(2)).await;
    let (_, mut answer) = asked.question().await;
    let taken_back = json!({"requestId": 2, "reason": "too late"});
    child.says(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": taken_back})).await;
    answer.closed().await;
    drop(answer);
    child.says(json!({"jsonrpc": "2.0", "id": "p", "method": "ping"})).await;
    assert_eq!(child.heard().await["id"], "p");
    // The child ends.
    child.says(elicit(3)).await;
    let (_, mut answer) = asked.question().await;
    drop(child.answers);
    answer.closed().await;
    assert!(matches!(outcome.await, Ok(Outcome::Gone { unsent: None })));
}

#[tokio::test]
async fn nobody_is_asked_what_may_be_meant_for_somebody_else() {
    let mut child = Played::new();
    let elicit = json!({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create"});
    let code = |answer: &Value| answer["error"]["code"].as_i64();
    let (_mute, _) = child.call(None).await;
    child.says(elicit.clone()).await;
    assert_eq!(code(&child.heard().await), Some(-32601), "a caller of REST cannot be asked");
    let (asked, exchange) = asks(1);
    let (_outcome, _) = child.call(Some(exchange)).await;
    child.says(elicit.clone()).await;
    assert_eq!(code(&child.heard().await), Some(-32603));
    assert!(asked.questions.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_question_about_a_call_that_was_given_up_is_shown_to_nobody_else() {
    let mut child = Played::new();
    let (_gone, exchange) = asks(2);
    let (given_up, late) = child.call(Some(exchange)).await;
    given_up.abort();
    assert_eq!(child.heard().await["method"], "notifications/cancelled");
    let (asked, exchange) = asks(1);
    let (_outcome, _) = child.call(Some(exchange)).await;
    let elicit = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create"});
    child.says(elicit(1)).await;
    assert_eq!(child.heard().await["error"]["code"], -32603);
    // Its late answer shows that the child is done with it.
    child.answers(late).await;
    child.says(elicit(2)).await;
    assert_eq!(asked.question().await.0.method, "elicitation/create");
}

#[tokio::test]
async fn notices_say_which_run_they_are_of() {
    let mut child = Played::new();
    child.says(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})).await;
    child.says(json!({"jsonrpc": "2.0", "method": "notifications/resources/updated"})).await;
    let notice = child.notices.recv().await.expect("a notice");
    assert_eq!((notice.incarnation, &*notice.method), (7, "notifications/resources/updated"));
    let changed = child.lists_changed.next().await;
    assert_eq!(changed, ["notifications/tools/list_changed"], "told once the list was read again");
}

#[tokio::test]
async fn a_call_that_the_child_never_had_is_given_back_as_it_was() {
    let mut child = Played::new();
    let Played { link, requests, answers, .. } = &mut child;
    drop(std::mem::replace(requests, BufReader::new(tokio::io::duplex(1).0).lines()));
    answers.shutdown().await.expect("closed");
    let far = Instant::now() + Duration::from_secs(60);
    let limits = Limits { first: far, idle: Duration::from_secs(60), hard: far };
    let (exchange, mut events) = Exchange::with_events(false);
    // Until the task has ended, calls may still be taken.
    loop {
        let call = Call {
            exchange: Some(Arc::default()),
            ..Call::new("tools/call", Bytes::from_static(b"\"name\":\"t\""))
        };
        if let Outcome::Gone { unsent: Some(call) } = link.call(call, limits).await {
            assert!(call.exchange.is_some() && &call.members[..] == b"\"name\":\"t\"");
            break;
        }
    }
    let call = Call { exchange: Some(Arc::new(exchange)), ..Call::new("tools/call", Bytes::new()) };
    let Outcome::Gone { unsent: Some(call) } = link.call(call, limits).await else {
        panic!("not given back")
    };
    assert!(events.try_recv().is_err());
    drop(call);
    assert_eq!(events.recv().await, None, "it ended with the call");
}
