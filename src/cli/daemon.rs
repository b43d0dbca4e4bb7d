//! The daemon that a command talks to: where it is, and the HTTP client that reaches it.

use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url};

use crate::files;

/// Address of the daemon if none is given.
const DEFAULT_URL: &str = "http://127.0.0.1:5000";

/// Way to a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Unix socket. `None` if it is reached by the address.
    pub(super) socket: Option<PathBuf>,
    /// Address without a slash at its end; with a socket only the paths below it count.
    pub(super) url: String,
}

impl Place {
    /// Returns the socket and the address to use: those given; else the usual socket if a daemon listens on it,
    /// which needs no key; else the usual address.
    pub(super) fn find(socket: Option<&Path>, url: Option<&str>, usual_socket: &Path) -> Place {
        let socket = match (socket, url) {
            (Some(socket), _) => Some(socket),
            (None, None) if is_answered(usual_socket) => Some(usual_socket),
            _ => None,
        };
        Place::given(socket, url)
    }

    /// Returns the place that was given.
    pub(super) fn given(socket: Option<&Path>, url: Option<&str>) -> Place {
        let url = url.unwrap_or(DEFAULT_URL).trim_end_matches('/').to_owned();
        Place { socket: socket.map(Path::to_owned), url }
    }

    /// Reports whether somebody listens there. What is no address is not.
    pub(super) fn is_answered(&self) -> bool {
        match &self.socket {
            Some(socket) => is_answered(socket),
            None => {
                let url = Url::parse(&self.url).ok();
                let addresses = url.and_then(|url| url.socket_addrs(|| None).ok()).unwrap_or_default();
                addresses.iter().any(|address| TcpStream::connect_timeout(address, CONNECT_TIMEOUT).is_ok())
            }
        }
    }

    /// Returns the place as people write it.
    pub(super) fn shown(&self) -> String {
        self.socket.as_ref().map_or_else(|| self.url.clone(), |socket| socket.display().to_string())
    }

    /// Returns the address of a path below the place.
    ///
    /// # Errors
    /// A text that says why the address is none.
    pub(super) fn address(&self, path: &str) -> Result<Url, String> {
        let url = &self.url;
        let address = Url::parse(url)
            .and_then(|_| Url::parse(&format!("{url}{path}")))
            .map_err(|error| format!("--url {url:?} is not an address: {error}"))?;
        match address.scheme() {
            "http" | "https" => Ok(address),
            _ => Err(format!("--url {url:?} is not an address: it must begin with http:// or https://")),
        }
    }

    /// Returns the address of the endpoint of a server or group; `None` for that of all servers.
    ///
    /// # Errors
    /// A text that says why there is none.
    pub(super) fn endpoint(&self, server: Option<&str>) -> Result<Url, String> {
        let mut endpoint = self.address("/mcp")?;
        if let Some(server) = server {
            // `.` and `..` would lead elsewhere.
            let is_name = !matches!(server, "" | "." | "..");
            let path = endpoint.path_segments_mut().ok().filter(|_| is_name);
            path.ok_or_else(|| format!("{server:?} is no name of a server"))?.push(server);
        }
        Ok(endpoint)
    }

    /// Reports whether it is an address of this machine.
    pub(super) fn is_this_machine(&self) -> bool {
        let url = Url::parse(&self.url).ok();
        self.socket.is_some() || url.and_then(|url| url.host_str().map(is_this_machine)).unwrap_or_default()
    }

    /// Returns the owner's key, which lies beside the socket or in `data_dir`, if its file belongs to whoever the socket
    /// belongs to: nobody else's socket is given it, and no address is.
    pub(super) fn key_file(&self, data_dir: Option<&Path>) -> Option<KeyFile> {
        let socket = self.socket.as_deref()?;
        let user = std::fs::metadata(socket).ok()?.uid();
        [socket.parent(), data_dir].into_iter().flatten().find_map(|directory| {
            let path = directory.join(OWNER_KEY);
            let is_theirs = std::fs::metadata(&path).is_ok_and(|file| file.uid() == user);
            let text = is_theirs.then(|| files::read(&path, MAX_KEY)).and_then(Result::ok)?;
            let key = String::from_utf8(text).ok()?.trim().to_owned();
            (!key.is_empty()).then_some(KeyFile { path, key })
        })
    }

    /// Returns a builder of a client that reaches the place. This machine is never asked for by way of a proxy.
    pub(super) fn client(&self) -> ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder();
        if self.is_this_machine() {
            client = client.no_proxy();
        }
        match &self.socket {
            Some(socket) => client.unix_socket(socket.clone()),
            None => client,
        }
    }
}

/// The owner's key, and the file that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyFile {
    /// Path of the file.
    pub(super) path: PathBuf,
    /// Text of the key.
    pub(super) key: String,
}

/// File of the owner's key, in the daemon's data directory.
const OWNER_KEY: &str = "owner.key";
/// Longest text that is read of it, in bytes.
const MAX_KEY: u64 = 1024;

/// Longest time that a connection to a daemon may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reports whether a daemon listens on the socket: one that was killed leaves its socket behind.
fn is_answered(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_socket_is_the_default_where_somebody_listens_on_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s.sock");
        let default = || Place { socket: None, url: DEFAULT_URL.to_owned() };
        assert_eq!(Place::find(None, None, &socket), default(), "there is none");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        assert_eq!(Place::find(None, None, &socket).socket, Some(socket.clone()));
        let by_address = Place { socket: None, url: "http://h:1".to_owned() };
        assert_eq!(Place::find(None, Some("http://h:1/"), &socket), by_address);
        let other = Path::new("/other");
        assert_eq!(Place::find(Some(other), None, &socket).socket.as_deref(), Some(other));
        drop(listener);
        assert_eq!(Place::find(None, None, &socket), default(), "its daemon is gone");
    }

    #[test]
    fn the_owner_s_key_is_found_for_a_socket_and_for_no_address() {
        let directory = tempfile::tempdir().expect("a directory");
        let (socket, data) = (directory.path().join("s.sock"), directory.path().join("data"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        std::fs::create_dir(&data).expect("made");
        let by_socket = Place::given(Some(&socket), None);
        assert_eq!(by_socket.key_file(Some(&data)), None, "there is none");
        std::fs::write(data.join(OWNER_KEY), "pk_data\n").expect("written");
        let key = |place: &Place| place.key_file(Some(&data)).map(|found| found.key);
        assert_eq!(key(&by_socket).as_deref(), Some("pk_data"));
        std::fs::write(directory.path().join(OWNER_KEY), "pk_beside").expect("written");
        assert_eq!(key(&by_socket).as_deref(), Some("pk_beside"), "the one beside the socket comes first");
        assert_eq!(key(&Place::given(None, Some("http://127.0.0.1:1"))), None);
        assert_eq!(key(&Place::given(Some(&data.join("no.sock")), None)), None, "nobody has made it");
    }

    #[test]
    fn an_address_that_is_none_is_said_to_be_none() {
        let of = |url: &str| Place { socket: None, url: url.to_owned() }.address("/mcp");
        assert_eq!(of("http://h:1/x").expect("an address").as_str(), "http://h:1/x/mcp");
        for url in ["h", "ftp://h", "http://"] {
            let told = of(url).expect_err(url);
            assert!(told.starts_with(&format!("--url {url:?} is not an address: ")), "{told}");
        }
    }
}
