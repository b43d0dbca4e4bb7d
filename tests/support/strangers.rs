//! Clients of other addresses of this machine that do not behave: they begin and do not end, ask and do
//! not read, and come back when they are closed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::recording::{self, Socket};

/// An address of this machine that no other test's client has.
pub(crate) fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// Has this process open as many sockets as it may be allowed to.
pub(crate) fn allow_many_sockets() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Connects from an address, with a buffer that takes hardly anything if that is wanted.
pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr, reads_little: bool) -> std::io::Result<Socket> {
    Ok(Socket::new(connect_bare(from, to, reads_little).await?, to))
}

async fn connect_bare(from: Ipv4Addr, to: SocketAddr, reads_little: bool) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    if reads_little {
        socket.set_recv_buffer_size(2048)?;
    }
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Sends a request from an address over a connection of its own, reads the answer to its end, and says its
/// status and how long all of that took.
pub(crate) fn ask_from(
    from: Ipv4Addr,
    to: SocketAddr,
    request: &str,
    limit: Duration,
) -> (Option<u16>, Duration) {
    let began = Instant::now();
    let asked = || -> std::io::Result<String> {
        // A blocking socket of the standard library has no local address to choose, so tokio makes it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(async {
            tokio::time::timeout(limit, connect_bare(from, to, false)).await.map_err(std::io::Error::other)?
        })?;
        let mut stream = {
            let _within = runtime.enter();
            stream.into_std()?
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        recording::spoken(to.port(), request.as_bytes(), answer.as_bytes(), true);
        Ok(answer)
    };
    let answer = asked().unwrap_or_default();
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    (status, began.elapsed())
}

/// A request that ends its connection, as text.
pub(crate) fn closing(method: &str, path: &str, key: Option<&str>, body: &str) -> String {
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{key}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Connections that send these bytes and no more, each renewed at once when it is closed, until this is dropped.
/// They have a thread of their own, so that who is measured does not wait for them in this process.
pub(crate) struct Siege {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Siege {
    /// Begins: so many of each.
    pub(crate) fn lay(from: Ipv4Addr, to: SocketAddr, kinds: Vec<(usize, String)>) -> Siege {
        let over = Arc::<AtomicBool>::default();
        let stop = Arc::clone(&over);
        let besiege = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                for (count, bytes) in kinds {
                    let bytes: Arc<str> = bytes.into();
                    for _ in 0..count {
                        tokio::spawn(hold(from, to, bytes.clone()));
                    }
                }
                while !stop.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        };
        Siege { over, thread: Some(std::thread::spawn(besiege)) }
    }
}

async fn hold(from: Ipv4Addr, to: SocketAddr, bytes: Arc<str>) {
    loop {
        let Ok(mut stream) = connect_bare(from, to, false).await else {
            // There is no port or no descriptor left for a moment.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ended = async {
            stream.write_all(bytes.as_bytes()).await?;
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
            Ok::<(), std::io::Error>(())
        }
        .await;
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}
