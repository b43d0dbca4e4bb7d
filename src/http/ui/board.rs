//! The table of the servers that all pages look at: made once for all of them, and sent to each page as far as it may see it and
//! as it reads otherwise than before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;

use super::windows::Window;
use crate::http::core::timestamp::push_now;

/// Least time between two looks at the servers, whoever asks: a bit less than that between two looks of one page, so that
/// the only page there is misses none.
const FRESH: Duration = Duration::from_millis(800);
/// Time without a look after which the readings of before say nothing of the last seconds.
const STALE: Duration = Duration::from_secs(10);

/// A server's row as JSON, the same one as long as it reads the same.
type Row = (Arc<str>, Arc<RawValue>);

/// The rows of all servers, for all pages.
#[derive(Default)]
pub(super) struct Board(Mutex<Looked>);

#[derive(Default)]
struct Looked {
    at: Option<Instant>,
    rows: Arc<Vec<Row>>,
    /// What each server's rates are taken from: one window a server, however many pages there are.
    windows: HashMap<Arc<str>, Window>,
}

impl Board {
    /// Returns the rows: those of the last look if that was just now, or else what `look` makes of the servers.
    pub(super) fn rows(
        &self,
        now: Instant,
        look: impl FnOnce(&mut HashMap<Arc<str>, Window>, Instant) -> Vec<(Arc<str>, Box<RawValue>)>,
    ) -> Arc<Vec<Row>> {
        // Pages that look at once wait for the one that makes the rows; nothing is waited for meanwhile.
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = looked.at.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < FRESH) {
            return looked.rows.clone();
        }
        if since.is_some_and(|since| since > STALE) {
            looked.windows.clear();
        }
        let made = look(&mut looked.windows, now);
        let before: HashMap<&Arc<str>, &Arc<RawValue>> =
            looked.rows.iter().map(|(id, row)| (id, row)).collect();
        let same = |id: &Arc<str>, row: &RawValue| before.get(id).filter(|known| known.get() == row.get());
        let rows: Vec<Row> = made
            .into_iter()
            .map(|(id, row)| match same(&id, &row) {
                Some(known) => (id, Arc::clone(known)),
                None => (id, row.into()),
            })
            .collect();
        if looked.windows.len() > rows.len() {
            looked.windows.retain(|id, _| rows.iter().any(|(known, _)| known == id));
        }
        (looked.at, looked.rows) = (Some(now), Arc::new(rows));
        looked.rows.clone()
    }
}

/// Event of the stream: what has changed.
#[derive(Serialize)]
struct Change<'a> {
    /// `true` if these rows are all that there are.
    all: bool,
    at: String,
    rows: Vec<&'a RawValue>,
    gone: Vec<&'a str>,
}

/// The rows that a page has been told so far.
#[derive(Default)]
pub(super) struct Told {
    has_begun: bool,
    rows: HashMap<Arc<str>, Arc<RawValue>>,
}

impl Told {
    /// Returns what has changed of the rows that the page may see, as the data of an event; `None` if nothing has.
    pub(super) fn change<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) -> Option<String> {
        let all = !std::mem::replace(&mut self.has_begun, true);
        let mut gone = std::mem::take(&mut self.rows);
        let mut changed: Vec<&RawValue> = Vec::new();
        for (id, row) in rows {
            if !gone.remove(id).is_some_and(|before| Arc::ptr_eq(&before, row)) {
                changed.push(row);
            }
            self.rows.insert(id.clone(), row.clone());
        }
        if !all && changed.is_empty() && gone.is_empty() {
            return None;
        }
        let gone = gone.keys().map(|id| &**id).collect();
        serde_json::to_string(&Change { all, at: now_text(), rows: changed, gone }).ok()
    }
}

/// Returns the time as text.
pub(super) fn now_text() -> String {
    let mut text = Vec::new();
    push_now(&mut text);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::windows::Counts;
    use super::*;
    use serde_json::{Value, json};

    /// Rows of servers of these ids, each with a number.
    fn rows(of: &[(&str, u64)]) -> Vec<(Arc<str>, Box<RawValue>)> {
        let row = |(id, n): &(&str, u64)| {
            (Arc::from(*id), RawValue::from_string(json!({"id": id, "n": n}).to_string()).expect("JSON"))
        };
        of.iter().map(row).collect()
    }

    fn told(told: &mut Told, rows: &[Row]) -> Option<Value> {
        told.change(rows.iter()).map(|change| serde_json::from_str(&change).expect("JSON"))
    }

    #[test]
    fn ten_pages_look_at_the_servers_as_often_as_one() {
        let (board, start, mut looks) = (Board::default(), Instant::now(), 0);
        for tick in 0..10_000u64 {
            // Each page looks once a second, and each at another moment of it.
            board.rows(start + Duration::from_millis(tick * 100), |windows, now| {
                looks += 1;
                windows.entry("a".into()).or_default().rates(now, Counts::default());
                rows(&[("a", 1)])
            });
        }
        assert!((1000..=1260).contains(&looks), "{looks} looks in 1,000 seconds");
        assert_eq!(board.0.lock().expect("whole").windows.len(), 1);
    }

    #[test]
    fn a_server_that_is_gone_leaves_no_window_and_an_old_one_is_not_used() {
        let (board, start) = (Board::default(), Instant::now());
        let look = |after, of: &[(&str, u64)], calls| {
            let mut rate = 0.0;
            board.rows(start + Duration::from_secs(after), |windows, now| {
                for (id, _) in of {
                    let sums = Counts { calls, ..Counts::default() };
                    rate = windows.entry((*id).into()).or_default().rates(now, sums).calls;
                }
                rows(of)
            });
            (rate, board.0.lock().expect("whole").windows.len())
        };
        assert_eq!(look(0, &[("a", 1), ("b", 1)], 0), (0.0, 2));
        assert_eq!(look(1, &[("a", 1)], 10), (10.0, 1));
        assert_eq!(look(3600, &[("a", 1)], 36_000), (0.0, 1), "an hour in which nobody looked");
        assert_eq!(look(3601, &[("a", 1)], 36_010), (10.0, 1));
    }

    #[test]
    fn a_page_is_told_what_reads_otherwise_and_what_is_gone() {
        let (board, start, mut page) = (Board::default(), Instant::now(), Told::default());
        let look =
            |after, of: &[(&str, u64)]| board.rows(start + Duration::from_secs(after), |_, _| rows(of));
        let first = look(0, &[("a", 1), ("b", 1)]);
        let all = told(&mut page, &first).expect("all");
        assert_eq!((&all["all"], all["rows"].as_array().map(Vec::len)), (&json!(true), Some(2)));
        assert_eq!(told(&mut page, &look(1, &[("a", 1), ("b", 1)])), None);
        let change = told(&mut page, &look(2, &[("a", 2), ("c", 1)])).expect("a change");
        assert_eq!(change["rows"], json!([{"id": "a", "n": 2}, {"id": "c", "n": 1}]));
        assert_eq!((&change["gone"], &change["all"]), (&json!(["b"]), &json!(false)));
        // Nothing to see is an answer, too: the page then knows that it has all.
        assert_eq!(told(&mut Told::default(), &[]).expect("nothing")["rows"], json!([]));
    }
}
