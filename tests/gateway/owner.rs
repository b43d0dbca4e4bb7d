//! `mcpvisor keys owner --new`: the owner's key is replaced, and the one that was seen or lost is worth nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway};

/// Replaces the key of a data directory: the exit code, and what it wrote.
fn renew(data: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mcpvisor"))
        .args(["keys", "owner", "--new", "--data-dir"])
        .arg(data)
        .env_clear()
        .output()
        .expect("the program runs");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().expect("it ends by itself"), text)
}

async fn status(gateway: &Gateway, key: &str) -> u16 {
    ask(gateway, "GET", "/v1/mcps").key(key).send().await.status
}

#[tokio::test]
async fn the_owners_key_is_replaced_where_no_daemon_runs_and_else_it_says_how() {
    let mut gateway = TestGateway::new().start().await;
    let (first, file) = (gateway.key().to_owned(), gateway.data().join("owner.key"));
    let (code, text) = renew(gateway.data());
    assert_ne!(code, 0, "{text}");
    assert!(text.contains("Stop it first") && text.contains("/v1/api-keys/self/rotate"), "{text}");
    assert_eq!(status(&gateway, &first).await, 200, "nothing was changed");

    gateway.terminate().await;
    let (code, text) = renew(gateway.data());
    assert_eq!(code, 0, "{text}");
    let second = fs::read_to_string(&file).expect("written").trim().to_owned();
    assert!(text.contains(&second[..11]) && text.contains(&format!("revoked {}…", &first[..11])), "{text}");
    assert!(!text.contains(&second) && second != first, "the text is in the file and nowhere else");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    gateway.restart().await;
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (401, 200));
    let acts = ask(&gateway, "GET", "/v1/audit?action=key.renew_owner").key(&second).send().await.expect(200);
    assert_eq!(acts["data"][0]["target"], second[..11]);

    // Also where the file is gone: the key that was made as the owner's is known without it.
    gateway.terminate().await;
    fs::remove_file(&file).expect("removed");
    let (code, text) = renew(gateway.data());
    assert!(code == 0 && text.contains(&format!("revoked {}…", &second[..11])), "{text}");
    let third = fs::read_to_string(&file).expect("written").trim().to_owned();
    gateway.restart().await;
    assert_eq!((status(&gateway, &second).await, status(&gateway, &third).await), (401, 200));
    gateway.stop().await;
    let nowhere = tempfile::tempdir().expect("a directory");
    let (code, text) = renew(&nowhere.path().join("nothing"));
    assert!(code != 0 && !nowhere.path().join("nothing").exists(), "{text}");
}
