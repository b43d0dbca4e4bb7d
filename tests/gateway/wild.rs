//! Published servers, as a plain client sees them and as the gateway shows them: `tests/wild` has the table, the
//! client and the comparison, which `make wild` runs over all thirty. Here run the six that are small, and what
//! holds the comparison itself to finding differences. Nothing here needs the network.
//!
//! The six are installed by `make wild-short`; where one is missing, the comparison says so and the test fails.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::DEADLINE;

const WILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wild");

/// How long a comparison may take. It ends itself before we would have to, since only it knows what it started.
const SECONDS: &str = "200";

/// Runs a program of the folder to its end.
async fn run(program: &str, arguments: &[&str]) -> Output {
    let running = Command::new("python3")
        .args(["-B", &format!("{WILD}/{program}")])
        .args(arguments)
        .env("MCPVISOR", env!("CARGO_BIN_EXE_mcpvisor"))
        .kill_on_drop(true)
        .output();
    let done = timeout(4 * DEADLINE, running).await.expect("it ends");
    done.expect("python3 is installed: the tests of published servers need it")
}

/// What a run printed, both streams.
fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).join("\n")
}

#[tokio::test]
async fn six_published_servers_are_shown_as_a_plain_client_sees_them() {
    let done = run("compare.py", &["--short", "--within", SECONDS]).await;
    let printed = printed(&done);
    assert_eq!(done.status.code(), Some(0), "{printed}");
    assert!(printed.contains("6 of 6 servers as a plain client sees them"), "{printed}");
}

/// Both ways to open them are under way before they read the first line: a server of either era, and two SDKs that
/// speak both, one of which takes each opening as it comes.
#[tokio::test]
async fn published_servers_that_begin_late_are_no_others_than_in_time() {
    let late = ["--only", "context7,grafana,calculator", "--late", "6", "--within", SECONDS];
    let done = run("compare.py", &late).await;
    let printed = printed(&done);
    assert_eq!(done.status.code(), Some(0), "{printed}");
    assert!(printed.contains("3 of 3 servers as a plain client sees them"), "{printed}");
}

#[tokio::test]
async fn the_comparison_finds_a_difference_in_every_thing_that_is_shown() {
    let done = run("test_wild.py", &[]).await;
    assert_eq!(done.status.code(), Some(0), "{}", printed(&done));
}

/// What a server does otherwise once the plain clients have left, and where that must be found.
const HABITS: [(&str, &str); 12] = [
    ("description", "tools.say.description"),
    ("blank", "tools.say.input_schema"),
    ("order", "tools"),
    ("gone", "api.tools"),
    ("answer", "call.content"),
    ("error", "call.status"),
    ("resource", "resources.turncoat://page"),
    ("page", "read.0"),
    ("prompt", "prompts.count"),
    ("noise", "noise.count"),
    ("stderr", "stderr"),
    ("log", "logs"),
];

/// Plain clients start a server twice, once in each era; the gateway's start is the third.
const STARTS_OF_PLAIN_CLIENTS: &str = "2";

/// An entry of the table for a server with a habit.
fn turncoat(directory: &Path, habit: &str) -> Value {
    let counter = directory.join(format!("starts-of-{habit}"));
    json!({
        "name": habit, "source": "path", "package": "turncoat", "version": "1", "program": "python3",
        "why": "it shows whether a difference is found",
        "args": [format!("{WILD}/turncoat.py"), counter, STARTS_OF_PLAIN_CLIENTS, habit],
        "call": {"tool": "say", "arguments": {}}, "read": "turncoat://page",
    })
}

#[tokio::test]
async fn a_server_that_turns_its_coat_behind_the_gateway_is_named_with_the_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut servers: Vec<Value> = HABITS.iter().map(|(habit, _)| turncoat(directory.path(), habit)).collect();
    servers.push(turncoat(directory.path(), "none"));
    let table = directory.path().join("servers.json");
    fs::write(&table, json!({"servers": servers}).to_string()).expect("written");
    let done =
        run("compare.py", &["--table", table.to_str().expect("a UTF-8 path"), "--within", SECONDS]).await;
    let printed = printed(&done);
    assert_eq!(done.status.code(), Some(1), "{printed}");
    assert!(printed.contains("1 of 13 servers as a plain client sees them"), "{printed}");
    for (habit, place) in HABITS {
        let of_it =
            printed.split("DIFFERS ").find(|part| part.trim_start().starts_with(&format!("{habit} ")));
        let of_it = of_it.unwrap_or_else(|| panic!("'{habit}' is said to differ: {printed}"));
        assert!(of_it.contains(&format!("- {place}: ")), "{habit} at {place}: {printed}");
    }
}
