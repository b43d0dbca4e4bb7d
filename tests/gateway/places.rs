//! Who is at the door: every route from every place. The daemon's own user needs no key for `/api` and the
//! metrics, and nobody else of this machine is taken for it: no other user, no server that runs here, nobody who
//! passes requests on, and nobody who shows a credential.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mcpvisor::http::{Access, known_routes};
use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::elsewhere::{
    DAEMON_USER, Machine, OTHER_USER, as_tool, as_user, asking_server, by_address, can_play_users, request,
    statuses,
};
use crate::support::gateway::{Gateway, TestGateway, with};
use crate::support::http::Connection;
use crate::support::{DEADLINE, wait_until};

/// One request for each route that there is, changing nothing, with these headers.
fn one_of_each(headers: &Value) -> (Vec<Access>, Vec<Value>) {
    let routes = known_routes();
    let requests = routes.iter().map(|route| {
        let path =
            route.path.replace("{id}", "nobody").replace("{name}", "nobody").replace("{server}", "nobody");
        let body = ["POST", "PUT", "PATCH"].contains(&route.method).then_some("{}");
        request(route.method, &path, headers.clone(), body)
    });
    (routes.iter().map(|route| route.access).collect(), requests.collect())
}

/// Checks what a place without a key got of every route.
fn check(place: &str, vouched_for: bool, accesses: &[Access], answers: &Value) {
    assert_eq!(accesses.len(), answers.as_array().expect("a list").len());
    for (number, access) in accesses.iter().enumerate() {
        let (status, what) = (&answers[number][0], format!("{place}: {access:?} {}", answers[number]));
        match access {
            Access::Viewer | Access::Member | Access::Admin | Access::Owner | Access::SignedIn => {
                assert_eq!(status, 401, "{what}")
            }
            Access::Operator | Access::Metrics | Access::Client | Access::SignIn if !vouched_for => {
                assert_eq!(status, 401, "{what}")
            }
            // Without a session, GET has no stream to answer with.
            Access::Client if status == 405 => {}
            Access::Public | Access::Operator | Access::Metrics | Access::Client | Access::SignIn => {
                assert!(![0, 401, 403, 405, 500].contains(&status.as_i64().unwrap()), "{what}");
            }
        }
    }
}

/// A daemon with a server that can ask, one that does so from its sandbox, and a secret.
fn asking() -> TestGateway {
    TestGateway::new()
        .server("tool", asking_server())
        .server("jail", with(asking_server(), json!({"sandbox": "fs"})))
        .server("kept", json!({"command": "true", "disabled": true, "env": {"TOKEN": "canary-of-places"}}))
}

fn socket(gateway: &Gateway) -> Value {
    json!(gateway.data().join("mcpvisor.sock"))
}

