//! What the supervisor is told about a server.

use std::sync::Arc;

use super::definition::Definition;
use super::handle::CachedCatalog;

/// A server that the supervisor should have.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Identity of the server; another id is another server.
    pub id: Arc<str>,
    /// Name of the server, as in the log.
    pub name: Arc<str>,
    /// Checked definition that the replicas run.
    pub definition: Arc<Definition>,
    /// `true` if it was defined through an API, and not by a servers file.
    pub is_of_api: bool,
    /// Catalog and introduction kept from its last run, used when its handle is made; `None` if there are none.
    pub remembered: Option<CachedCatalog>,
}
