//! What a machine can hold of the style in `CONTRIBUTING.md`: how doc comments begin, what they cite, which words are
//! not used for a thing that has a name, and how long the name of a test is.

use std::collections::BTreeSet;

use super::source::{Source, files_below, read, root};
use super::{EVERYWHERE, report};

/// The most doc comments that may begin with a question word, in hundredths.
const MAX_QUESTIONS_PERCENT: usize = 5;
const QUESTION_WORDS: [&str; 8] = ["what", "how", "whether", "who", "which", "where", "when", "why"];

/// The most characters in the name of a test.
const MAX_TEST_NAME: usize = 72;

/// Names that were in use for a thing, and the field's own that took their place.
const RETIRED: [(&str, &str); 70] = [
    ("About", "RequestMeta"),
    ("Alarm", "Timer"),
    ("Beside", "RecoverySources"),
    ("Book", "UsageBuffer"),
    ("Bounds", "ConnectionLimits"),
    ("BrakeSettings", "StartLimits"),
    ("Brands", "SecondaryMarks"),
    ("Charter", "Tenancy"),
    ("Denied", "AuthError"),
    ("Desk", "AdmissionState"),
    ("Dislikes", "ModelQuirks"),
    ("Doing", "ReplicaPhase"),
    ("Doors", "ListenAddresses"),
    ("Entering", "AdmittedConnection"),
    ("Facts", "HandshakeInfo"),
    ("Failure", "ApiError"),
    ("Folded", "CompletionBuilder"),
    ("Front", "HttpServer"),
    ("Guarded", "ResponseFuture"),
    ("Held", "HeldSlots"),
    ("Holders", "QuotaPools"),
    ("Ignored", "DiscardBody"),
    ("Introduced", "HandshakeOutcome"),
    ("Introduction", "ServerInfo"),
    ("Invoker", "ToolCaller"),
    ("Keeper", "CatalogPersister"),
    ("KeyToBe", "PendingKey"),
    ("KeyWish", "NewKeySpec"),
    ("Ladder", "StopSequence"),
    ("Leaf", "ChildCgroup"),
    ("Ledger", "RegistryStore"),
    ("Looker", "FileWatcher"),
    ("Looks", "LookAlikes"),
    ("Manner", "ResponseMeta"),
    ("Medium", "JournalFile"),
    ("Memories", "CatalogCache"),
    ("Memory", "StoredCatalog"),
    ("Newcomer", "PendingConnection"),
    ("NoKey", "CreateKeyError"),
    ("Notice", "Notification"),
    ("Objection", "HostCheckError"),
    ("Offer", "ToolSet"),
    ("Pages", "BufferState"),
    ("Pass", "BreakerPass"),
    ("Patience", "Timeouts"),
    ("Queries", "Agent"),
    ("Roster", "ReplicaSet"),
    ("Seat", "ConnectionSlot"),
    ("Sort", "EntryKind"),
    ("Stamp", "ChangeContext"),
    ("StandIn", "SwappableStore"),
    ("Standby", "ReadOnlyFallback"),
    ("StartBrake", "StartLimiter"),
    ("StrayReading", "OrphanReading"),
    ("Strays", "Orphans"),
    ("Sums", "UsageAggregates"),
    ("Surroundings", "SharedHooks"),
    ("Tap", "ObservedIo"),
    ("Toll", "CallAccounting"),
    ("Trouble", "StoreDegraded"),
    ("TurnView", "QueuedStartView"),
    ("Turned", "BreakerTransition"),
    ("Unwanted", "RejectedTools"),
    ("Vault", "DurableStore"),
    ("Visit", "PeerInfo"),
    ("Wanted", "DesiredState"),
    ("Watches", "ConnectionStates"),
    ("Wiring", "WireConfig"),
    ("Worth", "WaitBudget"),
    ("Wrap", "WrapJournalFile"),
];

