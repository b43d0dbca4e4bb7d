//! Export and import of the configuration: a round trip loses nothing, a bad file changes nothing,
//! and no path leads out of the configured directory (`docs/http-api.md`, M7).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value, json};

use super::child_of;
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::http::Reply;
use crate::support::{DEADLINE, wait_until};

/// As the holder of a key, whose paths are confined.
async fn export(gateway: &Gateway, path: &str) -> Reply {
    let body = json!({"filepath": path}).to_string();
    ask(gateway, "POST", "/api/config/export").with_key().json(body).send().await
}

async fn import(gateway: &Gateway, path: &str) -> Reply {
    let body = json!({"filepath": path}).to_string();
    ask(gateway, "POST", "/api/config/import").with_key().json(body).send().await
}

fn write(gateway: &Gateway, name: &str, content: impl AsRef<[u8]>) {
    fs::write(gateway.data().join(name), content).expect("written");
}

fn read(gateway: &Gateway, name: &str) -> String {
    fs::read_to_string(gateway.data().join(name)).expect("readable")
}

async fn servers(gateway: &Gateway) -> Value {
    ask(gateway, "GET", "/api/servers").send().await.expect(200)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test]
async fn an_export_of_an_import_is_the_same_file_in_the_same_order() {
    let gateway = TestGateway::new().start().await;
    let file = json!({
        "$schema": "https://example.com/schema.json",
        "mcpServers": {
            "zulu": {"disabled": true, "args": [], "command": "npx", "x-note": {"b": [1.0, null], "a": "ü"}},
            "remote": {"url": "https://127.0.0.1:9/mcp", "headers": {"Authorization": "x"}},
            "alpha/ä": {"command": "/no/such/program", "env": {"Z": "", "A": "=\n"}, "autoApprove": ["echo"]}
        },
        "globalShortcut": "Ctrl+Space"
    });
    let written = format!("{}\n", serde_json::to_string_pretty(&file).expect("text"));
    write(&gateway, "in.json", &written);
    let answer = import(&gateway, "in.json").await.expect(200);
    assert_eq!(answer, json!({"status": "success", "message": "Configuration imported from in.json"}));
    let answer = export(&gateway, "out.json").await.expect(200);
    assert_eq!(answer, json!({"status": "success", "message": "Configuration exported to out.json"}));
    assert_eq!(read(&gateway, "out.json"), written);
    let mode = fs::metadata(gateway.data().join("out.json")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "definitions hold secrets");
    // An absolute path, an existing file, a byte order mark.
    write(&gateway, "bom.json", format!("\u{feff}{written}"));
    let absolute = gateway.data().join("bom.json");
    import(&gateway, text(&absolute)).await.expect(200);
    let answer = export(&gateway, text(&absolute)).await.expect(200);
    assert_eq!(answer["message"], format!("Configuration exported to {}", text(&absolute)));
    assert_eq!(read(&gateway, "bom.json"), written);
    let mode = fs::metadata(&absolute).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "also where a file was before");
    gateway.stop().await;
}

