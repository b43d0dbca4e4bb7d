//! The catalog of a child: tools, resources, templates, prompts. Payloads stay raw JSON; only the members that the
//! gateway itself needs are parsed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::mcp::translate::HeaderParam;
use crate::mcp::{self, ListKind, ToolDigest, method};
use crate::nearest::closest;
use crate::text::json_text;

/// One announced tool.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Name as the server announced it, never empty.
    pub name: Box<str>,
    /// Description in full; `None` if the server gave none or it is not text.
    pub description: Option<Box<str>>,
    /// `inputSchema`, unchanged; `{"type":"object"}` if the server gave none.
    pub input_schema: Box<RawValue>,
    /// The whole entry, unchanged.
    pub raw: Box<RawValue>,
    /// Computed on first use.
    digest: OnceLock<ToolDigest>,
    unordered: OnceLock<ToolDigest>,
    /// Read on first use.
    header_params: OnceLock<Arc<[HeaderParam]>>,
}

impl Tool {
    /// Returns the digest of the definition.
    pub fn digest(&self) -> ToolDigest {
        *self.digest.get_or_init(|| ToolDigest::of(&self.raw))
    }

    /// Returns the digest of the definition, ignoring the order of its enumerations.
    pub fn unordered_digest(&self) -> ToolDigest {
        *self.unordered.get_or_init(|| ToolDigest::of_unordered(&self.raw))
    }

    /// Returns the arguments that clients repeat in headers.
    pub fn header_params(&self) -> &Arc<[HeaderParam]> {
        self.header_params.get_or_init(|| HeaderParam::read(self.input_schema.get()).into())
    }

    /// Returns `_meta`, unchanged; `None` if the entry has none.
    pub fn meta(&self) -> Option<&RawValue> {
        mcp::tool_meta(&self.raw)
    }

    /// Reports whether the tool may be shown to a model; see [`mcp::is_for_models`].
    pub fn is_for_models(&self) -> bool {
        mcp::is_for_models(&self.raw)
    }
}

/// One announced resource.
#[derive(Debug, Clone)]
pub struct Resource {
    /// URI as the server announced it, never empty.
    pub uri: Box<str>,
    /// Display name; `None` if the server gave none or it is not text.
    pub name: Option<Box<str>>,
    /// MIME type; `None` if the server gave none or it is not text.
    pub mime_type: Option<Box<str>>,
    /// The whole entry, unchanged.
    pub raw: Box<RawValue>,
}

/// The last lists of a server that were read successfully.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    tools: Vec<Tool>,
    tool_index: HashMap<Box<str>, usize>,
    resources: Vec<Resource>,
    templates: Vec<Box<RawValue>>,
    prompts: Vec<Box<RawValue>>,
    loaded: bool,
    /// Time for which the server says that it is good.
    fresh_for: Duration,
    /// `false` if a list could not be read and stayed as it was.
    is_complete: bool,
}

#[derive(Deserialize)]
struct ToolEntry<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    description: Option<&'a RawValue>,
    #[serde(rename = "inputSchema")]
    input_schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct ResourceEntry<'a> {
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "mimeType")]
    mime_type: Option<&'a RawValue>,
}

/// Maximum number of rejected entries that are named.
const MAX_NAMED: usize = 8;

/// Entries of a server's lists that could not be taken as they were, with the reasons.
#[derive(Debug, Default)]
pub struct LeftOut {
    named: Vec<String>,
    count: usize,
}

impl LeftOut {
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(what());
        }
    }

    /// Returns the number of such entries, including those that are not named.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns a sentence about all of them; `None` if there are none.
    pub fn told(&self) -> Option<String> {
        let further = self.count - self.named.len();
        let further = if further > 0 { format!("; and {further} more") } else { String::new() };
        (self.count > 0).then(|| format!("not taken as listed: {}{further}", self.named.join("; ")))
    }
}