/// Whether a source defines a type of this name.
fn defines(code: &str, name: &str) -> bool {
    ["struct ", "enum ", "trait ", "type "].iter().any(|kind| {
        code.match_indices(kind).any(|(at, _)| {
            let behind = &code[at + kind.len()..];
            behind
                .strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    })
}

#[test]
fn things_have_the_names_that_the_field_has_for_them() {
    let mut breaches = Vec::new();
    for source in Source::below("src") {
        for (retired, name) in RETIRED.iter().filter(|(retired, _)| defines(&source.code, retired)) {
            breaches.push(format!("{}: {retired}, which is called {name}", source.path));
        }
    }
    report(&breaches, "take the name, or one that the field has for what this is");
}

/// Doc comments of a source: the line that each begins on, counted from 0, and its first line.
fn doc_comments(text: &str) -> Vec<(usize, &str)> {
    let of = |line: &'_ str| line.trim_start().starts_with("///") || line.trim_start().starts_with("//!");
    let lines: Vec<&str> = text.lines().collect();
    let first = |at: &usize| of(lines[*at]) && (*at == 0 || !of(lines[*at - 1]));
    let told = |at: usize| (at, lines[at].trim_start()[3..].trim_start());
    (0..lines.len()).filter(first).map(told).collect()
}

fn is_question(line: &str) -> bool {
    let word: String = line.chars().take_while(char::is_ascii_alphabetic).collect();
    QUESTION_WORDS.contains(&word.to_ascii_lowercase().as_str())
}

#[test]
fn few_doc_comments_begin_with_a_question_word() {
    let (mut all, mut questions) = (0, Vec::new());
    for source in Source::below("src") {
        for (line, told) in doc_comments(&source.text) {
            all += 1;
            if is_question(told) {
                questions.push(format!("{}:{}: {told}", source.path, line + 1));
            }
        }
    }
    if questions.len() * 100 > all * MAX_QUESTIONS_PERCENT {
        let hint = format!(
            "begin with a noun phrase (types, fields) or a verb (functions): at most {MAX_QUESTIONS_PERCENT} % of {all} \
             may begin otherwise"
        );
        report(&questions, &hint);
    }
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().replace(' ', "-")
}

fn anchors(document: &str) -> BTreeSet<String> {
    read(document).lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

/// Citations of a document of `docs/` in a line: its path, and what stands behind it.
fn citations(line: &str) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("docs/") {
        let rest = &line[at..];
        if let Some(end) = rest.find(".md") {
            let path = &rest[..end + 3];
            if path.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.".contains(c)) {
                found.push((path.to_owned(), &rest[end + 3..]));
            }
        }
    }
    found
}

/// Numbers of rules, such as `P4.3`, at the beginning of what follows a citation.
fn rules(behind: &str) -> Vec<&str> {
    let words = behind.split([' ', ',', ')', ';', ':', '`']).filter(|word| !word.is_empty());
    let is_rule = |word: &&str| {
        let number = word.strip_prefix(['G', 'P', 'M', 'O']).unwrap_or_default();
        number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.')
    };
    words.take_while(|word| is_rule(word) || *word == "and" || *word == "to").filter(is_rule).collect()
}

#[test]
fn comments_cite_only_documents_rules_and_anchors_that_are_there() {
    let mut breaches = Vec::new();
    let contract = read("docs/http-api.md");
    for source in EVERYWHERE.iter().flat_map(|folder| Source::below(folder)) {
        // This file has examples.
        for (number, line) in
            source.text.lines().enumerate().filter(|_| !source.path.ends_with("tidy/prose.rs"))
        {
            let Some((_, comment)) = line.split_once("//") else { continue };
            let mut wrong = |what: String| breaches.push(format!("{}:{}: {what}", source.path, number + 1));
            if comment.contains("contract, section") || comment.contains("contract section") {
                wrong("a section of a document that is not in the repository".to_owned());
            }
            for (path, behind) in citations(comment) {
                if !root().join(&path).exists() {
                    wrong(format!("{path} is not there"));
                    continue;
                }
                if let Some(rest) = behind.strip_prefix('#') {
                    let end =
                        rest.find(|c: char| !c.is_alphanumeric() && !"-_".contains(c)).unwrap_or(rest.len());
                    if !anchors(&path).contains(&rest[..end]) {
                        wrong(format!("{path} has no heading #{}", &rest[..end]));
                    }
                }
                if path == "docs/http-api.md" {
                    for rule in rules(behind.trim_start_matches([',', ' '])) {
                        if !contract.contains(&format!("**{}**", rule.trim_end_matches('.'))) {
                            wrong(format!("{path} has no rule {rule}"));
                        }
                    }
                }
            }
        }
    }
    report(&breaches, "cite a document of the repository, by a heading or a rule that it has");
}

/// Names of functions that are marked as tests.
fn tests_of(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, mark) in ["#[test]", "#[tokio::test"].iter().flat_map(|mark| code.match_indices(mark)) {
        let Some((_, behind)) = code[at + mark.len()..].split_once("fn ") else { continue };
        names.extend(behind.split(['(', '<']).next());
    }
    names
}

#[test]
fn names_of_tests_fit_on_a_line() {
    let mut breaches = Vec::new();
    for source in EVERYWHERE.iter().flat_map(|folder| Source::below(folder)) {
        let long = tests_of(&source.code).into_iter().filter(|name| name.chars().count() > MAX_TEST_NAME);
        breaches.extend(long.map(|name| format!("{}: {name}: {} characters", source.path, name.len())));
    }
    report(&breaches, &format!("name the promise in at most {MAX_TEST_NAME} characters"));
}

#[test]
fn documents_of_operators_link_only_to_what_is_there() {
    let mut breaches = Vec::new();
    for path in files_below("docs").into_iter().filter(|path| path.ends_with(".md")) {
        let text = read(&path);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") || target.contains(['\n', ' ', '`']) {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let document = if file.is_empty() { path.clone() } else { format!("{folder}/{file}") };
            let place = root().join(&document);
            if !place.exists() {
                breaches.push(format!("{path}: {target} is not there"));
            } else if !heading.is_empty()
                && document.ends_with(".md")
                && !anchors(&document).contains(heading)
            {
                breaches.push(format!("{path}: {target} has no such heading"));
            }
        }
    }
    report(&breaches, "link to a file and a heading that are there");
}

#[test]
fn each_of_these_tests_finds_a_breach() {
    let text = "/// What a thing is.\n/// Goes on.\nfn a() {}\n/// Returns it.\nfn b() {}\n";
    let told: Vec<bool> = doc_comments(text).into_iter().map(|(_, line)| is_question(line)).collect();
    assert_eq!(told, [true, false]);
    assert!(defines("pub struct Toll {", "Toll") && !defines("pub struct Tollbooth;", "Toll"));
    assert_eq!(anchor("## P4 Keys, and `rotate`"), "p4-keys-and-rotate");
    let found = citations(" see docs/http-api.md, P4.3 and P4.4, and docs/nowhere.md#x");
    assert_eq!(
        found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["docs/http-api.md", "docs/nowhere.md"]
    );
    assert_eq!(rules(found[0].1.trim_start_matches([',', ' '])), ["P4.3", "P4.4"]);
    assert_eq!(
        tests_of("#[test]\nfn short() {}\n#[tokio::test(x)]\nasync fn other() {}"),
        ["short", "other"]
    );
}
