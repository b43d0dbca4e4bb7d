//! Identification of the peer of a local connection: by asking the kernel, never the peer.
//!
//! A TCP socket on loopback has an owner, the user that made it, and a number (its inode). The kernel reports both
//! (sock_diag(7), or `/proc/net/tcp`), and `/proc/PID/fd` shows the processes that hold a socket with that number. A
//! process is one of ours, rather than the operator's, if the daemon is among its ancestors. No process can leave that
//! line: the daemon is the subreaper of all that it started, so orphans are reparented to it, whatever they do to their
//! group, session and environment.
//!
//! Everything here fails closed: an unknown peer proves nothing.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto, socket_with,
};

use super::{proc_fs, user};

/// Holder of the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A process of the daemon's own user that neither the daemon nor a child of it started.
    OwnUser {
        /// Id of that user, the same as the daemon's.
        uid: u32,
    },
    /// A process of another user.
    OtherUser {
        /// Id of that user.
        uid: u32,
    },
    /// A process of a server that runs here, or a descendant of one.
    OwnTree {
        /// Process id of the holder.
        pid: i32,
    },
    /// It cannot be determined: the socket or its holder is gone, hidden, or on another machine.
    Unknown,
}

/// A socket of this machine, as the kernel reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerSocket {
    /// Id of the user that made it.
    pub uid: u32,
    /// Inode number of the socket. Never 0: a socket that has lost its owner has none, and the kernel would report root
    /// as its user.
    inode: u64,
}

/// Returns the socket at the other end of a connection on loopback; `None` if it cannot be determined. Fast: asks the
/// kernel for this one socket, unless the kernel does not support that.
pub fn peer_socket(own: SocketAddr, peer: SocketAddr) -> Option<PeerSocket> {
    let (own, peer) = (canonical(own), canonical(peer));
    if !peer.ip().is_loopback() {
        return None;
    }
    let found = if asks_work(own, peer) { ask_kernel(peer, own).ok()? } else { look_up(peer, own) };
    found
        .filter(|socket| socket.inode != 0 && has_an_owner(socket.state))
        .map(|socket| PeerSocket { uid: socket.uid, inode: socket.inode })
}

impl PeerSocket {
    /// Returns the holder of the socket. Reads `/proc`, which takes milliseconds: do not call it on the runtime.
    pub fn holder(self) -> Holder {
        match own_user() {
            Some(own) if own == self.uid => find_holder(self).unwrap_or(Holder::Unknown),
            Some(_) => Holder::OtherUser { uid: self.uid },
            None => Holder::Unknown,
        }
    }

    /// Reports whether the daemon's own user made it, so that looking for its holder is worthwhile.
    pub fn is_of_own_user(self) -> bool {
        own_user() == Some(self.uid)
    }
}

/// Returns the peer of a Unix socket, from its `SO_PEERCRED`. Must be called as soon as the connection is accepted: a
/// process id is reused some time after its process has ended.
pub fn holder_by_credentials(uid: u32, pid: Option<i32>) -> Holder {
    match (own_user(), pid) {
        (Some(own), _) if own != uid => Holder::OtherUser { uid },
        (Some(_), Some(pid)) => descent(pid).map_or(Holder::Unknown, |descent| match descent {
            Descent::Ours => Holder::OwnTree { pid },
            Descent::Others => Holder::OwnUser { uid },
        }),
        _ => Holder::Unknown,
    }
}

/// Returns the daemon's user; `None` if its number may stand for other users: in a user namespace, all users without a
/// number there share one (user_namespaces(7)).
fn own_user() -> Option<u32> {
    static OWN: OnceLock<Option<u32>> = OnceLock::new();
    *OWN.get_or_init(|| {
        let own = user();
        let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
        let overflow = overflow.and_then(|text| text.trim().parse().ok()).unwrap_or(65_534);
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        (own != overflow || maps_everybody(&map)).then_some(own)
    })
}

