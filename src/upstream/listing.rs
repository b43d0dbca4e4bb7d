//! Reading of a child's lists: all pages, within bounds. A list that ends early yields the entries read so far.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::call::Link;
use super::catalog::{Catalog, Tool};
use super::request::{HandshakeError, ask, refusal};
use super::teller::Teller;
use crate::mcp::translate::HeaderParam;
use crate::mcp::{self, HandshakeInfo, ListKind, NextPage};

/// Longest time for all lists when they are read again after the handshake.
const REFRESH_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for a list that a server can do without.
const OPTIONAL_LIST_LIMIT: Duration = Duration::from_secs(10);
/// Longest time for tools that were not announced: some servers do not answer unknown methods.
const UNANNOUNCED_LIMIT: Duration = Duration::from_secs(3);
/// Maximum size of one list, in bytes.
const MAX_LIST_BYTES: usize = 32 * 1024 * 1024;
/// Maximum number of pages of one list.
const MAX_PAGES: usize = 500;
/// Maximum number of entries of one list.
const MAX_ENTRIES: usize = 50_000;

type Entries = Vec<Box<RawValue>>;

/// Reads the lists that the child's capabilities announce, concurrently, and its tools in any case: some servers
/// announce nothing. Only announced tools are mandatory: any other list that cannot be read stays as it was, and the
/// rest is kept.
pub(super) async fn load_catalog(
    link: &Link,
    facts: &HandshakeInfo,
    deadline: Instant,
    previous: &Catalog,
    teller: &Teller,
) -> Result<Catalog, HandshakeError> {
    let good_for = GoodFor::default();
    let list = |kind, deadline| load_list(link, kind, deadline, (&good_for, teller));
    let announced = |kind: ListKind| facts.capabilities.get(kind.capability()).is_some();
    let tools = async {
        if announced(ListKind::Tools) {
            list(ListKind::Tools, deadline).await
        } else {
            let deadline = deadline.min(Instant::now() + UNANNOUNCED_LIMIT);
            unannounced(list(ListKind::Tools, deadline).await, teller)
        }
    };
    let optional_deadline = deadline.min(Instant::now() + OPTIONAL_LIST_LIMIT);
    let is_stale = AtomicBool::new(false);
    let (announced, list, is_stale) = (&announced, &list, &is_stale);
    let optional = |kind: ListKind| async move {
        if !announced(kind) {
            return Ok(Vec::new());
        }
        match list(kind, optional_deadline).await {
            Err(HandshakeError::Refused(reason)) => {
                teller.warn(&format!("a list cannot be read and stays as it was: {reason}"));
                is_stale.store(true, Ordering::Relaxed);
                Ok(previous.entries(kind))
            }
            Err(HandshakeError::TimedOut { phase, .. }) => {
                teller.warn(&format!("{phase} was not answered in time; the list stays as it was"));
                is_stale.store(true, Ordering::Relaxed);
                Ok(previous.entries(kind))
            }
            other => other,
        }
    };
    let (tools, resources, templates, prompts) = tokio::join!(
        tools,
        optional(ListKind::Resources),
        optional(ListKind::Templates),
        optional(ListKind::Prompts),
    );
    let (catalog, left_out) = Catalog::build(tools?, resources?, templates?, prompts?);
    let catalog = catalog.read_as(good_for.shortest(), !is_stale.load(Ordering::Relaxed));
    if let Some(told) = left_out.told() {
        teller.warn(&told);
    }
    Ok(if link.repeats_arguments() { without_faulty(catalog, teller) } else { catalog })
}

/// Leaves out the tools whose arguments cannot be repeated in headers as their schemas want it (R28).
fn without_faulty(catalog: Catalog, teller: &Teller) -> Catalog {
    let fault = |tool: &Tool| HeaderParam::fault(tool.input_schema.get());
    let mut is_complete = true;
    for (tool, fault) in catalog.tools().iter().filter_map(|tool| Some((tool, fault(tool)?))) {
        is_complete = false;
        teller.warn(&format!("tool '{}' is left out: an x-mcp-header of its schema {fault}", tool.name));
    }
    if is_complete { catalog } else { catalog.with_tools(|tool| fault(tool).is_none()) }
}

/// Reads the lists again, after the child has announced a change.
pub(super) async fn reload_catalog(
    link: &Link,
    facts: &HandshakeInfo,
    previous: &Catalog,
    teller: &Teller,
) -> Result<Catalog, HandshakeError> {
    load_catalog(link, facts, Instant::now() + REFRESH_LIMIT, previous, teller).await
}

