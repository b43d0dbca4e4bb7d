//! `mcpvisor top`: what the servers do, as it is: the stream of the dashboard, as a table.

mod rows;
mod terminal;

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use self::rows::TopKey;
use self::rows::{Order, Servers};
use self::terminal::Terminal;
use super::console::{Console, passes};
use super::screen::{Format, Screen};
use crate::cli::client::Problem;
use crate::sse::SseData;
use crate::text::innermost;

/// What to show.
#[derive(Debug, Clone, PartialEq)]
pub struct Top {
    /// `true` to show it once.
    pub once: bool,
    /// Column to sort by.
    pub sort: TopKey,
}

/// Time that is measured before it is shown once: two looks of the daemon, and what these take.
const MEASURE: Duration = Duration::from_millis(2_500);
/// Pause before a daemon that does not answer is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// Longest silence of the stream, which says something every five seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// Number of keys that may wait.
const KEYS: usize = 16;

/// Shows the servers: again and again on a terminal, until somebody ends it; else once.
pub(super) async fn run(console: &Console, top: &Top) -> Result<(), Problem> {
    let order = Order { key: top.sort, turned: false };
    if top.once || !console.screen.is_terminal() || console.screen.format != Format::Table {
        return once(console, order).await;
    }
    let terminal = Terminal::take()?;
    let shown = live(console, order).await;
    drop(terminal);
    shown
}

async fn once(console: &Console, order: Order) -> Result<(), Problem> {
    let mut stream = Stream::open(console).await?;
    let (mut servers, end) = (Servers::default(), Instant::now() + MEASURE);
    while let Ok(event) = tokio::time::timeout_at(end, stream.next()).await {
        event?.iter().for_each(|event| servers.apply(event));
    }
    stream.close(console).await;
    let document = Value::Array(servers.sorted(order).into_iter().cloned().collect());
    let now = (console.now)();
    console.screen.show(&document, |style| servers.table(order, style, now))
}

/// What comes from outside while it is shown.
struct Outside {
    keys: mpsc::Receiver<u8>,
    order: Order,
}

async fn live(console: &Console, order: Order) -> Result<(), Problem> {
    let (mut outside, mut servers) = (Outside { keys: terminal::keys(KEYS), order }, Servers::default());
    let mut end = std::pin::pin!(end());
    loop {
        let problem = tokio::select! {
            ended = &mut end => return ended,
            shown = show(console, &mut servers, &mut outside) => match shown {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            },
        };
        let is_over = matches!(&problem, Problem::BrokenOff(_)) || passes(&problem);
        if !is_over {
            return Err(problem);
        }
        servers = Servers::default();
        terminal::draw(&Screen::of_stdout(Format::Table), &format!("{problem}\n"))?;
        tokio::select! {
            ended = &mut end => return ended,
            () = tokio::time::sleep(RETRY) => {}
            key = outside.keys.recv() => if outside.is_quit(key) { return Ok(()) },
        }
    }
}

/// Shows one stream until somebody quits, or until it ends.
async fn show(console: &Console, servers: &mut Servers, outside: &mut Outside) -> Result<(), Problem> {
    let mut stream = Stream::open(console).await?;
    loop {
        tokio::select! {
            events = stream.next() => events?.iter().for_each(|event| servers.apply(event)),
            key = outside.keys.recv() => if outside.is_quit(key) {
                stream.close(console).await;
                return Ok(());
            },
        }
        let screen = Screen::of_stdout(Format::Table);
        let (place, now) = (console.daemon.shown(), (console.now)());
        terminal::draw(&screen, &picture(servers, outside.order, &screen, &place, now))?;
    }
}

fn picture(servers: &Servers, order: Order, screen: &Screen, place: &str, now: OffsetDateTime) -> String {
    let head = servers.head(place, order, &screen.style);
    format!("{head}\n{}", servers.table(order, &screen.style, now))
}

impl Outside {
    /// Takes a key; returns whether it ends the show. So does the end of the keyboard.
    fn is_quit(&mut self, key: Option<u8>) -> bool {
        match key {
            None | Some(b'q' | b'Q') => return true,
            Some(b'i') => self.order.turned = !self.order.turned,
            Some(key) => {
                if let Some(key) = TopKey::of(key) {
                    self.order.key = key;
                }
            }
        }
        false
    }
}

/// Waits for a signal that ends this process, so that the terminal is given back first.
async fn end() -> Result<(), Problem> {
    let [mut interrupt, mut terminate, mut hang_up, mut quit] = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
        signal(SignalKind::quit())?,
    ];
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
        _ = quit.recv() => {}
    }
    Ok(())
}

/// The stream of the dashboard, and the sign-in that it belongs to.
struct Stream {
    sign_in: [(&'static str, String); 2],
    response: Response,
    events: SseData,
}

impl Stream {
    async fn open(console: &Console) -> Result<Stream, Problem> {
        let sign_in = console.daemon.sign_in().await?;
        let response = console.daemon.in_name_of(&sign_in, Method::GET, "/ui/events").await?;
        Ok(Stream { sign_in, response, events: SseData::default() })
    }

    /// Returns what the daemon tells next.
    async fn next(&mut self) -> Result<Vec<Value>, Problem> {
        let next = tokio::time::timeout(SILENCE, self.response.chunk()).await;
        let next = next.map_err(|_| Problem::BrokenOff("the daemon fell silent".to_owned()))?;
        let next = next.map_err(|error| Problem::BrokenOff(innermost(&error)))?;
        let bytes = next.ok_or_else(|| Problem::BrokenOff("the daemon has ended it".to_owned()))?;
        let mut told = Vec::new();
        self.events.feed(&bytes, |data| {
            told.push(serde_json::from_str(data).unwrap_or_default());
            Ok::<(), Problem>(())
        })?;
        Ok(told)
    }

    /// Signs out. A daemon that has gone needs no telling.
    async fn close(self, console: &Console) {
        drop(self.response);
        let _ = console.daemon.sign_out(&self.sign_in).await;
    }
}
