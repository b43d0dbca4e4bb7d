//! Clients that generators of others make of the documents: their types fit, and they call the daemon.
//!
//! The generators are installed by `make real-servers`; a test that does not find one fails and says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway};

const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real");
/// Far more than a step takes; one that hangs is ended.
const LIMIT: Duration = Duration::from_secs(300);
/// The documents by the name that the clients' files know them by.
const DOCUMENTS: [(&str, &str); 2] = [("v1", "/v1/openapi.json"), ("api", "/api/openapi.json")];

/// The path of an installed program.
fn installed(program: &str) -> PathBuf {
    let path = Path::new(REAL).join(program);
    let missing =
        "is not installed: run `make real-servers`, or `make test`, which installs it and runs all tests";
    assert!(path.exists(), "{} {missing}", path.display());
    path
}

/// A daemon with the demo server, and a directory with its documents.
async fn serving() -> (Gateway, tempfile::TempDir) {
    let gateway = TestGateway::new().demo().start().await;
    gateway.wait_state("demo", "ready").await;
    let directory = tempfile::tempdir().expect("a directory");
    for (name, path) in DOCUMENTS {
        let document = ask(&gateway, "GET", path).without_key().send().await;
        fs::write(directory.path().join(format!("{name}.json")), &document.body).expect("written");
    }
    (gateway, directory)
}

/// Runs a program of others in a directory; it has to succeed. Returns what it wrote.
async fn run(gateway: &Gateway, directory: &Path, program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(directory)
        .env("GATEWAY_URL", format!("http://{}", gateway.address()))
        .env("GATEWAY_KEY", gateway.key())
        .env("NO_COLOR", "1")
        .env("CI", "1")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output =
        tokio::time::timeout(LIMIT, command.output()).await.expect("it ends in time").expect("it runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let text = text.replace(gateway.key(), "[key]");
    assert!(output.status.success(), "{} {arguments:?}:\n{text}", program.display());
    text
}

fn node() -> &'static Path {
    Path::new("node")
}

/// Checks TypeScript files as strictly as it goes, and makes JavaScript of them in `js`.
async fn compile(gateway: &Gateway, directory: &Path, files: &[&str]) {
    let compiler = installed("node_modules/typescript/bin/tsc");
    let mut arguments = vec![
        compiler.to_str().expect("UTF-8"),
        "--strict",
        "--noUnusedLocals",
        "--target",
        "es2022",
        "--lib",
        "es2022,dom,dom.iterable",
        "--module",
        "commonjs",
        "--moduleResolution",
        "node10",
        "--noEmitOnError",
        "--outDir",
        "js",
    ];
    arguments.extend(files);
    run(gateway, directory, node(), &arguments).await;
}

#[tokio::test]
async fn types_of_openapi_typescript_fit_what_is_asked_and_answered() {
    let (gateway, directory) = serving().await;
    let generator = installed("node_modules/openapi-typescript/bin/cli.js");
    let generator = generator.to_str().expect("UTF-8");
    for (name, _) in DOCUMENTS {
        let (from, to) = (format!("{name}.json"), format!("{name}.ts"));
        run(&gateway, directory.path(), node(), &[generator, &from, "--output", &to]).await;
    }
    fs::write(directory.path().join("use.ts"), include_str!("clients/types.ts")).expect("written");
    compile(&gateway, directory.path(), &["use.ts"]).await;
    let said = run(&gateway, directory.path(), node(), &["js/use.js"]).await;
    assert_eq!(said.trim(), "demo ready 42 demo", "{said}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_of_hey_api_lists_mcps_and_calls_a_tool() {
    let (gateway, directory) = serving().await;
    let generator = installed("node_modules/@hey-api/openapi-ts/bin/run.js");
    let generator = generator.to_str().expect("UTF-8");
    for (name, _) in DOCUMENTS {
        let from = format!("{name}.json");
        let arguments = [generator, "--input", &from, "--output", name, "--client", "@hey-api/client-fetch"];
        run(&gateway, directory.path(), node(), &arguments).await;
    }
    fs::write(directory.path().join("use.ts"), include_str!("clients/sdk.ts")).expect("written");
    compile(&gateway, directory.path(), &["use.ts"]).await;
    let said = run(&gateway, directory.path(), node(), &["js/use.js"]).await;
    assert_eq!(said.trim(), "demo ready 42 not_found demo", "{said}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_of_openapi_python_client_lists_mcps_and_calls_a_tool() {
    let (gateway, directory) = serving().await;
    let generator = installed("venv/bin/openapi-python-client");
    let (python, mypy) = (installed("venv/bin/python"), installed("venv/bin/mypy"));
    // What it would run behind itself only orders the lines; and lines of JSON are text to it when it is told so.
    let settings = "post_hooks: []\ncontent_type_overrides:\n  application/x-ndjson: text/plain\n";
    fs::write(directory.path().join("config.yml"), settings).expect("written");
    for (name, _) in DOCUMENTS {
        let (from, to) = (format!("{name}.json"), format!("{name}_client"));
        let arguments = [
            "generate",
            "--path",
            &from,
            "--output-path",
            &to,
            "--meta",
            "none",
            "--config",
            "config.yml",
            "--fail-on-warning",
        ];
        run(&gateway, directory.path(), &generator, &arguments).await;
    }
    fs::write(directory.path().join("use.py"), include_str!("clients/client.py")).expect("written");
    let folders = ["v1_client", "api_client", "use.py"];
    let arguments = [["-m", "compileall", "-q"].as_slice(), &folders].concat();
    run(&gateway, directory.path(), &python, &arguments).await;
    let arguments = [["--ignore-missing-imports", "--no-incremental"].as_slice(), &folders].concat();
    run(&gateway, directory.path(), &mypy, &arguments).await;
    let said = run(&gateway, directory.path(), &python, &["-B", "use.py"]).await;
    assert_eq!(said.trim(), "demo ready 42 not_found demo", "{said}");
    gateway.stop().await;
}