/// Judges the tools of a child that announced none. A refusal or timeout counts as an empty list.
fn unannounced(read: Result<Entries, HandshakeError>, teller: &Teller) -> Result<Entries, HandshakeError> {
    match read {
        Ok(tools) => {
            if !tools.is_empty() {
                let count = tools.len();
                teller.warn(&format!(
                    "its capabilities announce no tools, but it has {count}: they are served"
                ));
            }
            Ok(tools)
        }
        Err(HandshakeError::Gone) => Err(HandshakeError::Gone),
        Err(HandshakeError::TimedOut { .. } | HandshakeError::Refused(_)) => Ok(Vec::new()),
    }
}

/// Shortest time for which the pages that were read are good; none unless all say so.
struct GoodFor(AtomicU64);

impl Default for GoodFor {
    fn default() -> GoodFor {
        GoodFor(AtomicU64::new(u64::MAX))
    }
}

impl GoodFor {
    fn add(&self, ttl_ms: Option<u64>) {
        self.0.fetch_min(ttl_ms.unwrap_or(0), Ordering::Relaxed);
    }

    fn shortest(&self) -> Duration {
        let shortest = self.0.load(Ordering::Relaxed);
        Duration::from_millis(if shortest == u64::MAX { 0 } else { shortest })
    }
}

/// Reads all pages of a list, within bounds. If a child announces a list but does not know the method, the list is
/// empty. From the second page on, an error costs only the rest of the list.
async fn load_list(
    link: &Link,
    kind: ListKind,
    deadline: Instant,
    (good_for, teller): (&GoodFor, &Teller),
) -> Result<Entries, HandshakeError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut cursors = HashSet::new();
    let mut cursor: Option<String> = None;
    let end = loop {
        let page = match (load_page(link, kind, cursor.as_deref(), deadline).await, &cursor) {
            (Ok(page), _) => page,
            (Err(HandshakeError::Gone), _) => return Err(HandshakeError::Gone),
            (Err(error), None) => return Err(error),
            (Err(HandshakeError::TimedOut { .. }), Some(_)) => {
                break "a page was not answered in time".to_owned();
            }
            (Err(HandshakeError::Refused(reason)), Some(_)) => break reason,
        };
        let Some(mut page) = page else { return Ok(entries) };
        bytes += page.length;
        good_for.add(page.ttl_ms);
        entries.append(&mut page.entries);
        entries.truncate(MAX_ENTRIES);
        match page.next {
            NextPage::None => return Ok(entries),
            NextPage::Unusable(what) => break format!("its nextCursor is {what}, not text"),
            NextPage::At(next) => {
                let is_new = cursors.insert(next.clone());
                if !is_new || Some(&next) == cursor.as_ref() {
                    break "its cursors go round in a circle".to_owned();
                }
                cursor = Some(next);
            }
        }
        if bytes > MAX_LIST_BYTES || entries.len() >= MAX_ENTRIES || cursors.len() >= MAX_PAGES {
            break format!(
                "it has more than {MAX_PAGES} pages, {MAX_ENTRIES} entries or {MAX_LIST_BYTES} bytes"
            );
        }
    };
    teller.warn(&format!("{} ends early, with {} entries: {end}", kind.method(), entries.len()));
    Ok(entries)
}

struct Page {
    entries: Entries,
    next: NextPage,
    /// Size of the page, in bytes.
    length: usize,
    ttl_ms: Option<u64>,
}

/// Reads one page; `None` if the child does not know the method.
async fn load_page(
    link: &Link,
    kind: ListKind,
    cursor: Option<&str>,
    deadline: Instant,
) -> Result<Option<Page>, HandshakeError> {
    let members = cursor.map(|cursor| format!("\"cursor\":{}", serde_json::Value::from(cursor)));
    let members = Bytes::from(members.unwrap_or_default());
    let result = match ask(link, kind.method(), members, deadline).await? {
        Ok(result) => result,
        Err(error) if error.code == -32601 && cursor.is_none() => return Ok(None),
        Err(error) => return Err(HandshakeError::Refused(refusal(kind.method(), &error))),
    };
    let page = mcp::read_page(kind, &result).map_err(HandshakeError::Refused)?;
    let length = result.len();
    Ok(Some(Page { entries: page.entries, next: page.next, length, ttl_ms: page.ttl_ms }))
}