/// Reports whether a user namespace has a number for every user.
fn maps_everybody(map: &str) -> bool {
    map.split_ascii_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"]
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The kernel's data about one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SocketInfo {
    state: u8,
    uid: u32,
    inode: u64,
}

/// Reports whether a process still holds a socket in this state. The states, as in the kernel's `tcp_states.h`:
/// established, or one side has announced that it will send no more. A listener is not a peer, and a socket that is
/// timing out has no holder.
fn has_an_owner(state: u8) -> bool {
    const ESTABLISHED: u8 = 1;
    const FIN_WAIT1: u8 = 4;
    const FIN_WAIT2: u8 = 5;
    const CLOSE_WAIT: u8 = 8;
    matches!(state, ESTABLISHED | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT)
}

/// Reports whether the kernel can be asked for single sockets: determined once, with our own end of the connection,
/// which must exist.
fn asks_work(own: SocketAddr, peer: SocketAddr) -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    *WORK.get_or_init(|| matches!(ask_kernel(own, peer), Ok(Some(_))))
}

const REQUEST: usize = 16 + 56;
const ANSWER: usize = 16 + 72;
/// Message type `SOCK_DIAG_BY_FAMILY` of sock_diag(7).
const BY_FAMILY: u16 = 20;

/// Asks for the socket that is bound to `local` and connected to `remote`. `None` if there is none.
fn ask_kernel(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<SocketInfo>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
    let request = diag_request(local, remote);
    sendto(&kernel, &request, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0u8; 1024];
    let (length, _) = recv(&kernel, &mut answer[..], RecvFlags::empty())?;
    read_diag(answer.get(..length).unwrap_or_default(), local, remote)
}

/// Builds `struct nlmsghdr` and `struct inet_diag_req_v2` for one socket.
fn diag_request(local: SocketAddr, remote: SocketAddr) -> [u8; REQUEST] {
    const NLM_F_REQUEST: u16 = 1;
    const IPPROTO_TCP: u8 = 6;
    let mut request = [0u8; REQUEST];
    let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(REQUEST as u32).to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(8, &1u32.to_ne_bytes());
    put(16, &[family(local), IPPROTO_TCP, 0, 0]);
    put(20, &u32::MAX.to_ne_bytes());
    put(24, &socket_id(local, remote));
    // The cookie is unknown: all ones.
    put(64, &[0xff; 8]);
    request
}

/// Builds the beginning of `struct inet_diag_sockid`: ports and addresses, in network order.
fn socket_id(local: SocketAddr, remote: SocketAddr) -> [u8; 36] {
    let mut id = [0u8; 36];
    id[..2].copy_from_slice(&local.port().to_be_bytes());
    id[2..4].copy_from_slice(&remote.port().to_be_bytes());
    for (at, address) in [(4, local.ip()), (20, remote.ip())] {
        match address {
            IpAddr::V4(address) => id[at..at + 4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => id[at..at + 16].copy_from_slice(&address.octets()),
        }
    }
    id
}

fn family(address: SocketAddr) -> u8 {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    family.as_raw() as u8
}

/// Reads the kernel's answer: `struct inet_diag_msg`, or an error.
fn read_diag(answer: &[u8], local: SocketAddr, remote: SocketAddr) -> io::Result<Option<SocketInfo>> {
    const NLMSG_ERROR: u16 = 2;
    const ENOENT: i32 = -2;
    let unreadable = || io::Error::from(io::ErrorKind::InvalidData);
    let number = |at: usize| answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match kind {
        Some(NLMSG_ERROR) => match number(16).map(i32::from_ne_bytes) {
            Some(ENOENT) => Ok(None),
            _ => Err(unreadable()),
        },
        Some(BY_FAMILY) if answer.len() >= ANSWER => {
            // If no connection has these ends, the kernel reports the listener there. The addresses of a dual-stack
            // socket are in IPv6 form.
            let ends = &answer[20..24];
            if *ends != socket_id(local, remote)[..4] {
                return Ok(None);
            }
            let read = |at: usize| number(at).map(u32::from_ne_bytes).ok_or_else(unreadable);
            Ok(Some(SocketInfo { state: answer[17], uid: read(80)?, inode: u64::from(read(84)?) }))
        }
        _ => Err(unreadable()),
    }
}

/// Finds the same in `/proc/net/tcp` and `tcp6`: these list all sockets, so this is slow if there are many.
fn look_up(local: SocketAddr, remote: SocketAddr) -> Option<SocketInfo> {
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines()
            .skip(1)
            .filter_map(read_row)
            .find(|row| row.0 == local && row.1 == remote)
            .map(|row| row.2)
    })
}

