//! Keeps the front's certificate fresh: reads its files again when one of them has changed, and on request.
//! They are checked as the servers files are.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;

use super::file_watcher::{Changes, FileWatcher, LOOK};
use crate::http::{Tls, TlsFiles};

/// Handle of the thread that watches the files; the thread ends when this is dropped.
pub(super) struct Watching {
    ask: Sender<()>,
}

impl Watching {
    /// Starts the thread.
    pub(super) fn begin(files: TlsFiles, tls: Tls) -> io::Result<Watching> {
        let paths = [files.cert, files.key];
        let mut looker = FileWatcher::new();
        let mut changes = Changes::new(looker.look(&paths).unwrap_or_default());
        let (ask, asked) = mpsc::channel();
        let run = move || {
            loop {
                match asked.recv_timeout(LOOK) {
                    Ok(()) => reload(&tls),
                    Err(RecvTimeoutError::Timeout) => {
                        if looker.look(&paths).is_some_and(|now| changes.look(now)) {
                            reload(&tls);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        thread::Builder::new().name("certificate".to_owned()).spawn(run)?;
        Ok(Watching { ask })
    }

    /// Makes the thread read the files again, changed or not.
    pub(super) fn reload(&self) {
        // The thread lives as long as this handle.
        let _ = self.ask.send(());
    }
}

fn reload(tls: &Tls) {
    match tls.reload() {
        Ok(()) => tracing::info!("new connections get the certificate that was read again"),
        Err(error) => {
            let setting = setting(&error);
            tracing::error!("{setting} {error}; connections go on with the certificate there was");
        }
    }
}

/// Returns the name of the setting that an error is about.
pub(super) fn setting(error: &crate::http::TlsError) -> &'static str {
    if error.is_about_the_key() { "http.tls_key" } else { "http.tls_cert" }
}
