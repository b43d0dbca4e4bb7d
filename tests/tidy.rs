//! Rules that neither the compiler nor clippy knows, each a test that says how to mend a breach:
//! who may name whom, what stays in which folder, and documents that say what the code says.
//!
//! Two documents are held against the code where their values are at hand: `docs/metrics.md` in
//! `src/telemetry/metrics_tests.rs`, `docs/errors.md` in `src/http/tests.rs`.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use mcpvisor::cli::Exit;
use source::{Source, at, files_below, names_below, paths_from, read, words};

/// The most lines of code in a file, tests, comments and blank lines not counted.
const MAX_LINES: usize = 600;

/// Crates (or parts of one) that only some places may name. Everything else goes through what
/// these places offer, so that each can be replaced in one of them.
const EXTERNALS: [(&str, &[&str]); 32] = [
    ("sled", &["src/store/sled.rs"]),
    ("prometheus", &["src/telemetry/metrics.rs", "src/telemetry/metrics/"]),
    // To open a pipe without waiting for its other end takes a flag that the library has no name for.
    ("nix", &["src/process/", "src/files.rs"]),
    ("rustix", &["src/process/", "src/cli/operate/top/terminal.rs"]),
    ("libc", &["src/process/"]),
    ("unicode_security", &["src/supervisor/names.rs"]),
    ("landlock", &["src/process/sandbox.rs"]),
    ("tokio::process", &["src/process/"]),
    (
        "ractor",
        &[
            "src/upstream/stdio/actor.rs",
            "src/upstream/http/actor.rs",
            "src/upstream/kind.rs",
            "src/supervisor/actor.rs",
            "src/supervisor/mod.rs",
            "src/supervisor/replica.rs",
        ],
    ),
    ("axum", &["src/http/"]),
    // What a failure of a connection proves is known by its own error only; the connections to remote servers are ours.
    (
        "hyper",
        &[
            "src/http/",
            "src/upstream/http/network.rs",
            "src/upstream/http/direct.rs",
            "src/upstream/http/target.rs",
        ],
    ),
    ("hyper_rustls", &["src/upstream/http/direct.rs"]),
    ("hyper_util", &["src/http/", "src/upstream/http/direct.rs", "src/upstream/http/network.rs"]),
    ("http_body_util", &["src/http/", "src/upstream/http/direct.rs"]),
    ("tower_service", &["src/http/", "src/upstream/http/direct.rs", "src/upstream/http/network.rs"]),
    (
        "rustls",
        &[
            "src/http/server/tls.rs",
            "src/query/chat/",
            "src/cli/daemon.rs",
            "src/oidc/issuer.rs",
            "src/telemetry/traces/exporter.rs",
            "src/upstream/http/network.rs",
            "src/upstream/http/assertion.rs",
            "src/upstream/http/tls.rs",
        ],
    ),
    (
        "reqwest",
        &[
            "src/query/chat/",
            "src/cli/add.rs",
            "src/cli/ask.rs",
            "src/cli/backup.rs",
            "src/cli/client.rs",
            "src/cli/daemon.rs",
            "src/cli/login.rs",
            "src/cli/operate/",
            "src/cli/stdio/remote.rs",
            "src/oidc/issuer.rs",
            "src/telemetry/traces/exporter.rs",
            "src/upstream/http/",
        ],
    ),
    ("rustls_native_certs", &["src/upstream/http/tls.rs"]),
    ("jsonwebtoken", &["src/oidc/"]),
    ("signature", &["src/oidc/jws.rs"]),
    ("httpdate", &["src/retry_after.rs", "src/http/server/reply.rs"]),
    ("httparse", &["src/http/server/parse.rs"]),
    ("serde_saphyr", &["src/config/foreign/yaml.rs"]),
    ("tokio_rustls", &["src/http/server/tls.rs"]),
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/documents.rs"]),
    ("clap_mangen", &["src/cli/documents.rs"]),
    ("toml", &["src/config/"]),
    ("tracing_subscriber", &["src/telemetry/"]),
    ("anyhow", &["src/main.rs"]),
    // The clock is one, so that a test can set it. The demo server is a program of its own.
    ("SystemTime::now", &["src/clock.rs"]),
    ("OffsetDateTime::now_utc", &["src/app/mod.rs"]),
];

/// What must not be in the code of some folders, and what to do instead.
const BANNED: [(&str, &[&str], &str); 6] = [
    ("todo!", EVERYWHERE, "write it, or leave the function out"),
    ("unimplemented!", EVERYWHERE, "write it, or leave the function out"),
    ("#[ignore", EVERYWHERE, "make the test pass, or delete it"),
    ("allow(dead_code)", EVERYWHERE, "delete what nobody uses"),
    ("thread::sleep", &["src"], "wait for the state itself, with a deadline"),
    ("unbounded_channel", EVERYWHERE, "bound the channel, and decide what happens when it is full"),
];
const EVERYWHERE: &[&str] = &["src", "tests", "benches"];

/// Top folders of machines; the user `u` of examples has no machine.
const MACHINE_FOLDERS: [&str; 5] = ["home", "root", "Users", "work", "workspace"];

