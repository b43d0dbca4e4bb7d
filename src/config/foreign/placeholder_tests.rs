//! Tests of the translation of each client's placeholders.

use super::*;
use crate::config::test_support::MapEnvironment;
use crate::process::check_references;
use proptest::prelude::*;

const FILE: &str = "/srv/p/.vscode/mcp.json";

fn translated(text: &str, spot: Spot, bare_braces: bool) -> Translated {
    let env = MapEnvironment::new(&[("HOME", "/home/u"), ("TOKEN", "s3cret")]);
    Around::new(Path::new(FILE), &env, bare_braces).translate(text, spot)
}

fn fine(text: &str, spot: Spot) -> String {
    let translated = translated(text, spot, false);
    assert_eq!(translated.problems, Vec::<String>::new(), "{text}");
    assert_eq!(translated.warnings, Vec::<String>::new(), "{text}");
    translated.text
}

#[test]
fn variables_are_references_in_every_client_s_way() {
    for (written, read) in [
        ("", ""),
        ("plain", "plain"),
        ("${TOKEN}", "${env:TOKEN}"),
        ("a${TOKEN}b${env:TOKEN}c", "a${env:TOKEN}b${env:TOKEN}c"),
        ("${TOKEN:-quiet}", "${env:TOKEN:-quiet}"),
        ("${TOKEN:-}", "${env:TOKEN:-}"),
        ("${env:TOKEN:-a:b}", "${env:TOKEN:-a:b}"),
        ("${file:/run/t}", "${file:/run/t}"),
        ("a ${principal:TOKEN}", "a ${principal:TOKEN}"),
        ("${file:~/t}", "${file:/home/u/t}"),
        ("$${TOKEN}", "$${TOKEN}"),
        ("$$${TOKEN}", "$$${env:TOKEN}"),
        ("${HOME}", "${env:HOME}"),
        ("pa$$word$", "pa$$word$"),
        ("100% {x} {{ .Name }} {{.ID}} $1 $a", "100% {x} {{ .Name }} {{.ID}} $1 $a"),
        ("${", "${"),
        ("${}", "${}"),
    ] {
        assert_eq!(fine(written, Spot::Variable), read, "{written}");
    }
}

#[test]
fn places_are_put_in_where_they_are_no_secret() {
    for (written, read) in [
        ("${HOME}/bin", "/home/u/bin"),
        ("${userHome}/bin", "/home/u/bin"),
        ("${workspaceFolder}${/}x", "/srv/p/x"),
        ("${workspaceFolder:api}", "/srv/p"),
        ("${workspaceFolderBasename}", "p"),
        ("${CLAUDE_PROJECT_DIR}", "/srv/p"),
    ] {
        assert_eq!(fine(written, Spot::Argument), read, "{written}");
    }
    assert_eq!(fine("~/bin/x", Spot::Command), "/home/u/bin/x");
    assert_eq!(fine("~", Spot::Directory), "/home/u");
    assert_eq!(fine("a~/b", Spot::Command), "a~/b");
}

#[test]
fn what_only_a_person_or_program_knows_is_a_problem_that_says_what_to_write() {
    for written in [
        "${input:key}",
        "a ${user_config.token}",
        "${{ secrets.KEY }}",
        "${secrets.KEY}",
        "{{LIBRECHAT_USER_ID}}",
        "${cmd: cat x}",
        "${command:x}",
        "${config:editor.x}",
        "${keyring:x}",
    ] {
        let found = translated(written, Spot::Variable, false).problems;
        assert_eq!(found.len(), 1, "{written}: {found:?}");
        assert!(found[0].contains(INSTEAD), "{written}: {found:?}");
    }
    for written in
        ["${CLAUDE_PLUGIN_ROOT}/x", "${__dirname}/x", "${extensionPath}", "${A:-${B}}", "${A-b}", "${A%%x}"]
    {
        assert_eq!(translated(written, Spot::Command, false).problems.len(), 1, "{written}");
    }
    let env = MapEnvironment::new(&[("CLAUDE_PLUGIN_ROOT", "/p")]);
    let known = Around::new(Path::new(FILE), &env, false).translate("${CLAUDE_PLUGIN_ROOT}/x", Spot::Command);
    assert_eq!((known.text.as_str(), known.problems.len()), ("${env:CLAUDE_PLUGIN_ROOT}/x", 0));
    let homeless = Around::new(Path::new(FILE), &env, false).translate("~/x", Spot::Command);
    assert_eq!(homeless.problems, ["begins with ~, and HOME is not set"]);
}

