//! Where a server's logins are begun, finished and kept. It outlives each opening of the server
//! (`remote-upstreams.md`, R65).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::fault::{HttpFault, Word};
use super::oauth::ServerMetadata;

/// Settings of logins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginSettings {
    /// Id of the client, with references; `None` to register one.
    pub client_id: Option<String>,
    /// Secret of the client, with references; `None` if it has none.
    pub client_secret: Option<String>,
    /// Scope to ask for; `None` for what the server names.
    pub scope: Option<String>,
    /// Only authorization server to trust; `None` for those that the server names.
    pub issuer: Option<String>,
    /// `true` to say for which resource the token is (RFC 8707).
    pub sends_resource: bool,
}

/// Store of logins, sealed.
pub trait LoginStore: Send + Sync {
    /// Returns what is kept of a server's login, by the server's id; `None` if that is nothing.
    fn load(&self, server: &str) -> Option<String>;

    /// Keeps something of a server's login; an empty text removes it. Durable when it returns. Blocks on the disk.
    ///
    /// # Errors
    /// What is wrong with the disk.
    fn save(&self, server: &str, text: &str) -> Result<(), String>;
}

/// Beginning of a login.
#[derive(Debug, Clone)]
pub struct LoginBegun {
    /// Address that the person opens in a browser.
    pub authorization_url: String,
    /// Text by which what comes back is known.
    pub state: String,
}

/// What came back from a browser.
#[derive(Debug, Clone, Default)]
pub struct LoginFinish {
    /// Text by which it is known.
    pub state: String,
    /// Code to get a token with; `None` if the person refused.
    pub code: Option<String>,
    /// Issuer that sent it (RFC 9207); `None` if it did not say.
    pub issuer: Option<String>,
    /// Error of the authorization server; `None` if there was none.
    pub error: Option<String>,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, HttpFault>> + Send>>;
pub(super) type Begins = Box<dyn Fn(String) -> Answer<LoginBegun> + Send + Sync>;
pub(super) type Finishes = Box<dyn Fn(LoginFinish) -> Answer<()> + Send + Sync>;

/// Where a server's logins are begun and finished. It outlives each opening of the server.
pub struct LoginDesk {
    server: Arc<str>,
    pub(super) name: Arc<str>,
    store: Option<Arc<dyn LoginStore>>,
    state: Mutex<DeskState>,
    /// One place, for whoever renews or changes what is kept.
    turns: Semaphore,
}

#[derive(Default)]
pub(super) struct DeskState {
    pub(super) flows: Option<(Arc<Begins>, Arc<Finishes>)>,
    /// What is kept on the disk, once it was read.
    pub(super) kept: Option<Option<Kept>>,
    pub(super) challenge: Option<String>,
    pub(super) pending: Option<Pending>,
}

/// What is kept of a login.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Address of the server that the tokens are for, without its query: no other gets them, whatever the entry says later.
    pub(super) address: String,
    pub(super) client: Client,
    pub(super) server: ServerMetadata,
    /// What the resource calls itself.
    #[serde(default)]
    pub(super) resource: Option<String>,
    #[serde(default)]
    pub(super) refresh_token: Option<String>,
    #[serde(default)]
    pub(super) access_token: Option<String>,
    /// End of the access token, in seconds since 1970.
    #[serde(default)]
    pub(super) expires_at: Option<u64>,
    #[serde(default)]
    pub(super) scope: Option<String>,
}

impl Kept {
    /// Writes what goes to the disk: the access token only where there is no refresh token to get another one with.
    fn written(&self) -> Option<String> {
        let access_token = self.access_token.clone().filter(|_| self.refresh_token.is_none());
        serde_json::to_string(&Kept { access_token, ..self.clone() }).ok()
    }
}

/// A client that an authorization server knows.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Client {
    pub(super) id: String,
    #[serde(default)]
    pub(super) secret: Option<String>,
    pub(super) in_body: bool,
}

/// A login that was begun.
pub(super) struct Pending {
    /// Address of the server that it was begun for.
    pub(super) address: String,
    pub(super) state: String,
    pub(super) verifier: String,
    pub(super) redirect_uri: String,
    pub(super) scope: Option<String>,
    pub(super) client: Client,
    pub(super) server: ServerMetadata,
    pub(super) resource: Option<String>,
    pub(super) until: Instant,
}

impl LoginDesk {
    /// Makes the desk of a server, by its id and name. Without a store, a login lasts as long as the daemon runs.
    pub fn new(server: Arc<str>, name: Arc<str>, store: Option<Arc<dyn LoginStore>>) -> LoginDesk {
        LoginDesk { server, name, store, state: Mutex::default(), turns: Semaphore::new(1) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn to renew or to change what is kept.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// Takes the ways to begin and to finish a login from the newest opening of the server.
    pub(super) fn attach(&self, begins: Begins, finishes: Finishes) {
        let before = self.state().flows.replace((Arc::new(begins), Arc::new(finishes)));
        drop(before);
    }

    /// Closes the desk of a server that is gone.
    pub fn close(&self) {
        // Dropped after the lock: they refer to this desk.
        let flows = self.state().flows.take();
        drop(flows);
    }

    /// Begins a login whose answer comes to this address.
    ///
    /// # Errors
    /// Why none can be begun.
    pub async fn begin(&self, redirect_uri: String) -> Result<LoginBegun, HttpFault> {
        let flows = self.state().flows.clone().ok_or_else(|| self.no_login())?;
        flows.0(redirect_uri).await
    }

    /// Finishes a login with what came back.
    ///
    /// # Errors
    /// Why it is none.
    pub async fn finish(&self, finish: LoginFinish) -> Result<(), HttpFault> {
        let flows = self.state().flows.clone().ok_or_else(|| self.no_login())?;
        flows.1(finish).await
    }

    fn no_login(&self) -> HttpFault {
        let what = format!(
            "takes no login: its entry has no mcpvisor.auth of type \"login\", or it has not been connected to yet ({})",
            self.name
        );
        HttpFault::unseen(Word::Definition, what)
    }

    /// Returns what is kept; reads it from the disk the first time.
    pub(super) async fn kept(self: &Arc<LoginDesk>) -> Option<Kept> {
        if let Some(kept) = &self.state().kept {
            return kept.clone();
        }
        let desk = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let text = desk.store.as_ref()?.load(&desk.server)?;
            serde_json::from_str::<Kept>(&text).ok()
        });
        let kept = read.await.ok().flatten();
        let mut state = self.state();
        state.kept.get_or_insert(kept).clone()
    }

    /// Keeps a login, or nothing of it; on the disk before it is used.
    pub(super) async fn keep(self: &Arc<LoginDesk>, kept: Option<Kept>) -> Result<(), HttpFault> {
        let text = kept.as_ref().and_then(Kept::written).unwrap_or_default();
        let desk = self.clone();
        let written = tokio::task::spawn_blocking(move || match &desk.store {
            Some(store) => store.save(&desk.server, &text),
            None => Ok(()),
        });
        self.state().kept = Some(kept);
        let failed = |reason: String| {
            HttpFault::unseen(Word::ServerError, format!("got a token, and it could not be kept: {reason}"))
        };
        written.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
    }
}
