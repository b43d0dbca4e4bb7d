//! The opening of a remote server: which era it speaks, its session and its first lists (`remote-upstreams.md`, R20 to R26).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::attempt::{self, Answered, Clock, Request, Stop};
use super::calling::post_initialized;
use super::endpoint::TransportChoice;
use super::fault::{HttpFault, Word};
use super::headers;
use super::http_sse;
use super::hub::Hub;
use super::notices;
use super::session::Session;
use super::start_view::RemoteStart;
use crate::jsonrpc::{self, RpcError};
use crate::mcp::{self, Declared, Era, HandshakeInfo, Probe, method};
use crate::upstream::call::Link;
use crate::upstream::catalog::Catalog;
use crate::upstream::listing::load_catalog;
use crate::upstream::report::{HandshakeOutcome, Opening};
use crate::upstream::request::{HandshakeError, refusal};
use crate::upstream::start_phase::StartPhase;
use crate::upstream::teller::Teller;

/// Time that a server may take to answer the probe.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// Time that the stream of notifications may take to be there before the first call.
const STREAM_LIMIT: Duration = Duration::from_secs(2);

/// Inputs of an opening.
pub(super) struct Start {
    pub(super) hub: Arc<Hub>,
    /// Link to the server, not yet in its era.
    pub(super) link: Link,
    pub(super) declared: Declared,
    pub(super) opening: Opening,
    pub(super) transport: TransportChoice,
    pub(super) deadline: Instant,
    pub(super) view: RemoteStart,
    pub(super) teller: Teller,
}

/// Reason that a server could not be opened.
#[derive(Debug)]
pub(super) struct NotOpened {
    pub(super) fault: HttpFault,
    /// `true` if it may be opened in the other way.
    pub(super) other_era: bool,
}

impl From<HttpFault> for NotOpened {
    fn from(fault: HttpFault) -> NotOpened {
        NotOpened { fault, other_era: false }
    }
}

/// Opens a server and reads its lists.
pub(super) async fn open(start: Start) -> Result<Opened, NotOpened> {
    let Start { hub, link, declared, deadline, view, teller, .. } = &start;
    let mut stream = None;
    let (era, facts) = match start.opening {
        _ if start.transport == TransportChoice::Sse => {
            view.set(StartPhase::Handshake);
            (Era::Legacy, open_http_sse(&start, &mut stream).await?)
        }
        Opening::Legacy => {
            view.set(StartPhase::Handshake);
            (Era::Legacy, open_legacy(&start, &mut stream).await?)
        }
        Opening::Probe | Opening::Patient | Opening::Modern => {
            view.set(StartPhase::Probing);
            match probe(hub, *deadline).await? {
                Verdict::Modern(facts) => {
                    hub.open_session(Session::opening(Era::Modern));
                    (Era::Modern, facts)
                }
                Verdict::Unsupported(offered) => return Err(unsupported(&offered).into()),
                Verdict::Legacy if start.opening == Opening::Modern => {
                    let what = "does not speak 2026-07-28, and mcpvisor.era is \"modern\"";
                    return Err(HttpFault::unseen(Word::UnsupportedVersion, what).into());
                }
                Verdict::Legacy => {
                    view.set(StartPhase::Handshake);
                    (Era::Legacy, open_legacy(&start, &mut stream).await?)
                }
            }
        }
    };
    let link = match era {
        Era::Modern => link.in_era(Era::Modern, mcp::modern_meta()),
        Era::Legacy => link.clone(),
    };
    let following = (era == Era::Legacy && notices::are_worth_following(&facts, *declared)).then(|| {
        let (tried, first) = watch::channel(false);
        (Following(tokio::spawn(notices::follow(hub.clone(), tried)).abort_handle()), first)
    });
    view.set(StartPhase::Listing);
    let catalog = load_catalog(&link, &facts, *deadline, &Catalog::default(), teller).await;
    let catalog = catalog.map_err(|error| {
        // A refusal of the credentials says more than what became of the list.
        let fault = hub.take_refusal().unwrap_or_else(|| of_lists(error));
        NotOpened { fault, other_era: false }
    })?;
    let following = match following {
        Some((following, mut tried)) => {
            // What the server asks before its stream is there is lost.
            let _ = tokio::time::timeout(STREAM_LIMIT, tried.wait_for(|tried| *tried)).await;
            Some(following)
        }
        None => None,
    };
    let introduced = HandshakeOutcome { era, facts, catalog: Arc::new(catalog) };
    Ok(Opened { link, introduced, following: stream.or(following) })
}

