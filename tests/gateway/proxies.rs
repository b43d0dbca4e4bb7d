//! Real proxies between a stranger and the daemon: nobody gets in by one without a key, however little it says of
//! whom it speaks for; events pass as they come; and what `docs/reverse-proxy.md` shows works as it is printed.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::logs::Following;
use crate::support::elsewhere::{
    DAEMON_USER, OTHER_USER, as_user, asking_server, by_address, can_play_users, request, statuses,
};
use crate::support::gateway::{Gateway, INVOKE, TestGateway};
use crate::support::proxies::{Program, Proxy, Site};
use crate::support::{DEADLINE, wait_until};

/// In the `env` of a server.
const SECRET: &str = "canary-behind-proxies";
/// The name that is passed on and allowed.
const NAME: &str = "mcp.example";
/// A name that is not.
const STRANGER: &str = "stranger.example";

/// The plainest configurations there are, and those that say less than the plainest: what each is called, whether
/// `Host` comes to the daemon as its client wrote it, and what is written, with IP, PORT and DAEMON in it.
type Plain = (&'static str, bool, &'static str);

const NGINX: [Plain; 4] = [
    ("proxy_pass alone", false, "server { listen IP:PORT; location / { proxy_pass http://DAEMON; } }"),
    (
        "Host passed on",
        true,
        "server { listen IP:PORT; location / { proxy_pass http://DAEMON; proxy_set_header Host $http_host; } }",
    ),
    (
        "Host and whom it speaks for",
        true,
        "server { listen IP:PORT; location / { proxy_pass http://DAEMON; proxy_set_header Host $http_host; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
         proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host; } }",
    ),
    (
        "connections kept, to a block that is called localhost",
        false,
        "upstream localhost { server DAEMON; keepalive 4; } server { listen IP:PORT; location / { \
         proxy_pass http://localhost; proxy_http_version 1.1; proxy_set_header Connection \"\"; } }",
    ),
];

const HAPROXY: [Plain; 4] = [
    (
        "http mode",
        true,
        "defaults\n mode http\n timeout connect 9s\n timeout client 99s\n timeout server 99s\n\
         listen all\n bind IP:PORT\n server daemon DAEMON\n",
    ),
    (
        "tcp mode",
        true,
        "defaults\n mode tcp\n timeout connect 9s\n timeout client 99s\n timeout server 99s\n\
         listen all\n bind IP:PORT\n server daemon DAEMON\n",
    ),
    (
        "option forwardfor",
        true,
        "defaults\n mode http\n option forwardfor\n timeout connect 9s\n timeout client 99s\n\
         timeout server 99s\nlisten all\n bind IP:PORT\n server daemon DAEMON\n",
    ),
    (
        "Host made the daemon's, connections shared",
        false,
        "defaults\n mode http\n http-reuse always\n timeout connect 9s\n timeout client 99s\n\
         timeout server 99s\nlisten all\n bind IP:PORT\n http-request set-header Host localhost\n\
         server daemon DAEMON\n",
    ),
];

const CADDY: [Plain; 2] = [
    ("reverse_proxy alone", true, "http://:PORT {\n bind IP\n reverse_proxy DAEMON\n}\n"),
    (
        "told to say nothing",
        false,
        "http://:PORT {\n bind IP\n reverse_proxy DAEMON {\n  header_up Host localhost\n  header_up -X-Forwarded-For\n  \
         header_up -X-Forwarded-Proto\n  header_up -X-Forwarded-Host\n }\n}\n",
    ),
];

const APACHE: [Plain; 3] = [
    ("ProxyPass alone", false, "<VirtualHost IP:PORT>\nProxyPass / http://DAEMON/\n</VirtualHost>\n"),
    (
        "Host passed on",
        true,
        "<VirtualHost IP:PORT>\nProxyPreserveHost On\nProxyPass / http://DAEMON/\n</VirtualHost>\n",
    ),
    (
        "told to say nothing",
        true,
        "<VirtualHost IP:PORT>\nProxyPreserveHost On\nProxyAddHeaders Off\nProxyPass / http://DAEMON/\n\
         </VirtualHost>\n",
    ),
];

