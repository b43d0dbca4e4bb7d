//! Settings of a server: the member `mcpvisor` of its entry, checked. Pure.

use std::time::Duration;

use serde_json::{Map, Value};

use super::problem::Problems;
use super::remote_policy::RemotePolicy;
use crate::mcp::Declared;
use crate::process::Limits;
use crate::text::read_length;
use crate::upstream::PoolKey;

/// Member of an entry that holds the settings only this gateway knows.
pub const OWN_MEMBER: &str = "mcpvisor";

/// Protocol era that the gateway speaks to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EraChoice {
    /// Probe with `server/discover`, fall back to `initialize`.
    #[default]
    Auto,
    /// Open with `initialize` only (2024-11-05 to 2025-11-25).
    Legacy,
    /// Open with `server/discover` only (2026-07-28).
    Modern,
    /// Find out as with `Auto`; clients of the legacy era have a child of their own, which is opened with `initialize`.
    Matched,
}

/// Condition under which a child that ended unasked is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// Always replaced, however it ended.
    #[default]
    Always,
    /// Replaced unless it ended with exit code 0.
    OnFailure,
    /// Not replaced until the operator changes its definition.
    Never,
}

/// Time from which a server has a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartMode {
    /// Started when the daemon starts.
    #[default]
    Eager,
    /// Started when it is first called or its lists are asked for.
    OnDemand,
}

/// Treatment of a running child when its definition changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateMode {
    /// The next child is started and ready before this one is stopped.
    #[default]
    StartFirst,
    /// This one is stopped before the next one is started: for servers that hold something that
    /// only one process can hold.
    StopFirst,
}

/// Treatment of a tool whose definition is not the approved one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PinMode {
    /// Definitions are not compared.
    Off,
    /// The change is reported.
    #[default]
    Warn,
    /// The change is reported, and the tool is not listed or called until it is approved.
    Block,
}

impl PinMode {
    /// Returns the setting's value.
    pub fn name(self) -> &'static str {
        match self {
            PinMode::Off => "off",
            PinMode::Warn => "warn",
            PinMode::Block => "block",
        }
    }
}

/// Who shares a child of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All callers.
    #[default]
    Shared,
    /// One session of an MCP client. Callers without a session share one with all of their member's.
    PerSession,
    /// All callers of one member, by whichever of its keys and in whichever dialect.
    PerPrincipal,
}

/// Bounds of the number of replicas of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// Minimum number of replicas, at least 1.
    pub min: usize,
    /// Maximum number of replicas, at most `MAX_REPLICAS`.
    pub max: usize,
}

/// Maximum number of replicas that a server may have.
pub(super) const MAX_REPLICAS: usize = 64;

/// Maximum number of pools that can be set.
const MOST_POOLS: usize = 4096;

/// Default idle time after which a server that is started on demand is stopped, and a pool's child.
const ON_DEMAND_IDLE: Duration = Duration::from_secs(600);

