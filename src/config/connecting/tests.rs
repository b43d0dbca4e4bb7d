use super::*;
use proptest::prelude::*;
use serde_json::{Map, json};

fn by_url(key: Option<&str>) -> Link {
    let (url, key) = ("http://127.0.0.1:5000/mcp".to_owned(), key.map(str::to_owned));
    Link { name: "mcpvisor".to_owned(), way: Way::Url { url, key } }
}

fn by_command() -> Link {
    let arguments = vec!["stdio".to_owned(), "git".to_owned()];
    Link { name: "git".to_owned(), way: Way::Command { program: "/usr/bin/mcpvisor".to_owned(), arguments } }
}

fn target(id: &str) -> &'static Target {
    Target::named(id).expect("known")
}

fn edited(id: &str, text: &str, link: &Link) -> Result<String, Uneditable> {
    target(id).edit(Path::new("f"), text, link)
}

/// The link of the golden files.
fn usual(target: &Target) -> Link {
    if target.speaks_http { by_url(None) } else { by_command() }
}

#[test]
fn each_client_s_file_gets_its_entry_and_keeps_all_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/connect");
    for target in &TARGETS {
        let extension = match target.notation() {
            Format::Json => "json",
            Format::Toml => "toml",
            Format::Yaml => "yaml",
        };
        let read = |when: &str| {
            let path = folder.join(format!("{}.{when}.{extension}", target.id));
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let (before, link) = (read("before"), usual(target));
        let after = target.edit(Path::new("f"), &before, &link);
        let after = after.unwrap_or_else(|refused| panic!("{}: {refused:?}", target.id));
        assert_eq!(after, read("after"), "{}", target.id);
        let again = target.edit(Path::new("f"), &after, &link);
        assert_eq!(again.as_deref(), Ok(&*after), "{}: twice is once", target.id);
        // What is written into a file that is not there is what is shown to be pasted.
        let made = target.edit(Path::new("f"), "", &link).expect("an empty file can be filled");
        assert_eq!(made, target.snippet(&link), "{}", target.id);
    }
}

#[test]
fn what_is_written_is_read_by_the_importer_as_what_was_meant() {
    let env = crate::config::test_support::MapEnvironment::new(&[]);
    for target in &TARGETS {
        for link in [by_url(None), by_command()] {
            let text = target.snippet(&link);
            let path = target.places(Some(Path::new("/home/u")), None).expect("a file").remove(0);
            let source = crate::config::Source { path: &path, text: &text, yaml: true };
            let reading = crate::config::read_foreign(&source, &env).expect(target.id);
            let [entry] = &reading.entries[..] else { panic!("{}: {:?}", target.id, reading.entries) };
            assert_eq!(entry.name, link.name, "{}", target.id);
            match &link.way {
                Way::Url { url, .. } => {
                    let spellings = ["url", "serverUrl", "httpUrl", "uri"];
                    let found = spellings.iter().find_map(|name| entry.raw.get(*name));
                    assert_eq!(found, Some(&json!(url)), "{}", target.id);
                }
                Way::Command { program, arguments } => {
                    assert_eq!(entry.raw["command"], json!(program), "{}", target.id);
                    assert_eq!(entry.raw["args"], json!(arguments), "{}", target.id);
                }
            }
        }
    }
}

#[test]
fn a_key_is_only_ever_a_reference_in_the_client_s_own_words() {
    let written = |id: &str| target(id).snippet(&by_url(Some("MCPVISOR_KEY")));
    for (id, reference) in [
        ("claude-code", "\"Authorization\": \"Bearer ${MCPVISOR_KEY}\""),
        ("vscode", "\"Authorization\": \"Bearer ${env:MCPVISOR_KEY}\""),
        ("cursor", "\"Authorization\": \"Bearer ${env:MCPVISOR_KEY}\""),
        ("windsurf", "\"Authorization\": \"Bearer ${env:MCPVISOR_KEY}\""),
        ("gemini", "\"Authorization\": \"Bearer ${MCPVISOR_KEY}\""),
        ("opencode", "\"Authorization\": \"Bearer {env:MCPVISOR_KEY}\""),
        ("codex", "bearer_token_env_var = \"MCPVISOR_KEY\"\n"),
        ("goose", "Authorization: \"Bearer ${MCPVISOR_KEY}\"\n    env_keys: [MCPVISOR_KEY]\n"),
    ] {
        assert!(written(id).contains(reference), "{id}: {}", written(id));
    }
}

#[test]
fn an_unknown_client_is_answered_with_the_nearest_and_all() {
    let told = Target::named("vs-code").expect_err("unknown");
    assert!(
        told.starts_with("\"vs-code\" is no client that can be connected; did you mean \"vscode\"?: "),
        "{told}"
    );
    assert!(told.contains("claude-desktop, claude-code, vscode, cursor, windsurf, zed, codex"), "{told}");
    assert_eq!(target("Cursor").id, "cursor");
}

#[test]
fn files_of_users_and_projects_are_those_of_the_table() {
    let (home, project) = (Some(Path::new("/home/u")), Some(Path::new("/srv/p")));
    let of = |id: &str, project| {
        let places = target(id).places(home, project)?;
        Some(places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>())
    };
    let one = |place: &str| Some(vec![place.to_owned()]);
    assert_eq!(of("vscode", None), one("/home/u/.config/Code/User/mcp.json"));
    assert_eq!(of("vscode", project), one("/srv/p/.vscode/mcp.json"));
    assert_eq!(of("claude-code", project), one("/srv/p/.mcp.json"));
    assert_eq!(of("claude-desktop", project), None);
    assert_eq!(of("opencode", project).expect("files").len(), 2);
    assert_eq!(target("zed").places(None, None), None);
}

