//! How remote servers are connected to, and what a failure of the network is. Addresses are checked as they are dialled
//! (`remote-upstreams.md`, R47, R48, R54, R56 and R66).

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use rustls::AlertDescription;
use tower_service::Service;

use super::address::{AddressRules, Forbidden, Scope};
use super::endpoint::{Endpoint, ProxyChoice};
use super::fault::{HttpFault, Word};
use super::host::{is_loopback, literal};
use super::tls;
use crate::clock;
use crate::retry_after::retry_after;
use crate::text::{causes, innermost};

/// Time that an idle connection is kept: Node and uvicorn close theirs after five to six seconds (R47).
pub(super) const IDLE: Duration = Duration::from_secs(4);

/// Name of the gateway in each request.
pub(super) const USER_AGENT: &str = concat!("mcpvisor/", env!("CARGO_PKG_VERSION"));

/// Reports whether a proxy may be between here and this address.
pub(super) fn has_proxy(endpoint: &Endpoint, url: &Url) -> bool {
    !is_loopback(url) && !proxies(&endpoint.proxy).is_empty()
}

/// Returns what looks up the name of this address.
pub(super) fn names(endpoint: &Endpoint, url: &Url) -> CheckedNames {
    CheckedNames {
        rules: endpoint.rules.clone(),
        // One that a definition names may lead to where the definition may not.
        exempt: match endpoint.proxy {
            ProxyChoice::Environment => proxies(&endpoint.proxy).into(),
            ProxyChoice::None | ProxyChoice::At(_) => Arc::default(),
        },
        port: url.port_or_known_default().unwrap_or_default(),
    }
}

/// Prepares the library's connections to where this address is.
pub(super) fn build(endpoint: &Endpoint, url: &Url, tls: tls::Config) -> Result<Client, String> {
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(endpoint.connect_timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(endpoint.max_in_flight)
        .tcp_nodelay(true)
        // Those within the origin are followed here; another origin would get the credentials.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(USER_AGENT)
        .default_headers(headers)
        .dns_resolver(Arc::new(names(endpoint, url)));
    match &endpoint.proxy {
        _ if is_loopback(url) => builder = builder.no_proxy(),
        ProxyChoice::None => builder = builder.no_proxy(),
        ProxyChoice::Environment => {}
        ProxyChoice::At(address) => {
            let proxy = reqwest::Proxy::all(address).map_err(|error| whole(&error))?;
            builder = builder.no_proxy().proxy(proxy);
        }
    }
    builder.build().map_err(|error| whole(&error))
}

/// Checks the proxy that connections to this address go through: its own address, and whether the rules can be held there.
pub(super) fn check_proxy(endpoint: &Endpoint, url: &Url) -> Result<(), HttpFault> {
    if !has_proxy(endpoint, url) {
        return Ok(());
    }
    if let ProxyChoice::At(address) = &endpoint.proxy
        && let Some(literal) = Url::parse(address).ok().as_ref().and_then(literal)
    {
        endpoint.rules.check(None, literal).map_err(|forbidden| not_allowed(&forbidden))?;
    }
    match endpoint.rules.scope {
        Scope::Public => Err(HttpFault::unseen(
            Word::AddressNotAllowed,
            "goes through a proxy, which looks up its name: that needs a list in remotes.api_addresses",
        )),
        Scope::Any | Scope::Listed(_) => Ok(()),
    }
}

/// Variables that name a proxy.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Returns the names of the proxies that connections may go through.
fn proxies(choice: &ProxyChoice) -> Vec<String> {
    let host = |text: &str| Url::parse(text).ok()?.host_str().map(str::to_owned);
    match choice {
        ProxyChoice::None => Vec::new(),
        ProxyChoice::At(address) => host(address).into_iter().collect(),
        ProxyChoice::Environment => {
            let named = PROXY_VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
            named.filter_map(|text| host(&text).or_else(|| host(&format!("http://{text}")))).collect()
        }
    }
}

/// Resolver that leaves out addresses that may not be connected to, so that what is checked is what is dialled.
#[derive(Clone)]
pub(super) struct CheckedNames {
    rules: Arc<AddressRules>,
    /// Names that the rules do not hold for: those of proxies, which are their operator's.
    exempt: Arc<[String]>,
    port: u16,
}

/// Error of a name without an address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoAddress(io::Error);

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        self.look_up(name.as_str())
    }
}

impl Service<dns::Name> for CheckedNames {
    type Response = Addrs;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Resolving;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Resolving {
        self.look_up(name.as_str())
    }
}