/// Opens a session by `initialize`, or the stream of an HTTP+SSE server if the definition leaves that open and nothing
/// takes the request (R20).
async fn open_legacy(start: &Start, stream: &mut Option<Following>) -> Result<HandshakeInfo, NotOpened> {
    let failed = match initialize(&start.hub, start.declared, start.deadline).await {
        Ok(facts) => return Ok(facts),
        Err(failed) => failed,
    };
    if start.transport != TransportChoice::FindOut || !says_legacy(&failed.fault) {
        return Err(failed);
    }
    // What is not such a server either is told as what it was first.
    open_http_sse(start, stream).await.map_err(|_| failed)
}

/// Opens the stream of an HTTP+SSE server, and a session on it.
async fn open_http_sse(start: &Start, stream: &mut Option<Following>) -> Result<HandshakeInfo, NotOpened> {
    let following = Following(http_sse::open(&start.hub, start.deadline).await?);
    let facts = initialize(&start.hub, start.declared, start.deadline).await?;
    start
        .teller
        .note("speaks HTTP+SSE of 2024-11-05, which is deprecated: ask for its address of Streamable HTTP");
    *stream = Some(following);
    Ok(facts)
}

/// A server that was opened.
pub(super) struct Opened {
    /// Link to it, in its era.
    pub(super) link: Link,
    pub(super) introduced: HandshakeOutcome,
    /// Task that follows its notifications, if it may have any outside of answers.
    pub(super) following: Option<Following>,
}

/// Task that ends when it is dropped.
pub(super) struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn of_lists(error: HandshakeError) -> HttpFault {
    match error {
        HandshakeError::Gone => HttpFault::unknown(Word::StreamLost, "was lost while its lists were read"),
        HandshakeError::TimedOut { phase, .. } => {
            HttpFault::unknown(Word::Silent, format!("did not answer {phase} in time"))
        }
        HandshakeError::Refused(reason) => {
            HttpFault::unknown(Word::BadReply, format!("failed the handshake: {reason}"))
        }
    }
}

fn unsupported(offered: &[String]) -> HttpFault {
    let what = format!("speaks only {}, which this version of mcpvisor does not", offered.join(", "));
    HttpFault::unseen(Word::UnsupportedVersion, what)
}

/// What the probe says.
enum Verdict {
    Modern(HandshakeInfo),
    Legacy,
    Unsupported(Vec<String>),
}

/// Asks `server/discover`, and reads the answer by the table of R21.
async fn probe(hub: &Arc<Hub>, deadline: Instant) -> Result<Verdict, HttpFault> {
    let deadline = deadline.min(Instant::now() + PROBE_LIMIT);
    let discover = async || {
        let session = Session::opening(Era::Modern);
        ask(hub, &session, method::DISCOVER, &Bytes::new(), &mcp::modern_meta(), deadline).await
    };
    let mut answered = discover().await;
    if matches!(&answered, Ok(Answered { outcome: Err(error), .. }) if wants_again(error)) {
        answered = discover().await;
    }
    match answered {
        Ok(Answered { outcome: Ok(result), .. }) => Ok(match mcp::read_discover(&result) {
            (Probe::Modern, Some(facts)) => Verdict::Modern(facts),
            (Probe::Unsupported { offered }, _) => Verdict::Unsupported(offered),
            (Probe::Legacy | Probe::Modern, _) => Verdict::Legacy,
        }),
        Ok(Answered { outcome: Err(error), .. }) => read_error(&error),
        Err(Stop::Fault(fault)) if says_legacy(&fault) => Ok(Verdict::Legacy),
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::SessionLost | Stop::OtherEra(_)) => Ok(Verdict::Legacy),
        Err(Stop::TimedOut) => {
            Err(HttpFault::unknown(Word::Silent, "did not answer server/discover in time"))
        }
    }
}

