//! What the service manager is told, by systemd's notification protocol (`sd_notify(3)`). Without
//! one that asks for it, nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::service::Gateway;

/// How often the status line is brought up to date.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// The variable by which a service manager says that it listens.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Says that the daemon serves.
pub(super) fn ready(url: &str) {
    let status = format!("serving on {url}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Says that the daemon is on its way down, and how long that may take: a drain that is configured
/// to be longer than the manager's patience is not to be cut short.
pub(super) fn stopping(at_most: Duration) {
    let usec = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(usec), NotifyState::Status("stopping")]);
}

/// Keeps the status line true: how many servers there are, and how they are.
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
            tell(&[NotifyState::Status(&line)]);
            told = line;
        }
    }
}

fn status_line(url: &str, states: impl Iterator<Item = &'static str>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    states.for_each(|state| *counts.entry(state).or_default() += 1);
    let mut line = format!("serving on {url}; servers: ");
    // What works comes first; a manager may cut a long line.
    let ready = counts.remove("ready").unwrap_or_default();
    line.push_str(&format!("{ready} ready"));
    counts.iter().for_each(|(state, count)| line.push_str(&format!(", {count} {state}")));
    line
}

/// Says that the servers files are being applied again (`Type=notify-reload` waits for the end of it).
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the clock could not be read"),
    }
}

/// Says that they have been.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// Says again and again that the runtime still turns, twice as often as the manager asks for. It
/// is a task like those that serve: when they stand still, so does this, and the manager acts.
pub(super) async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(limit / 2);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told");
    }
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
