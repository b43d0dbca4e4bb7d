//! A server that is reached over HTTP: one opening of it, from the first request to the last. The actor that owns it, what
//! its calls share, the opening, and calls on their way (`remote-upstreams.md`; rules are cited by their numbers).

mod actor;
mod address;
mod answer;
mod assertion;
mod attempt;
mod authorizer;
mod calling;
mod client;
mod direct;
mod endpoint;
mod events;
pub(super) mod fault;
mod freshness;
mod gate;
mod headers;
mod host;
mod http_sse;
mod hub;
mod inbox;
mod login;
mod login_desk;
mod network;
mod notices;
mod oauth;
mod opening;
mod pauses;
mod room;
mod session;
mod shown;
pub(super) mod start_view;
mod target;
mod throttle;
mod tls;
mod token_client;
mod verdict;

pub use actor::{IncidentReport, OpeningEnd, RemoteActor, RemoteArgs, RemoteMsg};
pub use address::{AddressRules, Allowed, Forbidden, Scope};
pub use endpoint::{AuthChoice, ClientCredentials, ClientProof, Endpoint, ProxyChoice, TransportChoice};
pub use fault::{Consequence, HttpFault, Proof, Word};
pub use login_desk::{LoginBegun, LoginDesk, LoginFinish, LoginSettings, LoginStore};
pub use shown::shown_address;
pub use tls::TlsChoice;
