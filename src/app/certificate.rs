//! Keeps the front's certificate fresh: reads its files again when one of them has changed, and
//! when that is asked for. Looks at them as the reloader looks at the servers files.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;

use super::reload::{Changes, LOOK, Looker};
use crate::http::{Tls, TlsFiles};

/// The thread that looks at the files; it ends when this is dropped.
pub(super) struct Watching {
    ask: Sender<()>,
}

impl Watching {
    /// Begins to look.
    pub(super) fn begin(files: TlsFiles, tls: Tls) -> io::Result<Watching> {
        let paths = [files.cert, files.key];
        let mut looker = Looker::new();
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

    /// Has the files read again, changed or not.
    pub(super) fn reload(&self) {
        // The thread ends only with this.
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

/// The setting that an error is about.
pub(super) fn setting(error: &crate::http::TlsError) -> &'static str {
    if error.is_about_the_key() { "http.tls_key" } else { "http.tls_cert" }
}