#[test]
fn what_stays_although_a_client_may_fill_it_in_is_warned_of() {
    for written in ["$TOKEN", "%APPDATA%\\x", "${vault:x}", "{env:TOKEN}", "~/x", "--keys=~/x"] {
        let seen = translated(written, Spot::Argument, false);
        assert_eq!((seen.text.as_str(), seen.warnings.len()), (written, 1), "{written}: {seen:?}");
        assert!(seen.problems.is_empty());
    }
}

#[test]
fn a_tilde_that_a_placeholder_makes_a_path_from_is_a_problem() {
    for written in ["~${HOME}", "~${userHome}/x", "~${/}x", "~${pathSeparator}", "~${workspaceFolder}"] {
        for spot in [Spot::Command, Spot::Directory] {
            assert_eq!(translated(written, spot, false).problems, [PUT_TOGETHER], "{written}");
        }
        assert!(translated(written, Spot::Argument, false).problems.is_empty(), "{written}");
    }
}

#[test]
fn what_a_place_is_called_is_never_taken_for_a_reference() {
    let env = MapEnvironment::new(&[("HOME", "/home/u${env:A}")]);
    let around = Around::new(Path::new("/srv/${B}/.vscode/mcp.json"), &env, false);
    for (written, read) in [
        ("~/x", "/home/u$${env:A}/x"),
        ("${HOME}/x", "/home/u$${env:A}/x"),
        ("${userHome}/x", "/home/u$${env:A}/x"),
        ("${workspaceFolder}/x", "/srv/$${B}/x"),
        ("${workspaceFolder:p}/x", "/srv/$${B}/x"),
        ("${workspaceFolderBasename}", "$${B}"),
    ] {
        let seen = around.translate(written, Spot::Command);
        assert_eq!(seen.text, read);
        assert_eq!(around.translate(&seen.text, Spot::Command).text, read);
    }
}

#[test]
fn opencode_s_braces_are_read_where_they_are_its_own() {
    for (written, read) in [
        ("{env:TOKEN}", "${env:TOKEN}"),
        ("Bearer {env:TOKEN}", "Bearer ${env:TOKEN}"),
        ("{file:/run/t}", "${file:/run/t}"),
        ("{file:./t}", "${file:/srv/p/.vscode/t}"),
        ("{file:~/t}", "${file:/home/u/t}"),
    ] {
        assert_eq!(translated(written, Spot::Variable, true).text, read, "{written}");
    }
}

#[test]
fn a_default_is_never_shown() {
    for written in ["${A:-${S3CRET}}", "${input:-S3CRET}"] {
        let seen = translated(written, Spot::Variable, false);
        assert!(!seen.problems.concat().contains("S3CRET"), "{seen:?}");
    }
}

proptest! {
    #[test]
    fn what_was_translated_is_translated_no_further(
        text in "(\\PC|[${}:~/%]|\\$\\{env:A\\}|\\$\\{A:-b\\}|\\$\\{input:x\\}|~/|\\$\\{HOME\\}){0,12}",
        braces: bool,
    ) {
        for spot in [Spot::Command, Spot::Argument, Spot::Variable, Spot::Directory, Spot::Remote] {
            let once = translated(&text, spot, braces);
            if once.problems.is_empty() {
                let twice = translated(&once.text, spot, braces);
                prop_assert_eq!(&twice.text, &once.text);
            }
        }
    }

    #[test]
    fn a_variable_between_texts_is_always_found(before in "[a-z /.]{0,6}", name in "[A-Z_][A-Z0-9_]{0,6}", after in "[a-z /.]{0,6}") {
        prop_assume!(name != "HOME" && !CLIENTS_OWN.contains(&name.as_str()));
        let text = fine(&format!("x{before}${{{name}}}{after}"), Spot::Variable);
        prop_assert_eq!(&text, &format!("x{before}${{env:{name}}}{after}"));
        prop_assert!(check_references(&text).is_ok());
    }
}
