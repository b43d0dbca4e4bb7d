use super::*;
use crate::config::test_support::MapEnvironment;
use std::fs;

fn ran(connect: &Connect, home: &Path, variables: &[(&str, &str)]) -> (Exit, String, String) {
    let mut all = vec![("HOME", home.to_str().expect("UTF-8"))];
    all.extend(variables);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let env = MapEnvironment::within(&home.join("project"), &all);
    let exit = run(connect, Path::new("/usr/bin/mcpvisor"), &env, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (exit, text(out), text(err))
}

fn to(client: &str) -> Connect {
    Connect { client: client.to_owned(), ..Connect::default() }
}

#[test]
fn nothing_is_written_until_it_is_said_and_everything_can_be_taken_back() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join(".cursor/mcp.json");
    fs::create_dir(home.path().join(".cursor")).expect("made");
    let before = "{\n  // mine\n  \"mcpServers\": {\n    \"a\": {\"env\": {\"T\": \"s3cret\"}}\n  }\n}\n";
    fs::write(&path, before).expect("written");
    let (exit, out, err) = ran(&to("cursor"), home.path(), &[]);
    assert_eq!((exit, err.as_str()), (Exit::Graceful, ""));
    assert!(
        out.contains("would be changed:\n  line 4: a comma behind it\n  line 5:\n  +     \"mcpvisor\": {\n"),
        "{out}"
    );
    assert!(
        out.contains("+       \"url\": \"http://127.0.0.1:5000/mcp\"\n") && !out.contains("s3cret"),
        "{out}"
    );
    assert_eq!(fs::read_to_string(&path).expect("there"), before);

    let (exit, out, _) = ran(&Connect { write: true, ..to("cursor") }, home.path(), &[]);
    assert!(exit == Exit::Graceful && out.contains("mcp.json.mcpvisor-backup-1:\n"), "{out}");
    assert!(fs::read_to_string(&path).expect("there").contains("  // mine\n"));
    let (_, out, _) = ran(&Connect { write: true, ..to("cursor") }, home.path(), &[]);
    assert!(out.contains("has this entry already; nothing is changed"), "{out}");
    let (exit, out, err) = ran(&Connect { undo: true, ..to("cursor") }, home.path(), &[]);
    assert!(exit == Exit::Graceful && out.contains("is what it was before"), "{out}{err}");
    assert_eq!(fs::read_to_string(&path).expect("there"), before);
    assert_eq!(fs::read_dir(home.path().join(".cursor")).expect("readable").count(), 1);
}

#[test]
fn a_change_of_another_program_is_not_taken_back() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join(".codex/config.toml");
    let (exit, out, _) =
        ran(&Connect { write: true, ..to("codex") }, home.path(), &[("MCPVISOR_PORT", "5055")]);
    assert!(exit == Exit::Graceful && out.contains("which is not there yet") | path.exists(), "{out}");
    let written = fs::read_to_string(&path).expect("made");
    assert_eq!(written, "[mcp_servers.mcpvisor]\nurl = \"http://127.0.0.1:5055/mcp\"\n");
    fs::write(&path, format!("{written}x = 1\n")).expect("written");
    let (exit, _, err) = ran(&Connect { undo: true, ..to("codex") }, home.path(), &[]);
    assert!(exit == Exit::Io && err.contains("it has changed since it was written"), "{err}");
    assert!(fs::read_to_string(&path).expect("there").ends_with("x = 1\n"));
}

#[test]
fn a_daemon_elsewhere_needs_a_key_and_the_file_only_says_where_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let remote = |client: &str| Connect { url: Some("https://mcp.example/".to_owned()), ..to(client) };
    let (_, out, _) = ran(&Connect { server: Some("a b".into()), ..remote("vscode") }, home.path(), &[]);
    assert!(out.contains("\"url\": \"https://mcp.example/mcp/a%20b\""), "{out}");
    assert!(out.contains("\"Authorization\": \"Bearer ${env:MCPVISOR_KEY}\""), "{out}");
    assert!(
        out.contains("note: Visual Studio Code takes the key from its environment variable MCPVISOR_KEY"),
        "{out}"
    );
    let (_, out, _) = ran(&remote("zed"), home.path(), &[]);
    assert!(
        out.contains("\"--url\",") && out.contains("note: the command takes the key from MCPVISOR_KEY"),
        "{out}"
    );
    let named = Connect { key_variable: Some("pk_live_abc".into()), ..remote("vscode") };
    let (exit, _, err) = ran(&named, home.path(), &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(err.contains("and not the key (found \"pk_…\")") && !err.contains("pk_live"), "{err}");
}

#[test]
fn commands_are_written_where_a_client_speaks_no_http_or_is_to_start_one() {
    let home = tempfile::tempdir().expect("a directory");
    let (_, out, _) = ran(&Connect { server: Some("git".into()), ..to("claude-desktop") }, home.path(), &[]);
    assert!(out.contains("\"command\": \"/usr/bin/mcpvisor\"") && out.contains("\"git\""), "{out}");
    let project = Connect { stdio: true, project: true, ..to("claude-code") };
    let (_, out, _) = ran(&project, home.path(), &[]);
    assert!(out.contains("project/.mcp.json, which is not there yet, would be changed"), "{out}");
    assert!(out.contains("\"command\": \"mcpvisor\""), "a path of one machine is no use to others: {out}");
}

#[test]
fn what_cannot_be_done_says_what_can() {
    let home = tempfile::tempdir().expect("a directory");
    let refused = |connect: &Connect, variables: &[(&str, &str)]| {
        let (exit, out, err) = ran(connect, home.path(), variables);
        assert_eq!(out, "");
        (exit, err)
    };
    let (exit, err) = refused(&to("curser"), &[]);
    assert!(exit == Exit::Usage && err.contains("did you mean \"cursor\"?"), "{err}");
    let (exit, err) = refused(&Connect { project: true, ..to("goose") }, &[]);
    assert!(exit == Exit::Usage && err.contains("Goose has no file of projects"), "{err}");
    let (exit, err) = refused(&to("cursor"), &[("MCPVISOR_PORT", "0")]);
    assert!(exit == Exit::Usage && err.contains("give --url or --stdio"), "{err}");
    let (exit, err) = refused(&Connect { server: Some("..".into()), ..to("cursor") }, &[]);
    assert!(exit == Exit::Usage && err.contains("is no name of a server"), "{err}");
    let (exit, err) = refused(&Connect { undo: true, ..to("cursor") }, &[]);
    assert!(exit == Exit::Io && err.contains("nothing was written to it"), "{err}");

    fs::create_dir_all(home.path().join(".codex")).expect("made");
    fs::write(home.path().join(".codex/config.toml"), "[mcp_servers.mcpvisor]\nurl = \"http://x\"\n")
        .expect("written");
    let (exit, err) = refused(&Connect { write: true, ..to("codex") }, &[]);
    assert!(exit == Exit::Config && err.contains("add this by hand:\n\n[mcp_servers.mcpvisor]\n"), "{err}");
    fs::write(home.path().join(".codex/config.toml"), "a = \n").expect("written");
    let (exit, err) = refused(&Connect { write: true, ..to("codex") }, &[]);
    assert!(exit == Exit::Config && err.contains("config.toml:1:5: is not valid TOML"), "{err}");
}