impl CheckedNames {
    fn look_up(&self, name: &str) -> Resolving {
        let (rules, port, name) = (self.rules.clone(), self.port, name.to_owned());
        let is_checked = !self.exempt.iter().any(|exempt| exempt.eq_ignore_ascii_case(&name));
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), port)).await.map_err(NoAddress)?;
            let (mut good, mut refused) = (Vec::new(), None);
            for mut address in found {
                match rules.check(Some(name.as_str()), address) {
                    Err(forbidden) if is_checked => refused = Some(forbidden),
                    _ => {
                        // The port is that of the request, which may be a proxy's.
                        address.set_port(0);
                        good.push(address);
                    }
                }
            }
            match refused {
                Some(forbidden) if good.is_empty() => Err(forbidden.into()),
                _ if good.is_empty() => Err(NoAddress(io::ErrorKind::NotFound.into()).into()),
                _ => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}

/// Longest pause that is granted.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// Returns for how long a server wants to be left alone by this answer; `None` if it does not say.
pub(super) fn pause_of(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(value, clock::wall_clock()).map(|pause| pause.min(MAX_PAUSE))
}

/// Says that an address may not be connected to.
pub(super) fn not_allowed(forbidden: &Forbidden) -> HttpFault {
    HttpFault::unseen(Word::AddressNotAllowed, format!("may not be connected to: {forbidden}"))
}

/// Says what a failure of the network is, and whether the server can have begun the request.
pub(super) fn network_fault(error: &reqwest::Error) -> HttpFault {
    match error.is_connect() {
        true => connect_fault(error, error.is_timeout(), &whole(error)),
        false => broken_fault(error, &whole(error)),
    }
}

/// Says the same of a connection of ours that could not be opened.
pub(super) fn not_connected(error: &(dyn StdError + 'static)) -> HttpFault {
    connect_fault(error, false, &told(causes(error)))
}

/// Says the same of one that was open.
pub(super) fn broken(error: &hyper::Error) -> HttpFault {
    broken_fault(error, &told(causes(error)))
}

fn broken_fault(error: &(dyn StdError + 'static), reason: &str) -> HttpFault {
    // The last word of a handshake, which a server has after ours: it wants another certificate, or one at all.
    if let Some(rustls::Error::AlertReceived(alert)) = tls_error(error)
        && is_about_certificate(*alert)
    {
        let what = format!(
            "does not take the certificate that it was shown, or wants one ({alert:?}): see mcpvisor.tls of its entry"
        );
        return HttpFault::unseen(Word::TlsFailed, what);
    }
    // Nothing of it was written: the connection that it was to go over was dead already.
    if is_canceled(error) {
        return HttpFault::unseen(Word::StreamLost, "closed the connection before the request was written");
    }
    HttpFault::unknown(Word::StreamLost, format!("closed the connection before it answered: {reason}"))
}

fn connect_fault(error: &(dyn StdError + 'static), is_late: bool, reason: &str) -> HttpFault {
    if let Some(forbidden) = cause::<Forbidden>(error) {
        return not_allowed(forbidden);
    }
    let kind = cause::<io::Error>(error).map(io::Error::kind);
    let is_tls = tls_error(error).is_some();
    let (word, what) = match kind {
        _ if is_late || kind == Some(io::ErrorKind::TimedOut) => {
            (Word::ConnectTimeout, "could not be connected to in time".to_owned())
        }
        _ if cause::<NoAddress>(error).is_some() => {
            (Word::DnsFailed, format!("has a name without an address: {}", innermost(error)))
        }
        _ if is_tls => (Word::TlsFailed, format!("could not be connected to: {}", innermost(error))),
        _ if reason.contains("tunnel") || reason.contains("proxy") => {
            (Word::ProxyFailed, format!("could not be reached through the proxy: {reason}"))
        }
        Some(io::ErrorKind::ConnectionRefused) => {
            (Word::Refused, "refused the connection; is it running?".to_owned())
        }
        _ => (Word::Refused, format!("could not be connected to: {reason}")),
    };
    HttpFault::unseen(word, what)
}

/// Reports whether a request was given up before anything of it was written; why stands below that.
fn is_canceled(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|error| error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled))
}

fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

/// Returns the error of TLS that an error comes from; it may be wrapped in errors of input and output, which do not name
/// it as their source.
fn tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

/// Returns the innermost cause of an error that is of this type.
fn cause<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    causes(error).filter_map(|error| error.downcast_ref()).last()
}

/// Formats an error with its causes and without the address.
pub(super) fn whole(error: &reqwest::Error) -> String {
    told(causes(error).skip(1))
}

/// Formats errors from the outer to the inner, each text once.
fn told<'e>(errors: impl Iterator<Item = &'e (dyn StdError + 'static)>) -> String {
    let mut told: Vec<String> = errors.map(ToString::to_string).collect();
    told.dedup();
    if told.is_empty() { "it failed".to_owned() } else { told.join(": ") }
}
