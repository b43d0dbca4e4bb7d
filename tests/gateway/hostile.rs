//! Servers that others define with bad intent, or that announce what a reader could break on: nothing is
//! connected to in the daemon's name but what the settings let, and nothing that a schema says is followed or
//! carried out (E74, E75).

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake, with};

/// A port of this machine at which nobody is to knock. Whoever does is counted and sent elsewhere.
struct Trap {
    address: SocketAddr,
    knocks: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Trap {
    async fn set() -> Trap {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let knocks = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&knocks);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/meta-data/\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.try_write(redirect);
            }
        });
        Trap { address, knocks, listening }
    }

    /// This machine in every spelling that some resolver takes for it, and what is nobody's business.
    fn addresses(&self) -> Vec<String> {
        let port = self.address.port();
        let mut addresses: Vec<String> = [
            "127.0.0.1",
            "localhost",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
            "user:password@127.0.0.1",
            "LOCALHOST.",
        ]
        .iter()
        .map(|host| format!("http://{host}:{port}/mcp"))
        .collect();
        addresses.extend(
            ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "file:///etc/passwd"]
                .map(str::to_owned),
        );
        addresses
    }

    /// How many knocked. One more knocks first, by which it is known that all before were counted.
    async fn knocks(self) -> usize {
        drop(tokio::net::TcpStream::connect(self.address).await.expect("the trap is open"));
        let counted = Arc::clone(&self.knocks);
        crate::support::wait_until("the last knock is counted", crate::support::DEADLINE, || async {
            (counted.load(Ordering::SeqCst) >= 1).then_some(())
        })
        .await;
        self.listening.abort();
        self.knocks.load(Ordering::SeqCst) - 1
    }
}

/// Whether this is this machine, where the servers of a file may be.
fn is_loopback(url: &str) -> bool {
    ["0.0.0.0", "169.254.", "[fd00:", "file:"].iter().all(|other| !url.contains(other))
}

/// Everything that could make the daemon look at a server.
async fn look_at(gateway: &Gateway, server: &str) {
    for path in ["/v1/mcps", "/api/status", "/api/servers", "/metrics", "/readyz"] {
        ask(gateway, "GET", path).send().await;
    }
    let calls = [
        gateway.v1_invoke(server, "echo", json!({})).await,
        gateway.post("/v1/mcp/resources", &json!({"mcp_id": server})).await,
        gateway.post("/v1/mcp/resources", &json!({"mcp_id": server, "uri": "http://127.0.0.1/"})).await,
        gateway.get(&format!("/v1/mcps/{server}")).await,
        gateway.post(&format!("/v1/mcps/{server}/restart"), &json!({})).await,
        gateway.get(&format!("/api/servers/{server}")).await,
        gateway.get(&format!("/api/servers/{server}/tools")).await,
    ];
    for reply in calls {
        // What is said of it is that there is nothing to talk to.
        let told = reply.text().contains("mcp_unreachable");
        assert!(reply.status < 500 || told, "{server}: {} {}", reply.status, reply.text());
    }
}

/// E74.
#[tokio::test]
async fn an_address_is_never_connected_to_that_the_settings_do_not_let() {
    let trap = Trap::set().await;
    let mut builder =
        TestGateway::new().config_toml("[remotes]\napi_addresses = \"public\"\n").server("fake", fake(&[]));
    let mut names = Vec::new();
    // What stands in a file is the operator's own, and even that leads nowhere here.
    for (number, url) in trap.addresses().iter().filter(|url| !is_loopback(url)).enumerate() {
        let member = if number % 2 == 0 { "url" } else { "ws_url" };
        names.push(format!("file{number}"));
        builder = builder
            .server(names.last().expect("just now"), json!({ member: url, "type": "streamable-http" }));
    }
    let mut gateway = builder.start().await;
    gateway.wait_state("fake", "ready").await;
    let mut imported = serde_json::Map::new();
    for (number, url) in trap.addresses().iter().enumerate() {
        for (way, mut definition) in
            [("made", json!({"url": url})), ("both", json!({"url": url, "command": "/no/such/program"}))]
        {
            let name = format!("{way}{number}");
            definition["name"] = name.as_str().into();
            let made = gateway.post("/api/servers", &definition).await;
            assert!([200, 400].contains(&made.status), "{name}: {}", made.text());
            if made.status == 200 {
                names.push(name);
            }
        }
        imported.insert(format!("imported{number}"), json!({"url": url, "headers": {"authorization": "x"}}));
    }
    for name in &names {
        look_at(&gateway, name).await;
    }
    // What is imported takes the place of all that was there, and is of the API.
    let names: Vec<String> = imported.keys().cloned().collect();
    imported.insert("fake".to_owned(), gateway.marked(fake(&[])));
    fs::write(gateway.data().join("in.json"), json!({"mcpServers": imported}).to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "in.json"})).await.expect(200);
    for url in trap.addresses() {
        let changed = gateway.put("/api/servers/fake", &json!({"url": url})).await;
        assert!([200, 400].contains(&changed.status), "{}", changed.text());
    }
    // It leads elsewhere now, and nobody has gone there; a command in place of the address makes it a process again.
    look_at(&gateway, "fake").await;
    gateway.put("/api/servers/fake", &gateway.marked(fake(&[]))).await.expect(200);
    gateway.wait_state("fake", "ready").await;
    for name in &names {
        look_at(&gateway, name).await;
    }
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    gateway.wait_state("fake", "ready").await;
    for name in &names {
        look_at(&gateway, name).await;
    }
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    gateway.stop().await;
    assert_eq!(trap.knocks().await, 0);
}

