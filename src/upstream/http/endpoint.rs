//! Where a remote server is and how it is connected to: plain values, as its definition has them. References are
//! replaced at each opening only, so that nothing here is a secret that was not written down as one.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::address::AddressRules;
use super::host::is_loopback;
use super::login_desk::{LoginDesk, LoginSettings};
use super::tls::TlsChoice;
use crate::process::Secret;

/// Transport that a definition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportChoice {
    /// None: found out at the first opening (R20).
    #[default]
    FindOut,
    /// Streamable HTTP.
    Streamable,
    /// HTTP+SSE, of the protocol's version of 2024-11-05.
    Sse,
}

/// Proxy that connections go through; never those to this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProxyChoice {
    /// That of the daemon's environment, if any.
    #[default]
    Environment,
    /// None.
    None,
    /// The one at this address, which may have credentials in it.
    At(String),
}

/// How the gateway proves who it is to an authorization server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientProof {
    /// By a secret that both have.
    Secret,
    /// By its private key.
    Key,
}

impl ClientProof {
    /// Returns the place of it in a definition.
    pub fn place(self) -> &'static str {
        match self {
            ClientProof::Secret => "mcpvisor.auth.client_secret",
            ClientProof::Key => "mcpvisor.auth.private_key",
        }
    }
}

/// Client credentials (RFC 6749, section 4.4), with references.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Id of the client.
    pub client_id: String,
    /// How it proves itself.
    pub proof: ClientProof,
    /// Secret or private key in PEM: a text with references.
    pub proof_text: String,
    /// Scope to ask for; `None` for what the server names.
    pub scope: Option<String>,
    /// Only authorization server to trust; `None` for those that the server names.
    pub issuer: Option<String>,
    /// Address of the token endpoint; `None` to find it out.
    pub token_url: Option<String>,
    /// `true` to say for which resource the token is (RFC 8707).
    pub sends_resource: bool,
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentials").field("proof", &self.proof).finish_non_exhaustive()
    }
}

/// How tokens for a remote server are got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthChoice {
    /// By the gateway's own credentials.
    Client(ClientCredentials),
    /// By a person who logs in.
    Login(LoginSettings),
}

impl AuthChoice {
    /// Returns the texts that may have references, with their places in a definition.
    pub fn texts(&self) -> Vec<(&'static str, &str)> {
        match self {
            AuthChoice::Client(own) => {
                vec![(CLIENT_ID, own.client_id.as_str()), (own.proof.place(), own.proof_text.as_str())]
            }
            AuthChoice::Login(login) => {
                let id = login.client_id.as_deref().map(|text| (CLIENT_ID, text));
                let secret = login.client_secret.as_deref();
                id.into_iter().chain(secret.map(|text| (ClientProof::Secret.place(), text))).collect()
            }
        }
    }
}

/// Place of a client's id in a definition.
pub(super) const CLIENT_ID: &str = "mcpvisor.auth.client_id";

/// A remote server's address and what goes with it.
#[derive(Clone)]
pub struct Endpoint {
    /// Address, with references.
    pub address: String,
    /// Headers that are sent with each request, their values with references.
    pub headers: Vec<(String, String)>,
    /// Variables of the entry, with references; references in the address and in headers see them.
    pub env: Vec<(String, String)>,
    /// Secrets of the principal whose connection it is, by the names that references have.
    pub secrets: Vec<(String, Secret)>,
    /// How tokens are got; `None` if none are wanted.
    pub auth: Option<AuthChoice>,
    /// Where people log in.
    pub desk: Arc<LoginDesk>,
    /// Name of the server, for what an operator is told to do.
    pub name: Arc<str>,
    /// Transport.
    pub transport: TransportChoice,
    /// Whom connections trust, and what they show of themselves.
    pub tls: TlsChoice,
    /// Proxy.
    pub proxy: ProxyChoice,
    /// `true` if credentials may go over plain HTTP to another machine.
    pub allow_http: bool,
    /// Time to connect, with TLS.
    pub connect_timeout: Duration,
    /// Number of idle connections that are kept.
    pub max_in_flight: usize,
    /// Which addresses may be connected to.
    pub rules: Arc<AddressRules>,
}

impl Endpoint {
    /// Checks a resolved address (R5); fails with what is wrong with it, without a part of it.
    pub(super) fn check_scheme(&self, url: &Url, has_headers: bool) -> Result<(), String> {
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("url must begin with http:// or https:// and name a host".to_owned());
        }
        if url.fragment().is_some() {
            return Err("url must not have a fragment (#…)".to_owned());
        }
        let has_credential = has_headers || !url.username().is_empty();
        match url.scheme() == "http" && has_credential && !self.allow_http && !is_loopback(url) {
            true => Err("it would send its headers over plain HTTP to another machine: use https, or set \
                         mcpvisor.allow_http to true"
                .to_owned()),
            false => Ok(()),
        }
    }
}
