//! Proof that a request is the operator's own: nearness that is proved, not one that nobody disputes.
//!
//! A client of this machine needs no key for `/api` if the kernel says that its socket is the daemon's own
//! user's, no server of ours holds it, and nothing in the request speaks for somebody else. A proxy or a tunnel
//! makes every peer look local, and the plainest of them add no header, so the absence of one proves nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::{OnceCell, Semaphore};

use super::framing::Misframed;
use super::state::ConnectionState;
use crate::process::{Holder, holder_by_credentials, peer_socket};

/// Limit of two concurrent look-ups of a socket's holder: each reads a good part of `/proc`.
static LOOK_UPS: Semaphore = Semaphore::const_new(2);

/// The other end of a connection, and its holder once that has been looked up.
#[derive(Debug)]
pub(in crate::http) struct Peer {
    address: IpAddr,
    /// Both ends of a TCP connection, ours first; `None` if there is no TCP connection to look up.
    ends: Option<(SocketAddr, SocketAddr)>,
    holder: OnceCell<Holder>,
    by_socket: bool,
}

impl Peer {
    /// Creates the client of a TCP connection.
    pub(in crate::http) fn of_tcp(own: SocketAddr, peer: SocketAddr) -> Peer {
        let address = peer.ip().to_canonical();
        Peer { address, ends: Some((own, peer)), holder: OnceCell::new(), by_socket: false }
    }

    /// Creates the client of a connection on the Unix socket, from the kernel's credentials of the process that
    /// made it. It has no address; it counts as one of this machine's.
    pub(in crate::http) fn of_unix(uid: u32, pid: Option<i32>) -> Peer {
        let holder = OnceCell::new_with(Some(holder_by_credentials(uid, pid)));
        Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), ends: None, holder, by_socket: true }
    }

    /// Creates a client of which only the address is known: for tests and benches, which have no connection.
    pub(in crate::http) fn at(address: IpAddr) -> Peer {
        Peer { address, ends: None, holder: OnceCell::new(), by_socket: false }
    }

    /// Returns the client's address; IPv4 loopback for a Unix socket.
    pub(in crate::http) fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the user id of the other end, or `None` if it was not found out.
    pub(in crate::http) fn uid(&self) -> Option<u32> {
        match self.holder.get()? {
            Holder::OwnUser { uid } | Holder::OtherUser { uid } => Some(*uid),
            Holder::OwnTree { .. } | Holder::Unknown => None,
        }
    }

    /// Returns the client's place for the log: `unix`, or its address.
    pub(in crate::http) fn place(&self) -> String {
        if self.by_socket { "unix".to_owned() } else { self.address.to_string() }
    }

    /// Returns the holder of the other end. It is looked up once per connection, at the first call.
    pub(in crate::http) async fn holder(&self) -> Holder {
        *self.holder.get_or_init(|| find_holder(self.ends)).await
    }
}

async fn find_holder(ends: Option<(SocketAddr, SocketAddr)>) -> Holder {
    let Some(socket) = ends.and_then(|(own, peer)| peer_socket(own, peer)) else { return Holder::Unknown };
    if !socket.is_of_own_user() {
        return Holder::OtherUser { uid: socket.uid };
    }
    // The semaphore is never closed; and a look-up that panicked has proved nothing.
    let Ok(_permit) = LOOK_UPS.acquire().await else { return Holder::Unknown };
    tokio::task::spawn_blocking(move || socket.holder()).await.unwrap_or(Holder::Unknown)
}

/// Connection details of a request.
pub struct PeerInfo {
    pub(in crate::http) peer: Arc<Peer>,
    /// Reason why the framing of the request cannot be trusted; `None` if it can.
    pub(in crate::http) misframed: Option<Misframed>,
    pub(in crate::http) watch: Option<Arc<ConnectionState>>,
}

impl PeerInfo {
    /// Makes the details of a request without a connection, as in tests and benches. Nothing vouches for the peer.
    pub fn from(peer: IpAddr) -> PeerInfo {
        PeerInfo { peer: Arc::new(Peer::at(peer)), misframed: None, watch: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_no_connection_is_nobody_who_is_known() {
        assert_eq!(Peer::at(IpAddr::from([127, 0, 0, 1])).holder().await, Holder::Unknown);
        let far = Peer::of_tcp("127.0.0.1:5".parse().expect("own"), "192.0.2.1:9".parse().expect("peer"));
        assert_eq!(far.holder().await, Holder::Unknown);
    }
}
