//! The servers as `top` has them: what the stream told, in an order, as a table. Pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::Value;
use time::OffsetDateTime;

use crate::cli::operate::list::{counted, state};
use crate::cli::operate::screen::{Colour, Style};
use crate::cli::operate::table::{Cell, Fit, Table};
use crate::cli::operate::words::{age, bytes, first_line, plain};

/// Column that servers are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TopKey {
    /// Name
    Name,
    /// Calls a second
    #[default]
    Calls,
    /// Errors a second
    Errors,
    /// Time in which 99 of 100 calls were answered
    P99,
    /// Memory
    Memory,
    /// CPU
    Cpu,
    /// Restarts
    Restarts,
    /// State
    State,
}

impl TopKey {
    /// Returns the column that a key of the keyboard stands for.
    pub(super) fn of(key: u8) -> Option<TopKey> {
        Some(match key {
            b'n' => TopKey::Name,
            b'c' => TopKey::Calls,
            b'e' => TopKey::Errors,
            b'p' => TopKey::P99,
            b'm' => TopKey::Memory,
            b'u' => TopKey::Cpu,
            b'r' => TopKey::Restarts,
            b's' => TopKey::State,
            _ => return None,
        })
    }

    /// Returns the member of a row that it is.
    fn member(self) -> &'static str {
        match self {
            TopKey::Name => "name",
            TopKey::Calls => "calls_per_second",
            TopKey::Errors => "errors_per_second",
            TopKey::P99 => "p99_ms",
            TopKey::Memory => "rss_bytes",
            TopKey::Cpu => "cpu",
            TopKey::Restarts => "restarts",
            TopKey::State => "state",
        }
    }
}

/// Order of the servers: by a column, the most first and names from A, or turned around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) key: TopKey,
    pub(super) turned: bool,
}

impl Order {
    fn compare(self, a: &Value, b: &Value) -> Ordering {
        let (x, y) = (&a[self.key.member()], &b[self.key.member()]);
        let order = match (x.as_f64(), y.as_f64()) {
            (Some(x), Some(y)) => y.total_cmp(&x),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => x.as_str().cmp(&y.as_str()),
        };
        // Whoever is alike stays in place from one picture to the next.
        let order = if self.turned { order.reverse() } else { order };
        order.then_with(|| a["name"].as_str().cmp(&b["name"].as_str()))
    }
}

/// The servers by their ids, each as its row was told last.
#[derive(Debug, Default)]
pub(super) struct Servers {
    rows: BTreeMap<String, Value>,
}

impl Servers {
    /// Takes what an event says.
    pub(super) fn apply(&mut self, event: &Value) {
        let Some(rows) = event["rows"].as_array() else { return };
        if event["all"] == true {
            self.rows.clear();
        }
        for row in rows {
            if let Some(id) = row["id"].as_str() {
                self.rows.insert(id.to_owned(), row.clone());
            }
        }
        for id in event["gone"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.rows.remove(id);
        }
    }

    /// Returns the rows in an order.
    pub(super) fn sorted(&self, order: Order) -> Vec<&Value> {
        let mut rows: Vec<&Value> = self.rows.values().collect();
        rows.sort_by(|a, b| order.compare(a, b));
        rows
    }

    /// Returns the line above the table: all servers together.
    pub(super) fn head(&self, place: &str, order: Order, style: &Style) -> String {
        let sum = |member: &str| self.rows.values().filter_map(|row| row[member].as_f64()).sum::<f64>();
        let rows: Vec<Value> = self.rows.values().cloned().collect();
        let sorted = if order.turned { ", turned" } else { "" };
        format!(
            "{}  {}\n{} calls/s, {} errors/s, {} in flight, {} queued, {} CPU, {}\n{}\n",
            style.paint(Colour::Bold, "mcpvisor top"),
            style.foreign(&format!("{place}: {}", counted(&rows))),
            rate(sum("calls_per_second")),
            rate(sum("errors_per_second")),
            sum("in_flight"),
            sum("queued"),
            share(sum("cpu")),
            bytes(sum("rss_bytes") as u64),
            style.paint(
                Colour::Dim,
                &format!(
                    "by {}{sorted}; n c e p m u r s sort, i turns, q ends",
                    order.key.member().replace('_', " ")
                )
            ),
        )
    }

    /// Returns the table.
    pub(super) fn table(&self, order: Order, style: &Style, now: OffsetDateTime) -> String {
        let mut table = Table::new(&[
            ("NAME", Fit::Cut(12)),
            ("STATE", Fit::Whole),
            ("CALLS/S", Fit::Whole),
            ("ERR/S", Fit::Whole),
            ("P50 MS", Fit::Optional),
            ("P99 MS", Fit::Whole),
            ("FLIGHT", Fit::Optional),
            ("QUEUED", Fit::Optional),
            ("CPU", Fit::Optional),
            ("RSS", Fit::Optional),
            ("RESTARTS", Fit::Optional),
            ("LAST CALL", Fit::Optional),
            ("LAST ERROR", Fit::Cut(16)),
        ]);
        for row in self.sorted(order) {
            let number = |member: &str, form: fn(f64) -> String| {
                Cell::from(row[member].as_f64().map(form).unwrap_or_default())
            };
            // What is elsewhere, and what does not run, has no share of this machine.
            let of_processes = |member: &str, form: fn(f64) -> String| match row["processes"].as_u64() {
                Some(0) => Cell::from(String::new()),
                _ => number(member, form),
            };
            table.row([
                Cell::from(plain(&row["name"])),
                state(row),
                number("calls_per_second", rate),
                number("errors_per_second", rate),
                number("p50_ms", rate),
                number("p99_ms", rate),
                Cell::from(plain(&row["in_flight"])),
                Cell::from(plain(&row["queued"])),
                of_processes("cpu", share),
                of_processes("rss_bytes", |rss| bytes(rss as u64)),
                Cell::from(plain(&row["restarts"])),
                Cell::from(age(&row["last_active"], now)),
                Cell::from(first_line(row["cause"].as_str().unwrap_or_default())),
            ]);
        }
        table.text(style)
    }
}

