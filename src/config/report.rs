//! Describes a configuration to an operator: its problems, or what it would run. Values of servers' `env` and
//! their arguments may be secrets and are never shown.

use super::groups::missing_members;
use super::problem::one_line;
use super::settings::Config;
use super::{ConfigProblem, Entry, Environment, Remark, ServersFile, Weight, section::show_duration};
use crate::http::ApiAuth;
use crate::supervisor::{LookAlikes, check_visible};

/// Lists all problems, one per line, those of one source together, and their number.
pub fn list_problems(problems: &[ConfigProblem]) -> String {
    let mut out = String::new();
    let mut sources: Vec<&str> = Vec::new();
    for problem in problems {
        out.push_str(&format!("{problem}\n"));
        if !sources.contains(&problem.source.as_str()) {
            sources.push(&problem.source);
        }
    }
    let count: usize = problems.iter().map(|problem| problem.count).sum();
    let problem_word = if count == 1 { "problem" } else { "problems" };
    let place_word = if sources.len() == 1 { "place" } else { "places" };
    out.push_str(&format!("{count} {problem_word} in {} {place_word}\n", sources.len()));
    out
}

/// Describes what would run with a configuration, in lines for people.
pub fn describe(config: &Config) -> String {
    let http = &config.http;
    let host = if http.host.contains(':') { format!("[{}]", http.host) } else { http.host.clone() };
    let auth = |auth| match auth {
        ApiAuth::Auto => "auto",
        ApiAuth::Required => "required",
        ApiAuth::Off => "off",
    };
    let mut out = String::from("configuration is valid\n");
    let mut line = |name: &str, value: &str| out.push_str(&format!("{name:<13}{}\n", one_line(value)));
    if let Some(file) = &config.file {
        line("file", &file.display().to_string());
    }
    line("listen", &format!("{}://{host}:{}", if http.tls.is_some() { "https" } else { "http" }, http.port));
    if let Some(socket) = &http.socket {
        line("socket", &socket.path.display().to_string());
    }
    if let Some(address) = http.operations {
        line("metrics", &format!("http://{address}/metrics"));
    }
    line("/api auth", auth(http.api_auth));
    line("/mcp auth", auth(http.mcp.auth));
    if let Some(oidc) = &http.oidc {
        line("tokens of", &oidc.issuer);
        line("tokens for", &oidc.public_url);
    }
    line("data", &config.data_dir.display().to_string());
    line("config root", &config.config_root.display().to_string());
    line("workers", &config.workers.to_string());
    line("drain", &show_duration(config.drain));
    for file in &config.servers {
        line("servers file", &file.path.display().to_string());
        for entry in &file.entries {
            line("", &format!("{}: {}", entry.name, run(entry)));
        }
    }
    if config.servers.is_empty() {
        line("servers file", "none");
    }
    for group in config.groups.by_name.values() {
        line("group", &format!("/mcp/{}: {}", group.name, group.servers.join(", ")));
    }
    out
}

/// Returns the remarks on the servers files, each with its file: members that may not have the intended
/// meaning, members without effect, and settings that are likely to behave differently here.
pub fn remarks(files: &[ServersFile]) -> impl Iterator<Item = (Weight, String)> {
    files.iter().flat_map(|file| {
        let line = |remark: &Remark| format!("{}: {}", file.path.display(), remark.sentence());
        file.remarks.iter().map(move |remark| (remark.weight, one_line(&line(remark))))
    })
}

