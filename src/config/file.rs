//! The configuration file: names, ranges and destinations of its settings. The reference for operators is
//! `docs/configuration.md`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::groups;
use super::llm;
use super::oidc;
use super::otlp;
use super::problem::{Position, Problems};
use super::section::{self, Document, Section, show_duration, texts};
use super::servers_file::Named;
use super::settings::Config;
use super::tenancy;
use super::values;
use crate::activity::MAX_KEPT;
use crate::http::{ApiAuth, Tls, TlsFiles};
use crate::registry::AllowedServers;
use crate::supervisor::{Allowed, Scope};
use crate::telemetry::logging::{Format, Level};

/// Settings of the file that are resolved later: paths that a flag or a variable may replace, and a default
/// that depends on them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Paths {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) config_root: Option<PathBuf>,
    /// `None` if the file does not set it, `Some(None)` for "off".
    pub(super) socket: Option<Option<PathBuf>>,
    /// `None` if the file does not set it; an empty list means no servers files.
    pub(super) servers: Option<Vec<Named>>,
    /// Reference to the model's key.
    pub(super) llm_key: Option<llm::KeyReference>,
    /// Headers for the collector of traces.
    pub(super) trace_headers: Vec<otlp::HeaderReference>,
}

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Applies the settings of a file's text to `config`. Relative paths in it start from `base`, the directory of
/// the file.
pub(super) fn apply(
    document: Document<'_>,
    base: &Path,
    config: &mut Config,
    problems: &mut Problems,
) -> Paths {
    let mut paths = Paths::default();
    let (table, errors) = DeTable::parse_recoverable(document.text);
    for error in &errors {
        let position = error.span().map(|span| Position::of(document.text, span.start));
        problems.at(document.source, position, "", format!("is not valid TOML: {}", error.message()));
    }
    if !errors.is_empty() {
        // The readable part of a broken file would only give false problems.
        return paths;
    }
    let mut top = Section::top(document, table.get_ref());
    server(top.section("server", problems), base, config, &mut paths, problems);
    http(top.section("http", problems), document, base, config, &mut paths, problems);
    api(top.section("api", problems), base, config, &mut paths, problems);
    mcp(top.section("mcp", problems), config, problems);
    groups::read(top.section("groups", problems), &mut config.groups, problems);
    config.tenancy = tenancy::read(&mut top, problems);
    config.http.oidc = oidc::read(top.section("auth", problems), &config.tenancy, problems);
    limits(top.section("limits", problems), config, problems);
    usage(top.section("usage", problems), config, problems);
    audit(top.section("audit", problems), config, problems);
    activity(top.section("activity", problems), config, problems);
    servers(top.section("servers", problems), config, problems);
    starts(top.section("starts", problems), config, problems);
    remotes(top.section("remotes", problems), config, problems);
    llm::read(top.section("llm", problems), &mut config.llm, &mut paths.llm_key, problems);
    log(top.section("log", problems), config, problems);
    telemetry(top.section("telemetry", problems), config, &mut paths.trace_headers, problems);
    top.finish(problems);
    paths
}

fn server(mut s: Section<'_>, base: &Path, config: &mut Config, paths: &mut Paths, problems: &mut Problems) {
    s.set("host", values::HOST, &mut config.http.host, problems, |value| values::host(value.as_str()?));
    s.count("port", 0..=65_535, &mut config.http.port, problems);
    s.set("data_dir", PATH, &mut paths.data_dir, problems, |value| path(value, base).map(Some));
    s.set("servers", "an array of file names", &mut paths.servers, problems, |value| {
        texts(value, |name| usable(name).then(|| Named { shown: name.to_owned(), path: base.join(name) }))
            .map(Some)
    });
    s.count("workers", 1..=256, &mut config.workers, problems);
    s.switch("watch", &mut config.watch, problems);
    s.switch("cgroups", &mut config.cgroups, problems);
    s.set("pass_env", "an array of names of variables", &mut config.pass_env, problems, |value| {
        texts(value, |name| (!name.is_empty() && !name.contains(['=', '\0'])).then(|| name.to_owned()))
    });
    s.duration("drain", Duration::ZERO..=HOUR, &mut config.drain, problems);
    s.finish(problems);
}