/// Returns a number with as many digits as an eye wants.
fn rate(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        ..10.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// Returns a share of one core.
fn share(cores: f64) -> String {
    format!("{:.0}%", cores * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-30 08:00:00 UTC);

    fn servers() -> Servers {
        let mut servers = Servers::default();
        servers.apply(&json!({"all": true, "rows": [
            {"id": "1", "name": "a", "state": "ready", "calls_per_second": 2.0, "errors_per_second": 0.0, "p50_ms": 1.25,
             "p99_ms": 12.0, "in_flight": 1, "queued": 0, "cpu": 0.25, "rss_bytes": 1_048_576, "restarts": 0,
             "last_active": "2026-11-30T07:59:58Z", "cause": null},
            {"id": "2", "name": "b\u{1b}[2J", "state": "backoff", "calls_per_second": 3.5, "errors_per_second": 1.0, "p50_ms": null,
             "p99_ms": null, "in_flight": 0, "queued": 4, "cpu": 0.0, "rss_bytes": 0, "processes": 0, "restarts": 7,
             "last_active": null, "cause": "exited\nmore"},
        ], "gone": []}));
        servers
    }

    fn names(servers: &Servers, key: TopKey, turned: bool) -> Vec<&str> {
        servers.sorted(Order { key, turned }).iter().filter_map(|row| row["name"].as_str()).collect()
    }

    #[test]
    fn each_server_has_a_line_and_foreign_names_steer_nothing() {
        let order = Order { key: TopKey::Calls, turned: false };
        let shown = servers().table(order, &Style::PLAIN, NOW);
        assert_eq!(
            shown,
            "NAME        STATE    CALLS/S  ERR/S  P50 MS  P99 MS  FLIGHT  QUEUED  CPU  RSS      RESTARTS  LAST CALL  LAST ERROR\n\
             b\\u{1b}[2J  backoff  3.5      1.0    -       -       0       4       -    -        7         -          exited\n\
             a           ready    2.0      0      1.2     12      1       0       25%  1.0 MiB  0         2s         -\n"
        );
        let wide = Style { width: Some(80), colours: false };
        let head = servers().head("/run/x\u{1b}.sock", order, &wide);
        assert!(head.starts_with("mcpvisor top  /run/x\\u{1b}.sock: 2 servers: "), "{head}");
        assert!(
            head.contains("5.5 calls/s, 1.0 errors/s, 1 in flight, 4 queued, 25% CPU, 1.0 MiB\n"),
            "{head}"
        );
    }

    #[test]
    fn the_order_is_that_of_the_column_and_what_is_not_known_comes_last() {
        let servers = servers();
        assert_eq!(names(&servers, TopKey::Calls, false), ["b\u{1b}[2J", "a"]);
        assert_eq!(names(&servers, TopKey::Calls, true), ["a", "b\u{1b}[2J"]);
        assert_eq!(names(&servers, TopKey::Memory, false), ["a", "b\u{1b}[2J"]);
        assert_eq!(names(&servers, TopKey::Name, false), ["a", "b\u{1b}[2J"]);
        assert_eq!((TopKey::of(b'c'), TopKey::of(b'x')), (Some(TopKey::Calls), None));
    }

    #[test]
    fn changes_are_taken_and_those_that_are_gone_leave() {
        let mut servers = servers();
        servers.apply(&json!({"all": false, "rows": [{"id": "1", "name": "c"}], "gone": ["2"]}));
        assert_eq!(names(&servers, TopKey::Name, false), ["c"]);
        servers.apply(&json!({"at": "a tick"}));
        assert_eq!(servers.rows.len(), 1);
        servers.apply(&json!({"all": true, "rows": [], "gone": []}));
        assert!(servers.rows.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_told_is_a_total_order_and_a_table(rates in prop::collection::vec(prop::option::of(any::<f64>()), 0..8)) {
            let rows: Vec<Value> = rates.iter().enumerate()
                .map(|(at, rate)| json!({"id": at.to_string(), "name": format!("n{at}"), "calls_per_second": rate})).collect();
            let mut servers = Servers::default();
            servers.apply(&json!({"all": true, "rows": rows, "gone": []}));
            let order = Order { key: TopKey::Calls, turned: false };
            prop_assert_eq!(servers.sorted(order).len(), rates.len());
            prop_assert_eq!(servers.table(order, &Style::PLAIN, NOW).lines().count(), rates.len() + 1);
        }
    }
}
