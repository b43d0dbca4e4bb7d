//! TLS of the connections to remote servers: whom they trust, and what they show of themselves (`remote-upstreams.md`, R53).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::files;

/// What a definition says of TLS. Files are read at each opening.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsChoice {
    /// File with authorities that are trusted beside the system's, in PEM.
    pub ca: Option<PathBuf>,
    /// Files with the certificate and the private key that are shown to the server, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// TLS of connections, ready to be used.
pub(super) type Config = ClientConfig;

/// File of a definition that cannot be used.
#[derive(Debug)]
pub(super) struct BadFile {
    member: &'static str,
    path: PathBuf,
    reason: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadFile { member, path, reason } = self;
        write!(f, "mcpvisor.tls.{member} {} {reason}", path.display())
    }
}

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// Time for which the system's authorities are taken as they were read: reading them takes milliseconds.
const ROOTS_ARE_GOOD: Duration = Duration::from_secs(3600);

/// The system's authorities, and when they were read.
static ROOTS: Mutex<Option<(Instant, Arc<RootCertStore>)>> = Mutex::new(None);

/// Returns the system's authorities, or those of `SSL_CERT_FILE`; what cannot be read of them is left out.
fn system_roots() -> Arc<RootCertStore> {
    let mut kept = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((read_at, roots)) = kept.as_ref()
        && read_at.elapsed() < ROOTS_ARE_GOOD
    {
        return roots.clone();
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let roots = Arc::new(roots);
    *kept = Some((Instant::now(), roots.clone()));
    roots
}

/// Prepares TLS as a definition wants it.
pub(super) fn config(choice: &TlsChoice) -> Result<Config, BadFile> {
    let mut roots = system_roots();
    if let Some(path) = &choice.ca {
        let own = Arc::make_mut(&mut roots);
        for authority in certificates("ca", path)? {
            let bad = |error| BadFile {
                member: "ca",
                path: path.clone(),
                reason: format!("cannot be used: {error}"),
            };
            own.add(authority).map_err(bad)?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|_| unreachable!("ring has TLS 1.2 and 1.3"))
        .with_root_certificates(roots);
    let Some((cert, key)) = &choice.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates("cert", cert)?;
    let pem = read("key", key)?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| BadFile {
        member: "key",
        path: key.clone(),
        reason: "has no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")".to_owned(),
    })?;
    builder.with_client_auth_cert(chain, private).map_err(|error| BadFile {
        member: "key",
        path: key.clone(),
        reason: format!("does not go with mcpvisor.tls.cert: {error}"),
    })
}

fn certificates(member: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let pem = read(member, path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    match found.is_empty() {
        true => {
            let reason = "has no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")".to_owned();
            Err(BadFile { member, path: path.to_owned(), reason })
        }
        false => Ok(found),
    }
}

fn read(member: &'static str, path: &Path) -> Result<Vec<u8>, BadFile> {
    files::read(path, MAX_FILE).map_err(|error| BadFile {
        member,
        path: path.to_owned(),
        reason: format!("cannot be read: {error}"),
    })
}
