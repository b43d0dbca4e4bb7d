//! What a child announced: tools, resources, templates, prompts. Payloads stay raw JSON; only
//! what the gateway itself needs is read out.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::mcp::{self, ListKind, ToolDigest};
use crate::nearest::closest;

/// One announced tool.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The tool's name.
    pub name: Box<str>,
    /// The description, whole.
    pub description: Option<Box<str>>,
    /// `inputSchema`, unchanged.
    pub input_schema: Box<RawValue>,
    /// The whole entry, unchanged.
    pub raw: Box<RawValue>,
    /// Made when it is first asked for.
    digest: OnceLock<ToolDigest>,
}

impl Tool {
    /// The digest of the definition.
    pub fn digest(&self) -> ToolDigest {
        *self.digest.get_or_init(|| ToolDigest::of(&self.raw))
    }

    /// `_meta`, unchanged.
    pub fn meta(&self) -> Option<&RawValue> {
        mcp::tool_meta(&self.raw)
    }

    /// Whether a model may be told of it; see [`mcp::is_for_models`].
    pub fn is_for_models(&self) -> bool {
        mcp::is_for_models(&self.raw)
    }
}

/// One announced resource.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The URI.
    pub uri: Box<str>,
    /// The name.
    pub name: Option<Box<str>>,
    /// The MIME type.
    pub mime_type: Option<Box<str>>,
    /// The whole entry, unchanged.
    pub raw: Box<RawValue>,
}

/// The last good lists of a server.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    tools: Vec<Tool>,
    tool_index: HashMap<Box<str>, usize>,
    resources: Vec<Resource>,
    templates: Vec<Box<RawValue>>,
    prompts: Vec<Box<RawValue>>,
    loaded: bool,
}

#[derive(Deserialize)]
struct ToolEntry {
    name: Box<str>,
    #[serde(default)]
    description: Option<Box<str>>,
    #[serde(rename = "inputSchema")]
    input_schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct ResourceEntry {
    uri: Box<str>,
    #[serde(default)]
    name: Option<Box<str>>,
    #[serde(default, rename = "mimeType")]
    mime_type: Option<Box<str>>,
}

impl Catalog {
    /// Builds a catalog from the raw entries of the four lists. Entries without a name (tools) or
    /// a URI (resources) are left out; their number is returned.
    pub fn build(
        tools: Vec<Box<RawValue>>,
        resources: Vec<Box<RawValue>>,
        templates: Vec<Box<RawValue>>,
        prompts: Vec<Box<RawValue>>,
    ) -> (Catalog, usize) {
        let given = tools.len() + resources.len();
        let tools: Vec<Tool> = tools.into_iter().filter_map(read_tool).collect();
        let resources: Vec<Resource> = resources.into_iter().filter_map(read_resource).collect();
        let unusable = given - tools.len() - resources.len();
        (Catalog { tool_index: index(&tools), tools, resources, templates, prompts, loaded: true }, unusable)
    }

    /// The same lists without the tools that `keep` does not want.
    pub fn with_tools(&self, keep: impl Fn(&Tool) -> bool) -> Catalog {
        let tools: Vec<Tool> = self.tools.iter().filter(|tool| keep(tool)).cloned().collect();
        Catalog { tool_index: index(&tools), tools, ..self.clone() }
    }

    /// False until a child has announced its lists for the first time.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// The tools, in the order the server gave them.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// The tool of this exact name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tool_index.get(name).map(|&index| &self.tools[index])
    }

    /// The resources, in the order the server gave them.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource templates, unchanged.
    pub fn resource_templates(&self) -> &[Box<RawValue>] {
        &self.templates
    }

    /// The prompts, unchanged.
    pub fn prompts(&self) -> &[Box<RawValue>] {
        &self.prompts
    }

    /// The entries of one list, unchanged.
    pub fn entries(&self, kind: ListKind) -> Vec<Box<RawValue>> {
        match kind {
            ListKind::Tools => self.tools.iter().map(|tool| tool.raw.clone()).collect(),
            ListKind::Resources => self.resources.iter().map(|resource| resource.raw.clone()).collect(),
            ListKind::Templates => self.templates.clone(),
            ListKind::Prompts => self.prompts.clone(),
        }
    }

    /// The tool name closest to `wanted`, when it is close enough to be a slip of the hand.
    pub fn closest_tool(&self, wanted: &str) -> Option<&str> {
        closest(wanted, self.tools.iter().map(|tool| &*tool.name))
    }
}

/// Of several tools of one name the last one counts.
fn index(tools: &[Tool]) -> HashMap<Box<str>, usize> {
    tools.iter().enumerate().map(|(index, tool)| (tool.name.clone(), index)).collect()
}

/// Where a catalog is published: read without a lock, and whoever keeps catalogs hears of each.
#[derive(Debug, Default)]
pub struct CatalogSlot {
    current: ArcSwap<Catalog>,
    changed: Arc<Notify>,
}

impl CatalogSlot {
    /// A slot with a catalog in it; `changed` is notified of each later one.
    pub fn new(catalog: Arc<Catalog>, changed: Arc<Notify>) -> CatalogSlot {
        CatalogSlot { current: ArcSwap::new(catalog), changed }
    }

    /// The catalog as it is now.
    pub fn load(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// Replaces the catalog.
    pub(super) fn publish(&self, catalog: Arc<Catalog>) {
        self.current.store(catalog);
        self.changed.notify_one();
    }
}

/// Reads what is needed of an entry. serde takes an array for a struct, too; MCP does not.
fn read_entry<T: serde::de::DeserializeOwned>(raw: &RawValue) -> Option<T> {
    raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok()).flatten()
}

fn read_tool(raw: Box<RawValue>) -> Option<Tool> {
    let entry: ToolEntry = read_entry(&raw)?;
    let input_schema = match entry.input_schema {
        Some(schema) => schema,
        None => RawValue::from_string("{\"type\":\"object\"}".to_owned()).ok()?,
    };
    Some(Tool {
        name: entry.name,
        description: entry.description,
        input_schema,
        raw,
        digest: OnceLock::new(),
    })
}

fn read_resource(raw: Box<RawValue>) -> Option<Resource> {
    let entry: ResourceEntry = read_entry(&raw)?;
    Some(Resource { uri: entry.uri, name: entry.name, mime_type: entry.mime_type, raw })
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

    #[test]
    fn entries_without_a_name_are_counted_not_kept() {
        let (catalog, unusable) = Catalog::build(
            vec![raw("{}"), raw(r#"{"name":"a"}"#), raw(r#"["b"]"#)],
            vec![raw("1")],
            vec![],
            vec![],
        );
        assert_eq!((catalog.tools().len(), catalog.resources().len(), unusable), (1, 0, 3));
        assert!(catalog.tool("a").is_some());
    }
}