#[test]
fn modules_name_only_whom_the_architecture_allows() {
    let allowed = who_may_name_whom();
    let mut breaches = Vec::new();
    for source in Source::below("src") {
        let Some(may) = allowed.get(source.module()) else { continue };
        for (place, name) in names_below(&source.product, "crate::") {
            if name != source.module() && allowed.contains_key(name) && !may.contains(name) {
                breaches.push(format!("{}: `{}` names `{name}`", source.at(place), source.module()));
            }
        }
        // Enough `super`s lead out of the module as well, past the check above.
        if let Some(place) = source.product.find(&"super::".repeat(source.depth())) {
            breaches.push(format!("{}: leaves its module by `super`, write `crate`", source.at(place)));
        }
    }
    report(&breaches, "move the code to where it belongs, or change ARCHITECTURE.md's table with a reason");
}

#[test]
fn the_architecture_speaks_of_the_modules_that_are_there() {
    let root = Source::new("src/lib.rs", read("src/lib.rs"));
    let declared: BTreeSet<String> =
        names_below(&root.product, "pub mod ").into_iter().map(|(_, name)| name.to_owned()).collect();
    let listed: BTreeSet<String> = who_may_name_whom().into_keys().collect();
    let hint = "the rows of `## Who may name whom` in ARCHITECTURE.md are the modules of src/lib.rs";
    same(&listed, &declared, hint);
}

/// The table of ARCHITECTURE.md: module to the modules that it may name.
fn who_may_name_whom() -> BTreeMap<String, BTreeSet<String>> {
    let rows = table(&read("ARCHITECTURE.md"), "## Who may name whom");
    let modules: BTreeSet<String> = rows.iter().map(|cells| cells[0].clone()).collect();
    let named = |cell: &str| {
        let names: BTreeSet<String> = match cell {
            "nothing" => BTreeSet::new(),
            "everything" => modules.clone(),
            names => names.split(',').map(|name| name.trim().to_owned()).collect(),
        };
        let unknown: Vec<&String> = names.difference(&modules).collect();
        assert!(unknown.is_empty(), "ARCHITECTURE.md: {unknown:?} may be named and have no row");
        names
    };
    rows.iter().map(|cells| (cells[0].clone(), named(&cells[1]))).collect()
}

#[test]
fn external_crates_stay_where_they_are_wrapped() {
    let mut breaches = Vec::new();
    for source in Source::below("src") {
        for (name, places) in EXTERNALS {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            // A module of the same name hides the crate, except behind a leading `::`.
            let hidden = words(&source.product, &format!("mod {name};")).next().is_some();
            let found = match name.split_once("::") {
                Some((outer, inner)) => names_below(&source.product, &format!("{outer}::"))
                    .into_iter()
                    .find_map(|(place, name)| (name == inner).then_some(place)),
                None => paths_from(&source.product, name)
                    .find(|&place| !hidden || source.product[..place].ends_with("::")),
            };
            breaches.extend(found.map(|place| format!("{}: names `{name}`", source.at(place))));
        }
    }
    report(&breaches, "use what its folder offers, or change EXTERNALS in tests/tidy.rs with a reason");
}

#[test]
fn processes_are_started_in_two_places() {
    // Children by `process`; and the look at a store, which is no child of anybody's and is over
    // before there is a runtime.
    const PLACES: [&str; 2] = ["src/process/", "src/app/keeping.rs"];
    let others = Source::below("src").filter(|it| !PLACES.iter().any(|place| it.path.starts_with(place)));
    let found = others.filter_map(|source| {
        let place = source.product.find("Command::new(")?;
        Some(source.at(place))
    });
    report(&found.collect::<Vec<_>>(), "start it through `process`, which ends its whole tree");
}

#[test]
fn files_are_short_enough_to_read() {
    let too_long = Source::below("src").filter_map(|source| {
        let lines = source.product.lines().filter(|line| !line.trim().is_empty()).count();
        (lines > MAX_LINES).then(|| format!("{}: {lines} lines of code", source.path))
    });
    report(&too_long.collect::<Vec<_>>(), "split the file along what it owns");
}

#[test]
fn unsafe_stays_in_the_process_module_and_gives_its_reason() {
    let mut breaches = Vec::new();
    for source in Source::below("src") {
        for place in words(&source.code, "unsafe") {
            let above: Vec<&str> = source.text[..place].lines().rev().skip(1).take(4).collect();
            if !source.path.starts_with("src/process/") {
                breaches.push(format!("{}: `unsafe` outside of src/process/", source.at(place)));
            } else if !above.iter().any(|line| line.trim_start().starts_with("// SAFETY: ")) {
                breaches.push(format!("{}: no `// SAFETY: ` comment above", source.at(place)));
            }
        }
    }
    report(&breaches, "find a safe way; if there is none, say above it why it is sound");
}

#[test]
fn nothing_is_left_undone_hidden_or_unbounded() {
    let mut breaches = Vec::new();
    for source in EVERYWHERE.iter().flat_map(|folder| Source::below(folder)) {
        let here = BANNED.iter().filter(|(_, folders, _)| folders.contains(&source.folder()));
        for (word, _, instead) in here {
            let found = words(&source.code, word).map(|place| source.at(place));
            breaches.extend(found.map(|at| format!("{at}: `{word}`: {instead}")));
        }
    }
    report(&breaches, "each line says what to do instead");
}

