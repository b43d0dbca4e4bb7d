//! HTTPS: who is answered, whose handshake costs nobody else anything, and certificates that change.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::gateway::{Gateway, TestGateway};
use crate::support::recording::Recorded;
use crate::support::wire::Wire;
use crate::support::{DEADLINE, wait_until};

/// The files of a certificate, and the certificate that is in them.
struct Site {
    directory: TempDir,
    cert: CertificateDer<'static>,
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().expect("a directory");
        let mut site = Site { directory, cert: Vec::new().into() };
        site.renew();
        site
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts another certificate and its key in place.
    fn renew(&mut self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(self.file("key.pem"), made.signing_key.serialize_pem()).expect("written");
        fs::write(self.file("cert.pem"), made.cert.pem()).expect("written");
        self.cert = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).expect("PEM");
    }

    /// A daemon that serves with it.
    fn gateway(&self, http: &str) -> TestGateway {
        let (cert, key) = (self.file("cert.pem"), self.file("key.pem"));
        TestGateway::new().config_toml(&format!("[http]\ntls_cert = {cert:?}\ntls_key = {key:?}\n{http}"))
    }
}

/// Shakes hands, trusting this certificate and no other.
async fn connect(
    gateway: &Gateway,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<Recorded<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    // Bare: what is written down is what was said inside.
    let stream = TcpStream::connect(gateway.address()).await?;
    let shaking = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = timeout(DEADLINE, shaking).await.expect("a handshake ends")?;
    Ok(Recorded::new(stream, gateway.address()))
}

/// One request on a connection that stays open.
async fn exchange(stream: &mut Recorded<TlsStream<TcpStream>>) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut said = Vec::new();
    while !said.ends_with(b"}") {
        let mut piece = [0; 1024];
        let read = timeout(DEADLINE, stream.read(&mut piece)).await.expect("an answer").expect("readable");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(said).expect("ASCII")
}

/// Whether a new client that trusts this certificate is answered.
async fn is_served_with(gateway: &Gateway, cert: &CertificateDer<'static>) -> bool {
    match connect(gateway, cert, &[]).await {
        Ok(mut stream) => exchange(&mut stream).await.starts_with("HTTP/1.1 200"),
        Err(_) => false,
    }
}