/// State of a socket that listens, as the kernel numbers it.
const LISTENING: u8 = 10;

/// Returns the process that listens on a port of this machine, as people name it: `nginx, process 812`. `None` if nobody does, or if
/// the process may not be examined.
pub fn listener_of(port: u16) -> Option<String> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let listens =
        |row: &(SocketAddr, SocketAddr, SocketInfo)| row.0.port() == port && row.2.state == LISTENING;
    let inode =
        tables.into_iter().find_map(|text| text.lines().skip(1).filter_map(read_row).find(listens))?.2.inode;
    let link = format!("socket:[{inode}]");
    let pid = proc_fs::parents().ok()?.into_keys().find(|pid| holds(*pid, &link))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{}, process {pid}", name.trim_end()))
}

/// Reads a row of `/proc/net/tcp`: the socket's two ends, and its data.
fn read_row(row: &str) -> Option<(SocketAddr, SocketAddr, SocketInfo)> {
    let mut fields = row.split_ascii_whitespace().skip(1);
    let (local, remote) = (read_end(fields.next()?)?, read_end(fields.next()?)?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some((local, remote, SocketInfo { state, uid, inode }))
}

/// Reads `ADDRESS:PORT` in hexadecimal, the address in words of the machine's byte order.
fn read_end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut octets = Vec::with_capacity(16);
    for word in 0..address.len() / 8 {
        let word = u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok()?;
        octets.extend_from_slice(&word.to_ne_bytes());
    }
    let address = match *octets.as_slice() {
        [a, b, c, d] => IpAddr::from([a, b, c, d]),
        _ => IpAddr::from(<[u8; 16]>::try_from(octets.as_slice()).ok()?),
    };
    Some(canonical(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?)))
}

/// Finds a process that holds a socket. A holder among our descendants is decisive, so those are examined first; the
/// others follow youngest first, since a client is mostly younger than the rest of the machine. `None` if there is none
/// that proves anything.
fn find_holder(socket: PeerSocket) -> Option<Holder> {
    let link = format!("socket:[{}]", socket.inode);
    let own = std::process::id().cast_signed();
    let (ours, mut others) = by_descent(&proc_fs::parents().ok()?, own);
    if let Some(pid) = ours.into_iter().find(|pid| holds(*pid, &link)) {
        return Some(Holder::OwnTree { pid });
    }
    others.sort_unstable_by(|a, b| b.cmp(a));
    let pid = others.into_iter().find(|pid| *pid != own && holds(*pid, &link))?;
    let is_own_user = fs::metadata(format!("/proc/{pid}")).is_ok_and(|of| of.uid() == socket.uid);
    // Its ancestors are examined again: an orphan may have a new parent by now.
    match descent(pid)? {
        Descent::Ours => Some(Holder::OwnTree { pid }),
        Descent::Others if is_own_user => Some(Holder::OwnUser { uid: socket.uid }),
        Descent::Others => None,
    }
}

/// Reports whether a process has a descriptor with this link. One that may not be examined counts as having none.
fn holds(pid: i32, link: &str) -> bool {
    proc_fs::descriptors(pid).any(|(_, target)| target.as_os_str() == link)
}

