//! A connection to a scripted server: requests are read, and answers written piece by piece.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::{Answer, Ending, Piece};
use super::{Asked, END, Shared};

/// Serves a connection until it or the server ends. What is stopped is reset.
pub(super) async fn serve(stream: TcpStream, shared: Shared, mut stopped: watch::Receiver<bool>) {
    let mut wire = Wire { stream, read: Vec::new() };
    tokio::select! {
        served = wire.serve(&shared) => if served.is_ok_and(|is_reset| is_reset) {
            wire.stream.set_zero_linger().expect("a socket");
        },
        _ = stopped.wait_for(|stopped| *stopped) => wire.stream.set_zero_linger().expect("a socket"),
    }
}

struct Wire {
    stream: TcpStream,
    /// What was read and not used.
    read: Vec<u8>,
}

impl Wire {
    /// Serves requests; returns `true` if the connection is to be reset.
    async fn serve(&mut self, shared: &Shared) -> io::Result<bool> {
        while let Some(asked) = self.request().await? {
            let (at, answer) = shared.take(asked);
            let is_kept = match self.answer(&answer).await {
                Ok(is_kept) => is_kept,
                Err(error) => {
                    shared.left(at);
                    return Err(error);
                }
            };
            match (is_kept, answer.ending) {
                (true, _) => {}
                (false, Ending::Closed) => {
                    self.stream.shutdown().await?;
                    // The client has seen it when it closes its end as well.
                    while self.stream.read_buf(&mut self.read).await? > 0 {}
                    shared.closed();
                    return Ok(false);
                }
                (false, ending) => return Ok(matches!(ending, Ending::Reset(_))),
            }
        }
        Ok(false)
    }

    /// Reads a request; `None` at the end of the connection.
    async fn request(&mut self) -> io::Result<Option<Asked>> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        self.read.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let (http, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        while self.read.len() < length {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
        let body: Vec<u8> = self.read.drain(..length).collect();
        let message = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Some(Asked { http, path, headers, message, at: Instant::now() }))
    }

    /// Writes an answer; returns `false` if the connection is over.
    async fn answer(&mut self, answer: &Answer) -> io::Result<bool> {
        let mut pieces = answer.body.as_slice();
        if let [Piece::Wait(gate), rest @ ..] = pieces {
            self.wait(gate.passed()).await?;
            pieces = rest;
        }
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match answer.is_stream {
            true => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
            false => {
                let length: usize = pieces.iter().map(|piece| piece.said().len()).sum();
                head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
            }
        }
        if answer.has_head {
            self.stream.write_all(head.as_bytes()).await?;
        }
        let mut left = match answer.ending {
            Ending::Cut(bytes) | Ending::Reset(bytes) => bytes,
            Ending::Kept | Ending::Closed => usize::MAX,
        };
        for piece in pieces {
            match piece {
                Piece::Say(text) => {
                    if !self.say(text.as_bytes(), answer.is_stream, &mut left).await? {
                        return Ok(false);
                    }
                }
                Piece::Wait(gate) => self.wait(gate.passed()).await?,
                Piece::Feed(feed) => {
                    let Some(mut messages) = feed.take() else { continue };
                    while let Some(message) = self.wait(messages.recv()).await? {
                        if message == END {
                            break;
                        }
                        self.say(message.as_bytes(), true, &mut left).await?;
                    }
                }
            }
        }
        if matches!(answer.ending, Ending::Cut(_) | Ending::Reset(_)) {
            return Ok(false);
        }
        if answer.is_stream {
            self.stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(answer.ending == Ending::Kept)
    }

    /// Writes bytes of a body, as a chunk if it has those; returns `false` if no more may be written.
    async fn say(&mut self, bytes: &[u8], is_chunk: bool, left: &mut usize) -> io::Result<bool> {
        let whole = bytes.len() <= *left;
        let bytes = &bytes[..bytes.len().min(*left)];
        *left -= bytes.len();
        if !bytes.is_empty() {
            let chunk = match is_chunk {
                true => [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
                false => bytes.to_vec(),
            };
            self.stream.write_all(&chunk).await?;
        }
        Ok(whole)
    }

    /// Waits for something; fails if the client leaves meanwhile.
    async fn wait<T>(&mut self, what: impl Future<Output = T>) -> io::Result<T> {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return Ok(done),
                read = self.stream.read_buf(&mut self.read) => if read? == 0 {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                },
            }
        }
    }
}

impl Piece {
    fn said(&self) -> &str {
        match self {
            Piece::Say(text) => text,
            Piece::Wait(_) | Piece::Feed(_) => "",
        }
    }
}