#[tokio::test]
async fn https_is_served_with_http_1_only_and_ends_as_tls_ends() {
    let site = Site::new();
    let gateway = site.gateway("").start().await;
    assert!(gateway.output().contains("https://127.0.0.1:"), "{}", gateway.output());
    let mut stream = connect(&gateway, &site.cert, &["h2", "http/1.1"]).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    for _ in 0..3 {
        assert!(exchange(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    // `Host` is looked at as ever, and the end is told: no truncation is taken for it.
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut said = String::new();
    let read = timeout(DEADLINE, stream.read_to_string(&mut said)).await.expect("an end");
    read.expect("an end that was told");
    assert!(said.starts_with("HTTP/1.1 403"), "{said}");
    assert!(!said.to_ascii_lowercase().contains("strict-transport-security"));

    let error = connect(&gateway, &site.cert, &["h2"]).await.expect_err("no HTTP/2");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    assert!(is_served_with(&gateway, &site.cert).await);
    gateway.stop().await;
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_closed_in_order_and_reaches_nothing() {
    let site = Site::new();
    let gateway = site.gateway("").start().await;
    for request in ["GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), "x".repeat(100_000)] {
        let mut stream = gateway.raw_socket().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut said = Vec::new();
        let read = timeout(DEADLINE, stream.read_to_end(&mut said)).await.expect("an end");
        read.expect("no reset");
        assert!(!said.windows(4).any(|four| four == b"HTTP"), "{said:?}");
    }
    assert!(is_served_with(&gateway, &site.cert).await);
    gateway.stop().await;
}

#[tokio::test]
async fn an_endless_handshake_is_closed_and_two_hundred_of_them_block_nobody() {
    let site = Site::new();
    let gateway = site.gateway("header_timeout = \"2s\"\n").start().await;
    let begun = Instant::now();
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut wire = Wire::open(&gateway).await;
        // Nothing at all, or the beginning of a greeting.
        if number % 2 == 0 {
            wire.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
        }
        silent.push(wire);
    }
    let asked = Instant::now();
    assert!(is_served_with(&gateway, &site.cert).await);
    let took = asked.elapsed();
    println!("answered after {took:?} beside 200 silent connections");
    for mut wire in silent {
        let _ = wire.rest().await;
    }
    let all = begun.elapsed();
    println!("all 200 closed after {all:?}");
    assert!(all >= Duration::from_millis(1900), "{all:?}");
    assert!(is_served_with(&gateway, &site.cert).await);
    gateway.stop().await;
}

#[tokio::test]
async fn an_unfinished_handshake_holds_a_place_and_does_not_hold_up_the_stop() {
    let site = Site::new();
    // Far beyond what a test waits: the place is free because somebody needs it.
    let gateway = site.gateway("max_connections = 1\nheader_timeout = \"10m\"\n").start().await;
    let mut silent = Wire::open(&gateway).await;
    let asked = Instant::now();
    assert!(is_served_with(&gateway, &site.cert).await, "once the place is free");
    assert!(asked.elapsed() >= Duration::from_millis(400), "it has half a second: {:?}", asked.elapsed());
    let _ = silent.rest().await;
    let _silent = Wire::open(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_a_bad_one_for_nobody() {
    let mut site = Site::new();
    let gateway = site.gateway("").start().await;
    let first = site.cert.clone();
    let mut open = connect(&gateway, &first, &[]).await.expect("a handshake");
    exchange(&mut open).await;
    site.renew();
    wait_until("the new certificate", DEADLINE, || async {
        is_served_with(&gateway, &site.cert).await.then_some(())
    })
    .await;
    let error = connect(&gateway, &first, &[]).await.expect_err("the first one is over");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(exchange(&mut open).await.starts_with("HTTP/1.1 200"), "an open connection goes on");

    // A key of another certificate: noted, and nothing changes.
    let good = fs::read(site.file("key.pem")).expect("there");
    let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    fs::write(site.file("key.pem"), other).expect("written");
    wait_until("the bad key is noted", DEADLINE, || async {
        gateway.output().contains("is not the key of the certificate").then_some(())
    })
    .await;
    assert!(gateway.output().contains("http.tls_key names"), "{}", gateway.output());
    assert!(is_served_with(&gateway, &site.cert).await);

    // SIGHUP does not wait for the next look.
    fs::write(site.file("key.pem"), good).expect("written");
    site.renew();
    gateway.signal(Signal::SIGHUP);
    wait_until("the next certificate", DEADLINE, || async {
        is_served_with(&gateway, &site.cert).await.then_some(())
    })
    .await;
    assert!(exchange(&mut open).await.starts_with("HTTP/1.1 200"));
    gateway.stop().await;
}

#[tokio::test]
async fn files_that_are_no_pair_stop_the_start_and_are_named() {
    let site = Site::new();
    let gateway = || site.gateway("");
    let refused = async |gateway: TestGateway, told: &str| {
        for check in [false, true] {
            let gateway = if check { gateway.clone().arguments(&["--check"]) } else { gateway.clone() };
            let (status, output) = gateway.start_refused().await;
            assert_eq!(status.code(), Some(78), "{output}");
            assert!(output.contains(told), "{told}: {output}");
        }
    };
    let key = fs::read(site.file("key.pem")).expect("there");
    fs::write(site.file("key.pem"), rcgen::KeyPair::generate().expect("a key").serialize_pem())
        .expect("written");
    refused(gateway(), "http.tls_key names ").await;
    fs::write(site.file("key.pem"), "no PEM").expect("written");
    refused(gateway(), "key.pem, which has no private key in PEM").await;
    fs::write(site.file("key.pem"), key).expect("written");
    fs::write(site.file("cert.pem"), "no PEM").expect("written");
    refused(gateway(), "cert.pem, which has no certificate in PEM").await;
    let half = TestGateway::new().config_toml("[http]\ntls_cert = \"cert.pem\"\n");
    refused(half, "http.tls_cert needs http.tls_key beside it").await;
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_warned_of() {
    let site = Site::new();
    for (mode, warned) in [(0o644, true), (0o600, false), (0o640, false)] {
        fs::set_permissions(site.file("key.pem"), fs::Permissions::from_mode(mode)).expect("our own file");
        let gateway = site.gateway("").start().await;
        assert!(is_served_with(&gateway, &site.cert).await, "{mode:o}");
        let output = gateway.output();
        let told = output
            .lines()
            .any(|line| line.contains("WARN") && line.contains("key.pem") && line.contains("by every user"));
        assert_eq!(told, warned, "{mode:o}: {output}");
        gateway.stop().await;
    }
}