/// Schemas that a validator, a resolver or a deep recursion could be caught by.
fn hostile_schemas(trap: &Trap) -> Vec<Value> {
    let remote = format!("http://{}/schema.json", trap.address);
    let mut deep = json!({"type": "string"});
    for _ in 0..40 {
        deep = json!({"type": "object", "properties": {"x": deep}});
    }
    let many: serde_json::Map<String, Value> =
        (0..8000).map(|number| (format!("member_{number}"), json!({"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$", "description": "x".repeat(40)}))).collect();
    vec![
        json!({"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}}),
        json!({"type": "object", "properties": {"x": {"pattern": "(((a*)*)*)*b"}}, "patternProperties": {"^(a|a)*$": {}}}),
        json!({"type": "object", "properties": {"x": {"pattern": "([unclosed"}}}),
        json!({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"type": "object", "$ref": "#"}),
        json!({"type": "object", "allOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"type": "object", "$ref": remote}),
        json!({"type": "object", "$schema": remote, "$id": remote, "properties": {"x": {"$ref": format!("{remote}#/x")}}}),
        json!({"type": "object", "properties": {"x": {"$dynamicRef": remote}}}),
        json!({"type": "object", "properties": {"x": {"$ref": "file:///etc/passwd"}}}),
        json!({"type": "object", "properties": {"x": {"minLength": 1e308, "maxItems": 9_007_199_254_740_993_u64, "multipleOf": 0}}}),
        deep,
        json!({"type": "object", "properties": many}),
    ]
}

/// E75. Schemas are passed on as they are: nobody here compiles, resolves or follows them.
#[tokio::test]
async fn hostile_schemas_are_listed_as_they_are_and_nothing_in_them_is_followed() {
    let trap = Trap::set().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tools.json");
    let schemas = hostile_schemas(&trap);
    let tools: Vec<Value> = schemas
        .iter()
        .enumerate()
        .map(|(number, schema)| json!({"name": format!("trap_{number}"), "inputSchema": schema}))
        .collect();
    let text = Value::from(tools).to_string();
    assert!(text.len() > 900 * 1024, "{}", text.len());
    fs::write(&file, &text).expect("written");
    let flags = ["--tools-file", file.to_str().expect("UTF-8")];
    // The list of the second one is longer than what it may send at once.
    let mut gateway = TestGateway::new()
        .server("hostile", fake(&flags))
        .server("too_much", with(fake(&flags), json!({"max_frame": 256 * 1024})))
        .server("well", fake(&[]))
        .start()
        .await;
    for round in 0..2 {
        gateway.wait_state("hostile", "ready").await;
        gateway.wait_state("well", "ready").await;
        let listed = gateway.server("hostile").await["tools"].clone();
        let listed = listed.as_array().expect("a list");
        let by_api = gateway.get("/api/servers/hostile/tools").await.expect(200).to_string();
        for (number, schema) in schemas.iter().enumerate() {
            let name = format!("trap_{number}");
            let tool = listed.iter().find(|tool| tool["name"] == name.as_str()).expect("listed");
            let seen = tool.get("inputSchema").or_else(|| tool.get("input_schema")).expect("a schema");
            assert_eq!(seen, schema, "{name}");
            assert!(by_api.contains(&format!("\"{name}\"")));
            let arguments = json!({"x": format!("{}!", "a".repeat(64))});
            assert_eq!(gateway.call("hostile", &name, arguments.clone()).await, arguments, "{name}");
        }
        assert_eq!(gateway.call("well", "echo", json!({"nonce": round})).await["nonce"], round);
        let refused = gateway.server("too_much").await;
        assert!(refused["state"] != "ready", "{refused}");
        let reply = gateway.v1_invoke("too_much", "echo", json!({})).await;
        assert!([502, 503, 504, 404].contains(&reply.status), "{}", reply.text());
        if round == 0 {
            let seen = crate::support::wait_until("it has failed", crate::support::DEADLINE, || async {
                let seen = gateway.server("too_much").await;
                seen["cause"].is_string().then_some(seen)
            })
            .await;
            eprintln!("measured E75: {}", seen["cause"]);
            assert!(gateway.terminate().await.success());
            gateway.restart().await;
        }
    }
    gateway.stop().await;
    assert_eq!(trap.knocks().await, 0);
}
