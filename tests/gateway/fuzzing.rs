//! What the OpenAPI documents say is tried by a program that others wrote: schemathesis sends what
//! they allow and what they do not, and compares every answer with them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::support::gateway::{Gateway, TestGateway};

const SCHEMATHESIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/venv/bin/schemathesis");
/// Never a status, a type or a body that is not described, and 405 for other methods.
const CHECKS: &str =
    "status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method";
/// Far more than it takes; a run that hangs is ended.
const LIMIT: Duration = Duration::from_secs(900);

/// Tries the operations that the arguments choose. None of them may end the key that is used: then nothing but that would
/// be seen of the others.
async fn try_all(gateway: &Gateway, document: &str, chosen: &[&str]) {
    let text = try_some(gateway, document, chosen).await;
    for warning in ["Authentication failed", "Rate limited"] {
        assert!(!text.contains(warning), "{text}");
    }
}

async fn try_some(gateway: &Gateway, document: &str, chosen: &[&str]) -> String {
    assert!(Path::new(SCHEMATHESIS).exists(), "run tests/real/install.sh first: {SCHEMATHESIS} is missing");
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("http://{}{document}", gateway.address());
    let key = gateway.key();
    let mut command = Command::new(SCHEMATHESIS);
    command
        .args(["run", &url, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "10", "--seed", "20261125", "--no-color"])
        .args(chosen)
        // Both ways, so that it makes up no keys of its own.
        .args(["-H", &format!("Authorization: Bearer {key}"), "-H", &format!("X-API-Key: {key}")])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("it ends in time");
    let output = output.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).replace(key, "[key]");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("passed"), "{text}");
    // 500 is what the reference of `/api` has for a server that cannot start, so that a defect shows
    // in the log only.
    assert!(!gateway.output().contains("internal error"), "{}", gateway.output());
    text
}

#[tokio::test]
async fn every_answer_of_v1_is_as_its_document_says() {
    let gateway = TestGateway::new().demo().start().await;
    gateway.wait_state("demo", "ready").await;
    // Tried at random, these two end the key that tries them, so they come last.
    let (without, only) = ("--exclude-operation-id", "--include-operation-id");
    try_all(&gateway, "/v1/openapi.json", &[without, "rotateKey", without, "revokeKey"]).await;
    try_some(&gateway, "/v1/openapi.json", &[only, "rotateKey", only, "revokeKey"]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn every_answer_of_api_is_as_its_document_says() {
    // What it adds cannot be started, which is for the servers' states to say: also not the examples, which are the
    // reference's and would be fetched.
    let gateway = TestGateway::new().demo().variable("PATH", "/nonexistent").start().await;
    gateway.wait_state("demo", "ready").await;
    try_all(&gateway, "/api/openapi.json", &[]).await;
    gateway.stop().await;
}
