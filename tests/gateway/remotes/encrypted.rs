//! Remote servers over TLS: whom the daemon trusts, and what it shows of itself (R53).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{cause, echo, tried, with_definition};
use crate::support::scripted_http::{ScriptedHttp, Way};

/// A certificate for `localhost` that nobody has signed, and its key, in files.
struct Pair {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Pair {
    fn make(folder: &Path, name: &str) -> Pair {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).expect("written");
        fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).expect("written");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        Pair { certificate: made.cert.der().clone(), key }
    }
}

/// What takes TLS off in front of a server. It ends when dropped.
struct Front {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// Starts one; with `client`, it lets in only who shows that certificate.
    async fn start(server: &ScriptedHttp, own: Pair, client: Option<&Pair>) -> Front {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3");
        let builder = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let mut roots = RootCertStore::empty();
                roots.add(client.certificate.clone()).expect("a certificate");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let config = builder.with_single_cert(vec![own.certificate], own.key).expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let (port, to) = (listener.local_addr().expect("bound").port(), server.address());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut secret) = acceptor.accept(stream).await else { return };
                    let Ok(mut plain) = TcpStream::connect(to).await else { return };
                    let _ = copy_bidirectional(&mut secret, &mut plain).await;
                });
            }
        });
        Front { port, task }
    }

    fn definition(&self, tls: Value) -> Value {
        json!({"url": format!("https://localhost:{}/mcp", self.port), "mcpvisor": {"tls": tls}})
    }
}

#[tokio::test]
async fn a_server_whose_authority_an_entry_names_is_trusted_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ScriptedHttp::start(Way::Modern).await;
    let front = Front::start(&server, Pair::make(folder.path(), "own"), None).await;
    let gateway = with_definition(front.definition(json!({"ca": folder.path().join("own.pem")}))).await;
    echo(&gateway, 1).await;
    gateway.stop().await;
    let (gateway, seen) = tried(front.definition(json!({})), "backoff").await;
    assert_eq!(seen["cause_code"], "tls_failed", "{seen}");
    assert!(cause(&seen).contains("certificate"), "{seen}");
    gateway.stop().await;
    let missing = folder.path().join("none.pem");
    let (gateway, seen) = tried(front.definition(json!({"ca": missing})), "failed").await;
    assert!(cause(&seen).contains("mcpvisor.tls.ca") && cause(&seen).contains("none.pem"), "{seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_wants_to_know_its_clients_is_shown_the_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ScriptedHttp::start(Way::Legacy).await;
    let client = Pair::make(folder.path(), "client");
    let front = Front::start(&server, Pair::make(folder.path(), "own"), Some(&client)).await;
    let file = |name: &str| folder.path().join(name);
    let shown = json!({"ca": file("own.pem"), "cert": file("client.pem"), "key": file("client.key")});
    let gateway = with_definition(front.definition(shown)).await;
    echo(&gateway, 1).await;
    gateway.stop().await;
    let stranger = front.definition(json!({"ca": file("own.pem")}));
    let (gateway, seen) = tried(stranger, "backoff").await;
    assert_eq!(seen["cause_code"], "tls_failed", "{seen}");
    assert!(cause(&seen).contains("mcpvisor.tls"), "{seen}");
    gateway.stop().await;
    let mixed = json!({"ca": file("own.pem"), "cert": file("client.pem"), "key": file("own.key")});
    let (gateway, seen) = tried(front.definition(mixed), "failed").await;
    assert!(cause(&seen).contains("does not go with mcpvisor.tls.cert"), "{seen}");
    gateway.stop().await;
}
