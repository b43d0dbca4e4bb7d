//! Tests of the servers of every file in `tests/client_files`, and of a corpus that combines every client's
//! form with every oddity.

mod corpus;

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::test_support::MapEnvironment;

/// Describes the result for a server, as an operator would see it.
pub(super) fn outcome(entry: &Entry) -> String {
    let definition = entry.definition();
    let off = if definition.enabled() { "" } else { "off " };
    if let Some(fault) = definition.fault() {
        return format!("{off}failed: {fault}");
    }
    if let Some(remote) = definition.remote() {
        return format!("{off}{} {}", remote.transport().name(), remote.shown_address());
    }
    if definition.runs() { "runs".to_owned() } else { off.trim().to_owned() }
}

pub(super) fn environment() -> MapEnvironment {
    MapEnvironment::new(&[("HOME", "/home/u"), ("LANTERN_TOKEN", "s3cret"), ("ORCHARD_TOKEN", "s3cret")])
}

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client_files"))
}

fn read_file(name: &str, yaml: bool) -> Result<Reading, ImportError> {
    let text = fs::read_to_string(directory().join(name)).expect("it is there");
    read(&Source { path: &PathBuf::from("/srv/p").join(name), text: &text, yaml }, &environment())
}

/// A file: its servers with the result for each, and pieces of the remarks, each in one remark.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const HARBOR: (&str, &str) = ("harbor", "streamable-http http://127.0.0.1:9/mcp");
const LANTERN: (&str, &str) = ("lantern", "runs");