fn http(
    mut s: Section<'_>,
    document: Document<'_>,
    base: &Path,
    config: &mut Config,
    paths: &mut Paths,
    problems: &mut Problems,
) {
    let http = &mut config.http;
    s.set("socket", "a path, or \"off\"", &mut paths.socket, problems, |value| match value.as_str() {
        Some("off") => Some(Some(None)),
        _ => path(value, base).map(|path| Some(Some(path))),
    });
    s.set("allowed_hosts", values::AUTHORITY, &mut http.allowed_hosts, problems, |value| {
        texts(value, values::authority)
    });
    s.set("allowed_origins", values::ORIGIN, &mut http.allowed_origins, problems, |value| {
        texts(value, values::origin).filter(|all| all.len() == 1 || all.iter().all(|one| one != "*"))
    });
    body_limit(&mut s, &mut http.body_limit, problems);
    s.duration("header_timeout", 100 * MS..=HOUR, &mut http.header_timeout, problems);
    s.duration("body_timeout", 100 * MS..=HOUR, &mut http.body_timeout, problems);
    s.duration("write_timeout", 100 * MS..=HOUR, &mut http.write_timeout, problems);
    s.duration("keep_alive", 100 * MS..=DAY, &mut http.keep_alive, problems);
    s.count("max_connections", 1..=1_000_000, &mut http.max_connections, problems);
    for (name, share) in [
        ("max_connections_per_address", &mut http.max_connections_per_address),
        ("max_streams", &mut http.max_streams),
        ("max_streams_per_key", &mut http.max_streams_per_key),
    ] {
        set_share(&mut s, name, share, problems);
    }
    let calls = &mut config.gateway;
    s.duration("call_timeout", MS..=DAY, &mut calls.call_timeout, problems);
    s.duration("max_call_timeout", MS..=DAY, &mut calls.max_call_timeout, problems);
    if calls.call_timeout > calls.max_call_timeout {
        let most = show_duration(calls.max_call_timeout);
        let at = s.position("call_timeout").or_else(|| s.position("max_call_timeout"));
        let reason = format!(
            "must not be longer than http.max_call_timeout, which is {most} (found {})",
            show_duration(calls.call_timeout)
        );
        problems.at(document.source, at, "http.call_timeout", reason);
    }
    http.tls = tls(&mut s, document, base, problems);
    s.finish(problems);
}

/// Reads the paths of the certificate's files and checks the files: a daemon that cannot use them does not
/// start.
fn tls(
    s: &mut Section<'_>,
    document: Document<'_>,
    base: &Path,
    problems: &mut Problems,
) -> Option<TlsFiles> {
    let (mut cert, mut key) = (None, None);
    s.set("tls_cert", PATH, &mut cert, problems, |value| path(value, base).map(Some));
    s.set("tls_key", PATH, &mut key, problems, |value| path(value, base).map(Some));
    let (of_cert, of_key) = (s.position("tls_cert"), s.position("tls_key"));
    if of_cert.is_some() != of_key.is_some() {
        let (there, missing) = if of_cert.is_some() { ("cert", "key") } else { ("key", "cert") };
        let reason =
            format!("needs http.tls_{missing} beside it: a certificate is of no use without its key");
        problems.at(document.source, of_cert.or(of_key), format!("http.tls_{there}"), reason);
    }
    let files = TlsFiles { cert: cert?, key: key? };
    if let Err(error) = Tls::load(&files) {
        let (name, at) = if error.is_about_the_key() { ("key", of_key) } else { ("cert", of_cert) };
        problems.at(document.source, at, format!("http.tls_{name}"), error.to_string());
    }
    Some(files)
}

/// Words for who may use a part of the front without a key.
const AUTHS: [(&str, ApiAuth); 3] =
    [("auto", ApiAuth::Auto), ("required", ApiAuth::Required), ("off", ApiAuth::Off)];

fn mcp(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    let mcp = &mut config.http.mcp;
    s.choice("auth", &AUTHS, &mut mcp.auth, problems);
    body_limit(&mut s, &mut mcp.body_limit, problems);
    s.count("max_sessions", 1..=1_000_000, &mut mcp.max_sessions, problems);
    for (name, share) in
        [("max_streams", &mut mcp.max_streams), ("max_streams_per_key", &mut mcp.max_streams_per_key)]
    {
        set_share(&mut s, name, share, problems);
    }
    groups::naming(&mut s, &mut config.groups.all, problems);
    s.finish(problems);
}