/// Reports whether an error offers the version that it refuses: asked once more, such a server answers.
fn wants_again(error: &RpcError) -> bool {
    error.code == -32022 && mcp::read_probe_error(error) == Probe::Modern
}

/// Reads an error in the answer to the probe. An internal error says nothing of the era.
fn read_error(error: &RpcError) -> Result<Verdict, HttpFault> {
    if error.code == -32603 {
        return Err(HttpFault::unknown(Word::ServerError, refusal(method::DISCOVER, error)));
    }
    Ok(match mcp::read_probe_error(error) {
        Probe::Legacy => Verdict::Legacy,
        Probe::Modern => {
            let what =
                format!("is of the era of 2026-07-28 and refuses {}", refusal(method::DISCOVER, error));
            return Err(HttpFault::unseen(Word::BadReply, what));
        }
        Probe::Unsupported { offered } => {
            let has_legacy = offered.iter().any(|version| version.as_str() <= mcp::OFFERED_LEGACY_VERSION);
            if has_legacy { Verdict::Legacy } else { Verdict::Unsupported(offered) }
        }
    })
}

/// Reports whether a refusal of the probe without an error of the protocol is one of a server that does not know it: 400,
/// 404, 405, 406, 415, 422, or a page.
fn says_legacy(fault: &HttpFault) -> bool {
    matches!(fault.word, Word::NotMcp | Word::BadReply)
}

/// Opens a session of the legacy era, and makes it the current one.
pub(super) async fn initialize(
    hub: &Arc<Hub>,
    declared: Declared,
    deadline: Instant,
) -> Result<HandshakeInfo, NotOpened> {
    let session = Session::opening(Era::Legacy);
    let members = Bytes::from(mcp::initialize_params(declared));
    let answered = ask(hub, &session, method::INITIALIZE, &members, &Bytes::new(), deadline).await;
    let Answered { outcome, session_id } = match answered {
        Ok(answered) => answered,
        Err(Stop::Fault(fault)) => return Err(fault.into()),
        Err(Stop::OtherEra(fault)) => return Err(NotOpened { fault, other_era: true }),
        Err(Stop::SessionLost) => return Err(HttpFault::unseen(Word::SessionLost, "knows no session").into()),
        Err(Stop::TimedOut) => {
            return Err(HttpFault::unknown(Word::Silent, "did not answer initialize in time").into());
        }
    };
    let result = outcome.map_err(|error| NotOpened {
        other_era: matches!(error.code, -32022 | -32601),
        fault: HttpFault::unseen(
            Word::BadReply,
            format!("failed the handshake: {}", refusal(method::INITIALIZE, &error)),
        ),
    })?;
    let facts = mcp::read_initialize(&result)
        .map_err(|reason| HttpFault::unknown(Word::BadReply, format!("failed the handshake: {reason}")))?;
    let version = HeaderValue::from_str(&facts.protocol_version).ok();
    // Without a session nothing leads back to the gateway (R26).
    hub.freshness.set_told(session_id.is_some() || hub.inbox().is_some());
    hub.open_session(Session::new(Era::Legacy, session_id, version));
    post_initialized(hub, deadline).await;
    Ok(facts)
}

/// Sends one request of an opening.
async fn ask(
    hub: &Arc<Hub>,
    session: &Session,
    asked: &'static str,
    members: &[u8],
    meta: &[u8],
    deadline: Instant,
) -> Result<Answered, Stop> {
    let id = hub.next_id();
    let mut body = BytesMut::new();
    jsonrpc::push_request(&mut body, id, asked, members, &[meta], false);
    let body = body.freeze();
    let write = |headers: &mut HeaderMap| {
        if session.era == Era::Modern {
            headers::write(headers, asked, members, |_| Arc::default());
        }
    };
    let request = Request { id, method: asked, body, write: &write, session, exchange: None };
    let limits = Link::within(deadline, Instant::now());
    attempt::send(hub, &request, &mut Clock::new(limits)).await
}
