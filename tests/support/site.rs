//! A web site of a few fixed pages on this machine, for a server that fetches.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type Pages = Arc<Vec<(String, String, String)>>;

/// The site. It ends when dropped.
pub(crate) struct Site {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Site {
    /// Serves these pages, each a path, a content type and a text; any other path is 404.
    pub(crate) async fn start(pages: &[(&str, &str, &str)]) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let owned = |(path, kind, text): &(&str, &str, &str)| {
            ((*path).to_owned(), (*kind).to_owned(), (*text).to_owned())
        };
        let pages: Pages = Arc::new(pages.iter().map(owned).collect());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (pages, seen) = (Arc::clone(&pages), Arc::clone(&seen));
                // A client that goes away in the middle is its own business.
                tokio::spawn(async move { answer(stream, &pages, &seen).await.ok() });
            }
        });
        Site { address, requests, serving }
    }

    /// The address of a page.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The paths that were asked for, in their order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic while it was held").clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one request and closes the connection.
async fn answer(stream: TcpStream, pages: &Pages, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let mut header = String::new();
    while stream.read_line(&mut header).await? > 2 {
        header.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let page = pages.iter().find(|(known, _, _)| *known == path);
    let (status, kind, text) = match page {
        Some((_, kind, text)) => ("200 OK", kind.as_str(), text.as_str()),
        None => ("404 Not Found", "text/plain", "there is no such page"),
    };
    seen.lock().expect("no panic while it was held").push(path);
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n", text.len());
    stream.write_all(format!("{head}connection: close\r\n\r\n{text}").as_bytes()).await?;
    stream.shutdown().await
}