#[test]
fn a_file_with_an_error_is_left_alone_and_its_place_is_named() {
    for (id, text, place) in [
        ("cursor", "{\n  \"mcpServers\": {,}\n}", "f:2:18: is not valid JSON"),
        ("cursor", "{\"mcpServers\": {}, \"mcpServers\": {}}", "f: mcpServers is written twice"),
        ("codex", "a = 1\nb = \n", "f:2:"),
        ("goose", "a: 1\nb: [x, }\n", "f:2:"),
    ] {
        let Err(Uneditable::Unreadable(told)) = edited(id, text, &by_url(None)) else { panic!("{id}") };
        assert!(told.starts_with(place), "{told}");
    }
}

#[test]
fn what_cannot_be_changed_without_a_doubt_is_left_alone() {
    for (id, text) in [
        ("cursor", "[]"),
        ("cursor", "{\"mcpServers\": []}"),
        ("codex", "[mcp_servers.mcpvisor]\nurl = \"http://old.example\"\n"),
        ("codex", "mcp_servers = { a = { command = \"x\" } }\n"),
        ("goose", "extensions: {a: {enabled: true}}\n"),
        ("goose", "extensions:\n  mcpvisor:\n    enabled: false\n"),
        ("goose", "a: |\n  text\nextensions: &all\n  b: {enabled: true}\nc: *all\n"),
    ] {
        let refused = edited(id, text, &by_url(None));
        assert!(matches!(refused, Err(Uneditable::Unsafe(_))), "{id}: {text}: {refused:?}");
    }
}

#[test]
fn objects_on_one_line_stay_on_it_and_empty_ones_are_opened() {
    let entry = r#""mcpvisor": {"url":"http://127.0.0.1:5000/mcp"}"#;
    for (before, after) in [
        (r#"{"mcpServers": {"a": {}}}"#, format!(r#"{{"mcpServers": {{"a": {{}}, {entry}}}}}"#)),
        (r#"{"mcpServers": { "a": 1, }}"#, format!(r#"{{"mcpServers": {{ "a": 1, {entry} }}}}"#)),
        (
            "{\"mcpServers\": {} }",
            "{\"mcpServers\": {\n  \"mcpvisor\": {\n    \"url\": \"http://127.0.0.1:5000/mcp\"\n  }\n} }"
                .to_owned(),
        ),
    ] {
        assert_eq!(edited("cursor", before, &by_url(None)).as_deref(), Ok(&*after));
    }
}

/// A text of JSON with comments and layouts as people have them.
fn jsonc() -> impl Strategy<Value = String> {
    let blank = prop_oneof![
        Just(""),
        Just(" "),
        Just("\n  "),
        Just("\r\n\t"),
        Just(" // x, } ]\n"),
        Just("/* \" { */"),
        Just("\n"),
    ];
    let leaf = prop_oneof![
        Just("1.50".to_owned()),
        Just("true".to_owned()),
        Just("\"a\\\"}{//\"".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
    ];
    let parts = (leaf, prop::collection::vec(blank, 8), prop::sample::select(vec!["", ","]), any::<bool>());
    prop::collection::vec(parts, 0..5).prop_map(|members| {
        let mut text = String::new();
        for (at, (value, blanks, comma, nested)) in members.iter().enumerate() {
            let [a, b, c, d, e, f, g, h] = blanks[..] else { continue };
            let name = if *nested && at == 0 { "mcpServers".to_owned() } else { format!("m{at}") };
            let value = if *nested { format!("{{{e}\"k\"{f}:{g}{value}{h}{comma}}}") } else { value.clone() };
            let between = if at == 0 { "" } else { "," };
            text = format!("{text}{between}{a}\"{name}\"{b}:{c}{value}{d}");
        }
        format!("{{{text}\n}}\n")
    })
}

proptest! {
    #[test]
    fn any_file_of_json_gets_the_entry_and_loses_nothing(text in jsonc(), command: bool) {
        let link = if command { by_command() } else { by_url(Some("K")) };
        let after = edited("cursor", &text, &link);
        let after = after.unwrap_or_else(|refused| panic!("{refused:?}: {text}"));
        let value = |text: &str| parse_text(Format::Json, text).expect("JSON");
        let mut expected = value(&text);
        let servers = expected["mcpServers"].as_object().cloned().unwrap_or_else(Map::new);
        expected["mcpServers"] = Value::Object(servers);
        expected["mcpServers"][&link.name] = entry::of("cursor", &link);
        prop_assert_eq!(value(&after), expected, "{}", after);
        // Every line with a comment is still there.
        for line in text.lines().filter(|line| line.contains("// x, } ]")) {
            let comment = &line[line.find("// x").expect("there")..];
            prop_assert!(after.matches(comment).count() >= text.matches(comment).count());
        }
        let again = edited("cursor", &after, &link);
        prop_assert_eq!(again.as_deref(), Ok(&*after));
    }

    #[test]
    fn any_text_is_edited_or_refused_and_never_panics(text in "[\\[\\]{}:,\"a-c1 \n/*=.#-]{0,60}") {
        for target in &TARGETS {
            if let Ok(after) = target.edit(Path::new("f"), &text, &by_url(None)) {
                prop_assert!(target.edit(Path::new("f"), &after, &by_url(None)).is_ok());
            }
        }
    }
}
