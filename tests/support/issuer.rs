//! An authorization server of this machine: it serves its metadata and its keys as the test wants it to, and signs what it
//! is told to, right or wrong.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Where the daemons of these tests say that they are.
pub(crate) const PUBLIC_URL: &str = "https://gw.example";
/// A key that signs nothing but what these tests make: 2048 bits in PKCS 8.
const RSA: &str = include_str!("issuer_rsa.txt");

/// Seconds since 1970, now.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A key that tokens are signed with.
pub(crate) struct SigningKey {
    id: String,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// A new key for this algorithm; the one for RS256 is always the same.
    pub(crate) fn new(id: &str, algorithm: &str) -> SigningKey {
        let random = SystemRandom::new();
        let pair = match algorithm {
            "ES256" => {
                let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let key = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
                Pair::Ec(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).expect("a key"))
            }
            "EdDSA" => {
                let key = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
                Pair::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
            }
            "RS256" => {
                let key = BASE64_STANDARD.decode(RSA.split_whitespace().collect::<String>()).expect("base64");
                Pair::Rsa(RsaKeyPair::from_pkcs8(&key).expect("a key"))
            }
            other => panic!("no key for {other}"),
        };
        SigningKey { id: id.to_owned(), pair }
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// The public key as a member of a JWK Set.
    pub(crate) fn public(&self) -> Value {
        let code = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut key = match &self.pair {
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": code(&point[1..33]), "y": code(&point[33..])})
            }
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": code(pair.public_key().as_ref())}),
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
                json!({"kty": "RSA", "n": code(&n), "e": code(&e)})
            }
        };
        key["kid"] = self.id.clone().into();
        key["use"] = "sig".into();
        key
    }

    /// Signs these claims; members of `header` take the place of the usual ones.
    pub(crate) fn sign(&self, header: Value, claims: &Value) -> String {
        let mut all = json!({"alg": self.algorithm(), "typ": "at+jwt", "kid": self.id});
        all.as_object_mut().expect("an object").extend(header.as_object().expect("an object").clone());
        let text = unsigned(&all, claims);
        let signature = match &self.pair {
            Pair::Ec(pair) => {
                pair.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature").as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).expect("a signature");
                signature
            }
        };
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The first two parts of a token.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let code = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", code(header), code(claims))
}

/// How the issuer answers.
#[derive(Clone)]
pub(crate) enum Behaviour {
    Good,
    /// It closes every connection.
    Down,
    /// It takes its time.
    Slow(Duration),
    /// Its keys are a document without an end.
    Huge,
    /// Its keys are said to be elsewhere.
    Elsewhere(String),
}

struct Shared {
    key: SigningKey,
    behaviour: Behaviour,
    asked: Vec<String>,
}

/// The issuer. It ends when it is dropped.
pub(crate) struct Issuer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl Issuer {
    pub(crate) async fn start() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let key = SigningKey::new("first", "ES256");
        let shared = Arc::new(Mutex::new(Shared { key, behaviour: Behaviour::Good, asked: Vec::new() }));
        let state = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, address, state.clone()));
            }
        });
        Issuer { address, shared, task }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The configuration of a daemon that accepts its tokens as those of members, with these settings besides.
    pub(crate) fn config(&self, settings: &str) -> String {
        let role = if settings.contains("default_role") { "" } else { "default_role = \"member\"\n" };
        format!(
            "[auth.oidc]\nissuer = \"{}\"\npublic_url = \"{PUBLIC_URL}\"\nleeway = \"0s\"\n{role}{settings}\n",
            self.url()
        )
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared().behaviour = behaviour;
    }

    /// Signs with another key from now on, and publishes only that one.
    pub(crate) fn rotate(&self, key: SigningKey) {
        self.shared().key = key;
    }

    /// The paths that it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared().asked.clone()
    }

    /// The claims of a good token of the subject `ann`, which is valid for an hour, with these changes; null takes one out.
    pub(crate) fn claims(&self, changes: Value) -> Value {
        let mut claims = json!({
            "iss": self.url(),
            "sub": "ann",
            "aud": format!("{PUBLIC_URL}/"),
            "exp": now() + 3_600,
            "iat": now(),
            "jti": uuid::Uuid::new_v4().to_string(),
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        claims
    }

    /// A token with these claims, signed with the key that is published.
    pub(crate) fn token(&self, changes: Value) -> String {
        self.signed(json!({}), changes)
    }

    /// The same with members of its header.
    pub(crate) fn signed(&self, header: Value, changes: Value) -> String {
        let claims = self.claims(changes);
        self.shared().key.sign(header, &claims)
    }

    /// The public key, as it is published.
    pub(crate) fn public_key(&self) -> Value {
        self.shared().key.public()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, address: SocketAddr, shared: Arc<Mutex<Shared>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    assert!(!text.to_ascii_lowercase().contains("authorization:"), "no token is sent anywhere: {text}");
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let (behaviour, keys) = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.asked.push(path.clone());
        (shared.behaviour.clone(), json!({"keys": [shared.key.public()]}))
    };
    let url = format!("http://{address}");
    let document = match path.as_str() {
        "/.well-known/openid-configuration" => json!({"issuer": url, "jwks_uri": format!("{url}/keys")}),
        "/keys" => keys,
        _ => return say(&mut stream, "404 Not Found", "", b"{}").await,
    };
    match behaviour {
        Behaviour::Down => {}
        Behaviour::Good => say(&mut stream, "200 OK", "", document.to_string().as_bytes()).await,
        Behaviour::Slow(time) => {
            tokio::time::sleep(time).await;
            say(&mut stream, "200 OK", "", document.to_string().as_bytes()).await;
        }
        Behaviour::Huge if path == "/keys" => {
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\": [";
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
        }
        Behaviour::Elsewhere(place) if path == "/keys" => {
            say(&mut stream, "302 Found", &format!("location: {place}\r\n"), b"").await;
        }
        Behaviour::Huge | Behaviour::Elsewhere(_) => {
            say(&mut stream, "200 OK", "", document.to_string().as_bytes()).await;
        }
    }
}

async fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let _ = stream.shutdown().await;
}