#[tokio::test]
async fn every_route_is_open_without_a_key_to_the_daemons_own_user_only() {
    if !can_play_users("every route by place") {
        return;
    }
    for host in ["127.0.0.1", "0.0.0.0"] {
        let gateway = asking().host(host).user(DAEMON_USER).start().await;
        gateway.wait_state("tool", "ready").await;
        gateway.wait_state("jail", "ready").await;
        let (accesses, requests) = one_of_each(&json!({}));
        let wish = by_address(&gateway, &requests);
        check("own user", true, &accesses, &as_user(Some(DAEMON_USER), &wish).await);
        check("another user", false, &accesses, &as_user(Some(OTHER_USER), &wish).await);
        check("root", false, &accesses, &as_user(None, &wish).await);
        check("a server's tool", false, &accesses, &as_tool(&gateway, "tool", &wish).await);
        check("a sandboxed server", false, &accesses, &as_tool(&gateway, "jail", &wish).await);
        let (_, passed_on) = one_of_each(&json!({"X-Forwarded-For": "127.0.0.1"}));
        let wish = by_address(&gateway, &passed_on);
        check("own user, passed on", false, &accesses, &as_user(Some(DAEMON_USER), &wish).await);

        let wish = json!({"socket": socket(&gateway), "requests": requests});
        check("own user by the socket", true, &accesses, &as_user(Some(DAEMON_USER), &wish).await);
        check("root by the socket", false, &accesses, &as_user(None, &wish).await);
        for server in ["tool", "jail"] {
            let shown_out = statuses(&as_tool(&gateway, server, &wish).await);
            assert!(shown_out.iter().all(|status| *status == 0), "{server}: {shown_out:?}");
        }
        let shut = statuses(&as_user(Some(OTHER_USER), &wish).await);
        assert!(shut.iter().all(|status| *status == 0), "another user cannot open it: {shut:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn no_route_but_the_probes_is_open_to_another_machine() {
    if !can_play_users("every route from another machine") {
        return;
    }
    let gateway = asking().host("0.0.0.0").start().await;
    let (accesses, requests) = one_of_each(&json!({}));
    // By its address, and as one who pretends to be here.
    let (_, pretending) = one_of_each(&json!({"Host": "localhost"}));
    let port = gateway.address().port();
    let answers = tokio::task::spawn_blocking(move || {
        let machine = Machine::new();
        [requests, pretending].map(|requests| {
            machine.fulfils(&json!({"host": machine.here, "port": port, "requests": requests}))
        })
    });
    for answers in answers.await.expect("no panic") {
        check("another machine", false, &accesses, &answers);
        assert!(!answers.to_string().contains("canary-of-places"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_own_user_may_do_anyway_is_not_hidden_from_it_and_is_from_others() {
    let gateway = asking().start().await;
    let servers = request("GET", "/api/servers", json!({}), None);
    let shown = as_user(None, &by_address(&gateway, std::slice::from_ref(&servers))).await;
    assert!(shown[0][1].as_str().unwrap().contains("canary-of-places"), "{shown}");
    // Files: anywhere for the own user, in the configured directory for a key.
    let outside = tempfile::tempdir().expect("a directory");
    let path = outside.path().join("servers.json");
    let body = json!({"filepath": path}).to_string();
    let by_key = ask(&gateway, "POST", "/api/config/export").with_key().json(body.clone()).send().await;
    let error = by_key.expect(400)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("outside the configured root"), "{error}");
    ask(&gateway, "POST", "/api/config/export").json(body.clone()).send().await.expect(200);
    assert!(fs::read_to_string(&path).expect("written").contains("canary-of-places"));
    ask(&gateway, "POST", "/api/config/import").json(body).send().await.expect(200);
    let own = json!({"filepath": gateway.data().join("owner.key")}).to_string();
    for route in ["/api/config/export", "/api/config/import"] {
        let refused = ask(&gateway, "POST", route).json(own.clone()).send().await.expect(500);
        assert!(refused["error"].as_str().unwrap().ends_with("the daemon keeps its own files there"));
    }
    assert_eq!(fs::read_to_string(gateway.data().join("owner.key")).unwrap().trim(), gateway.key());
    let acts = gateway.get("/v1/audit?action=config").await.expect(200);
    let by: Vec<&Value> = acts["data"].as_array().unwrap().iter().map(|act| &act["key_id"]).collect();
    assert!(by.contains(&&json!("local")), "{acts}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_credential_that_is_sent_is_used_or_refused_and_never_passed_over() {
    let gateway = TestGateway::new()
        .config_toml(
            "[organization]\nplan = \"unlimited\"\n[[members]]\nid = \"boss\"\nrole = \"owner\"\n\
             [[members]]\nid = \"joe\"\nrole = \"viewer\"\n",
        )
        .demo()
        .start()
        .await;
    let make = async |body: Value| {
        let made = gateway.post("/v1/api-keys", &body).await.expect(201)["data"].clone();
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    };
    let (_, limited) = make(json!({"name": "l", "permissions": {"mcps": []}})).await;
    let (_, viewer) = make(json!({"name": "v", "owner_id": "joe"})).await;
    let (id, revoked) = make(json!({"name": "r"})).await;
    gateway.delete(&format!("/v1/api-keys/{id}")).await.expect(200);
    let bearer = |key: &str| format!("Bearer {key}");
    for (what, value, api, metrics) in [
        ("an administrator's", bearer(gateway.key()), 200, 200),
        ("a limited", bearer(&limited), 403, 403),
        ("a viewer's", bearer(&viewer), 403, 200),
        ("a revoked", bearer(&revoked), 401, 401),
        ("a wrong", bearer("pk_live_wrong"), 401, 401),
        ("another scheme's", "Basic dTpw".to_owned(), 401, 401),
        ("an empty", "Bearer ".to_owned(), 401, 401),
    ] {
        for (path, expected) in [("/api/servers", api), ("/metrics", metrics)] {
            let reply = ask(&gateway, "GET", path).header("authorization", &value).send().await;
            assert_eq!(reply.status, expected, "{what} key for {path}: {}", reply.text());
        }
    }
    // The same by the socket.
    let headers = json!({"authorization": bearer(&limited)});
    let wish =
        json!({"socket": socket(&gateway), "requests": [request("GET", "/api/servers", headers, None)]});
    assert_eq!(statuses(&as_user(None, &wish).await), [403]);
    gateway.stop().await;

    // Where everybody is let in, a password is for whoever stands before the daemon, and a key is still a key.
    let off = TestGateway::new().config_toml("[api]\nauth = \"off\"\n").start().await;
    for (value, expected) in [("Basic dTpw", 200), ("Bearer pk_live_wrong", 401)] {
        let reply = ask(&off, "GET", "/api/servers").header("authorization", value).send().await;
        assert_eq!(reply.status, expected, "{value}");
    }
    let passed_on = ask(&off, "GET", "/api/servers").header("via", "1.1 edge").send().await;
    assert_eq!(passed_on.status, 200);
    assert_eq!(ask(&off, "GET", "/metrics").header("via", "1.1 edge").send().await.status, 401);
    off.stop().await;
}

#[tokio::test]
async fn a_sandboxed_server_reads_nothing_of_the_daemon_s_and_everything_else() {
    // The kernel lets root read the memory of every process, whatever confines it.
    if !can_play_users("what a sandboxed server reads") {
        return;
    }
    let gateway = asking().user(DAEMON_USER).start().await;
    gateway.wait_state("jail", "ready").await;
    let of = |path: &str| json!({"read": path});
    let data = gateway.data().display().to_string();
    for name in ["owner.key", "journal", "lock", "../data/owner.key"] {
        let read = as_tool(&gateway, "jail", &of(&format!("{data}/{name}"))).await;
        assert_eq!(read, json!([0, "PermissionError"]), "{name}");
        let read = as_tool(&gateway, "tool", &of(&format!("{data}/{name}"))).await;
        assert_eq!(read[0], 200, "{name} can be read by a server without a sandbox: {read}");
    }
    let mine = fs::read_dir(gateway.data().join("servers")).unwrap().next().unwrap().unwrap().path();
    let mine = mine.join("own").display().to_string();
    assert_eq!(as_tool(&gateway, "jail", &json!({"write": mine})).await[0], 200);
    for path in [mine.as_str(), "/etc/hostname", "/proc/self/status"] {
        assert_eq!(as_tool(&gateway, "jail", &of(path)).await[0], 200, "{path}");
    }
    // What is beside the data directory when the server starts is readable, too.
    let beside = gateway.data().parent().unwrap().join("servers.json").display().to_string();
    assert_eq!(as_tool(&gateway, "jail", &of(&beside)).await[0], 200);
    let daemon = format!("/proc/{}/environ", gateway.pid());
    assert_eq!(as_tool(&gateway, "jail", &of(&daemon)).await, json!([0, "PermissionError"]));
    gateway.stop().await;
}

#[tokio::test]
async fn the_socket_is_there_while_the_daemon_is_and_comes_back_after_a_kill() {
    let mut gateway = TestGateway::new().start().await;
    let path = gateway.data().join("mcpvisor.sock");
    let mode = || fs::metadata(&path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    let wish = json!({"socket": path, "requests": [request("GET", "/api/status", json!({}), None)]});
    assert_eq!(statuses(&as_user(None, &wish).await), [200]);
    gateway.kill_9().await;
    assert!(path.exists(), "nobody was there to remove it");
    gateway.restart().await;
    assert_eq!(mode(), 0o600);
    assert_eq!(statuses(&as_user(None, &wish).await), [200]);
    gateway.terminate().await;
    assert!(!path.exists());
    gateway.stop().await;

    let off = TestGateway::new().config_toml("[http]\nsocket = \"off\"\n").start().await;
    assert!(!off.data().join("mcpvisor.sock").exists());
    off.stop().await;
    let config = "[http]\nsocket = \"none/of/these/m.sock\"\n";
    let (status, output) = TestGateway::new().config_toml(config).start_refused().await;
    assert_eq!(status.code(), Some(74), "{output}");
    assert!(output.contains("cannot listen on") && output.contains("none/of/these/m.sock"), "{output}");
}

#[tokio::test]
async fn the_address_of_the_operational_routes_has_them_and_nothing_else() {
    let gateway = TestGateway::new().config_toml("[telemetry]\nlisten = \"127.0.0.1:0\"\n").start().await;
    let line = wait_until("the daemon says where its metrics are", DEADLINE, || async {
        gateway.output().lines().find_map(|line| Some(line.split_once("Metrics  ")?.1.trim().to_owned()))
    })
    .await;
    let address =
        line.trim_start_matches("http://").trim_end_matches("/metrics").parse().expect("an address");
    let status = async |path: &str, headers: &[(&str, &str)]| {
        let mut connection = Connection::open(address, headers).await.expect("it listens");
        connection.send("GET", path, None).await.expect("answered").status
    };
    let bearer = format!("Bearer {}", gateway.key());
    assert_eq!(status("/metrics", &[]).await, 200);
    assert_eq!(status("/metrics", &[("authorization", &bearer)]).await, 200);
    assert_eq!(status("/metrics", &[("via", "1.1 edge")]).await, 401);
    assert_eq!(status("/healthz", &[]).await, 200);
    assert_eq!(status("/readyz", &[]).await, 200);
    for path in ["/api/servers", "/v1/mcps", "/api/status"] {
        assert_eq!(status(path, &[("authorization", &bearer)]).await, 404, "{path}");
    }
    gateway.stop().await;
    let config = "[telemetry]\nlisten = \"0.0.0.0:9464\"\n";
    let (status, output) = TestGateway::new().config_toml(config).start_refused().await;
    assert_eq!(status.code(), Some(78), "{output}");
    assert!(output.contains("telemetry.listen") && output.contains("loopback"), "{output}");
}

#[tokio::test]
async fn what_is_waited_for_is_named_to_the_own_user_and_counted_for_others() {
    let slow = with(crate::support::gateway::fake(&["--hang-init"]), json!({"era": "legacy"}));
    let gateway = TestGateway::new().server("secretive", slow).start().await;
    let seen = ask(&gateway, "GET", "/readyz").send().await;
    assert_eq!(seen.json()["waiting_for"], json!(["server 'secretive' is starting"]));
    let counted = ask(&gateway, "GET", "/readyz").header("via", "1.1 edge").send().await;
    assert_eq!(counted.json(), json!({"status": "not_ready", "waiting_for": 1}));
    let keyed = ask(&gateway, "GET", "/readyz").header("via", "1.1 edge").with_key().send().await;
    assert_eq!(keyed.json()["waiting_for"], json!(["server 'secretive' is starting"]));
    gateway.stop().await;
}