impl Catalog {
    /// Builds a catalog from the raw entries of the four lists. Entries without a usable name (tools) or URI
    /// (resources) are left out, and of several with the same name the last one is kept.
    pub fn build(
        tools: Vec<Box<RawValue>>,
        resources: Vec<Box<RawValue>>,
        templates: Vec<Box<RawValue>>,
        prompts: Vec<Box<RawValue>>,
    ) -> (Catalog, LeftOut) {
        let mut out = LeftOut::default();
        let tools = read_all("tool", tools, read_tool, &mut out);
        let resources = read_all("resource", resources, read_resource, &mut out);
        let (tools, tool_index) = once(tools, |tool| &tool.name, "tool", &mut out);
        let (resources, _) = once(resources, |resource| &resource.uri, "resource", &mut out);
        let (templates, prompts) = (without_repeats(templates), without_repeats(prompts));
        (
            Catalog {
                tool_index,
                tools,
                resources,
                templates,
                prompts,
                loaded: true,
                fresh_for: Duration::ZERO,
                is_complete: true,
            },
            out,
        )
    }

    /// Returns the same lists without the tools that `keep` rejects.
    pub fn with_tools(&self, keep: impl Fn(&Tool) -> bool) -> Catalog {
        let tools: Vec<Tool> = self.tools.iter().filter(|tool| keep(tool)).cloned().collect();
        let places = tools.iter().enumerate();
        let tool_index = places.map(|(place, tool)| (tool.name.clone(), place)).collect();
        Catalog { tool_index, tools, ..self.clone() }
    }

    /// Sets the time for which the server says that it is good, and whether all lists could be read.
    pub(super) fn read_as(self, fresh_for: Duration, is_complete: bool) -> Catalog {
        Catalog { fresh_for, is_complete, ..self }
    }

    /// Reports whether all lists could be read; one that could not has stayed as it was.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the time for which the server says that it is good; zero if it does not say.
    pub(super) fn fresh_for(&self) -> Duration {
        self.fresh_for
    }

    /// Reports whether a child has ever announced its lists.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Returns the tools, in the server's order.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// Returns the tool of exactly this name, or `None`.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tool_index.get(name).map(|&index| &self.tools[index])
    }

    /// Returns the resources, in the server's order.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// Returns the resource templates, unchanged.
    pub fn resource_templates(&self) -> &[Box<RawValue>] {
        &self.templates
    }

    /// Returns the prompts, unchanged.
    pub fn prompts(&self) -> &[Box<RawValue>] {
        &self.prompts
    }

    /// Returns the entries of one list, unchanged.
    pub fn entries(&self, kind: ListKind) -> Vec<Box<RawValue>> {
        self.texts(kind).map(ToOwned::to_owned).collect()
    }

    /// Returns the names of the notifications that say which of the lists differ from earlier ones. Resources and their
    /// templates have one together.
    pub fn differs_from(&self, earlier: &Catalog) -> impl Iterator<Item = &'static str> + use<> {
        let same = |kind| {
            let (now, before) = (self.texts(kind), earlier.texts(kind));
            now.map(RawValue::get).eq(before.map(RawValue::get))
        };
        let resources = same(ListKind::Resources) && same(ListKind::Templates);
        let lists = [
            (same(ListKind::Tools), method::TOOLS_CHANGED),
            (resources, method::RESOURCES_CHANGED),
            (same(ListKind::Prompts), method::PROMPTS_CHANGED),
        ];
        lists.into_iter().filter(|(same, _)| !same).map(|(_, name)| name)
    }

    /// Returns the entries of one list, raw JSON.
    pub fn texts(&self, kind: ListKind) -> Box<dyn Iterator<Item = &RawValue> + '_> {
        match kind {
            ListKind::Tools => Box::new(self.tools.iter().map(|tool| &*tool.raw)),
            ListKind::Resources => Box::new(self.resources.iter().map(|resource| &*resource.raw)),
            ListKind::Templates => Box::new(self.templates.iter().map(|template| &**template)),
            ListKind::Prompts => Box::new(self.prompts.iter().map(|prompt| &**prompt)),
        }
    }

    /// Returns the tool name closest to `wanted`; `None` if none is close enough to be a typo.
    pub fn closest_tool(&self, wanted: &str) -> Option<&str> {
        closest(wanted, self.tools.iter().map(|tool| &*tool.name))
    }
}

