//! The JSON Schemas for editors, held by a validator that others wrote (Python's `jsonschema`) against every example in the
//! repository and against mistakes; and the settings that are in force.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Validates what is written in the repository; arguments: the two schemas, the root of the repository.
const EXAMPLES: &str = r#"
import json, pathlib, re, sys, tomllib
from jsonschema import Draft7Validator
config, servers = (json.load(open(path)) for path in sys.argv[1:3])
root = pathlib.Path(sys.argv[3])
for schema in (config, servers):
    Draft7Validator.check_schema(schema)
found = {"toml": 0, "json": 0}
def hold(schema, value, place):
    kind = "toml" if schema is config else "json"
    found[kind] += 1
    for error in Draft7Validator(schema).iter_errors(value):
        sys.exit(f"{place}: {error.json_path}: {error.message[:300]}")
example = (root / "config/mcpvisor.example.toml").read_text()
hold(config, tomllib.loads(example), "the example")
for path in sorted((root / "config").glob("*.json")):
    hold(servers, json.loads(path.read_text()), path.name)
for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
    text = path.read_text()
    for block in re.findall(r"```json\n(\{.*?)```", text, re.S):
        try: value = json.loads(block)
        except ValueError: continue
        if isinstance(value.get("mcpServers"), dict): hold(servers, value, f"{path.name}: {block[:80]}")
    for block in re.findall(r"```toml\n(.*?)```", text, re.S):
        hold(config, tomllib.loads(block), f"{path.name}: {block[:80]}")
mistakes = ["[server]\nprot = 1", "[server]\nport = 70000", "[server]\nport = '5000'", "[sever]", "[log]\nlevel = 'loud'",
    "[http]\nkeep_alive = '75 seconds'", "[api]\nredact_env = 1", "[groups.dev]\nserver = ['git']", "[[members]]\nid = 'x'\nrole = 'king'", "[plans.p]\nrequests = true"]
for mistake in mistakes:
    if Draft7Validator(config).is_valid(tomllib.loads(mistake)): sys.exit(f"not refused: {mistake}")
wrong = [{"command": 1}, {"args": "x"}, {"env": {"A": 1}}, {"mcpvisor": {"start_timeot": "1s"}}, {"mcpvisor": {"era": "new"}},
    {"mcpvisor": {"limits": {"memory": "much"}}}, {"mcpvisor": {"max_in_flight": 0}}, {"mcpvisor": {"start_timeout": "soon"}}]
for entry in wrong:
    if Draft7Validator(servers).is_valid({"mcpServers": {"x": entry}}): sys.exit(f"not refused: {entry}")
print(found["toml"], found["json"])
"#;

/// Runs `mcpvisor` with nothing but a home, a PATH and these variables.
fn mcpvisor(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpvisor"));
    command.args(arguments).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir(home);
    let output = command.envs(variables.iter().copied()).output().expect("started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_schemas_take_every_example_and_refuse_mistakes() {
    let home = tempfile::tempdir().expect("a directory");
    let write = |of: &str| {
        let (code, text, err) = mcpvisor(home.path(), &[], &["config", "schema", of]);
        assert_eq!(code, 0, "{err}");
        let path = home.path().join(of);
        fs::write(&path, text).expect("written");
        path
    };
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/venv/bin/python");
    assert!(Path::new(python).exists(), "{python} is not installed: run `make real-servers`, or `make test`");
    let checked = Command::new(python)
        .args(["-c", EXAMPLES])
        .args([write("config"), write("servers")])
        .arg(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("started");
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{told}");
    let counts = String::from_utf8_lossy(&checked.stdout);
    let counts: Vec<u32> = counts.split_whitespace().filter_map(|count| count.parse().ok()).collect();
    assert!(counts.len() == 2 && counts.iter().all(|count| *count >= 3), "examples were found: {counts:?}");
}

#[test]
fn settings_are_shown_with_where_each_comes_from() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("m.toml");
    fs::write(&file, "[server]\nworkers = 2\n[llm]\napi_key = \"${env:K}\"\n").expect("written");
    let variables =
        [("MCPVISOR_CONFIG", file.to_str().expect("UTF-8")), ("MCPVISOR_PORT", "8123"), ("K", "s3cret")];
    let (code, out, err) = mcpvisor(home.path(), &variables, &["config", "show", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    let settings: Value = serde_json::from_str(&out).expect("JSON");
    let one = |name: &str| {
        let found = settings.as_array().expect("a list").iter().find(|one| one["setting"] == name);
        let found = found.unwrap_or_else(|| panic!("{name} in {out}"));
        (found["value"].as_str().map(str::to_owned), found["origin"].as_str().expect("a text").to_owned())
    };
    assert_eq!(one("server.workers"), (Some("2".to_owned()), format!("{}:2", file.display())));
    assert_eq!(one("server.port"), (Some("8123".to_owned()), "MCPVISOR_PORT".to_owned()));
    assert_eq!(one("log.level"), (Some("\"info\"".to_owned()), "default".to_owned()));
    assert_eq!(one("llm.api_key").0.as_deref(), Some("\"${env:K}\""));
    assert!(!out.contains("s3cret"));
    let (code, out, _) = mcpvisor(home.path(), &variables, &["config", "show"]);
    assert!(code == 0 && out.starts_with("SETTING ") && out.contains("\nserver.workers "), "{out}");
    fs::write(&file, "[server]\nprot = 1\n").expect("written");
    let (code, _, err) = mcpvisor(home.path(), &variables, &["config", "show"]);
    assert!(code == 78 && err.contains("did you mean \"port\"?"), "{err}");
}