fn body_limit(s: &mut Section<'_>, limit: &mut usize, problems: &mut Problems) {
    let size = format!("{}, from 1 KiB to 64 MiB", values::SIZE);
    s.set("body_limit", &size, limit, problems, |value| {
        let bytes = section::size(value)?;
        (1024..=64 << 20).contains(&bytes).then_some(bytes)
    });
}

/// Reads a number that is a share of another setting unless it is set.
fn set_share(s: &mut Section<'_>, name: &'static str, share: &mut Option<usize>, problems: &mut Problems) {
    s.set(name, SHARE, share, problems, |value| {
        let number = section::integer(value).filter(|number| (1..=1_000_000).contains(number))?;
        usize::try_from(number).ok().map(Some)
    });
}

fn api(mut s: Section<'_>, base: &Path, config: &mut Config, paths: &mut Paths, problems: &mut Problems) {
    s.choice("auth", &AUTHS, &mut config.http.api_auth, problems);
    s.switch("redact_env", &mut config.http.redact_env, problems);
    s.set("config_root", PATH, &mut paths.config_root, problems, |value| path(value, base).map(Some));
    s.finish(problems);
}

fn starts(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    s.count("concurrent", 1..=1_000, &mut config.starts.concurrent, problems);
    s.count("per_second", 1..=10_000, &mut config.starts.per_second, problems);
    s.finish(problems);
}

fn remotes(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    const ADDRESSES: &str = "\"public\", \"any\", or an array of networks such as \"10.0.0.0/8\" and hosts such as \"*.example.org\"";
    s.set("api_addresses", ADDRESSES, &mut config.remotes.api_addresses, problems, |value| {
        match value.as_str() {
            Some("public") => Some(Some(Scope::Public)),
            Some("any") => Some(Some(Scope::Any)),
            Some(_) => None,
            None => {
                texts(value, |text| text.parse::<Allowed>().ok()).map(|listed| Some(Scope::Listed(listed)))
            }
        }
    });
    s.switch("allow_link_local", &mut config.remotes.allow_link_local, problems);
    s.finish(problems);
}

fn limits(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    s.count("calls_per_key", 1..=1_000_000, &mut config.gateway.calls_per_key, problems);
    let size = format!("{}, from 1 MiB to 1 TiB", values::SIZE);
    let amount =
        |value: &DeValue<'_>| section::size(value).filter(|bytes| (1 << 20..=1 << 40).contains(bytes));
    s.set("unread_per_key", &size, &mut config.gateway.unread.per_key, problems, amount);
    s.set("unread", &size, &mut config.gateway.unread.all, problems, amount);
    config.tenancy.key_defaults = tenancy::key_defaults(s.section("keys", problems), problems);
    s.finish(problems);
}

fn usage(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    s.count("keep_hours_for_days", 1..=366, &mut config.retention.hours, problems);
    s.count("keep_days_for_days", 1..=36_600, &mut config.retention.days, problems);
    s.finish(problems);
}

fn servers(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    const ALLOW: &str = "\"any\", \"off\", or an array of commands";
    s.set("allow", ALLOW, &mut config.allowed, problems, |value| match value.as_str() {
        Some("any") => Some(AllowedServers::Any),
        Some("off") => Some(AllowedServers::Off),
        Some(_) => None,
        None => {
            let command = |text: &str| usable(text).then(|| text.to_owned());
            texts(value, command).map(AllowedServers::Commands)
        }
    });
    s.finish(problems);
}

fn audit(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    let mut days = config.audit.keep.as_secs() / 86_400;
    s.count("keep_for_days", 1..=36_600, &mut days, problems);
    config.audit.keep = Duration::from_secs(days * 86_400);
    let size = format!("{}, from 1 MiB to 1 GiB", values::SIZE);
    s.set("keep_size", &size, &mut config.audit.keep_bytes, problems, |value| {
        let bytes = section::size(value)? as u64;
        (1 << 20..=1 << 30).contains(&bytes).then_some(bytes)
    });
    s.switch("calls", &mut config.audit.calls, problems);
    s.finish(problems);
}

fn activity(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    s.count("calls", 0..=MAX_KEPT as u64, &mut config.activity_calls, problems);
    s.finish(problems);
}

