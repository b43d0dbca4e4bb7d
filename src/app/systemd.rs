//! What the service manager is told, by systemd's notification protocol (`sd_notify(3)`). Without
//! one that asks for it, nothing happens.

use std::net::SocketAddr;

use sd_notify::NotifyState;

/// Says that the daemon serves.
pub(super) fn ready(address: SocketAddr) {
    let status = format!("serving on http://{address}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Says that the daemon is on its way down.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
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
