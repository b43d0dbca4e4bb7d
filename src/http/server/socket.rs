//! Unix socket: the way in for the daemon's own user, who needs no key. The kernel says who connects, and other
//! users of this machine, a proxy among them, cannot even open it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::server::HttpService;
use crate::http::server::call::Call;
use crate::http::server::listener::{report, serve_connection, wait_for_stop};
use crate::http::server::peer::Peer;
use crate::http::server::state::{ConnectionState, Timeouts};
use crate::process::Holder;

/// Connections served at once; further ones wait in the kernel's queue. Each client that starts `mcpvisor stdio` keeps one
/// open for what it is told unasked.
const MAX_CONNECTIONS: usize = 256;

/// A listening socket. Its file is removed when this is dropped, unless another has taken its place by then.
pub(in crate::http) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    file: (u64, u64),
}

impl Socket {
    /// Listens on a socket of this path, readable and writable for the daemon's user only. A file that an ended
    /// daemon has left there is replaced; one on which a process still listens is not.
    ///
    /// # Errors
    /// A process listens there, something else is there, the path is too long for a socket (107 bytes), or the
    /// directory cannot be written to. Missing directories are not made.
    pub(in crate::http) fn bind(path: &Path) -> io::Result<Socket> {
        check_free(path)?;
        // Under another name until it has its mode, and then renamed in one step: it is never open to others, and
        // never missing.
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(draft);
        let bound = UnixListener::bind(&draft)?;
        let placed = fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&draft, path))
            .and_then(|()| identity(path));
        match placed {
            Ok(file) => Ok(Socket { listener: bound, path: path.to_owned(), file }),
            Err(error) => {
                // No client knows it by this name.
                let _ = fs::remove_file(&draft);
                Err(error)
            }
        }
    }

    /// Returns the path of the socket's file.
    pub(in crate::http) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until `stop` is true and every connection has ended.
    pub(in crate::http) async fn serve(
        self,
        service: impl HttpService,
        patience: Timeouts,
        stop: watch::Receiver<bool>,
    ) {
        let mut connections = JoinSet::new();
        let mut stopped = std::pin::pin!(wait_for_stop(stop.clone()));
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(ended) = connections.join_next() => report(ended),
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        if let Some(peer) = admit(&stream).await {
                            let watch = Arc::new(ConnectionState::new(patience));
                            let call = Call { peer, service: service.clone(), watch, only_one: false };
                            connections.spawn(serve_connection(stream, call, stop.clone()));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections on the socket, resting");
                        tokio::time::sleep(crate::http::server::listener::OUT_OF_DESCRIPTORS_REST).await;
                    }
                },
            }
        }
        drop(self);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }
}

/// Identifies the peer. `None` if the kernel gives no credentials, or for a process that a server of ours has
/// started: the connection is closed at once, since it would only take a place.
async fn admit(stream: &UnixStream) -> Option<Arc<Peer>> {
    let credentials = stream.peer_cred().ok()?;
    let peer = Peer::of_unix(credentials.uid(), credentials.pid());
    match peer.holder().await {
        Holder::OwnTree { pid } => {
            tracing::warn!(pid, "a process of a server asked for the operator's socket and was refused");
            None
        }
        _ => Some(Arc::new(peer)),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // A file that stays is replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|of| (of.dev(), of.ino()))
}

/// Checks that a socket can be put here: the path is free, or a socket on which no process listens.
fn check_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(of) if !of.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there"))
        }
        // The backlog of a living one may be full: that is no refusal.
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon listens there")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_user_s_alone_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.sock");
        let socket = Socket::bind(&path).expect("bound");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1, "no draft is left");
        let error = Socket::bind(&path).err().expect("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_an_ended_daemon_left_is_replaced_and_another_s_file_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        let first = Socket::bind(&path).expect("replaced");
        fs::remove_file(&path).expect("removed");
        let second = Socket::bind(&path).expect("bound again");
        drop(first);
        assert!(path.exists(), "it is the second one's now");
        drop(second);
        fs::write(&path, b"mine").expect("written");
        assert_eq!(Socket::bind(&path).err().expect("refused").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("there"), b"mine");
        let long = directory.path().join("x".repeat(120));
        assert!(Socket::bind(&long).is_err());
        assert!(Socket::bind(&directory.path().join("none/s.sock")).is_err());
    }
}