/// A daemon of a user of its own, with a server that can write to its log, and one with a secret.
async fn daemon(config: &str) -> Gateway {
    let gateway = TestGateway::new()
        .config_toml(&format!("[http]\nallowed_hosts = [\"{NAME}\"]\n{config}"))
        .server("tool", asking_server())
        .server("kept", json!({"command": "true", "disabled": true, "env": {"TOKEN": SECRET}}))
        .user(DAEMON_USER)
        .start()
        .await;
    gateway.wait_state("tool", "ready").await;
    gateway
}

async fn stand_before(gateway: &Gateway, program: Program, text: &str) -> Proxy {
    let daemon = gateway.address().to_string();
    let text = |listen: SocketAddr| {
        text.replace("DAEMON", &daemon)
            .replace("IP", &listen.ip().to_string())
            .replace("PORT", &listen.port().to_string())
    };
    let proxy = Proxy::start(program, gateway.address(), &Site { text: &text, beside: None }).await;
    passes(&proxy).await;
    proxy
}

/// Waits until requests get through: some of them listen before they know where to.
async fn passes(proxy: &Proxy) {
    let probe = through(proxy, &[asked("GET", "/healthz", NAME, None, None)]);
    wait_until("requests pass the proxy", DEADLINE, || async {
        let answers = as_user(Some(OTHER_USER), &probe).await;
        // Refused by the daemon for its `Host` is passed, too.
        [200, 403].contains(&statuses(&answers)[0]).then_some(())
    })
    .await;
}

/// Requests that will be refused, each asked again while the proxy answers for the daemon: the daemon ends a
/// connection of which it has refused a request before its body came, and Caddy may just have chosen that one for
/// the next, which it does not repeat if it has a body.
fn in_vain(proxy: &Proxy, requests: &[Value]) -> Value {
    let mut wish = through(proxy, requests);
    wish["again"] = json!([502, 503]);
    wish
}

fn through(proxy: &Proxy, requests: &[Value]) -> Value {
    let address = proxy.address();
    json!({"host": address.ip(), "port": address.port(), "requests": requests})
}

fn asked(method: &str, path: &str, host: &str, key: Option<&str>, body: Option<&str>) -> Value {
    let mut headers = json!({"Host": host});
    if let Some(key) = key {
        headers["authorization"] = format!("Bearer {key}").into();
    }
    request(method, path, headers, body)
}

/// Where the program of a definition that nobody may make would write.
fn mark(gateway: &Gateway) -> std::path::PathBuf {
    gateway.data().join("it-ran")
}

/// A definition that writes there.
fn evil(gateway: &Gateway) -> String {
    let script = format!("echo > {}", mark(gateway).display());
    json!({"name": "evil", "command": "/bin/sh", "args": ["-c", script]}).to_string()
}

/// What a stranger without a key would like.
fn wishes(gateway: &Gateway, host: &str) -> Vec<Value> {
    let kept = json!({"name": "kept", "command": "true", "args": []}).to_string();
    let call = json!({"mcp_id": "tool", "tool": "run", "arguments": {}}).to_string();
    let file = json!({"filepath": gateway.data().join("out.json")}).to_string();
    let evil = evil(gateway);
    let of = |method, path, body| asked(method, path, host, None, body);
    vec![
        of("GET", "/api/servers", None),
        of("POST", "/api/servers", Some(evil.as_str())),
        of("PUT", "/api/servers/kept", Some(kept.as_str())),
        of("DELETE", "/api/servers/kept", None),
        of("POST", "/api/config/export", Some(file.as_str())),
        of("POST", "/api/config/import", Some(file.as_str())),
        of("GET", "/api/status", None),
        of("GET", "/metrics", None),
        of("GET", "/v1/mcps", None),
        of("POST", INVOKE, Some(call.as_str())),
    ]
}

