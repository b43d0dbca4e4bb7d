//! Notifies the service manager by systemd's protocol (`sd_notify(3)`). Does nothing if no manager asks for it.

use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::gateway::Gateway;

/// Interval of the updates of the status line.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// Most messages that may wait for a service manager that does not read.
const UNTOLD: usize = 16;
/// Variable by which a service manager asks for notifications.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Reports that the daemon serves.
pub(super) fn ready(url: &str) {
    let status = format!("serving on {url}");
    tell(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]));
}

/// Reports that the daemon is stopping, and how long that may take: the manager must not cut short a drain that
/// is configured to be longer than its own timeout.
pub(super) fn stopping(at_most: Duration) {
    let usec = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
    let state =
        [NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(usec), NotifyState::Status("stopping")];
    tell(move || sd_notify::notify(&state));
}

/// Keeps the status line up to date: the count of servers in each state.
pub(super) async fn status(url: String, gateway: Gateway) {
    if std::env::var_os(NOTIFY_SOCKET).is_none() {
        return;
    }
    let mut told = String::new();
    let mut beat = tokio::time::interval(STATUS_EVERY);
    loop {
        beat.tick().await;
        let states = gateway.all_servers().into_iter().map(|server| server.status.state.name());
        let line = status_line(&url, states);
        if line != told {
            told.clone_from(&line);
            tell(move || sd_notify::notify(&[NotifyState::Status(&line)]));
        }
    }
}

fn status_line(url: &str, states: impl Iterator<Item = &'static str>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    states.for_each(|state| *counts.entry(state).or_default() += 1);
    let mut line = format!("serving on {url}; servers: ");
    // Ready servers come first; a manager may cut a long line.
    let ready = counts.remove("ready").unwrap_or_default();
    line.push_str(&format!("{ready} ready"));
    counts.iter().for_each(|(state, count)| line.push_str(&format!(", {count} {state}")));
    line
}

/// Reports that the servers files are being applied again (`Type=notify-reload` waits for the end of it).
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(move || sd_notify::notify(&[NotifyState::Reloading, now])),
        Err(error) => tracing::warn!(%error, "the clock could not be read"),
    }
}

/// Reports that the servers files have been applied.
pub(super) fn reloaded() {
    tell(|| sd_notify::notify(&[NotifyState::Ready]));
}

/// Reports periodically that the runtime makes progress, twice as often as the manager asks for. It is a task
/// like those that serve: when they stall, so does this, and the manager acts.
pub(super) async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(limit / 2);
    loop {
        beat.tick().await;
        tell(|| sd_notify::notify(&[NotifyState::Watchdog]));
    }
}

/// Sends a message, in order, from a separate thread: a manager that does not read its socket blocks the
/// writer, which must not be a thread that serves. Messages beyond [`UNTOLD`] are dropped.
fn tell(say: impl FnOnce() -> io::Result<()> + Send + 'static) {
    if std::env::var_os(NOTIFY_SOCKET).is_none() {
        return;
    }
    static TELLER: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();
    let teller = TELLER.get_or_init(|| teller().inspect_err(untold).ok());
    let is_told = teller.as_ref().is_some_and(|teller| teller.try_send(Box::new(say)).is_ok());
    if !is_told {
        tracing::debug!("the service manager does not listen");
    }
}

type Message = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Starts the thread that sends messages, which ends with the process, and returns the sender of its queue.
fn teller() -> io::Result<SyncSender<Message>> {
    let (messages, queue) = mpsc::sync_channel::<Message>(UNTOLD);
    let tell_all = move || queue.into_iter().filter_map(|say| say().err()).for_each(|error| untold(&error));
    thread::Builder::new().name("notify".to_owned()).spawn(tell_all)?;
    Ok(messages)
}

fn untold(error: &io::Error) {
    tracing::warn!(%error, "the service manager could not be told");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_counts_the_servers_by_state() {
        let url = "https://127.0.0.1:5000";
        let states = ["ready", "failed", "ready", "backoff"];
        assert_eq!(
            status_line(url, states.into_iter()),
            "serving on https://127.0.0.1:5000; servers: 2 ready, 1 backoff, 1 failed"
        );
        assert_eq!(status_line(url, [].into_iter()), "serving on https://127.0.0.1:5000; servers: 0 ready");
    }
}