/// Returns the warnings, one per line: sources that were skipped, remarks on servers files, references of
/// servers that cannot be resolved now, members of groups that there are not, and misleading names. None of these is a problem: the daemon may be
/// started elsewhere, missing files may appear, and names are the operator's choice.
pub fn warnings(config: &Config, env: &dyn Environment) -> String {
    let mut out: String =
        config.warnings.iter().map(|text| format!("warning: {}\n", one_line(text))).collect();
    for (weight, text) in remarks(&config.servers) {
        let word = if weight == Weight::Warning { "warning" } else { "note" };
        out.push_str(&format!("{word}: {text}\n"));
    }
    for text in missing_members(config) {
        out.push_str(&format!("warning: {}\n", one_line(&text)));
    }
    if let Some(oidc) = &config.http.oidc
        && !oidc.lets_call()
    {
        let text = "auth.oidc: no access token may call a tool; set auth.oidc.roles, or auth.oidc.default_role = \"member\"";
        out.push_str(&format!("warning: {text}\n"));
    }
    let mut looks = LookAlikes::default();
    for file in &config.servers {
        for entry in &file.entries {
            for told in of_entry(entry, &mut looks, env) {
                let text = format!("{}: {}{told}", file.path.display(), entry.place);
                out.push_str(&format!("warning: {}\n", one_line(&text)));
            }
        }
    }
    out
}

/// Returns the warnings about one server: its name, and its references. Each is worded to follow its place.
fn of_entry(entry: &Entry, looks: &mut LookAlikes, env: &dyn Environment) -> Vec<String> {
    let unseen = check_visible(&entry.name).err().map(|problem| problem.reason);
    let alike = looks.add(&entry.name);
    let alike = alike.map(|other| format!("looks like the name of another server, '{other}'"));
    let names = unseen.into_iter().chain(alike).map(|text| format!(" has a misleading name: it {text}"));
    let definition = entry.definition();
    let missing = definition.unresolved(|variable| env.var(variable));
    let missing = missing.into_iter().map(|text| format!(".{text}"));
    names.chain(missing).collect()
}

/// Describes what an entry would run, in a few words without a secret.
pub(super) fn run(entry: &Entry) -> String {
    let definition = entry.definition();
    if let Some(fault) = definition.fault() {
        return format!("cannot be used: {fault}");
    }
    let disabled = if definition.enabled() { "" } else { " (disabled)" };
    if let Some(remote) = definition.remote() {
        let (transport, address) = (remote.transport().name(), remote.shown_address());
        return format!("remote ({transport}, {address}){disabled}");
    }
    let Some(command) = definition.command() else {
        return "neither command nor address; kept, never started".to_owned();
    };
    let arguments = match definition.args().len() {
        0 => String::new(),
        1 => " with 1 argument".to_owned(),
        n => format!(" with {n} arguments"),
    };
    format!("{command}{arguments}{disabled}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn entry(name: &str, value: Value) -> Entry {
        let raw = value.as_object().cloned().expect("an object");
        Entry { place: format!("mcpServers.{name}"), name: name.to_owned(), raw, problems: Vec::new() }
    }

    #[test]
    fn shows_what_would_run_and_no_secret() {
        let mut config = Config::with_defaults("/data".into());
        config.http.host = "::1".into();
        config.servers.push(ServersFile {
            shown: "s.json".into(),
            path: "/s.json".into(),
            version: String::new(),
            entries: vec![
                entry("git", json!({"command": "git", "args": ["--token=s3cret"], "env": {"K": "s3cret"}})),
                entry("off\u{1b}", json!({"command": "x", "disabled": true})),
                entry("far", json!({"url": "http://user:s3cret@h/"})),
            ],
            remarks: Vec::new(),
        });
        assert_eq!(
            describe(&config),
            "configuration is valid\n\
             listen       http://[::1]:5000\n\
             /api auth    auto\n\
             /mcp auth    auto\n\
             data         /data\n\
             config root  /data\n\
             workers      1\n\
             drain        20s\n\
             servers file /s.json\n             \
             git: git with 1 argument\n             \
             off\\u{1b}: x (disabled)\n             \
             far: remote (streamable-http, http://h/)\n"
        );
    }

    #[test]
    fn problems_are_counted_with_their_places() {
        let problem = |source: &str| ConfigProblem {
            count: 1,
            source: source.into(),
            position: None,
            path: String::new(),
            reason: "is odd".into(),
        };
        assert_eq!(list_problems(&[problem("a")]), "a: is odd\n1 problem in 1 place\n");
        let three = list_problems(&[problem("a"), problem("a"), problem("b")]);
        assert!(three.ends_with("3 problems in 2 places\n"), "{three}");
    }
}