fn log(mut s: Section<'_>, config: &mut Config, problems: &mut Problems) {
    let levels = Level::ALL.map(|level| (level.name(), level));
    s.choice("level", &levels, &mut config.log.level, problems);
    let formats = [("text", Format::Text), ("json", Format::Json)];
    s.choice("format", &formats, &mut config.log.format, problems);
    s.switch("calls", &mut config.log.calls, problems);
    s.finish(problems);
}

fn telemetry(
    mut s: Section<'_>,
    config: &mut Config,
    trace_headers: &mut Vec<otlp::HeaderReference>,
    problems: &mut Problems,
) {
    const LOOPBACK: &str = "an address and port of this machine's loopback, such as \"127.0.0.1:9464\"";
    s.set("listen", LOOPBACK, &mut config.http.operations, problems, |value| {
        let address: SocketAddr = value.as_str()?.parse().ok()?;
        address.ip().is_loopback().then_some(Some(address))
    });
    *trace_headers = otlp::read(s.section("otlp", problems), &mut config.traces, problems);
    s.finish(problems);
}

const SHARE: &str = "a whole number from 1 to 1000000";
const PATH: &str = "a path";

fn path(value: &DeValue<'_>, base: &Path) -> Option<PathBuf> {
    value.as_str().filter(|text| usable(text)).map(|text| base.join(text))
}

