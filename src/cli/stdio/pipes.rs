//! The client's two pipes, each with a thread of its own: a pipe that nobody reads or writes must not block the bridge.

use std::io::{self, Read, Write};
use std::thread;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::line::MAX_LINE;
use crate::jsonrpc::{Framer, Line};

/// Number of messages that may wait in either direction.
const WAITING: usize = 64;
/// Size of a read, in bytes.
const READ: usize = 64 * 1024;

/// What comes from the client.
#[derive(Debug)]
pub(super) enum Input {
    /// A line that is not blank.
    Line(Line),
    /// A line without an end: what is behind it cannot be read.
    Endless,
    /// An error of the pipe.
    Broken(io::Error),
}

/// Reads lines in a thread. The channel ends with the pipe.
pub(super) fn read(mut from: impl Read + Send + 'static) -> io::Result<mpsc::Receiver<Input>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let reading = move || {
        let (mut framer, mut piece) = (Framer::new(MAX_LINE), vec![0; READ]);
        loop {
            let is_over = match from.read(&mut piece) {
                Ok(0) => {
                    // A last line may lack its end.
                    framer.push(b"\n");
                    true
                }
                Ok(read) => {
                    framer.push(&piece[..read]);
                    false
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return drop(sender.blocking_send(Input::Broken(error))),
            };
            loop {
                match framer.next_frame() {
                    Ok(None) => break,
                    Ok(Some(line)) => {
                        if sender.blocking_send(Input::Line(line)).is_err() {
                            return;
                        }
                    }
                    Err(_) => return drop(sender.blocking_send(Input::Endless)),
                }
            }
            if is_over {
                return;
            }
        }
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(reading)?;
    Ok(receiver)
}

/// A step of the thread that writes.
enum Step {
    Line(Bytes),
    End,
}

/// Writer of messages to the client.
#[derive(Debug, Clone)]
pub(super) struct Output(mpsc::Sender<Step>);

/// Writes messages in a thread, each on a line of its own. The second part tells how that ended.
pub(super) fn write(
    mut to: impl Write + Send + 'static,
) -> io::Result<(Output, oneshot::Receiver<io::Result<()>>)> {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let (ended, end) = oneshot::channel();
    let writing = move || {
        let mut written = Ok(());
        while let Some(Step::Line(line)) = receiver.blocking_recv() {
            written = [&line[..], b"\n"].iter().try_for_each(|part| to.write_all(part));
            // Not for each of several that wait.
            written = written.and_then(|()| if receiver.is_empty() { to.flush() } else { Ok(()) });
            if written.is_err() {
                break;
            }
        }
        let _ = ended.send(written);
    };
    thread::Builder::new().name("stdout".to_owned()).spawn(writing)?;
    Ok((Output(sender), end))
}

impl Output {
    /// Writes a message, which is on one line. Waits while the client does not read; what comes after the end is dropped.
    pub(super) async fn line(&self, message: Bytes) {
        let _ = self.0.send(Step::Line(message)).await;
    }

    /// Writes a message if there is room for it at once.
    pub(super) fn try_line(&self, message: Bytes) {
        let _ = self.0.try_send(Step::Line(message));
    }

    /// Ends the writing after what was written before.
    pub(super) async fn end(&self) {
        let _ = self.0.send(Step::End).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_the_last_one_needs_no_end() {
        let mut lines = read(&b"{\"a\":1}\r\n\n{\"b\":2}"[..]).expect("a thread");
        let mut told = Vec::new();
        while let Some(input) = lines.recv().await {
            let Input::Line(Line::Frame(line)) = input else { panic!("{input:?}") };
            told.push(line);
        }
        assert_eq!(told, ["{\"a\":1}", "{\"b\":2}"]);
    }

    #[tokio::test]
    async fn a_pipe_that_nobody_reads_any_more_is_told() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (output, end) = write(Closed).expect("a thread");
        output.line(Bytes::from_static(b"{}")).await;
        let error = end.await.expect("told").expect_err("broken");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        output.line(Bytes::from_static(b"{}")).await;
    }
}
