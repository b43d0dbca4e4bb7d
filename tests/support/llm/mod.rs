//! A model's endpoint of this machine that speaks OpenAI's chat completions and says what it is told to
//! say. It records what it is asked, keeps answers back until the test lets them go, and notices who
//! goes away meanwhile.

pub(crate) mod endpoints;
mod turn;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) use self::turn::Turn;
use self::turn::{Part, after_hold};

/// What the endpoint was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// By lower-case name.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

impl Asked {
    /// What the conversation ends with.
    pub(crate) fn last_message(&self) -> &Value {
        self.body["messages"].as_array().and_then(|messages| messages.last()).expect("a message")
    }

    /// The texts of the tools' results, in their order.
    pub(crate) fn results(&self) -> Vec<&str> {
        let messages = self.body["messages"].as_array().expect("a list").iter();
        let results = messages.filter(|message| message["role"] == "tool");
        results.map(|message| message["content"].as_str().expect("a text")).collect()
    }
}

enum Script {
    InTurn(VecDeque<Turn>),
    By(Box<dyn Fn(&Asked) -> Turn + Send>),
}

struct Shared {
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    /// A permit lets one answer go that is kept back.
    going: Semaphore,
    held: AtomicUsize,
    open: AtomicUsize,
    gone: AtomicUsize,
}

/// The endpoint. It ends when dropped.
pub(crate) struct Llm {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Llm {
    /// Gives these answers, one after the other.
    pub(crate) async fn in_turn(turns: impl IntoIterator<Item = Turn>) -> Llm {
        Llm::start(Script::InTurn(turns.into_iter().collect())).await
    }

    /// Answers as the function says.
    pub(crate) async fn by(answer: impl Fn(&Asked) -> Turn + Send + 'static) -> Llm {
        Llm::start(Script::By(Box::new(answer))).await
    }

    async fn start(script: Script) -> Llm {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            asked: Mutex::default(),
            going: Semaphore::new(0),
            held: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
        });
        let for_clients = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while clients.try_join_next().is_some() {}
                clients.spawn(serve(stream, Arc::clone(&for_clients)));
            }
        });
        Llm { address, shared, serving }
    }

    /// What clients are configured with.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Everything that it was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Lets so many answers go that are kept back, now or later.
    pub(crate) fn let_go(&self, answers: usize) {
        self.shared.going.add_permits(answers);
    }

    /// How many answers are kept back.
    pub(crate) fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many clients went away while their answer was kept back.
    pub(crate) fn gone(&self) -> usize {
        self.shared.gone.load(Ordering::SeqCst)
    }
}

impl Drop for Llm {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Counts something up for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(count: &'a AtomicUsize) -> Counted<'a> {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers the requests of a connection. How it ends is the client's business.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _open = Counted::one_more(&shared.open);
    stream.set_nodelay(true).expect("a socket");
    let mut stream = BufReader::new(stream);
    while let Ok(Some(asked)) = read(&mut stream).await {
        let turn = match &mut *lock(&shared.script) {
            Script::InTurn(turns) => turns.pop_front().unwrap_or_else(Turn::over),
            Script::By(answer) => answer(&asked),
        };
        let parts = turn.parts(&asked);
        lock(&shared.asked).push(asked);
        for part in parts {
            match part {
                Part::Bytes(bytes) => {
                    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                Part::Hold => {
                    if !hold(&mut stream, &shared).await {
                        shared.gone.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                }
                Part::Close => return,
            }
        }
    }
}

/// Keeps an answer back. False when the client has gone away meanwhile.
async fn hold(stream: &mut BufReader<TcpStream>, shared: &Shared) -> bool {
    let _held = Counted::one_more(&shared.held);
    tokio::select! {
        permit = shared.going.acquire() => after_hold(permit),
        // Nobody sends a second request before the answer to the first.
        _ = stream.fill_buf() => false,
    }
}

/// The next request; none at the end of the connection.
async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Some(Asked { path, headers, body, at: Instant::now() }))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
