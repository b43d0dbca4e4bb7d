//! TLS of the front: the certificate, which can be replaced while connections are open, and the handshake.
//! HTTP/1.1 only, as without it.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::files;

/// The longest certificate or key file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Bits of a file's mode by which every user may read or change it.
const OTHERS: u32 = 0o006;

/// Paths of the certificate and its key: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// File of the certificate, followed by the certificates between it and the root.
    pub cert: PathBuf,
    /// File of the certificate's private key.
    pub key: PathBuf,
}

/// Reasons why a certificate cannot be used. Contains nothing of a file's content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("names {}, which cannot be read: {error}", path.display())]
    Unreadable {
        /// `true` for the key's file, `false` for the certificate's.
        key: bool,
        /// Path of the file, as configured.
        path: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// A file has content that cannot be used.
    #[error("names {}, which {reason}", path.display())]
    Unusable {
        /// `true` for the key's file, `false` for the certificate's.
        key: bool,
        /// Path of the file, as configured.
        path: PathBuf,
        /// Description of the problem and of what would be right.
        reason: String,
    },
    /// The certificate and the key do not belong together.
    #[error("names {}, which is not the key of the certificate in {}", key.display(), cert.display())]
    Strangers {
        /// Path of the certificate's file.
        cert: PathBuf,
        /// Path of the key's file.
        key: PathBuf,
    },
}

impl TlsError {
    /// Reports whether the key's setting is wrong, and not the certificate's.
    pub fn is_about_the_key(&self) -> bool {
        match self {
            TlsError::Unreadable { key, .. } | TlsError::Unusable { key, .. } => *key,
            TlsError::Strangers { .. } => true,
        }
    }
}

/// A certificate with its key, for new connections. Cheap to clone; all clones share one certificate.
#[derive(Clone)]
pub struct Tls {
    files: Arc<TlsFiles>,
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Reads and checks both files. Blocks.
    pub fn load(files: &TlsFiles) -> Result<Tls, TlsError> {
        let current = Arc::new(ArcSwap::from(read(files)?));
        Ok(Tls { files: Arc::new(files.clone()), current })
    }

    /// Reads both files again. If they are good, new connections use them; open ones go on as they are. If not,
    /// nothing changes. Blocks.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(read(&self.files)?);
        Ok(())
    }

    /// Shakes hands with a client. A failed handshake returns the stream with the error, to be closed.
    pub(in crate::http) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, (io::Error, TcpStream)> {
        TlsAcceptor::from(self.current.load_full()).accept(stream).into_fallible().await
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let (cert, key) = (bytes(&files.cert, false)?, bytes(&files.key, true)?);
    let unusable = |key: bool, reason: String| {
        let path = if key { &files.key } else { &files.cert };
        TlsError::Unusable { key, path: path.clone(), reason }
    };
    let chain = CertificateDer::pem_slice_iter(&cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unusable(false, format!("is not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(unusable(
            false,
            "has no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")".to_owned(),
        ));
    }
    let private = PrivateKeyDer::from_pem_slice(&key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            unusable(true, "has no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")".to_owned())
        }
        error => unusable(true, format!("is not PEM: {error}")),
    })?;
    let provider = Arc::new(ring::default_provider());
    // Before the pair is checked, so that each file gets its own message.
    provider.key_provider.load_private_key(private.clone_key()).map_err(|_| {
        unusable(true, "has no private key of a known kind (ECDSA, Ed25519 or RSA)".to_owned())
    })?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    let mut config = config.map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Strangers { cert: files.cert.clone(), key: files.key.clone() }
        }
        error => unusable(false, format!("cannot be used: {error}")),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn bytes(path: &Path, key: bool) -> Result<Vec<u8>, TlsError> {
    let own = path.to_owned();
    let read = files::within(path, files::FILE_TIMEOUT, move || {
        let file = files::open(&own)?;
        let mode = file.metadata().map(|about| about.permissions().mode()).unwrap_or_default();
        Ok((files::read_now(file, MAX_FILE)?, mode))
    });
    match read.and_then(|read| read) {
        Ok((bytes, mode)) => {
            if key {
                warn_of_others(path, mode);
            }
            Ok(bytes)
        }
        Err(error) => Err(TlsError::Unreadable { key, path: path.to_owned(), error: error.into() }),
    }
}

/// Warns of a key that every user of the machine can read or change: it is no secret. A group may have it,
/// because services that renew certificates hand it to daemons that way.
fn warn_of_others(path: &Path, mode: u32) {
    if mode & OTHERS != 0 {
        let (path, mode) = (path.display(), format!("{:04o}", mode & 0o7777));
        tracing::warn!(%path, mode, "the private key of the certificate can be read or changed by every user");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_is_taken_and_every_other_thing_is_refused_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        let ((cert, key), (_, other_key)) = (pair(), pair());
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let nonsense = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let no_cert = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
        let refused = |cert: &str, key: &str| {
            fs::write(&files.cert, cert).unwrap();
            fs::write(&files.key, key).unwrap();
            let error = Tls::load(&files).err()?;
            Some((error.is_about_the_key(), error.to_string()))
        };
        assert_eq!(refused(&cert, &key), None);
        assert_eq!(refused(&format!("{cert}{}", pair().0), &key), None, "a chain");
        for (cert, key, about_the_key, reason) in [
            ("", key.as_str(), false, "c.pem, which has no certificate"),
            (broken, &key, false, "c.pem, which is not PEM"),
            (no_cert, &key, false, "c.pem, which cannot be used"),
            (&cert, "", true, "k.pem, which has no private key in PEM"),
            (&cert, &cert, true, "k.pem, which has no private key in PEM"),
            (&cert, nonsense, true, "k.pem, which has no private key of a known kind"),
            (&cert, &other_key, true, "k.pem, which is not the key of the certificate in "),
        ] {
            let (about, told) = refused(cert, key).expect("refused");
            assert!(about == about_the_key && told.contains(reason), "{reason}: {told}");
        }
        fs::remove_file(&files.key).unwrap();
        let told = Tls::load(&files).err().unwrap().to_string();
        assert!(told.contains("k.pem, which cannot be read: No such file"), "{told}");
    }

    #[test]
    fn a_bad_pair_does_not_replace_a_good_one() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        let put = |(cert, key): (String, String)| {
            fs::write(&files.cert, cert).unwrap();
            fs::write(&files.key, key).unwrap();
        };
        put(pair());
        let tls = Tls::load(&files).unwrap();
        let first = tls.current.load_full();
        put((pair().0, pair().1));
        assert!(matches!(tls.reload(), Err(TlsError::Strangers { .. })));
        assert!(Arc::ptr_eq(&first, &tls.current.load_full()));
        put(pair());
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &tls.current.load_full()));
    }
}