/// Default idle time after which a remote server is probed, and the time that it may take to answer.
const REMOTE_PING_INTERVAL: Duration = Duration::from_secs(300);
const REMOTE_PING_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of a server. Every member has a default; see `docs/configuration.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Protocol era to speak to its children.
    pub era: EraChoice,
    /// Condition under which a child that ended unasked is replaced.
    pub restart: RestartPolicy,
    /// Time from which the server has a child.
    pub start: StartMode,
    /// Idle time without calls after which the server is stopped until it is called again; zero for never.
    pub idle_stop: Duration,
    /// Who shares a child of it.
    pub isolation: Isolation,
    /// Maximum number of pools: children of a session or a principal, running or not.
    pub max_pools: usize,
    /// Idle time without calls after which a pool's child is stopped until it is called again; zero for never.
    pub pool_idle_stop: Duration,
    /// Number of processes of the server that run side by side.
    pub replicas: Replicas,
    /// Treatment of a running child when its definition changes.
    pub update: UpdateMode,
    /// Number of unanswered calls in a row after which calls are refused for a while; 0 for never.
    pub breaker_failures: u32,
    /// Duration of the first refusal; it doubles from there.
    pub breaker_pause: Duration,
    /// Deadline of calls that name none; `None` for the gateway's own default.
    pub call_timeout: Option<Duration>,
    /// Maximum time from spawn to the end of the handshake and the first lists.
    pub start_timeout: Duration,
    /// Maximum time for a launcher such as `npx` to fetch and build the server before it runs it.
    pub install_timeout: Duration,
    /// Maximum number of calls that a child may have in flight.
    pub max_in_flight: usize,
    /// Maximum number of further calls that may wait for a place.
    pub queue: usize,
    /// Maximum time that a call may wait for a place.
    pub queue_age: Duration,
    /// Time that the tree may take to end by itself after its stdin is closed.
    pub stdin_grace: Duration,
    /// Time that the tree may take to end after SIGTERM.
    pub term_grace: Duration,
    /// Idle time after which a child is probed; zero for never.
    pub ping_interval: Duration,
    /// Time that a child may take to answer a probe. Three unanswered probes in a row end it.
    pub ping_timeout: Duration,
    /// Maximum length of a frame from a child, in bytes.
    pub max_frame: usize,
    /// Resource limits of a child and the processes it starts.
    pub limits: Limits,
    /// `true` if it may write only below a directory of its own.
    pub sandboxed: bool,
    /// Treatment of a tool whose definition changed.
    pub pin: PinMode,
    /// What children of the legacy era are told that their client can be asked.
    pub client_capabilities: Declared,
    /// How a remote server is connected to.
    pub remote: RemotePolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            era: EraChoice::Auto,
            restart: RestartPolicy::Always,
            start: StartMode::Eager,
            idle_stop: Duration::ZERO,
            isolation: Isolation::Shared,
            max_pools: 64,
            pool_idle_stop: ON_DEMAND_IDLE,
            replicas: Replicas { min: 1, max: 1 },
            update: UpdateMode::StartFirst,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(30),
            call_timeout: None,
            start_timeout: Duration::from_secs(60),
            install_timeout: Duration::from_secs(600),
            max_in_flight: 256,
            queue: 256,
            queue_age: Duration::from_secs(5),
            stdin_grace: Duration::from_secs(2),
            term_grace: Duration::from_secs(5),
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            max_frame: 16 * 1024 * 1024,
            limits: Limits::default(),
            sandboxed: false,
            pin: PinMode::default(),
            client_capabilities: Declared { elicitation: true, sampling: true, roots: false },
            remote: RemotePolicy::default(),
        }
    }
}

impl Policy {
    /// Returns the policy of a pool of this owner: one child, started when it is called and stopped when it is idle. With
    /// `stop_first` it is stopped before another takes its place.
    pub(super) fn of_pool(&self, key: &PoolKey, stop_first: bool) -> Policy {
        Policy {
            era: match (self.era, key) {
                // Sessions are a thing of the legacy era.
                (EraChoice::Matched, PoolKey::Legacy | PoolKey::Session(_)) => EraChoice::Legacy,
                (EraChoice::Matched, PoolKey::Principal(_)) => EraChoice::Auto,
                (era, _) => era,
            },
            start: StartMode::OnDemand,
            idle_stop: self.pool_idle_stop,
            replicas: Replicas { min: 1, max: 1 },
            update: if stop_first { UpdateMode::StopFirst } else { self.update },
            ..self.clone()
        }
    }

    /// Takes the defaults of a remote server for what its entry does not set: it is probed seldom, and patiently (R74).
    pub(super) fn be_remote(&mut self, own: Option<&Value>) {
        let is_set = |member: &str| own.is_some_and(|own| own.get(member).is_some());
        if !is_set("ping_interval") {
            self.ping_interval = REMOTE_PING_INTERVAL;
        }
        if !is_set("ping_timeout") {
            self.ping_timeout = REMOTE_PING_TIMEOUT;
        }
    }

    /// Reports whether a child started under the other policy is the same as one started under this.
    /// Settings that are not compared take effect without a new child.
    pub(super) fn same_child(&self, other: &Policy) -> bool {
        let child = |policy: &Policy| {
            let graces = (policy.stdin_grace, policy.term_grace);
            let held = (policy.limits.clone(), policy.sandboxed);
            let probes = (policy.ping_interval, policy.ping_timeout);
            (
                policy.era,
                policy.client_capabilities,
                policy.max_frame,
                graces,
                probes,
                held,
                policy.remote.clone(),
            )
        };
        child(self) == child(other)
    }
}

/// Longest duration that can be set: a year and a day. Longer ones overflow clocks.
const MAX_DURATION: Duration = Duration::from_secs(366 * 86_400);

/// Reads a duration of at most 366 days: `"500ms"`, `"10s"`, `"2m"`, `"1h"`, or a number of seconds. `None`
/// for anything else.
pub fn parse_duration(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(seconds) => {
            let seconds = seconds.as_f64()?;
            (0.0..=MAX_DURATION.as_secs_f64()).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
        }
        Value::String(text) => {
            let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
            read_length(text.trim(), &units).filter(|duration| *duration <= MAX_DURATION)
        }
        _ => None,
    }
}

/// Known members of `mcpvisor`; those of its `limits` follow.
const SETTINGS: [&str; 33] = [
    "era",
    "restart",
    "start",
    "update",
    "isolation",
    "replicas",
    "sandbox",
    "pin",
    "client_capabilities",
    "limits",
    "idle_stop",
    "pool_idle_stop",
    "max_pools",
    "breaker_pause",
    "breaker_failures",
    "start_timeout",
    "install_timeout",
    "call_timeout",
    "queue_age",
    "stdin_grace",
    "term_grace",
    "ping_interval",
    "ping_timeout",
    "max_in_flight",
    "queue",
    "max_frame",
    "transport",
    "proxy",
    "allow_http",
    "connect_timeout",
    "max_answer",
    "auth",
    "tls",
];

/// Returns the names of the settings of the member `mcpvisor`, and of those of its `limits`.
pub fn setting_names() -> (&'static [&'static str], &'static [&'static str]) {
    (&SETTINGS, &LIMITS)
}

/// Settings that only a process has a use for.
pub(super) const OF_PROCESSES: [&str; 7] =
    ["limits", "sandbox", "stdin_grace", "term_grace", "install_timeout", "replicas", "max_frame"];
const LIMITS: [&str; 5] = ["memory", "file_size", "pids", "open_files", "cpu"];

/// Reads the member `mcpvisor` of an entry and adds its problems to `problems`.
pub(super) fn parse_policy(own: &Map<String, Value>, problems: &mut Problems) -> Policy {
    let mut policy = Policy::default();
    if own.get("start").and_then(Value::as_str) == Some("on-demand") {
        policy.idle_stop = ON_DEMAND_IDLE;
    }
    for (member, value) in own {
        let path = format!("{OWN_MEMBER}.{member}");
        if parse_choice(member, value, &path, &mut policy, problems)
            || policy.remote.parse(member, value, &path, problems)
        {
            continue;
        }
        match member.as_str() {
            "idle_stop" => set_duration(&mut policy.idle_stop, value, &path, problems),
            "pool_idle_stop" => set_duration(&mut policy.pool_idle_stop, value, &path, problems),
            "max_pools" => set_count(&mut policy.max_pools, value, 1..=MOST_POOLS, &path, problems),
            "breaker_pause" => set_duration(&mut policy.breaker_pause, value, &path, problems),
            "breaker_failures" => {
                let mut failures = 0;
                set_count(&mut failures, value, 0..=1000, &path, problems);
                policy.breaker_failures = u32::try_from(failures).unwrap_or(0);
            }
            "call_timeout" => {
                let mut timeout = Duration::ZERO;
                set_duration(&mut timeout, value, &path, problems);
                policy.call_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
            }
            "start_timeout" => set_duration(&mut policy.start_timeout, value, &path, problems),
            "install_timeout" => set_duration(&mut policy.install_timeout, value, &path, problems),
            "queue_age" => set_duration(&mut policy.queue_age, value, &path, problems),
            "stdin_grace" => set_duration(&mut policy.stdin_grace, value, &path, problems),
            "term_grace" => set_duration(&mut policy.term_grace, value, &path, problems),
            "ping_interval" => set_duration(&mut policy.ping_interval, value, &path, problems),
            "ping_timeout" => set_duration(&mut policy.ping_timeout, value, &path, problems),
            "max_in_flight" => set_count(&mut policy.max_in_flight, value, 1..=4096, &path, problems),
            "queue" => set_count(&mut policy.queue, value, 0..=65_536, &path, problems),
            "connect_timeout" => set_duration(&mut policy.remote.connect_timeout, value, &path, problems),
            "max_answer" => set_count(&mut policy.max_frame, value, 1024..=(1 << 30), &path, problems),
            "max_frame" => set_count(&mut policy.max_frame, value, 1024..=(1 << 30), &path, problems),
            _ => problems.unknown(&path, member, &SETTINGS),
        }
    }
    policy
}

/// Reads a setting that is a choice between words, or consists of others. Returns `false` for any other setting.
fn parse_choice(
    member: &str,
    value: &Value,
    path: &str,
    policy: &mut Policy,
    problems: &mut Problems,
) -> bool {
    match member {
        "era" => match value.as_str() {
            Some("auto") => policy.era = EraChoice::Auto,
            Some("legacy") => policy.era = EraChoice::Legacy,
            Some("modern") => policy.era = EraChoice::Modern,
            Some("matched") => policy.era = EraChoice::Matched,
            _ => drop(problems.add::<()>(path, "must be \"auto\", \"legacy\", \"modern\" or \"matched\"")),
        },
        "restart" => match value.as_str() {
            Some("always") => policy.restart = RestartPolicy::Always,
            Some("on-failure") => policy.restart = RestartPolicy::OnFailure,
            Some("never") => policy.restart = RestartPolicy::Never,
            _ => drop(problems.add::<()>(path, "must be \"always\", \"on-failure\" or \"never\"")),
        },
        "start" => match value.as_str() {
            Some("eager") => policy.start = StartMode::Eager,
            Some("on-demand") => policy.start = StartMode::OnDemand,
            _ => drop(problems.add::<()>(path, "must be \"eager\" or \"on-demand\"")),
        },
        "update" => match value.as_str() {
            Some("start-first") => policy.update = UpdateMode::StartFirst,
            Some("stop-first") => policy.update = UpdateMode::StopFirst,
            _ => drop(problems.add::<()>(path, "must be \"start-first\" or \"stop-first\"")),
        },
        "isolation" => match value.as_str() {
            Some("shared") => policy.isolation = Isolation::Shared,
            Some("per-session") => policy.isolation = Isolation::PerSession,
            Some("per-principal") => policy.isolation = Isolation::PerPrincipal,
            _ => drop(problems.add::<()>(path, "must be \"shared\", \"per-session\" or \"per-principal\"")),
        },
        "replicas" => match parse_replicas(value) {
            Some(replicas) => policy.replicas = replicas,
            None => {
                let reason =
                    format!("must be a whole number from 1 to {MAX_REPLICAS}, or a range such as \"1..4\"");
                problems.add::<()>(path, &reason);
            }
        },
        "sandbox" => match value.as_str() {
            Some("none") => policy.sandboxed = false,
            Some("fs") => policy.sandboxed = true,
            _ => drop(problems.add::<()>(path, "must be \"none\" or \"fs\"")),
        },
        "pin" => match value.as_str() {
            Some("off") => policy.pin = PinMode::Off,
            Some("warn") => policy.pin = PinMode::Warn,
            Some("block") => policy.pin = PinMode::Block,
            _ => drop(problems.add::<()>(path, "must be \"off\", \"warn\" or \"block\"")),
        },
        "client_capabilities" => match parse_capabilities(value) {
            Some(declared) => policy.client_capabilities = declared,
            None => drop(
                problems.add::<()>(path, "must be a list of \"elicitation\", \"sampling\" and \"roots\""),
            ),
        },
        "limits" => match value {
            Value::Object(limits) => policy.limits = parse_limits(limits, path, problems),
            _ => drop(problems.add::<()>(path, "must be an object")),
        },
        _ => return false,
    }
    true
}

/// Reads what children may ask of their client: a list of names, each at most once.
fn parse_capabilities(value: &Value) -> Option<Declared> {
    let names: Vec<&str> = value.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    let known = ["elicitation", "sampling", "roots"];
    let are_known = names.iter().all(|name| known.contains(name));
    let has = |name| names.contains(&name);
    (are_known && names.len() <= known.len()).then(|| Declared {
        elicitation: has("elicitation"),
        sampling: has("sampling"),
        roots: has("roots"),
    })
}

fn parse_limits(own: &Map<String, Value>, path: &str, problems: &mut Problems) -> Limits {
    let mut limits = Limits::default();
    for (member, value) in own {
        let path = format!("{path}.{member}");
        let size = "must be a number of bytes of at least 1 MiB, such as \"512MiB\"";
        let count = "must be a whole number from 1 to 1048576";
        let counted = || value.as_u64().filter(|count| (1..=1 << 20).contains(count));
        let sized = || parse_size(value).filter(|bytes| *bytes >= 1 << 20);
        let (slot, read, reason) = match member.as_str() {
            "memory" => (&mut limits.memory, sized(), size),
            "file_size" => (&mut limits.file_size, sized(), size),
            "pids" => (&mut limits.processes, counted(), count),
            "open_files" => (&mut limits.open_files, counted(), count),
            "cpu" => {
                let cores = value.as_f64().filter(|cores| (0.01..=1024.0).contains(cores));
                limits.cpu_thousandths = cores.map(|cores| (cores * 1000.0).round() as u32);
                if cores.is_none() {
                    problems.add::<()>(&path, "must be a number of cores from 0.01 to 1024");
                }
                continue;
            }
            _ => {
                problems.unknown(&path, member, &LIMITS);
                continue;
            }
        };
        match read {
            Some(_) => *slot = read,
            None => drop(problems.add::<()>(&path, reason)),
        }
    }
    limits
}

/// Reads a size: a number of bytes, or `"64KiB"`, `"512MiB"`, `"2GiB"`. `None` for anything else.
fn parse_size(value: &Value) -> Option<u64> {
    let Value::String(text) = value else { return value.as_u64() };
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let shift = match text[split..].trim() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    text[..split].parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Reads `3`, `"3"` or `"1..4"`; `None` for anything else.
fn parse_replicas(value: &Value) -> Option<Replicas> {
    let (min, max) = match value {
        Value::Number(count) => {
            let count = usize::try_from(count.as_u64()?).ok()?;
            (count, count)
        }
        Value::String(text) => match text.split_once("..") {
            Some((min, max)) => (min.trim().parse().ok()?, max.trim().parse().ok()?),
            None => {
                let count = text.trim().parse().ok()?;
                (count, count)
            }
        },
        _ => return None,
    };
    (1 <= min && min <= max && max <= MAX_REPLICAS).then_some(Replicas { min, max })
}

fn set_duration(slot: &mut Duration, value: &Value, path: &str, problems: &mut Problems) {
    match parse_duration(value) {
        Some(duration) => *slot = duration,
        None => drop(problems.add::<()>(path, "must be a duration such as \"500ms\", \"10s\" or \"2m\"")),
    }
}

fn set_count(
    slot: &mut usize,
    value: &Value,
    range: std::ops::RangeInclusive<usize>,
    path: &str,
    problems: &mut Problems,
) {
    match value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n)) {
        Some(count) => *slot = count,
        None => {
            let reason = format!("must be a whole number from {} to {}", range.start(), range.end());
            problems.add::<()>(path, &reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_are_read_and_each_wrong_one_is_named() {
        let read = |value: Value| {
            let mut problems = Problems::default();
            let own = value.as_object().expect("an object").clone();
            (parse_limits(&own, "limits", &mut problems), problems.len())
        };
        let good =
            json!({"memory": "512MiB", "pids": 64, "cpu": 0.5, "open_files": 1024, "file_size": 1 << 30});
        let expected = Limits {
            memory: Some(512 << 20),
            processes: Some(64),
            cpu_thousandths: Some(500),
            open_files: Some(1024),
            file_size: Some(1 << 30),
        };
        assert_eq!(read(good), (expected, 0));
        let bad = json!({"memory": "512MB", "pids": 0, "cpu": "half", "open_files": -1, "file_size": "1KiB", "x": 1});
        assert_eq!(read(bad), (Limits::default(), 6));
    }

    #[test]
    fn an_unknown_setting_is_named_with_the_nearest_and_every_real_one_is_known() {
        let problems = |own: Value| {
            let mut problems = Problems::default();
            parse_policy(own.as_object().expect("an object"), &mut problems);
            problems.lines()
        };
        assert_eq!(
            problems(json!({"sandbx": "fs", "colour": 1, "limits": {"memroy": "1MiB"}})),
            [
                "mcpvisor.sandbx is not a known setting; did you mean 'sandbox'?",
                "mcpvisor.colour is not a known setting",
                "mcpvisor.limits.memroy is not a known setting; did you mean 'memory'?",
            ]
        );
        let known = |name: &&str| problems(json!({ *name: null })).iter().all(|line| !line.contains("known"));
        assert!(SETTINGS.iter().all(known), "the list of suggestions has settings that there are not");
        let limit = |name: &&str| {
            problems(json!({"limits": { *name: null }})).iter().all(|line| !line.contains("known"))
        };
        assert!(LIMITS.iter().all(limit));
    }

    #[test]
    fn isolation_is_read_and_a_pool_has_one_child_on_demand() {
        let read = |own: Value| {
            let mut problems = Problems::default();
            let policy = parse_policy(own.as_object().expect("an object"), &mut problems);
            (policy, problems.lines())
        };
        assert_eq!(read(json!({})).0.isolation, Isolation::Shared);
        let own =
            json!({"isolation": "per-session", "max_pools": 3, "replicas": "2..4", "pool_idle_stop": "1s"});
        let (policy, problems) = read(own);
        assert_eq!((policy.isolation, policy.max_pools, problems.len()), (Isolation::PerSession, 3, 0));
        let (member, legacy) = (PoolKey::Principal("user".into()), PoolKey::Legacy);
        let of_pool = policy.of_pool(&member, false);
        assert_eq!((of_pool.start, of_pool.replicas), (StartMode::OnDemand, Replicas { min: 1, max: 1 }));
        assert_eq!((of_pool.idle_stop, of_pool.update), (Duration::from_secs(1), UpdateMode::StartFirst));
        assert_eq!(policy.of_pool(&member, true).update, UpdateMode::StopFirst);
        let matched = Policy { era: EraChoice::Matched, ..policy.clone() };
        let eras = [legacy, PoolKey::Session(1), member].map(|key| matched.of_pool(&key, false).era);
        assert_eq!(eras, [EraChoice::Legacy, EraChoice::Legacy, EraChoice::Auto]);
        assert!(policy.same_child(&of_pool), "a pool's child is as any other");
        let (_, problems) = read(json!({"isolation": "per-user", "max_pools": 0}));
        assert_eq!(
            problems,
            [
                "mcpvisor.isolation must be \"shared\", \"per-session\" or \"per-principal\"",
                "mcpvisor.max_pools must be a whole number from 1 to 4096",
            ]
        );
    }

    #[test]
    fn replicas_are_a_number_or_a_range() {
        let replicas = |value: Value| parse_replicas(&value).map(|replicas| (replicas.min, replicas.max));
        assert_eq!(replicas(json!(3)), Some((3, 3)));
        assert_eq!(replicas(json!("2")), Some((2, 2)));
        assert_eq!(replicas(json!("1..4")), Some((1, 4)));
        for bad in
            [json!(0), json!("4..1"), json!("0..2"), json!(65), json!("1..65"), json!("a"), json!(null)]
        {
            assert_eq!(replicas(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_read_in_four_units() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(&json!(text)), Some(Duration::from_millis(ms)));
        }
        for bad in [
            json!("10"),
            json!("s"),
            json!(-1),
            json!("1d"),
            json!(null),
            json!(""),
            json!("9999999999h"),
            json!(1e300),
        ] {
            assert_eq!(parse_duration(&bad), None, "{bad}");
        }
    }
}
