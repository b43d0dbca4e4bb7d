//! A page of the dashboard that is open while calls are measured: it signs in, and reads the stream of events to the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The stream says something each five seconds.
const SILENT_FOR: Duration = Duration::from_secs(20);

/// An open page. Dropped, it is closed.
pub(crate) struct Page {
    stream: TcpStream,
    events: Arc<AtomicUsize>,
    reader: Option<JoinHandle<()>>,
}

impl Page {
    /// Opens the page of the daemon at `address` with this key.
    pub(crate) fn open(address: SocketAddr, key: &str) -> Result<Page> {
        let (cookie, token) = sign_in(address, key).context("signing in")?;
        let mut stream = connect(address)?;
        let request = format!(
            "GET /ui/events HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\nx-csrf-token: {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = BufReader::new(stream.try_clone()?);
        let (status, _) = read_head(&mut answer)?;
        ensure!(status.contains(" 200 "), "the events: {status}");
        let events = Arc::new(AtomicUsize::new(0));
        let seen = events.clone();
        let reader = std::thread::spawn(move || {
            for line in answer.lines().map_while(Result::ok) {
                if line.starts_with("event: servers") {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Page { stream, events, reader: Some(reader) })
    }

    /// How many changes of the servers it was told of: none would mean that nothing was watched.
    pub(crate) fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It fails when the daemon has closed it already.
        self.stream.shutdown(Shutdown::Both).ok();
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).context("connecting")?;
    stream.set_read_timeout(Some(SILENT_FOR))?;
    Ok(stream)
}

/// Returns the cookie and the token of a sign-in.
fn sign_in(address: SocketAddr, key: &str) -> Result<(String, String)> {
    let mut stream = connect(address)?;
    let request = format!(
        "POST /ui/session HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(stream);
    let (status, headers) = read_head(&mut answer)?;
    ensure!(status.contains(" 200 "), "{status}");
    let cookie = headers.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next())?
    });
    let mut body = Vec::new();
    answer.read_to_end(&mut body)?;
    let told: Value = serde_json::from_slice(&body).context("what it answered")?;
    let token = told["token"].as_str().context("no token")?;
    Ok((cookie.context("no cookie")?.trim().to_owned(), token.to_owned()))
}

/// Reads the status line and the headers of an answer.
fn read_head(answer: &mut impl BufRead) -> Result<(String, Vec<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        ensure!(answer.read_line(&mut line)? > 0, "the connection ended within the head");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    ensure!(!lines.is_empty(), "an empty head");
    Ok((lines.remove(0), lines))
}
