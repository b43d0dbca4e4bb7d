//! Settings of the HTTP front.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::core::streams::StreamLimits;
use super::server::places::{Places, share_of};
use super::server::tls::TlsFiles;
use crate::oidc::OidcSettings;
use crate::text::{from_hex, hex};

/// Access rule of `/api`, which can define programs to run (`docs/http-api.md`, M1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApiAuth {
    /// Open to the daemon's own user on this machine, as far as the kernel vouches for it: by the Unix socket,
    /// or on loopback without a proxy between. All other callers need a key whose role may administer.
    #[default]
    Auto,
    /// Closed to all callers without a key whose role may administer.
    Required,
    /// Open to every caller that can reach the listener with an accepted `Host` and `Origin`.
    Off,
}

/// Location of the Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPlace {
    /// Path to bind the socket at.
    pub path: PathBuf,
    /// `true` if the operator asked for the socket there: then the front does not start without it.
    pub wanted: bool,
}

/// Settings of `/mcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpSettings {
    /// Access rule: as that of `/api`, except that any key that may call tools is let in.
    pub auth: ApiAuth,
    /// Length of the longest request body, in bytes.
    pub body_limit: usize,
    /// Number of sessions of the legacy era that may be open at once.
    pub max_sessions: usize,
    /// Number of streams of changes that may be open at once; `None` for half of `max_connections`.
    pub max_streams: Option<usize>,
    /// Number of these that one key may have open; `None` for three quarters.
    pub max_streams_per_key: Option<usize>,
    /// Key of the installation that ids of sessions are sealed with; `None` for one of this process alone.
    pub session_key: Option<SessionKey>,
}

/// Secret of 32 bytes, shown by nothing but its own text.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; 32]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

impl SessionKey {
    /// Makes a key; `None` without random bytes.
    pub fn random() -> Option<SessionKey> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok()?;
        Some(SessionKey(key))
    }

    /// Reads a key: 64 hexadecimal digits.
    pub fn read(text: &str) -> Option<SessionKey> {
        from_hex(text).map(SessionKey)
    }

    /// Returns the text of the key, for the file that it is kept in.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Default for McpSettings {
    fn default() -> McpSettings {
        McpSettings {
            auth: ApiAuth::Auto,
            body_limit: 4 * 1024 * 1024,
            max_sessions: 10_000,
            max_streams: None,
            max_streams_per_key: None,
            session_key: None,
        }
    }
}

/// A setting that is in force, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EffectiveSetting {
    /// Its name, as in `server.port`.
    pub setting: String,
    /// Its value as it would be written in the configuration file; `None` if it is not set and has no fixed default.
    pub value: Option<String>,
    /// Where it comes from: `default`, a file with the line, or a variable.
    pub origin: String,
}

/// Settings of the HTTP front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address or host name to bind.
    pub host: String,
    /// Port to bind; 0 takes a free one.
    pub port: u16,
    /// Unix socket of the daemon's own user; `None` for none.
    pub socket: Option<SocketPlace>,
    /// Further loopback address with only the operational routes (`/metrics`, `/healthz`, `/readyz`), which the
    /// main address has as well; `None` for none.
    pub operations: Option<SocketAddr>,
    /// Files of the certificate and its key; `None` for HTTP without TLS.
    pub tls: Option<TlsFiles>,
    /// Access rule of `/api`.
    pub api_auth: ApiAuth,
    /// Settings of `/mcp`.
    pub mcp: McpSettings,
    /// Authorization server whose access tokens are accepted beside keys; `None` for none.
    pub oidc: Option<Arc<OidcSettings>>,
    /// Names that clients may put in `Host` beside the ones that are always accepted: `name`
    /// for any port, `name:port` for one, `*` for all (which gives up the protection against
    /// DNS rebinding).
    pub allowed_hosts: Vec<String>,
    /// Web origins that may use the front beside loopback ones, as `scheme://host[:port]`;
    /// `*` for all.
    pub allowed_origins: Vec<String>,
    /// Length of the longest request body, in bytes.
    pub body_limit: usize,
    /// Time that a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// Time that a client may take to send the body of a request.
    pub body_timeout: Duration,
    /// Time for which a client may read nothing of an answer before it is given up; `None` for `body_timeout`.
    pub write_timeout: Option<Duration>,
    /// Time for which a connection may be idle between requests.
    pub keep_alive: Duration,
    /// Number of connections that may be served at once; at least one.
    pub max_connections: usize,
    /// Number of these that one address may hold (of IPv6: one /64); `None` for three quarters.
    pub max_connections_per_address: Option<usize>,
    /// Number of further connections that may wait to be served; `None` for as many as may be served.
    pub max_waiting: Option<usize>,
    /// Number of streams (followed logs, exports of the audit) that may be open at once; `None` for a quarter of
    /// `max_connections`, because a connection never makes room for another while its stream is read.
    pub max_streams: Option<usize>,
    /// Number of these that one key may have open; `None` for a quarter.
    pub max_streams_per_key: Option<usize>,
    /// `true` to show `[REDACTED]` in place of the values of `env` in `/api`.
    pub redact_env: bool,
    /// `true` to put the cause of an internal error into its answer.
    pub debug: bool,
    /// All settings of the daemon, as administrators are told of them.
    pub told: Arc<[EffectiveSetting]>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            host: "127.0.0.1".to_owned(),
            port: 5000,
            socket: None,
            operations: None,
            tls: None,
            api_auth: ApiAuth::Auto,
            mcp: McpSettings::default(),
            oidc: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_limit: 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: None,
            keep_alive: Duration::from_secs(75),
            max_connections: 1024,
            max_connections_per_address: None,
            max_waiting: None,
            max_streams: None,
            max_streams_per_key: None,
            redact_env: false,
            debug: false,
            told: Arc::default(),
        }
    }
}

impl Settings {
    /// Returns the limits on connections, with the defaults filled in.
    pub fn places(&self) -> Places {
        let all = self.max_connections.max(1);
        let per_address = self.max_connections_per_address.unwrap_or_else(|| share_of(all)).clamp(1, all);
        Places { all, per_address, waiting: self.max_waiting.unwrap_or(all) }
    }

    /// Returns the limits on open streams, with the defaults filled in.
    pub(super) fn stream_limits(&self) -> StreamLimits {
        let total = self.max_streams.unwrap_or(self.max_connections / 4).max(1);
        let per_key = self.max_streams_per_key.unwrap_or(total.div_ceil(4)).clamp(1, total);
        StreamLimits { total, per_key }
    }

    /// Returns the limits on open streams of changes, with the defaults filled in.
    pub(super) fn mcp_stream_limits(&self) -> StreamLimits {
        let total = self.mcp.max_streams.unwrap_or(self.max_connections / 2).max(1);
        let per_key = self.mcp.max_streams_per_key.unwrap_or(share_of(total)).clamp(1, total);
        StreamLimits { total, per_key }
    }

    /// Sets the limits on connections.
    pub fn set_places(&mut self, places: Places) {
        self.max_connections = places.all;
        self.max_connections_per_address = Some(places.per_address);
        self.max_waiting = Some(places.waiting);
    }
}