/// Checks that a stranger got nothing of what it wished for by this proxy.
async fn nothing_gets_through(gateway: &Gateway, proxy: &Proxy, host_is_passed: bool, what: &str) {
    for host in ["localhost", NAME, STRANGER] {
        let wishes = wishes(gateway, host);
        let answers = as_user(Some(OTHER_USER), &in_vain(proxy, &wishes)).await;
        let expected = if host == STRANGER && host_is_passed { 403 } else { 401 };
        for (wish, answer) in wishes.iter().zip(answers.as_array().expect("a list")) {
            assert_eq!(answer[0], expected, "{what}, {host}: {wish} {answer}");
        }
        assert!(!answers.to_string().contains(SECRET), "{what}, {host}: {answers}");
    }
    for host in ["localhost", NAME] {
        let key = Some(gateway.key());
        let keyed = ["/v1/mcps", "/api/servers", "/metrics"].map(|path| asked("GET", path, host, key, None));
        let answers = as_user(Some(OTHER_USER), &through(proxy, &keyed)).await;
        assert_eq!(statuses(&answers), [200, 200, 200], "{what}, {host}: {answers}");
        assert!(answers[1].to_string().contains(SECRET), "with a key: {answers}");
    }
}

/// Every plain configuration of a program, before one daemon, asked by a third user.
async fn no_way_through(program: Program, configurations: &[Plain]) {
    let gateway = daemon("").await;
    for (name, host_is_passed, text) in configurations {
        let what = format!("{program:?}, {name}");
        let proxy = stand_before(&gateway, program, text).await;
        nothing_gets_through(&gateway, &proxy, *host_is_passed, &what).await;
        proxy.stop().await;
    }
    let known = gateway.get("/v1/mcps").await.expect(200);
    let known: BTreeSet<_> =
        known["data"].as_array().expect("a list").iter().map(|mcp| mcp["name"].to_string()).collect();
    assert_eq!(known, BTreeSet::from(["\"kept\"".to_owned(), "\"tool\"".to_owned()]));
    assert!(!mark(&gateway).exists(), "a program was run for a stranger");
    // The same wish of one who may have it: it would have been seen.
    let define = request("POST", "/api/servers", json!({}), Some(&evil(&gateway)));
    let answers = as_user(Some(DAEMON_USER), &by_address(&gateway, &[define])).await;
    assert_eq!(statuses(&answers), [200], "{answers}");
    wait_until("the own user's program runs", DEADLINE, || async { mark(&gateway).exists().then_some(()) })
        .await;
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_gets_through_nginx_without_a_key_however_little_it_says() {
    if Program::Nginx.can_stand_before("nobody gets through nginx") {
        no_way_through(Program::Nginx, &NGINX).await;
    }
}

#[tokio::test]
async fn nobody_gets_through_haproxy_without_a_key_in_either_mode() {
    if Program::Haproxy.can_stand_before("nobody gets through haproxy") {
        no_way_through(Program::Haproxy, &HAPROXY).await;
    }
}

#[tokio::test]
async fn nobody_gets_through_caddy_without_a_key_even_if_it_says_nothing() {
    if Program::Caddy.can_stand_before("nobody gets through Caddy") {
        no_way_through(Program::Caddy, &CADDY).await;
    }
}

#[tokio::test]
async fn nobody_gets_through_apache_without_a_key_even_if_it_says_nothing() {
    if Program::Apache.can_stand_before("nobody gets through Apache") {
        no_way_through(Program::Apache, &APACHE).await;
    }
}

/// `docs/security.md` and `docs/reverse-proxy.md` say that this is not defended: were it, they would be wrong.
#[tokio::test]
async fn a_silent_forwarder_of_the_daemons_own_user_is_that_user_others_are_not() {
    if !can_play_users("silent forwarders") {
        return;
    }
    let gateway = daemon("").await;
    let strict = daemon("[api]\nauth = \"required\"\n").await;
    let asked = ["/api/servers", "/metrics"].map(|path| asked("GET", path, "localhost", None, None));
    for (user, before, expected) in [
        (Some(DAEMON_USER), &gateway, [200, 200]),
        (Some(OTHER_USER), &gateway, [401, 401]),
        (None, &gateway, [401, 401]),
        (Some(DAEMON_USER), &strict, [401, 200]),
    ] {
        let proxy = stand_before(before, Program::Forwarder(user), "").await;
        let answers = as_user(Some(OTHER_USER), &through(&proxy, &asked)).await;
        assert_eq!(statuses(&answers), expected, "{user:?}: {answers}");
        assert_eq!(answers.to_string().contains(SECRET), expected[0] == 200, "{user:?}: {answers}");
        proxy.stop().await;
    }
    gateway.stop().await;
    strict.stop().await;
}

/// Follows a log through a proxy: each line is written when the one before has come.
async fn events_pass_one_by_one(gateway: &Gateway, proxy: &Proxy) {
    let write = async |line: &str| {
        gateway.v1_invoke("tool", "run", json!({"wish": {"log": line}})).await.expect(200);
    };
    write("line 1 of the log").await;
    let path = "/v1/mcps/tool/logs?follow=true&tail=1";
    let mut following = Following::over(proxy.connect().await, NAME, gateway.key(), path, "").await;
    for number in 1..=4 {
        following.until(&format!("line {number} of the log")).await;
        write(&format!("line {} of the log", number + 1)).await;
    }
}

#[tokio::test]
async fn events_pass_each_proxy_as_it_comes_one_by_one() {
    let all = [
        (Program::Nginx, NGINX[0]),
        (Program::Haproxy, HAPROXY[0]),
        (Program::Caddy, CADDY[0]),
        (Program::Apache, APACHE[0]),
    ];
    let can = |program: Program| program.can_stand_before("events pass each proxy");
    let here: Vec<_> = all.into_iter().filter(|(program, _)| can(*program)).collect();
    if here.is_empty() {
        return;
    }
    let gateway = daemon("").await;
    for (program, (_, _, text)) in here {
        let proxy = stand_before(&gateway, program, text).await;
        events_pass_one_by_one(&gateway, &proxy).await;
        proxy.stop().await;
    }
    gateway.stop().await;
}

/// A configuration of the guide: how it is marked, who runs it, and which words are addresses of the proxy.
struct Guide {
    mark: &'static str,
    program: Program,
    /// Each with what stands in its place, with IP and PORT in it.
    addresses: &'static [(&'static str, &'static str)],
    /// The mark of a second file, what the first calls it, and what it is called here.
    beside: Option<(&'static str, &'static str, &'static str)>,
}

const GUIDE: [Guide; 6] = [
    Guide {
        mark: "nginx",
        program: Program::Nginx,
        addresses: &[("listen 80;", "listen IP:PORT;")],
        beside: None,
    },
    // It would ask for a certificate.
    Guide {
        mark: "caddy",
        program: Program::Caddy,
        addresses: &[("mcp.example {", "http://mcp.example:PORT {\n    bind IP")],
        beside: None,
    },
    Guide {
        mark: "haproxy",
        program: Program::Haproxy,
        addresses: &[("bind :80", "bind IP:PORT")],
        beside: None,
    },
    Guide {
        mark: "traefik",
        program: Program::Traefik,
        addresses: &[("\":80\"", "\"IP:PORT\"")],
        beside: Some(("traefik, its routes", "/etc/traefik/mcp.yml", "routes.yml")),
    },
    Guide {
        mark: "envoy",
        program: Program::Envoy,
        addresses: &[("address: 0.0.0.0, port_value: 80", "address: IP, port_value: PORT")],
        beside: None,
    },
    Guide { mark: "apache", program: Program::Apache, addresses: &[("*:80", "IP:PORT")], beside: None },
];

/// The daemon's address in the guide, as it is written there: most write a colon between.
const DAEMON_IN_GUIDE: [(&str, &str); 2] = [
    ("127.0.0.1:5000", "127.0.0.1:"),
    ("address: 127.0.0.1, port_value: 5000", "address: 127.0.0.1, port_value: "),
];

/// The configurations in the guide, each with its mark.
fn in_guide() -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reverse-proxy.md");
    let guide = std::fs::read_to_string(path).expect("readable");
    assert_eq!(
        guide.matches("\n```").count(),
        2 * guide.matches("<!-- run: ").count(),
        "each block has a mark"
    );
    let marked = guide.split("<!-- run: ").skip(1).map(|rest| {
        let (mark, rest) = rest.split_once(" -->\n```").expect("a block after its mark");
        let block = rest.split_once('\n').expect("a kind").1;
        (mark.to_owned(), block.split_once("\n```").expect("its end").0.to_owned() + "\n")
    });
    marked.collect()
}

fn block(mark: &str, daemon: SocketAddr) -> String {
    let all = in_guide();
    let (_, text) =
        all.iter().find(|(of, _)| of == mark).unwrap_or_else(|| panic!("{mark} is not in the guide"));
    DAEMON_IN_GUIDE
        .iter()
        .fold(text.clone(), |text, (there, here)| text.replace(there, &format!("{here}{}", daemon.port())))
}

#[test]
fn every_configuration_in_the_guide_is_one_that_is_run() {
    let run: BTreeSet<String> = GUIDE
        .iter()
        .flat_map(|one| [Some(one.mark), one.beside.map(|(mark, _, _)| mark)])
        .flatten()
        .map(str::to_owned)
        .collect();
    let there: BTreeSet<String> = in_guide().into_iter().map(|(mark, _)| mark).collect();
    assert_eq!(run, there);
}

/// Runs a configuration of the guide as it is printed, but for its addresses.
async fn works_as_printed(mark: &str) {
    let guide = GUIDE.iter().find(|one| one.mark == mark).expect("one of them");
    if !guide.program.can_stand_before(&format!("the guide's configuration for {mark}")) {
        return;
    }
    let gateway = daemon("").await;
    let text = |listen: SocketAddr| {
        let mut text = block(mark, gateway.address());
        for (there, here) in guide.addresses {
            assert!(text.contains(there), "{mark}: {there:?} is in the guide");
            let here =
                here.replace("IP", &listen.ip().to_string()).replace("PORT", &listen.port().to_string());
            text = text.replace(there, &here);
        }
        guide.beside.iter().fold(text, |text, (_, there, here)| text.replace(there, here))
    };
    let beside = guide.beside.map(|(mark, _, name)| (name, block(mark, gateway.address())));
    let proxy = Proxy::start(guide.program, gateway.address(), &Site { text: &text, beside }).await;
    passes(&proxy).await;

    let call = json!({"mcp_id": "tool", "tool": "run", "arguments": {"wish": {"log": "called"}}}).to_string();
    let key = Some(gateway.key());
    let keyed = [asked("POST", INVOKE, NAME, key, Some(&call)), asked("GET", "/v1/mcps", NAME, key, None)];
    let answers = as_user(Some(OTHER_USER), &through(&proxy, &keyed)).await;
    assert_eq!(statuses(&answers), [200, 200], "{mark}: {answers}");
    assert!(answers[0].to_string().contains("logged"), "{mark}: {answers}");
    events_pass_one_by_one(&gateway, &proxy).await;
    let answers = as_user(Some(OTHER_USER), &in_vain(&proxy, &wishes(&gateway, NAME))).await;
    assert!(statuses(&answers).iter().all(|status| *status == 401), "{mark}: {answers}");
    proxy.stop().await;
    gateway.stop().await;
}

#[tokio::test]
async fn nginx_works_as_the_guide_has_it() {
    works_as_printed("nginx").await;
}

#[tokio::test]
async fn caddy_works_as_the_guide_has_it() {
    works_as_printed("caddy").await;
}

#[tokio::test]
async fn haproxy_works_as_the_guide_has_it() {
    works_as_printed("haproxy").await;
}

#[tokio::test]
async fn traefik_works_as_the_guide_has_it() {
    works_as_printed("traefik").await;
}

#[tokio::test]
async fn envoy_works_as_the_guide_has_it() {
    works_as_printed("envoy").await;
}

#[tokio::test]
async fn apache_works_as_the_guide_has_it() {
    works_as_printed("apache").await;
}
