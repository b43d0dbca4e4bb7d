//! Logins at remote servers, for administrators: where to go, and what came back.

use std::sync::Arc;

use super::standing::require;
use super::{Error, Gateway, Principal};
use crate::access::Right;
use crate::secrets::SecretBook;
use crate::supervisor::{LoginBegun, LoginFinish, LoginStore};

/// Name under which a login is kept.
const NAME: &str = "login";

/// Store of logins in the sealed book of secrets, beside those of members and under names that no member has.
pub(super) struct LoginsInBook(pub(super) SecretBook);

/// Beginning of the owner's name of a login: that of a server.
pub const LOGIN_OWNER: &str = "server:";

impl LoginStore for LoginsInBook {
    fn load(&self, server: &str) -> Option<String> {
        Some(self.0.get(&format!("{LOGIN_OWNER}{server}"), NAME)?.expose().to_owned())
    }

    fn save(&self, server: &str, text: &str) -> Result<(), String> {
        let owner: Arc<str> = format!("{LOGIN_OWNER}{server}").into();
        match text.is_empty() {
            true => {
                self.0.forget(&owner);
                Ok(())
            }
            false => self.0.put(&owner, NAME, text).map_err(|error| error.to_string()),
        }
    }
}

impl Gateway {
    /// Begins a login at a remote server, whose answer comes to this address of the person's own machine.
    pub async fn begin_login(
        &self,
        caller: &Principal,
        id_or_name: &str,
        redirect_uri: String,
    ) -> Result<LoginBegun, Error> {
        require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        let handle = self.handle(&entry)?;
        let begun = handle.logins().begin(redirect_uri).await;
        begun.map_err(|fault| failed(&entry.name, &fault.sentence))
    }

    /// Forgets the login at a server that was removed.
    pub(super) async fn forget_login(&self, server: &str) {
        let (book, owner) = (self.0.secrets.clone(), format!("{LOGIN_OWNER}{server}"));
        // What the disk refuses is logged where that happens.
        let _ = tokio::task::spawn_blocking(move || book.forget(&owner)).await;
    }

    /// Finishes a login with what came back, and connects to the server at once.
    pub async fn finish_login(
        &self,
        caller: &Principal,
        id_or_name: &str,
        finish: LoginFinish,
    ) -> Result<(), Error> {
        require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        let handle = self.handle(&entry)?;
        handle.logins().finish(finish).await.map_err(|fault| failed(&entry.name, &fault.sentence))?;
        tracing::info!(server = %entry.name, "somebody has logged in");
        // One that serves takes the new token with its next request.
        if !handle.takes_calls() {
            self.0.supervisor.renew(&entry.id);
        }
        Ok(())
    }
}

fn failed(name: &str, sentence: &str) -> Error {
    Error::LoginFailed { name: name.to_owned(), reason: sentence.to_owned() }
}