#[test]
fn no_path_of_somebody_s_machine_is_written_down() {
    let mut breaches = Vec::new();
    for path in files_below("") {
        let Ok(text) = std::fs::read_to_string(source::root().join(&path)) else { continue };
        for folder in MACHINE_FOLDERS {
            let absolute = format!("/{folder}/");
            for (place, _) in text.match_indices(&absolute) {
                let inside = text[..place].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c));
                let name = text[place + absolute.len()..].split(|c: char| !c.is_alphanumeric()).next();
                let example = folder == "home" && name == Some("u");
                if !inside && !example {
                    breaches.push(format!("{}: `{absolute}…`", at(&path, &text, place)));
                }
            }
        }
    }
    report(&breaches, "use a path relative to the repository, or one that a flag or variable gives");
}

#[test]
fn the_api_reference_lists_the_routes_that_are_there() {
    let listed = mentioned_routes(&read("docs/http-api.md"));
    same(&listed, &routes(), "list each route in a table of docs/http-api.md, as `METHOD /path`");
}

#[test]
fn documents_mention_only_routes_that_are_there() {
    let routes = routes();
    let mut breaches = Vec::new();
    for path in files_below("").into_iter().filter(|path| path.ends_with(".md")) {
        let unknown = mentioned_routes(&read(&path)).into_iter().filter(|route| !routes.contains(route));
        breaches.extend(unknown.map(|route| format!("{path}: `{route}`")));
    }
    report(&breaches, "no router of src/http has this route: mend the document, or add the route");
}

/// Every `METHOD /path` of the front, from the list that its router is made of. Nothing else in
/// `src/http` may add a route.
fn routes() -> BTreeSet<String> {
    for source in Source::below("src/http") {
        let others = [".nest(", ".nest_service(", ".route_service(", ".fallback_service(", ".route("];
        let only_here = source.path.ends_with("routes.rs") || source.path.ends_with("tests.rs");
        for other in others.into_iter().filter(|_| !only_here) {
            let found = words(&source.product, other).next().map(|place| source.at(place));
            assert_eq!(found, None, "`{other}` adds a route past the list; use `.on(`");
        }
    }
    let known = mcpvisor::http::known_routes();
    let routes: BTreeSet<String> =
        known.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(routes.len(), known.len(), "a route is there twice");
    routes
}

/// Every `METHOD /path` in a document that is written as code.
fn mentioned_routes(document: &str) -> BTreeSet<String> {
    let spans = document.split('`').skip(1).step_by(2);
    let is_route = |span: &&str| {
        span.split_once(' ').is_some_and(|(method, path)| {
            ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method) && path.starts_with('/')
        })
    };
    spans.filter(is_route).map(str::to_owned).collect()
}

#[test]
fn the_configuration_reference_lists_the_exit_codes_that_are_there() {
    let rows = table(&read("docs/configuration.md"), "## Exit codes");
    let listed = rows.into_iter().map(|cells| cells[0].clone()).collect();
    let there = Exit::ALL.iter().map(|exit| exit.code().to_string()).collect();
    same(&listed, &there, "the table `## Exit codes` of docs/configuration.md follows cli::Exit");
}

/// The rows of the first table below a heading, without its head; cells without backticks.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let mut below = document.lines().skip_while(|line| *line != heading).skip(1);
    let section: Vec<&str> = below.by_ref().take_while(|line| !line.starts_with('#')).collect();
    let rows = section.into_iter().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "there is no table below the heading `{heading}`");
    rows
}

fn same(listed: &BTreeSet<String>, there: &BTreeSet<String>, hint: &str) {
    let missing: Vec<&String> = there.difference(listed).collect();
    let gone: Vec<&String> = listed.difference(there).collect();
    assert!(missing.is_empty() && gone.is_empty(), "{hint}\nnot listed: {missing:#?}\nnot there: {gone:#?}");
}

fn report(breaches: &[String], hint: &str) {
    assert!(breaches.is_empty(), "\n  {}\nTo mend it: {hint}.", breaches.join("\n  "));
}

#[test]
fn the_tests_that_the_tables_of_documents_name_are_there() {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        for path in files_below(folder).into_iter().filter(|path| path.ends_with(".rs")) {
            let text = read(&path);
            let found = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            names.extend(found.map(str::to_owned));
        }
    }
    let mut missing = Vec::new();
    for path in files_below("docs/testing").iter().filter(|path| !path.ends_with("README.md")) {
        let document = read(path);
        let quoted = document.split('`').skip(1).step_by(2);
        let quoted = quoted.filter(|text| text.contains("::") || text.contains('…'));
        let named = quoted
            .filter_map(|text| text.rsplit(['…', ':']).next())
            .filter(|name| name.matches('_').count() > 2);
        missing.extend(named.filter(|name| !names.contains(*name)).map(|name| format!("{path}: {name}")));
    }
    report(&missing, "name a test that exists, or write it");
}