/// Reads the entries of a list; unusable ones are reported by their position.
fn read_all<T>(
    kind: &str,
    entries: Vec<Box<RawValue>>,
    read: impl Fn(Box<RawValue>, &mut dyn FnMut(String)) -> Result<T, String>,
    out: &mut LeftOut,
) -> Vec<T> {
    let mut read_entries = Vec::with_capacity(entries.len());
    for (place, raw) in entries.into_iter().enumerate() {
        let mut remark = |what: String| out.add(|| what);
        match read(raw, &mut remark) {
            Ok(entry) => read_entries.push(entry),
            Err(reason) => out.add(|| format!("{kind} {} of the list: {reason}", place + 1)),
        }
    }
    read_entries
}

/// Keeps the last entry of each name at the position of the first one; also returns the positions by name.
fn once<T>(
    entries: Vec<T>,
    name: impl Fn(&T) -> &str,
    kind: &str,
    out: &mut LeftOut,
) -> (Vec<T>, HashMap<Box<str>, usize>) {
    let mut places: HashMap<Box<str>, usize> = HashMap::with_capacity(entries.len());
    let mut kept: Vec<T> = Vec::with_capacity(entries.len());
    for entry in entries {
        match places.get(name(&entry)) {
            None => {
                places.insert(name(&entry).into(), kept.len());
                kept.push(entry);
            }
            Some(&place) => {
                let shown: String = name(&entry).chars().take(128).collect();
                out.add(|| format!("{kind} '{shown}' is listed more than once: the last one counts"));
                kept[place] = entry;
            }
        }
    }
    (kept, places)
}

/// Drops entries that repeat an earlier one byte for byte.
fn without_repeats(mut entries: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
    let mut seen = HashSet::with_capacity(entries.len());
    entries.retain(|entry| seen.insert(entry.get().to_owned()));
    entries
}

/// Signal that catalogs have changed, for one task that waits for it, and a number by which others see whether any has
/// since they looked.
#[derive(Debug, Default)]
pub struct CatalogChanges {
    version: AtomicU64,
    changed: Notify,
}

impl CatalogChanges {
    /// Tells of a change that was made before.
    pub fn tell(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.changed.notify_one();
    }

    /// Returns a number that is another after each change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Waits until there has been a change since the last call returned.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// A published catalog: readers take no lock, and a subscriber is notified of each new catalog.
#[derive(Debug, Default)]
pub struct CatalogSlot {
    current: ArcSwap<Catalog>,
    changed: Arc<CatalogChanges>,
}

impl CatalogSlot {
    /// Creates a slot with a catalog in it; `changed` is notified of each later one.
    pub fn new(catalog: Arc<Catalog>, changed: Arc<CatalogChanges>) -> CatalogSlot {
        CatalogSlot { current: ArcSwap::new(catalog), changed }
    }

    /// Returns the current catalog.
    pub fn load(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// Replaces the catalog and notifies the subscriber.
    pub(super) fn publish(&self, catalog: Arc<Catalog>) {
        self.current.store(catalog);
        self.changed.tell();
    }
}

/// Reads the needed members of an entry. serde accepts an array for a struct, too; MCP does not.
fn read_entry<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, String> {
    match raw.get().starts_with('{') {
        true => serde_json::from_str(raw.get()).map_err(|error| format!("it cannot be read: {error}")),
        false => Err("it is not an object".to_owned()),
    }
}

/// Reads the member that identifies an entry.
fn read_key(raw: Option<&RawValue>, member: &str) -> Result<Box<str>, String> {
    let raw = raw.ok_or_else(|| format!("it has no '{member}'"))?;
    match serde_json::from_str::<Box<str>>(raw.get()) {
        Ok(key) if key.is_empty() => Err(format!("its '{member}' is empty")),
        Ok(key) => Ok(key),
        Err(_) if raw.get().starts_with('"') => Err(format!("its '{member}' is no text that can be written")),
        Err(_) => Err(format!("its '{member}' is not text")),
    }
}

/// Reads an optional text of an entry; one that cannot be read is reported and counts as absent.
fn read_text(
    raw: Option<&RawValue>,
    what: impl FnOnce() -> String,
    remark: &mut dyn FnMut(String),
) -> Option<Box<str>> {
    let raw = raw?;
    let text = json_text(raw.get());
    if text.is_none() && raw.get() != "null" {
        remark(what());
    }
    text.map(Into::into)
}

fn read_tool(raw: Box<RawValue>, remark: &mut dyn FnMut(String)) -> Result<Tool, String> {
    let entry: ToolEntry<'_> = read_entry(&raw)?;
    let name = read_key(entry.name, "name")?;
    let what = || format!("the description of tool '{}' is not text: it has none", name.escape_debug());
    let description = read_text(entry.description, what, remark);
    let input_schema = match entry.input_schema {
        Some(schema) => schema,
        None => {
            RawValue::from_string("{\"type\":\"object\"}".to_owned()).map_err(|error| error.to_string())?
        }
    };
    Ok(Tool {
        name,
        description,
        input_schema,
        raw,
        digest: OnceLock::new(),
        unordered: OnceLock::new(),
        header_params: OnceLock::new(),
    })
}

fn read_resource(raw: Box<RawValue>, remark: &mut dyn FnMut(String)) -> Result<Resource, String> {
    let entry: ResourceEntry<'_> = read_entry(&raw)?;
    let uri = read_key(entry.uri, "uri")?;
    let what =
        |member: &str| format!("the {member} of resource '{}' is not text: it has none", uri.escape_debug());
    let name = read_text(entry.name, || what("name"), remark);
    let mime_type = read_text(entry.mime_type, || what("mimeType"), remark);
    Ok(Resource { uri, name, mime_type, raw })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("valid JSON")
    }

