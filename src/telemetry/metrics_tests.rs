use super::*;
use std::collections::BTreeSet;

const STATES: &[&str] = &["idle", "ready", "failed"];

fn metrics() -> Metrics {
    let sample = || Some(ProcessSample { open_fds: 7.0, cpu_seconds: 1.25, ..ProcessSample::default() });
    Metrics::new("1.2.3", STATES, sample).expect("declared")
}

/// Returns the value of a series, `name{label="value",…}` with labels in alphabetical order.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.render();
    let line =
        text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn series_of(metrics: &Metrics, family: &str) -> usize {
    metrics.render().lines().filter(|line| line.starts_with(&format!("{family}{{"))).count()
}

#[test]
fn calls_are_counted_by_kind_and_outcome() {
    let metrics = metrics();
    let git = metrics.server("git").unwrap();
    git.observe(Kind::Tool, OK, Duration::from_millis(3));
    git.observe(Kind::Tool, OK, Duration::from_millis(30));
    git.observe(Kind::Tool, "timed_out", Duration::from_secs(30));
    metrics.server("git").unwrap().observe(Kind::List, "timed_out", Duration::ZERO);
    let calls = |kind: &str, outcome: &str| {
        value(&metrics, &format!(r#"mcpvisor_calls_total{{kind="{kind}",outcome="{outcome}",server="git"}}"#))
    };
    assert_eq!(calls("tool", "ok"), Some(2.0));
    assert_eq!(calls("tool", "timed_out"), Some(1.0));
    assert_eq!(calls("list", "timed_out"), Some(1.0));
    assert_eq!(calls("resource", "ok"), Some(0.0), "a rate needs a start at zero");
    assert_eq!(calls("resource", "timed_out"), None);
    assert_eq!(value(&metrics, r#"mcpvisor_call_duration_seconds_count{server="git"}"#), Some(4.0));
    assert_eq!(
        value(&metrics, r#"mcpvisor_call_duration_seconds_bucket{server="git",le="0.005"}"#),
        Some(2.0)
    );
}

#[test]
fn one_state_of_a_server_is_set() {
    let metrics = metrics();
    let git = metrics.server("git").unwrap();
    let state =
        |name: &str| value(&metrics, &format!(r#"mcpvisor_server_state{{server="git",state="{name}"}}"#));
    assert_eq!(STATES.iter().map(|name| state(name)).collect::<Vec<_>>(), [Some(0.0); 3]);
    git.set_state("idle");
    git.set_state("ready");
    git.set_state("ready");
    git.set_state("nonsense");
    assert_eq!((state("idle"), state("ready"), state("failed")), (Some(0.0), Some(1.0), Some(0.0)));
}

#[test]
fn the_rest_is_set_and_counted() {
    let metrics = metrics();
    let git = metrics.server("git").unwrap();
    git.set_in_flight(5);
    git.set_in_flight(2);
    git.restarted();
    git.stdout_noise(3);
    git.stderr_lines(4);
    git.late_reply();
    git.lost_sessions(2);
    git.ended("exited", 2);
    git.started(2, Duration::from_millis(1500));
    git.waited(3, Duration::from_millis(250));
    git.set_snapshot(&Snapshot { queued: 4, queue_limit: 64, ..Snapshot::default() });
    metrics.count_refusal("rate_limited");
    metrics.count_answer(Surface::McpCli, 404, Duration::ZERO);
    metrics.set_http_connections(7);
    metrics.set_store_degraded(true);
    metrics.set_store_from_backup(true);
    metrics.set_flush_age(Duration::from_secs(3));
    metrics.set_clock_in_doubt(true);
    for (left, ended) in [(3, 1), (2, 1), (2, 4)] {
        metrics.set_strays(left, ended);
    }
    for lost in [4, 4, 6] {
        metrics.set_audit_lost(lost);
        metrics.set_audit_unrecorded(lost + 1);
        metrics.set_spans(lost, lost + 2);
    }
    for (series, expected) in [
        (r#"mcpvisor_calls_in_flight{server="git"}"#, 2.0),
        (r#"mcpvisor_server_restarts_total{server="git"}"#, 1.0),
        (r#"mcpvisor_child_stdout_noise_lines_total{server="git"}"#, 3.0),
        (r#"mcpvisor_child_stderr_lines_total{server="git"}"#, 4.0),
        (r#"mcpvisor_child_late_replies_total{server="git"}"#, 1.0),
        (r#"mcpvisor_remote_sessions_lost_total{server="git"}"#, 2.0),
        (r#"mcpvisor_child_ends_total{cause="exited",server="git"}"#, 2.0),
        (r#"mcpvisor_server_start_seconds_sum{server="git"}"#, 1.5),
        (r#"mcpvisor_server_start_seconds_count{server="git"}"#, 2.0),
        (r#"mcpvisor_call_queue_seconds_sum{server="git"}"#, 0.25),
        (r#"mcpvisor_call_queue_seconds_count{server="git"}"#, 3.0),
        (r#"mcpvisor_calls_queued{server="git"}"#, 4.0),
        (r#"mcpvisor_calls_queue_limit{server="git"}"#, 64.0),
        (r#"mcpvisor_refusals_total{reason="rate_limited"}"#, 1.0),
        (r#"mcpvisor_refusals_total{reason="unauthenticated"}"#, 0.0),
        (r#"mcpvisor_http_requests_total{dialect="mcp_cli",status="404"}"#, 1.0),
        ("mcpvisor_http_connections", 7.0),
        ("mcpvisor_store_degraded", 1.0),
        ("mcpvisor_store_from_backup", 1.0),
        ("mcpvisor_store_flush_age_seconds", 3.0),
        ("mcpvisor_audit_lost_total", 6.0),
        ("mcpvisor_audit_unrecorded_total", 7.0),
        ("mcpvisor_spans_exported_total", 6.0),
        ("mcpvisor_spans_dropped_total", 8.0),
        ("mcpvisor_clock_in_doubt", 1.0),
        ("mcpvisor_strays", 2.0),
        ("mcpvisor_strays_ended_total", 4.0),
        (r#"mcpvisor_build_info{version="1.2.3"}"#, 1.0),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
    // Twice, because a counter takes steps.
    for _ in 0..2 {
        assert_eq!(value(&metrics, "process_open_fds"), Some(7.0));
        assert_eq!(value(&metrics, "process_cpu_seconds_total"), Some(1.25));
    }
}

#[test]
fn a_removed_server_leaves_nothing_and_its_old_handles_count_into_nothing() {
    let metrics = metrics();
    let old = metrics.server("git").unwrap();
    old.observe(Kind::Tool, "timed_out", Duration::ZERO);
    let busy = || {
        old.count_tool("log", 1, 1, Duration::ZERO);
        old.ended("exited", 1);
        old.started(1, Duration::ZERO);
        old.waited(1, Duration::ZERO);
    };
    busy();
    metrics.remove_server("git");
    metrics.remove_server("git");
    assert!(!metrics.render().contains("git"));
    old.observe(Kind::Tool, OK, Duration::ZERO);
    old.observe(Kind::Tool, "unreachable", Duration::ZERO);
    old.set_state("ready");
    old.set_in_flight(1);
    busy();
    assert!(!metrics.render().contains("git"));
    metrics.server("git").unwrap().observe(Kind::Tool, OK, Duration::ZERO);
    old.observe(Kind::Tool, OK, Duration::ZERO);
    let ok = r#"mcpvisor_calls_total{kind="tool",outcome="ok",server="git"}"#;
    assert_eq!(value(&metrics, ok), Some(1.0));
}

#[test]
fn servers_without_room_share_other_and_removal_makes_room() {
    let metrics = metrics();
    let count = MAX_SERIES + 10;
    let servers: Vec<ServerMetrics> =
        (0..count).map(|n| metrics.server(&format!("s{n}")).expect("resolved")).collect();
    for server in &servers {
        server.observe(Kind::Tool, "timed_out", Duration::ZERO);
        server.set_state("ready");
        server.set_in_flight(1);
    }
    let label_other = r#"server="other""#;
    for family in ["mcpvisor_calls_total", "mcpvisor_calls_in_flight", "mcpvisor_server_state"] {
        let others = metrics
            .render()
            .lines()
            .filter(|line| line.starts_with(&format!("{family}{{")) && line.contains(label_other))
            .count();
        let own = series_of(&metrics, family) - others;
        assert!((MAX_SERIES - STATES.len()..=MAX_SERIES).contains(&own), "{family}: {own}");
        assert!((1..10).contains(&others), "{family}: {others} of `other`");
    }
    let in_flight = r#"mcpvisor_calls_in_flight{server="other"}"#;
    let ready = r#"mcpvisor_server_state{server="other",state="ready"}"#;
    assert_eq!(value(&metrics, in_flight), Some(10.0));
    assert_eq!(value(&metrics, ready), Some((count - MAX_SERIES / STATES.len()) as f64));

    servers[count - 1].set_state("failed");
    metrics.remove_server(&format!("s{}", count - 2));
    assert_eq!(value(&metrics, in_flight), Some(9.0));
    assert_eq!(value(&metrics, ready), Some((count - MAX_SERIES / STATES.len() - 2) as f64));
    metrics.remove_server("s0");
    metrics.server("late").unwrap().set_in_flight(3);
    assert_eq!(value(&metrics, r#"mcpvisor_calls_in_flight{server="late"}"#), Some(3.0));
}

#[test]
fn a_server_called_other_is_one_of_the_others() {
    let metrics = metrics();
    metrics.server(OTHER).unwrap().set_in_flight(2);
    metrics.remove_server(OTHER);
    assert_eq!(value(&metrics, r#"mcpvisor_calls_in_flight{server="other"}"#), Some(0.0));
}

#[test]
fn threads_that_count_the_same_new_outcome_lose_nothing() {
    let metrics = metrics();
    let git = metrics.server("git").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..1000 {
                    git.observe(Kind::Tool, "bad_reply", Duration::ZERO);
                    git.set_in_flight(n % 3);
                }
            });
        }
    });
    git.set_in_flight(0);
    let series = r#"mcpvisor_calls_total{kind="tool",outcome="bad_reply",server="git"}"#;
    assert_eq!(value(&metrics, series), Some(8000.0));
    assert_eq!(value(&metrics, r#"mcpvisor_calls_in_flight{server="git"}"#), Some(0.0));
}

#[test]
fn label_values_are_escaped() {
    let metrics = metrics();
    metrics.server("a\"b\\c").unwrap().set_in_flight(1);
    assert_eq!(value(&metrics, r#"mcpvisor_calls_in_flight{server="a\"b\\c"}"#), Some(1.0));
}

#[test]
fn the_reference_lists_the_families_that_are_there_and_no_others() {
    let metrics = metrics();
    metrics.server("git").unwrap();
    metrics.server("git").unwrap().count_tool("log", 1, 0, Duration::ZERO);
    metrics.server("git").unwrap().ended("exited", 1);
    metrics.count_deprecated(super::Deprecated::Logging, None);
    let rendered = metrics.render();
    let there: BTreeSet<(&str, &str)> =
        rendered.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let reference = include_str!("../../docs/metrics.md");
    let listed: BTreeSet<(&str, &str)> = reference
        .lines()
        .filter_map(|line| {
            let mut cells =
                line.strip_prefix("| `").filter(|line| !line.starts_with("deploy/"))?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    assert_eq!(listed, there);
}

/// What a scrape costs with 200 servers of 20 tools each, all of which were called. Printed by
/// `cargo test --release --lib a_scrape_of_200 -- --nocapture`; the bounds here are those of any build on any machine.
#[test]
fn a_scrape_of_200_servers_with_20_tools_each_stays_small() {
    let metrics = metrics();
    for number in 0..200 {
        let server = metrics.server(&format!("server-{number}")).unwrap();
        server.set_state("ready");
        server.set_snapshot(&Snapshot::default());
        server.observe(Kind::Tool, OK, Duration::from_millis(number));
        server.observe(Kind::Tool, "timed_out", Duration::from_secs(30));
        for tool in 0..20 {
            server.count_tool(&format!("tool_{tool}"), 7, 1, Duration::from_millis(12));
        }
    }
    let length = metrics.render().len();
    let begin = std::time::Instant::now();
    let rounds = 10;
    (0..rounds).for_each(|_| assert_eq!(metrics.render().len(), length));
    let took = begin.elapsed() / rounds;
    println!("a scrape: {} KiB, {} lines, {took:?}", length / 1024, metrics.render().lines().count());
    assert!(length < 2 * 1024 * 1024, "{length} bytes");
}