const CASES: [Case; 29] = [
    (
        "01-vscode-servers.json",
        &[
            LANTERN,
            ("orchard", "failed: env.ORCHARD_TOKEN has ${input:orchard-token}, which asks a person"),
            HARBOR,
        ],
        &["servers.orchard.envFile is not read"],
    ),
    ("02-vscode-comments.jsonc", &[LANTERN], &[]),
    ("03-vscode-settings.json", &[LANTERN], &[]),
    (
        "04-zed.json",
        &[LANTERN, ("meadow", "runs"), ("quarry", "off")],
        &["context_servers.from-extension is left out"],
    ),
    ("05-opencode.json", &[LANTERN, ("quarry", "off"), HARBOR], &[]),
    ("07-codex.toml", &[HARBOR, LANTERN, ("quarry", "off")], &["enabled_tools has no effect"]),
    (
        "11-bare-map.json",
        &[LANTERN, ("orchard", "failed: command has ${CLAUDE_PLUGIN_ROOT}, which only the client knows")],
        &[],
    ),
    (
        "12-gemini.json",
        &[LANTERN, ("harbor", "off streamable-http http://127.0.0.1:9/mcp")],
        &[
            "env.LANTERN_TOKEN has $LANTERN_TOKEN, which stays as it is",
            "includeTools has no effect",
            "harbor is off by mcp.allowed",
        ],
    ),
    ("13-windsurf.json", &[LANTERN, HARBOR, ("quay", "streamable-http http://127.0.0.1:9/mcp")], &[]),
    (
        "15-url-only.json",
        &[
            LANTERN,
            ("plain", "streamable-http http://127.0.0.1:9/mcp"),
            ("http", "streamable-http http://127.0.0.1:9/mcp"),
            ("sse", "sse http://127.0.0.1:9/sse"),
            ("dashed", "streamable-http http://127.0.0.1:9/mcp"),
            ("camel", "streamable-http http://127.0.0.1:9/mcp"),
            ("unset", "failed: url must not be empty"),
            ("both", "failed: command is there beside an address: keep the one that is meant"),
        ],
        &[],
    ),
    ("16-url-empty-command.json", &[LANTERN, ("harbor", "sse http://127.0.0.1:9/sse")], &[]),
    ("17-enabled-false.json", &[LANTERN, ("quarry", "off"), ("shale", "off"), ("slate", "off")], &[]),
    (
        "18-env-numbers.json",
        &[LANTERN, ("orchard", "runs")],
        &["env.ORCHARD_PORT is a number and is read as text", "env.ORCHARD_DEBUG is true or false"],
    ),
    ("20-env-array.json", &[LANTERN, ("orchard", "runs"), ("meadow", "runs")], &[]),
    (
        "21-args-odd.json",
        &[LANTERN, ("orchard", "runs"), ("meadow", "failed: args must be a list: write [\"demo-server\"]")],
        &["orchard.args[2] is a number and is read as text"],
    ),
    (
        "22-names.json",
        &[
            ("github.example/invented/lantern", "runs"),
            ("Two Words", "runs"),
            ("랜턴", "runs"),
            ("LANTERN", "runs"),
            LANTERN,
            ("a.b@1", "runs"),
            ("padded", "runs"),
        ],
        &["mcpServers.\" padded\" is named without the blanks around it"],
    ),
    (
        "24-command-with-arguments.json",
        &[LANTERN, ("orchard", "runs")],
        &["orchard.command has blanks in it and is one program's name here"],
    ),
    (
        "25-interpolation-env.json",
        &[LANTERN, ("orchard", "failed: env.F has ${input:orchard}, which asks a person")],
        &["env.C has $ORCHARD_TOKEN, which stays as it is", "env.G has %APPDATA%, which stays as it is"],
    ),
    (
        "26-interpolation-args.json",
        &[LANTERN, ("orchard", "runs")],
        &["orchard.args[3] refers to ${env:ORCHARD_TOKEN}: every user of the machine can read"],
    ),
    (
        "27-tilde.json",
        &[LANTERN, ("orchard", "runs"), ("meadow", "runs")],
        &["orchard.args[0] has a ~ that stays", "meadow.env.MEADOW_KEYS has a ~ that stays"],
    ),
    (
        "28-relative.json",
        &[LANTERN, ("orchard", "runs"), ("meadow", "runs")],
        &[
            "orchard.args[0] is relative to the daemon's directory",
            "meadow.command is relative to the daemon's",
        ],
    ),
    (
        "29-windows.json",
        &[LANTERN, ("orchard", "runs"), ("meadow", "runs"), ("quarry", "runs")],
        &[
            "orchard.command is a Windows command; write \"npx\"",
            "meadow.command is a Windows p",
            "quarry.command is a Windows program; here it may be called \"npx\"",
        ],
    ),
    ("30-bom.json", &[LANTERN], &[]),
    (
        "32-one-bad-of-ten.json",
        &[
            ("lantern1", "runs"),
            ("lantern2", "runs"),
            ("lantern3", "runs"),
            ("lantern4", "runs"),
            ("lantern5", "runs"),
            ("lantern6", "runs"),
            ("lantern7", "runs"),
            ("lantern8", "runs"),
            ("lantern9", "runs"),
            ("orchard", "runs"),
        ],
        &["orchard.env.ORCHARD_PORT is a number and is read as text"],
    ),
    (
        "33-duplicate-key.json",
        &[LANTERN, ("orchard", "runs")],
        &["mcpServers.orchard is written twice: the last one counts"],
    ),
    ("34-two-clients-a.json", &[LANTERN, ("only-a", "runs")], &[]),
    ("35-two-clients-b.json", &[LANTERN, ("only-b", "runs")], &[]),
    (
        "37-claude-user.json",
        &[("lantern", "off")],
        &[
            "projects./srv/one.mcpServers are left out: inner",
            "lantern is off by disabledMcpServers of every project",
        ],
    ),
    (
        "38-comment-entry.json",
        &[LANTERN],
        &["mcpServers._comment is a text, no server", "mcpServers.later is null, no server"],
    ),
];

/// Files that are refused as a whole, with the reason.
const REFUSED: [(&str, &str); 4] = [
    ("08-goose.yaml", "is YAML, which is not read here; \"mcpvisor import --from FILE\""),
    ("09-continue.yaml", "is YAML"),
    ("10-librechat.yaml", "is YAML"),
    ("36-mcpb-manifest.json", "is the manifest of a bundle"),
];

/// Expectations for those of them that an import reads.
const IMPORTED: [Case; 3] = [
    (
        "08-goose.yaml",
        &[LANTERN],
        &["extensions.developer is left out", "env_keys are read as variables of the daemon's environment"],
    ),
    (
        "09-continue.yaml",
        &[("lantern", "failed: env.LANTERN_TOKEN has ${{ secrets.LANTERN_TOKEN }}, which only")],
        &[],
    ),
    (
        "10-librechat.yaml",
        &[LANTERN, ("harbor", "failed: headers.X-User has {{LIBRECHAT_USER_ID}}, which its client")],
        // Under its own name the file would be known to use milliseconds.
        &["lantern.timeout has no effect: clients mean seconds or milliseconds"],
    ),
];

