//! How a remote server is connected to: those settings of the member `mcpvisor` that only remote servers have. Pure.

use std::time::Duration;

use serde_json::Value;

use super::problem::Problems;
use super::{remote_auth, remote_tls};
use crate::upstream::http::{AuthChoice, ProxyChoice, TlsChoice};

/// Settings that only a remote server has a use for.
pub(super) const OF_REMOTES: [&str; 7] =
    ["transport", "proxy", "allow_http", "connect_timeout", "max_answer", "auth", "tls"];

/// Settings of the connections to a remote server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePolicy {
    /// How tokens are got.
    pub auth: Option<AuthChoice>,
    /// Whom connections trust, and what they show of themselves.
    pub tls: TlsChoice,
    /// Proxy that connections go through.
    pub proxy: ProxyChoice,
    /// `true` if credentials may go over plain HTTP to another machine.
    pub allow_http: bool,
    /// Time to connect, with TLS.
    pub connect_timeout: Duration,
}

impl Default for RemotePolicy {
    fn default() -> RemotePolicy {
        RemotePolicy {
            auth: None,
            tls: TlsChoice::default(),
            proxy: ProxyChoice::Environment,
            allow_http: false,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl RemotePolicy {
    /// Reads a setting that is a choice, or consists of others. Returns `false` for any other setting.
    pub(super) fn parse(&mut self, member: &str, value: &Value, path: &str, problems: &mut Problems) -> bool {
        match member {
            // Read with the address, which it belongs to.
            "transport" => {
                let known = value.as_str().is_some_and(|word| {
                    matches!(
                        word.to_ascii_lowercase().as_str(),
                        "http" | "streamable-http" | "streamablehttp" | "sse"
                    )
                });
                if !known {
                    problems.add::<()>(path, "must be \"http\" or \"sse\"");
                }
            }
            "proxy" => match value.as_str() {
                Some("env") => self.proxy = ProxyChoice::Environment,
                Some("none") => self.proxy = ProxyChoice::None,
                Some(address) if address.starts_with("http://") || address.starts_with("https://") => {
                    self.proxy = ProxyChoice::At(address.to_owned());
                }
                _ => drop(problems.add::<()>(path, "must be \"env\", \"none\" or an http:// address")),
            },
            "auth" => self.auth = remote_auth::parse(value, path, problems),
            "tls" => self.tls = remote_tls::parse(value, path, problems),
            "allow_http" => match value.as_bool() {
                Some(allowed) => self.allow_http = allowed,
                None => drop(problems.add::<()>(path, "must be true or false")),
            },
            _ => return false,
        }
        true
    }
}