/// Reports whether a file can have this name: it is not empty and contains no NUL.
fn usable(path: &str) -> bool {
    !path.is_empty() && !path.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Config, Paths, Vec<String>) {
        let mut config = Config::with_defaults("/data".into());
        let mut problems = Problems::default();
        let paths = apply(Document::new("c.toml", text), Path::new("/etc/m"), &mut config, &mut problems);
        (config, paths, problems.lines())
    }

    /// Reads one line `section.key = value` and returns its only problem.
    fn only_problem(setting: &str) -> String {
        let (_, _, lines) = read(setting);
        assert_eq!(lines.len(), 1, "{setting}: {lines:#?}");
        lines[0].clone()
    }

    #[test]
    fn every_kind_of_wrong_value_is_told_what_it_must_be() {
        let cases = [
            ("server.host = 'a b'", "server.host must be an IP address or a host name (found 'a b')"),
            ("server.host = 7", "server.host must be an IP address or a host name (found 7)"),
            ("server.port = 65536", "server.port must be a whole number from 0 to 65535 (found 65536)"),
            ("server.port = -1", "server.port must be a whole number from 0 to 65535 (found -1)"),
            ("server.port = '5000'", "server.port must be a whole number from 0 to 65535 (found '5000')"),
            ("server.data_dir = ''", "server.data_dir must be a path (found '')"),
            ("server.servers = 'a.json'", "server.servers must be an array of file names (found 'a.json')"),
            ("server.servers = ['a', 1]", "server.servers must be an array of file names (found ['a', 1])"),
            ("server.cgroups = 1", "server.cgroups must be true or false (found 1)"),
            ("server.watch = 1", "server.watch must be true or false (found 1)"),
            ("server.workers = 0", "server.workers must be a whole number from 1 to 256 (found 0)"),
            (
                "server.drain = '20'",
                "server.drain must be a duration from 0ms to 1h, such as \"500ms\", \"10s\" or \"2m\" (found '20')",
            ),
            (
                "server.drain = -0.5",
                "server.drain must be a duration from 0ms to 1h, such as \"500ms\", \"10s\" or \"2m\" (found -0.5)",
            ),
            (
                "http.keep_alive = '25h'",
                "http.keep_alive must be a duration from 100ms to 24h, such as \"500ms\", \"10s\" or \"2m\" (found '25h')",
            ),
            (
                "http.body_limit = '1MB'",
                "http.body_limit must be a number of bytes or a size such as \"512KiB\" or \"1MiB\", from 1 KiB to 64 MiB (found '1MB')",
            ),
            (
                "http.body_limit = 1023",
                "http.body_limit must be a number of bytes or a size such as \"512KiB\" or \"1MiB\", from 1 KiB to 64 MiB (found 1023)",
            ),
            (
                "http.allowed_hosts = ['http://x']",
                "http.allowed_hosts must be an array of host names or addresses, each with or without a port (found ['http://x'])",
            ),
            (
                "http.allowed_origins = ['*', 'http://x']",
                "http.allowed_origins must be an array of origins such as \"https://gui.example:8443\" (no path, no trailing slash), or [\"*\"] (found ['*', 'http://x'])",
            ),
            (
                "http.call_timeout = '10m'",
                "http.call_timeout must not be longer than http.max_call_timeout, which is 5m (found 10m)",
            ),
            (
                "http.tls_cert = 'c.pem'",
                "http.tls_cert needs http.tls_key beside it: a certificate is of no use without its key",
            ),
            (
                "http.tls_key = 'k.pem'",
                "http.tls_key needs http.tls_cert beside it: a certificate is of no use without its key",
            ),
            (
                "http = { tls_cert = '/no/cert.pem', tls_key = '/no/key.pem' }",
                "http.tls_cert names /no/cert.pem, which cannot be read: No such file or directory (os error 2)",
            ),
            ("api.auth = 'none'", "api.auth must be one of \"auto\", \"required\", \"off\" (found 'none')"),
            ("api.redact_env = 1", "api.redact_env must be true or false (found 1)"),
            (
                "starts.concurrent = 1.5",
                "starts.concurrent must be a whole number from 1 to 1000 (found 1.5)",
            ),
            (
                "remotes.api_addresses = ['10.0.0.5/8']",
                "remotes.api_addresses must be \"public\", \"any\", or an array of networks such as \"10.0.0.0/8\" and hosts such as \"*.example.org\" (found ['10.0.0.5/8'])",
            ),
            (
                "log.level = 'loud'",
                "log.level must be one of \"error\", \"warn\", \"info\", \"debug\", \"trace\" (found 'loud')",
            ),
            ("server = 1", "server must be a section: [server] (found 1)"),
            ("[[http]]", "http must be a section: [http] (found [[http]])"),
        ];
        for (setting, problem) in cases {
            let line = only_problem(setting);
            let (place, found) = line.split_once(": ").expect("a place");
            assert!(place.starts_with("c.toml:1:"), "{line}");
            assert_eq!(found, problem);
        }
    }

    #[test]
    fn unknown_names_are_problems_with_a_suggestion() {
        assert_eq!(only_problem("[htpp]"), "c.toml:1:2: htpp is not a known section; did you mean \"http\"?");
        assert_eq!(
            only_problem("\n[server]\nprot = 1"),
            "c.toml:3:1: server.prot is not a known setting; did you mean \"port\"?"
        );
        assert_eq!(only_problem("[log]\n'a b' = 1"), "c.toml:2:1: log.\"a b\" is not a known setting");
    }

    #[test]
    fn all_problems_of_a_file_come_at_once() {
        let (_, _, lines) = read("[server]\nport = 'x'\nhost = 1\nx = 1\n[log]\nlevel = 1\n[nope]\n");
        assert_eq!(lines.len(), 5, "{lines:#?}");
    }

    #[test]
    fn every_syntax_error_has_its_place_and_hides_what_follows_from_it() {
        let (_, _, lines) = read("[server]\nport = \nhost = 'a\n");
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].starts_with("c.toml:2:8: is not valid TOML: "), "{lines:#?}");
        assert!(lines[1].starts_with("c.toml:3:"), "{lines:#?}");
        let (_, _, lines) = read("a = 1\na = 2\n");
        assert!(lines[0].starts_with("c.toml:2:1: is not valid TOML: duplicate key"), "{lines:#?}");
    }

    #[test]
    fn relative_paths_start_from_the_file() {
        let (_, paths, lines) =
            read("[server]\ndata_dir = 'd'\nservers = ['s.json', '/x.json']\n[api]\nconfig_root = '/'\n");
        assert!(lines.is_empty(), "{lines:#?}");
        assert_eq!(paths.data_dir.as_deref(), Some(Path::new("/etc/m/d")));
        assert_eq!(paths.config_root.as_deref(), Some(Path::new("/")));
        let servers: Vec<PathBuf> = paths.servers.unwrap().into_iter().map(|named| named.path).collect();
        assert_eq!(servers, [Path::new("/etc/m/s.json"), Path::new("/x.json")]);
    }

    #[test]
    fn numbers_stand_for_seconds_and_bytes() {
        let (config, _, lines) = read("server.drain = 1.5\nhttp.body_limit = 0x1000\nserver.port = 1_000");
        assert!(lines.is_empty(), "{lines:#?}");
        assert_eq!(config.drain, Duration::from_millis(1500));
        assert_eq!(config.http.body_limit, 4096);
        assert_eq!(config.http.port, 1000);
    }

    fn any_config() -> impl Strategy<Value = Config> {
        let auth = prop::sample::select(vec![ApiAuth::Auto, ApiAuth::Required, ApiAuth::Off]);
        let level = prop::sample::select(Level::ALL.to_vec());
        let numbers = (any::<u16>(), 1usize..=256, 1024usize..=64 << 20, 1usize..=1_000_000, 1usize..=1000);
        let times = (0u64..=3_600_000, 100u64..=3_600_000, 1u64..=100_000, 100_000u64..=86_400_000);
        let texts = ("[a-z]{1,20}", prop::collection::vec("[a-z]{1,9}(:[1-9][0-9]{0,3})?", 0..4));
        (auth, level, numbers, times, texts, any::<bool>(), 1u32..=10_000).prop_map(
            |(
                auth,
                level,
                (port, workers, body, connections, starts),
                times,
                (host, hosts),
                redact,
                rate,
            )| {
                let mut config = Config::with_defaults("/data".into());
                (config.workers, config.watch, config.cgroups) = (workers, !redact, redact);
                config.drain = Duration::from_millis(times.0);
                config.starts.concurrent = starts;
                config.starts.per_second = rate;
                config.log.level = level;
                let http = &mut config.http;
                (http.host, http.port, http.api_auth) = (host, port, auth);
                http.allowed_origins = hosts.iter().map(|host| format!("https://{host}")).collect();
                http.allowed_hosts = hosts;
                (http.body_limit, http.max_connections) = (body, connections);
                (http.mcp.auth, http.mcp.body_limit, http.mcp.max_sessions) = (auth, body, connections);
                http.mcp.max_streams = Some(starts);
                http.header_timeout = Duration::from_millis(times.1);
                http.body_timeout = Duration::from_millis(times.1 / 2 + 50);
                http.keep_alive = Duration::from_millis(times.3);
                http.redact_env = redact;
                config.gateway.call_timeout = Duration::from_millis(times.2);
                config.gateway.max_call_timeout = Duration::from_millis(times.3);
                config
            },
        )
    }

    fn write(config: &Config) -> String {
        let http = &config.http;
        let auth = match http.api_auth {
            ApiAuth::Auto => "auto",
            ApiAuth::Required => "required",
            ApiAuth::Off => "off",
        };
        let time = |duration: Duration| format!("{:?}", show_duration(duration));
        format!(
            "[server]\nhost = {:?}\nport = {}\nworkers = {}\nwatch = {}\ncgroups = {}\ndrain = {}\n\
             [http]\nallowed_hosts = {:?}\nallowed_origins = {:?}\nbody_limit = {}\nheader_timeout = {}\n\
             body_timeout = {}\nkeep_alive = {}\nmax_connections = {}\ncall_timeout = {}\nmax_call_timeout = {}\n\
             [mcp]\nauth = {auth:?}\nbody_limit = {}\nmax_sessions = {}\nmax_streams = {}\n\
             [api]\nauth = {auth:?}\nredact_env = {}\n[starts]\nconcurrent = {}\nper_second = {}\n[log]\nlevel = {:?}\n",
            http.host,
            http.port,
            config.workers,
            config.watch,
            config.cgroups,
            time(config.drain),
            http.allowed_hosts,
            http.allowed_origins,
            http.body_limit,
            time(http.header_timeout),
            time(http.body_timeout),
            time(http.keep_alive),
            http.max_connections,
            time(config.gateway.call_timeout),
            time(config.gateway.max_call_timeout),
            http.mcp.body_limit,
            http.mcp.max_sessions,
            http.mcp.max_streams.unwrap_or_default(),
            http.redact_env,
            config.starts.concurrent,
            config.starts.per_second,
            config.log.level.name(),
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(config in any_config()) {
            let (back, _, lines) = read(&write(&config));
            prop_assert!(lines.is_empty(), "{lines:#?}");
            prop_assert_eq!(back, config);
        }

        #[test]
        fn never_panics(text in "\\PC{0,80}", value in r#"['"\[\]{}a1.:\-+_ =\n]{0,30}"#) {
            read(&text);
            for setting in ["server.port", "server.drain", "server.servers", "http.allowed_origins", "log"] {
                read(&format!("{setting} = {value}"));
            }
        }
    }
}