#[tokio::test]
async fn an_import_starts_what_is_new_stops_what_is_gone_and_leaves_the_rest() {
    let gateway = TestGateway::new()
        .server("kept", fake(&[]))
        .server("changed", fake(&[]))
        .server("gone", fake(&[]))
        .start()
        .await;
    for name in ["kept", "changed", "gone"] {
        gateway.wait_state(name, "ready").await;
    }
    let kept = child_of(&gateway, "kept").await;
    let changed = child_of(&gateway, "changed").await;
    let gone = child_of(&gateway, "gone").await;
    let ids = [gateway.server("kept").await["id"].clone(), gateway.server("changed").await["id"].clone()];

    export(&gateway, "all.json").await.expect(200);
    import(&gateway, "all.json").await.expect(200);
    for (name, child) in [("kept", kept), ("changed", changed), ("gone", gone)] {
        assert_eq!(child_of(&gateway, name).await, child, "{name} runs on");
    }

    let mut file: Value = serde_json::from_str(&read(&gateway, "all.json")).expect("JSON");
    let list = file["mcpServers"].as_object_mut().expect("an object");
    list.remove("gone");
    list["changed"]["args"] = json!(["--tools", "1"]);
    let new = gateway.marked(fake(&["--tools", "2"]));
    list.insert("new".to_owned(), new);
    // Another order of the members of a definition is the same definition.
    let mut turned: Vec<(String, Value)> =
        list["kept"].as_object().expect("an object").clone().into_iter().collect();
    turned.reverse();
    list["kept"] = Value::Object(turned.into_iter().collect());
    write(&gateway, "next.json", file.to_string());
    import(&gateway, "next.json").await.expect(200);

    wait_until("the replaced and the removed child are gone", DEADLINE, || async {
        (!changed.is_there() && !gone.is_there()).then_some(())
    })
    .await;
    assert_eq!(gateway.call("changed", "tool_0", json!({"nonce": 1})).await["nonce"], 1);
    assert_eq!(gateway.call("new", "tool_1", json!({"nonce": 1})).await["nonce"], 1);
    assert_eq!(child_of(&gateway, "kept").await, kept, "the same child all the while");
    assert_eq!(
        [gateway.server("kept").await["id"].clone(), gateway.server("changed").await["id"].clone()],
        ids
    );
    gateway.get("/v1/mcps/gone").await.expect(404);
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_applied_changes_nothing() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let child = child_of(&gateway, "fake").await;
    let before = servers(&gateway).await;
    let not_json = "File 'bad.json' is not a valid JSON file";
    let no_servers = "File 'bad.json' does not contain an 'mcpServers' object";
    let good = r#""good": {"command": "npx"}"#;
    let files = [
        (String::new(), not_json),
        ("{".into(), not_json),
        ("mcpServers: {}".into(), not_json),
        (r#"{"mcpServers": {}} more"#.into(), not_json),
        ("[".repeat(100_000), not_json),
        ("[1]".into(), no_servers),
        ("null".into(), no_servers),
        ("\"mcpServers\"".into(), no_servers),
        ("{}".into(), no_servers),
        (r#"{"mcpServers": null}"#.into(), no_servers),
        (r#"{"mcpServers": [{"command": "npx"}]}"#.into(), no_servers),
        (r#"{"servers": {"a": {"command": "npx"}}}"#.into(), no_servers),
        (format!(r#"{{"mcpServers": {{{good}, "bad": 5}}}}"#), "mcpServers.bad must be an object"),
        (
            format!(r#"{{"mcpServers": {{{good}, "bad": {{}}}}}}"#),
            "mcpServers.bad.command is required: the program to run",
        ),
        (
            format!(r#"{{"mcpServers": {{{good}, "bad": {{"command": ""}}}}}}"#),
            "mcpServers.bad.command must not be empty",
        ),
        (
            format!(r#"{{"mcpServers": {{{good}, "bad": {{"command": "x", "args": "y"}}}}}}"#),
            "mcpServers.bad.args must be an array of strings",
        ),
        (
            format!(r#"{{"mcpServers": {{{good}, " bad": {{"command": "x"}}}}}}"#),
            "mcpServers. bad has a bad name: it must not begin or end with a blank",
        ),
    ];
    for (content, error) in files {
        write(&gateway, "bad.json", &content);
        let refused = import(&gateway, "bad.json").await.expect(400);
        let shown: String = content.chars().take(80).collect();
        assert_eq!(refused["error"], error, "{shown}");
    }
    write(&gateway, "bad.json", [0xff, 0xfe, 0x00]);
    assert_eq!(import(&gateway, "bad.json").await.expect(400)["error"], not_json);
    assert_eq!(servers(&gateway).await, before);
    assert_eq!(child_of(&gateway, "fake").await, child);
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_or_written_is_said_so_with_the_reason() {
    let gateway = TestGateway::new().start().await;
    write(&gateway, "file", "{}");
    fs::create_dir(gateway.data().join("directory")).expect("made");
    nix::unistd::mkfifo(&gateway.data().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    let large = fs::File::create(gateway.data().join("large.json")).expect("made");
    large.set_len(17 * 1024 * 1024).expect("sparse");
    let cases = [
        ("import", "nowhere.json", 404, "File 'nowhere.json' not found"),
        ("import", "nowhere/file.json", 404, "File 'nowhere/file.json' not found"),
        ("import", "directory", 500, "Failed to read file: Is a directory"),
        ("import", "file/below", 500, "Failed to read file: Not a directory"),
        ("import", "fifo", 500, "Failed to read file: it is not a regular file"),
        ("import", "large.json", 500, "Failed to read file: it is larger than 16 MiB"),
        ("export", "nowhere/file.json", 500, "Failed to write to file: No such file or directory"),
        ("export", "directory", 500, "Failed to write to file: Is a directory"),
        ("export", "new/", 500, "Failed to write to file: Is a directory"),
        ("export", "file/below", 500, "Failed to write to file: Not a directory"),
        ("export", "fifo", 500, "Failed to write to file: it is not a regular file"),
        ("export", "owner.key", 500, "Failed to write to file: the daemon keeps its own files there"),
    ];
    for (action, path, status, error) in cases {
        let refused =
            if action == "import" { import(&gateway, path).await } else { export(&gateway, path).await };
        assert_eq!(refused.expect(status)["error"], error, "{action} {path}");
    }
    for action in ["import", "export"] {
        for bad in [json!(5), json!(["x"]), json!({"a": 1}), json!(true)] {
            let body = json!({"filepath": bad}).to_string();
            let reply = ask(&gateway, "POST", &format!("/api/config/{action}")).json(body).send().await;
            assert_eq!(reply.expect(400)["error"], "filepath must be a string", "{action}");
        }
    }
    let long = format!("{}.json", "x".repeat(300));
    import(&gateway, &long).await.expect(500);
    export(&gateway, &long).await.expect(500);
    for odd in ["a\u{0}b", "~/file"] {
        let status = import(&gateway, odd).await.status;
        assert!([400, 404, 500].contains(&status), "{odd:?}: {status}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn no_path_leads_out_of_the_configured_directory() {
    let outside = tempfile::tempdir().expect("a directory");
    let secret = outside.path().join("secret.json");
    fs::write(&secret, r#"{"mcpServers": {"stolen": {"command": "/no/such/program"}}}"#).expect("written");
    let gateway = TestGateway::new().start().await;
    symlink(&secret, gateway.data().join("link.json")).expect("linked");
    symlink(outside.path(), gateway.data().join("way-out")).expect("linked");
    symlink(outside.path().join("nothing"), gateway.data().join("dangling")).expect("linked");
    let paths = [
        text(&secret),
        "../servers.json",
        "way-out/../../servers.json",
        "./../../../../../../etc/passwd",
        "link.json",
        "way-out/secret.json",
        "way-out/new.json",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "/dev/stdin",
        "/",
        "..",
        "/no/such/file",
    ];
    for path in paths {
        for reply in [import(&gateway, path).await, export(&gateway, path).await] {
            let refused = reply.expect(400);
            let text = refused["error"].as_str().expect("a text");
            assert!(text.starts_with("File path is outside the configured root"), "{path}: {text}");
        }
    }
    // A link to nothing would make a file there.
    let dangling = export(&gateway, "dangling").await;
    assert!([400, 500].contains(&dangling.status), "{}", dangling.text());
    assert!(!outside.path().join("nothing").exists() && !outside.path().join("new.json").exists());
    assert!(read_outside(&secret).contains("stolen"), "the file outside is as it was");
    assert_eq!(servers(&gateway).await, json!({"servers": []}));
    gateway.stop().await;
}

fn read_outside(path: &Path) -> String {
    fs::read_to_string(path).expect("readable")
}

#[tokio::test]
async fn a_configured_root_is_the_one_that_counts() {
    let root = tempfile::tempdir().expect("a directory");
    let config = format!("[api]\nconfig_root = {:?}\n", text(root.path()));
    let gateway = TestGateway::new()
        .server("s", json!({"command": "/no/such/program"}))
        .config_toml(&config)
        .start()
        .await;
    export(&gateway, "out.json").await.expect(200);
    assert!(root.path().join("out.json").exists());
    write(&gateway, "in.json", r#"{"mcpServers": {}}"#);
    import(&gateway, text(&gateway.data().join("in.json"))).await.expect(400);
    gateway.stop().await;

    let gateway = TestGateway::new().config_toml("[api]\nconfig_root = \"/\"\n").start().await;
    import(&gateway, text(&root.path().join("out.json"))).await.expect(200);
    assert_eq!(servers(&gateway).await["servers"][0]["name"], "s");
    // What the kernel makes up is no file, also where everything is allowed.
    for path in ["/proc/self/environ", "/proc/self/mem", "/dev/zero", "/sys/kernel/notes"] {
        let refused = import(&gateway, path).await;
        assert!([404, 500].contains(&refused.status), "{path}: {}", refused.text());
        assert!(!refused.text().contains("JSON"), "{path} was not read: {}", refused.text());
    }
    let written = export(&gateway, "/proc/self/comm").await.expect(500);
    assert_eq!(written["error"], "Failed to write to file: it is not a regular file");
    gateway.stop().await;
}