fn check(case: &Case, yaml: bool) {
    let (name, servers, said) = case;
    let reading = read_file(name, yaml).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let seen: Vec<(String, String)> =
        reading.entries.iter().map(|entry| (entry.name.clone(), outcome(entry))).collect();
    assert_eq!(seen.len(), servers.len(), "{name}: {seen:?}");
    for ((server, outcome), (wanted, becomes)) in seen.iter().zip(*servers) {
        assert_eq!(server, wanted, "{name}");
        let is_so = outcome == becomes || (becomes.contains("failed: ") && outcome.starts_with(becomes));
        assert!(is_so, "{name}: {server}: {outcome}");
    }
    let remarks: Vec<String> = reading.remarks.iter().map(Remark::sentence).collect();
    for piece in *said {
        assert!(remarks.iter().any(|remark| remark.contains(piece)), "{name}: {piece}: {remarks:#?}");
    }
    assert!(said.len() <= remarks.len(), "{name}: {remarks:#?}");
    if said.is_empty() {
        assert_eq!(remarks, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_server_of_every_file_becomes_what_it_should() {
    CASES.iter().for_each(|case| check(case, false));
    IMPORTED.iter().for_each(|case| check(case, true));
    for (name, said) in REFUSED {
        let refusal = read_file(name, false).expect_err(name).to_string();
        assert!(refusal.contains(said), "{name}: {refusal}");
    }
}

#[test]
fn every_file_has_its_case() {
    let mut files: Vec<String> = fs::read_dir(directory())
        .expect("a directory")
        .map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    files.sort();
    let mut known: Vec<&str> =
        CASES.iter().map(|case| case.0).chain(REFUSED.iter().map(|case| case.0)).collect();
    known.sort_unstable();
    assert_eq!(files, known);
}

fn entry(name: &str, file: &str, yaml: bool) -> Entry {
    let reading = read_file(file, yaml).expect("it can be read");
    reading.entries.into_iter().find(|entry| entry.name == name).expect("it is there")
}

#[test]
fn what_a_server_is_started_with_is_what_its_client_would_have_started() {
    let shown = |entry: &Entry| {
        let definition = entry.definition();
        let env: Vec<String> =
            definition.env().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let command = definition.command().unwrap_or_default().to_owned();
        (command, definition.args().join(" "), env.join(" "), definition.cwd().map(str::to_owned))
    };
    let started = |name: &str, file: &str, yaml: bool| shown(&entry(name, file, yaml));
    let is = |command: &str, args: &str, env: &str, cwd: Option<&str>| {
        (command.to_owned(), args.to_owned(), env.to_owned(), cwd.map(str::to_owned))
    };
    let demo = |env: &str| is("mcpvisor", "demo-server", env, None);
    assert_eq!(started("meadow", "04-zed.json", false), demo(""));
    assert_eq!(started("lantern", "05-opencode.json", false), demo("LANTERN_TOKEN=${env:LANTERN_TOKEN}"));
    assert_eq!(
        started("lantern", "07-codex.toml", false),
        demo("LANTERN_MODE=quiet LANTERN_TOKEN=${env:LANTERN_TOKEN}")
    );
    assert_eq!(
        started("lantern", "08-goose.yaml", true),
        demo("LANTERN_MODE=quiet LANTERN_TOKEN=${env:LANTERN_TOKEN}")
    );
    assert_eq!(started("lantern", "10-librechat.yaml", true), demo("LANTERN_TOKEN=${env:LANTERN_TOKEN}"));
    assert_eq!(
        started("orchard", "18-env-numbers.json", false),
        demo("ORCHARD_PORT=8080 ORCHARD_DEBUG=true ORCHARD_NAME=a")
    );
    assert_eq!(started("meadow", "20-env-array.json", false), demo("MEADOW_MODE=quiet"));
    assert_eq!(started("orchard", "21-args-odd.json", false).1, "demo-server --port 8080");
    assert_eq!(started("orchard", "33-duplicate-key.json", false), demo(""));
    let of_interpolation = started("orchard", "25-interpolation-env.json", false).2;
    assert!(of_interpolation.starts_with(
        "A=${env:ORCHARD_TOKEN} B=${env:ORCHARD_MODE:-quiet} C=$ORCHARD_TOKEN D=${env:ORCHARD_TOKEN} \
         E=${env:ORCHARD_MODE:-quiet}"
    ));
    assert_eq!(
        started("orchard", "26-interpolation-args.json", false),
        is("/home/u/bin/orchard", "--root /srv/p --token ${env:ORCHARD_TOKEN}", "", Some("/srv/p"))
    );
    assert_eq!(started("orchard", "27-tilde.json", false).0, "/home/u/bin/orchard");
    assert_eq!(started("meadow", "27-tilde.json", false).3.as_deref(), Some("/home/u"));
}

#[test]
fn a_time_limit_is_taken_over_in_the_unit_of_its_client() {
    let limit = |path: &str, entry: &str| {
        let text = format!("{{\"mcpServers\": {{\"a\": {entry}}}}}");
        let source = Source { path: Path::new(path), text: &text, yaml: false };
        let reading = read(&source, &environment()).expect("a servers file");
        let policy = reading.entries[0].definition().policy().clone();
        (
            policy.call_timeout.map(|limit| limit.as_millis()),
            policy.start_timeout.as_secs(),
            reading.remarks.len(),
        )
    };
    let cline = "/h/cline_mcp_settings.json";
    assert_eq!(limit(cline, r#"{"command": "x", "timeout": 600}"#), (Some(600_000), 60, 0));
    assert_eq!(
        limit("/p/.amazonq/mcp.json", r#"{"command": "x", "timeout": 120000}"#),
        (Some(120_000), 60, 0)
    );
    assert_eq!(limit("/p/.mcp.json", r#"{"command": "x", "timeout": 30}"#), (None, 60, 1), "surely seconds");
    assert_eq!(limit("/p/any.json", r#"{"command": "x", "timeout": 600}"#), (None, 60, 1));
    assert_eq!(
        limit("/p/any.json", r#"{"command": "x", "timeout": 600, "alwaysAllow": []}"#),
        (Some(600_000), 60, 0)
    );
    assert_eq!(
        limit("/p/any.json", r#"{"command": "x", "timeout": 2500, "trust": true}"#),
        (Some(2_500), 60, 0)
    );
    assert_eq!(
        limit("/p/any.json", r#"{"command": "x", "request_timeout_ms": 90000}"#),
        (Some(90_000), 60, 0)
    );
    assert_eq!(limit("/p/any.json", r#"{"command": "x", "startup_timeout_sec": 300}"#), (None, 300, 0));
    assert_eq!(limit("/p/any.json", r#"{"command": "x", "startup_timeout_sec": 5}"#), (None, 60, 0));
    let own = r#"{"command": "x", "timeout": 5, "mcpvisor": {"call_timeout": "7s"}}"#;
    assert_eq!(limit(cline, own), (Some(7_000), 60, 0), "one's own word counts");
    for odd in ["0", "-1", "\"soon\"", "1e30", "{}"] {
        assert_eq!(limit(cline, &format!(r#"{{"command": "x", "timeout": {odd}}}"#)), (None, 60, 1), "{odd}");
    }
}

#[test]
fn opposite_switches_are_off_and_said() {
    let text = r#"{"mcpServers": {"a": {"command": "x", "disabled": false, "enabled": false},
        "b": {"command": "x", "disabled": true, "enabled": true}, "c": {"command": "x", "enabled": "false"},
        "d": {"command": "x", "startup": false}}}"#;
    let reading =
        read(&Source { path: Path::new("/f.json"), text, yaml: false }, &environment()).expect("read");
    assert!(reading.entries.iter().all(|entry| outcome(entry) == "off"), "{reading:?}");
    let said: Vec<String> = reading.remarks.iter().map(Remark::sentence).collect();
    assert_eq!(
        said,
        [
            "mcpServers.a.enabled and disabled say opposite things: it is off",
            "mcpServers.b.disabled and enabled say opposite things: it is off",
            "mcpServers.c.enabled is a text and is read as true or false",
        ]
    );
}

#[test]
fn a_large_file_is_read_in_no_time() {
    let entry = |n: usize| {
        format!(
            "\"server-{n}\": {{\"command\": \"npx\", \"args\": [\"-y\", \"@x/server-{n}\"], \"env\": {{\"TOKEN\": \"${{TOKEN_{n}}}\"}}}}"
        )
    };
    let text = format!("{{\"mcpServers\": {{{}}}}}", (0..500).map(entry).collect::<Vec<_>>().join(",\n"));
    let began = std::time::Instant::now();
    let reading = read(&Source { path: Path::new("/f.json"), text: &text, yaml: false }, &environment());
    println!("500 servers, {} KiB: read in {:?}", text.len() >> 10, began.elapsed());
    assert_eq!(reading.expect("read").entries.len(), 500);
}