    #[test]
    fn suggests_the_closest_tool_and_nothing_far_away() {
        let tools =
            vec![raw(r#"{"name":"get_weather"}"#), raw(r#"{"name":"add"}"#), raw(r#"{"name":"echo"}"#)];
        let (catalog, _) = Catalog::build(tools, vec![], vec![], vec![]);
        assert_eq!(catalog.closest_tool("get_whether"), Some("get_weather"));
        assert_eq!(catalog.closest_tool("ehco"), Some("echo"));
        assert_eq!(catalog.closest_tool("launch_rocket"), None);
        assert_eq!(catalog.closest_tool(""), None);
    }

    fn names(catalog: &Catalog) -> Vec<&str> {
        catalog.tools().iter().map(|tool| &*tool.name).collect()
    }

    #[test]
    fn entries_that_cannot_be_called_are_left_out_and_told_why() {
        let odd =
            ["{}", r#"{"name":"a"}"#, r#"["b"]"#, r#"{"name":""}"#, r#"{"name":7}"#, r#"{"name":"\ud83d"}"#];
        let (catalog, out) =
            Catalog::build(odd.into_iter().map(raw).collect(), vec![raw("1")], vec![], vec![]);
        assert_eq!((names(&catalog), catalog.resources().len(), out.count()), (vec!["a"], 0, 6));
        let told = out.told().expect("something was left out");
        for part in [
            "tool 1 of the list: it has no 'name'",
            "tool 3 of the list: it is not an object",
            "tool 4 of the list: its 'name' is empty",
            "tool 5 of the list: its 'name' is not text",
            "resource 1",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_bad_description_costs_the_description_and_not_the_tool() {
        let odd = [
            r#"{"name":"n","description":7}"#,
            r#"{"name":"h","description":"x\ud83dy"}"#,
            r#"{"name":"z","description":null}"#,
        ];
        let (catalog, out) = Catalog::build(odd.into_iter().map(raw).collect(), vec![], vec![], vec![]);
        assert_eq!(names(&catalog), ["n", "h", "z"]);
        let said = |name: &str| catalog.tool(name).and_then(|tool| tool.description.as_deref());
        assert_eq!((said("n"), said("h"), said("z")), (None, Some("x\u{fffd}y"), None));
        let told = out.told().unwrap_or_default();
        assert!(out.count() == 1 && told.contains("description of tool 'n'"), "{told}");
    }

    #[test]
    fn what_is_told_twice_is_kept_once() {
        let twice = [r#"{"name":"a","title":"1"}"#, r#"{"name":"b"}"#, r#"{"name":"a","title":"2"}"#];
        let prompts = vec![raw(r#"{"name":"p"}"#), raw(r#"{"name":"p"}"#)];
        let (catalog, out) = Catalog::build(twice.into_iter().map(raw).collect(), vec![], vec![], prompts);
        assert_eq!((names(&catalog), catalog.prompts().len(), out.count()), (vec!["a", "b"], 1, 1));
        assert!(catalog.tools()[0].raw.get().contains("\"2\""), "the last one counts, as for calls before");
    }
}