/// Origin of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Descent {
    /// It descends from the daemon.
    Ours,
    /// It descends from the first process of the machine, and not by way of the daemon.
    Others,
}

/// Number of ancestors examined; a longer line counts as unknown.
const GENERATIONS: usize = 256;
/// Number of attempts at a line that broke off because a process in it ended meanwhile.
const TRIES: usize = 8;

/// Returns the current origin of a process; `None` if it is gone or its line cannot be determined.
fn descent(pid: i32) -> Option<Descent> {
    let own = std::process::id().cast_signed();
    (0..TRIES).find_map(|_| descent_by(pid, own, |pid| proc_fs::stat(pid).map(|stat| stat.parent)))
}

fn descent_by(pid: i32, own: i32, parent: impl Fn(i32) -> Option<i32>) -> Option<Descent> {
    let mut at = pid;
    for generation in 0..GENERATIONS {
        match at {
            _ if at == own && generation > 0 => return Some(Descent::Ours),
            // Processes that entered this PID namespace from outside have no parent in it.
            0 | 1 => return Some(Descent::Others),
            _ => at = parent(at)?,
        }
    }
    None
}

/// Sorts all processes into those that may descend from the daemon and the others. An unknown line counts as ours.
fn by_descent(parents: &HashMap<i32, i32>, own: i32) -> (Vec<i32>, Vec<i32>) {
    parents.keys().partition(|pid| {
        descent_by(**pid, own, |pid| parents.get(&pid).copied()) != Some(Descent::Others) && **pid != own
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((address, 0)).expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        (client, server)
    }

    fn ends(server: &TcpStream) -> (SocketAddr, SocketAddr) {
        (server.local_addr().expect("bound"), server.peer_addr().expect("connected"))
    }

    fn inode(stream: &TcpStream) -> u64 {
        use std::os::fd::AsRawFd;
        let link = fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).expect("a link");
        let link = link.to_str().expect("text").to_owned();
        link.trim_start_matches("socket:[").trim_end_matches(']').parse().expect("a number")
    }

    #[test]
    fn the_socket_at_the_other_end_is_found_by_both_ways() {
        for address in ["127.0.0.1", "127.0.0.2", "::1"] {
            let Ok(probe) = TcpListener::bind((address, 0)) else { continue };
            drop(probe);
            let (client, server) = pair(address);
            let (own, peer) = ends(&server);
            let uid = user();
            let expected = SocketInfo { state: 1, uid, inode: inode(&client) };
            assert_eq!(ask_kernel(peer, own).expect("answered"), Some(expected), "{address}");
            assert_eq!(look_up(peer, own), Some(expected), "{address}");
            let found = peer_socket(own, peer).expect("found");
            assert_eq!((found.uid, found.inode), (uid, inode(&client)));
            assert!(found.is_of_own_user());
        }
    }

    #[test]
    fn an_ipv4_address_in_its_ipv6_form_is_the_same_address() {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        let port = listener.local_addr().expect("bound").port();
        let client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        let (own, peer) = ends(&server);
        assert!(own.is_ipv6() && peer.is_ipv6(), "{own} {peer}");
        assert_eq!(peer_socket(own, peer).map(|found| found.inode), Some(inode(&client)));
    }

    #[test]
    fn a_socket_that_its_process_has_closed_is_nobody_s_and_not_root_s() {
        let (client, server) = pair("127.0.0.1");
        let (own, peer) = ends(&server);
        client.shutdown(std::net::Shutdown::Write).expect("half closed");
        assert!(peer_socket(own, peer).is_some(), "half closed, and still somebody's");
        drop(client);
        assert_eq!(peer_socket(own, peer), None);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
        let listens = listener.local_addr().expect("bound");
        let nobody: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        assert_eq!(peer_socket(nobody, listens), None, "who listens is no peer");
    }

    #[test]
    fn only_loopback_is_asked_about() {
        let far: SocketAddr = "192.0.2.1:9".parse().expect("an address");
        assert_eq!(peer_socket("127.0.0.1:5000".parse().expect("an address"), far), None);
    }

    #[test]
    fn what_the_tests_own_process_holds_is_not_taken_for_somebody_else_s() {
        // The test is the daemon here, and holds both ends itself: no proof.
        let (_client, server) = pair("127.0.0.1");
        let (own, peer) = ends(&server);
        let holder = peer_socket(own, peer).expect("found").holder();
        assert!(!matches!(holder, Holder::OwnUser { .. }), "{holder:?}");
    }

    #[test]
    fn a_child_is_ours_and_whoever_started_us_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("started");
        let pid = child.id().cast_signed();
        assert_eq!(descent(pid), Some(Descent::Ours));
        let uid = user();
        assert_eq!(holder_by_credentials(uid, Some(pid)), Holder::OwnTree { pid });
        let parent = std::os::unix::process::parent_id().cast_signed();
        assert_eq!(holder_by_credentials(uid, Some(parent)), Holder::OwnUser { uid });
        assert_eq!(holder_by_credentials(uid + 1, Some(parent)), Holder::OtherUser { uid: uid + 1 });
        assert_eq!(holder_by_credentials(uid, None), Holder::Unknown);
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(holder_by_credentials(uid, Some(pid)), Holder::Unknown, "it is gone");
    }

    #[test]
    fn a_line_that_breaks_off_or_goes_round_is_not_somebody_else_s() {
        let parents: HashMap<i32, i32> =
            [(1, 0), (10, 1), (20, 10), (30, 20), (40, 1), (50, 49), (60, 61), (61, 60), (70, 0)].into();
        let of = |pid| descent_by(pid, 20, |pid| parents.get(&pid).copied());
        assert_eq!(of(30), Some(Descent::Ours));
        assert_eq!(of(10), Some(Descent::Others));
        assert_eq!(of(70), Some(Descent::Others));
        assert_eq!((of(50), of(60)), (None, None));
        let (mut ours, mut others) = by_descent(&parents, 20);
        ours.sort_unstable();
        others.sort_unstable();
        assert_eq!((ours, others), (vec![30, 50, 60, 61], vec![1, 10, 20, 40, 70]));
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_no_proof() {
        let (local, remote): (SocketAddr, SocketAddr) =
            ("127.0.0.1:1".parse().expect("an address"), "127.0.0.1:2".parse().expect("an address"));
        let mut answer = [0u8; ANSWER];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        answer[17] = 1;
        answer[20..24].copy_from_slice(&[0, 1, 0, 2]);
        answer[80..84].copy_from_slice(&7u32.to_ne_bytes());
        answer[84..88].copy_from_slice(&9u32.to_ne_bytes());
        let told = SocketInfo { state: 1, uid: 7, inode: 9 };
        assert_eq!(read_diag(&answer, local, remote).expect("an answer"), Some(told));
        assert_eq!(read_diag(&answer, remote, local).expect("another socket's"), None);
        for length in 0..ANSWER {
            assert!(read_diag(&answer[..length], local, remote).is_err(), "{length}");
        }
    }

    #[test]
    fn rows_of_the_table_are_read() {
        let row = "   1: 0100007F:1388 0200007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000 100 0 0 10 0";
        let (local, remote, told) = read_row(row).expect("a row");
        assert_eq!(
            (local.to_string(), remote.to_string()),
            ("127.0.0.1:5000".into(), "127.0.0.2:54321".into())
        );
        assert_eq!(told, SocketInfo { state: 1, uid: 1000, inode: 12345 });
        assert_eq!(read_row("  sl  local_address rem_address   st"), None);
        assert_eq!(read_row("1: 0100007F:1388 0200007F:D431 01"), None);
    }

    #[test]
    fn a_namespace_that_maps_everybody_is_told_from_others() {
        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("         0       1000          1\n"));
        assert!(!maps_everybody("0 100000 65536\n65536 1000 1\n"));
    }
}
