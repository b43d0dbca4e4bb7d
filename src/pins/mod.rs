//! Tool pinning: definitions of a server's tools as they were first seen or last approved, and how they differ
//! from those announced now. A server that is trusted today may announce another description tomorrow, and a
//! model does what descriptions say. Pure, except for [`PinBook`], which holds the pins in force.

mod book;
mod diff;
mod error;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) use self::book::PinCounts;
pub use self::book::{Approval, PinBook};
pub use self::diff::Difference;
pub use self::error::Error;
use crate::mcp::ToolDigest;
use crate::supervisor::PinMode;
use crate::upstream::{Catalog, Tool};

/// Tools of a server as they were approved, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pins {
    tools: BTreeMap<Box<str>, Pin>,
}

/// Approved definition of one tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pin {
    digest: ToolDigest,
    /// Full definition, kept to show differences.
    definition: Box<RawValue>,
    approved_at_ms: u64,
    /// Id of the member who approved it; `None` if it was pinned at first sight.
    approved_by: Option<Arc<str>>,
    /// Digest that ignores the order of enumerations; computed at first use.
    #[serde(skip)]
    unordered: OnceLock<ToolDigest>,
}

impl Pin {
    fn unordered(&self) -> ToolDigest {
        *self.unordered.get_or_init(|| ToolDigest::of_unordered(&self.definition))
    }
}

/// State of a tool compared with its pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinState {
    /// Definition as it was approved.
    Pinned,
    /// Definition that only enumerates in another order; let through like the approved one.
    Reordered,
    /// Definition other than the approved one.
    Changed,
    /// Tool of a name that nobody has approved.
    New,
    /// Tool that was approved and is no longer announced.
    Gone,
}

impl PinState {
    /// Returns the word for it in answers, logs and errors.
    pub fn name(self) -> &'static str {
        match self {
            PinState::Pinned => "pinned",
            PinState::Reordered => "reordered",
            PinState::Changed => "changed",
            PinState::New => "new",
            PinState::Gone => "gone",
        }
    }

    /// Reports whether the tool means what was approved.
    pub fn is_approved(self) -> bool {
        matches!(self, PinState::Pinned | PinState::Reordered)
    }
}

/// Tool in a [`PinReport`].
#[derive(Debug, Clone)]
pub struct PinnedTool {
    /// Name of the tool.
    pub name: Box<str>,
    /// State of the tool compared with its pin.
    pub state: PinState,
    /// Digest of the announced definition; `None` if the tool is gone.
    pub digest: Option<ToolDigest>,
    /// Digest of the approved definition; `None` if the tool is new.
    pub approved_digest: Option<ToolDigest>,
    /// Time at which it was approved or first seen, in milliseconds since 1970; `None` if the tool is new.
    pub approved_at_ms: Option<u64>,
    /// Member who approved it; `None` if the tool is new or was pinned at first sight.
    pub approved_by: Option<Arc<str>>,
    /// Differences from the approved definition.
    pub differences: Vec<Difference>,
    /// `true` if there are more differences than are listed.
    pub more_differences: bool,
    /// Characters in the announced definition that no reader sees, such as `U+200B`.
    pub hidden_characters: Vec<String>,
}

impl Pins {
    /// Returns pins for tools that are seen for the first time.
    pub(crate) fn of(catalog: &Catalog, now_ms: u64) -> Pins {
        let mut pins = Pins::default();
        for tool in catalog.tools() {
            pins.tools.insert(tool.name.clone(), pin(tool, now_ms, None));
        }
        pins
    }

    /// Returns the pins after an approval of the `wanted` tools, or, if that is `None`, of all tools and of the
    /// removal of those that are gone.
    fn approved(&self, catalog: &Catalog, wanted: Option<&[String]>, by: &Arc<str>, now_ms: u64) -> Pins {
        let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted.iter().any(|one| one == name));
        let mut pins = self.clone();
        pins.tools.retain(|name, _| !is_wanted(name) || catalog.tool(name).is_some());
        for tool in catalog.tools().iter().filter(|tool| is_wanted(&tool.name)) {
            if self.state_of(tool) != PinState::Pinned {
                pins.tools.insert(tool.name.clone(), pin(tool, now_ms, Some(by.clone())));
            }
        }
        pins
    }

    /// Returns the state of an announced tool.
    fn state_of(&self, tool: &Tool) -> PinState {
        match self.tools.get(&tool.name) {
            None => PinState::New,
            Some(pin) if pin.digest == tool.digest() => PinState::Pinned,
            Some(pin) if pin.unordered() == tool.unordered_digest() => PinState::Reordered,
            Some(_) => PinState::Changed,
        }
    }

    /// Returns the tools that are not as they were approved: name, state, and digest now, which is `None` if
    /// the tool is gone.
    fn deviations<'a>(
        &'a self,
        catalog: &'a Catalog,
    ) -> impl Iterator<Item = (&'a str, PinState, Option<ToolDigest>)> {
        let there =
            catalog.tools().iter().map(|tool| (&*tool.name, self.state_of(tool), Some(tool.digest())));
        let gone = self.tools.keys().filter(|name| catalog.tool(name).is_none());
        there.chain(gone.map(|name| (&**name, PinState::Gone, None))).filter(|one| !one.1.is_approved())
    }

    /// Returns the state of each tool: those announced in their order, then those that are gone.
    fn report(&self, catalog: &Catalog) -> Vec<PinnedTool> {
        let there = catalog.tools().iter().map(|tool| {
            let pin = self.tools.get(&tool.name);
            let (differences, more) = match pin {
                Some(pin) if pin.digest != tool.digest() => diff::between(&pin.definition, &tool.raw),
                _ => Default::default(),
            };
            PinnedTool {
                digest: Some(tool.digest()),
                differences,
                more_differences: more,
                hidden_characters: diff::hidden_characters(&tool.raw),
                ..pinned(&tool.name, self.state_of(tool), pin)
            }
        });
        let gone = self.tools.iter().filter(|(name, _)| catalog.tool(name).is_none());
        there.chain(gone.map(|(name, pin)| pinned(name, PinState::Gone, Some(pin)))).collect()
    }
}

fn pin(tool: &Tool, now_ms: u64, by: Option<Arc<str>>) -> Pin {
    Pin {
        digest: tool.digest(),
        definition: tool.raw.clone(),
        approved_at_ms: now_ms,
        approved_by: by,
        unordered: OnceLock::new(),
    }
}

fn pinned(name: &str, state: PinState, pin: Option<&Pin>) -> PinnedTool {
    PinnedTool {
        name: name.into(),
        state,
        digest: None,
        approved_digest: pin.map(|pin| pin.digest),
        approved_at_ms: pin.map(|pin| pin.approved_at_ms),
        approved_by: pin.and_then(|pin| pin.approved_by.clone()),
        differences: Vec::new(),
        more_differences: false,
        hidden_characters: Vec::new(),
    }
}

/// Snapshot of a server's tools beside their pins.
#[derive(Debug, Clone)]
pub struct ToolPins {
    mode: PinMode,
    /// Pins to compare with; `None` before the first sight is stored, and if nothing is compared.
    pins: Option<Arc<Pins>>,
    announced: Arc<Catalog>,
}

/// Numbers of tools that are not as they were approved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PinSums {
    /// Number of tools with another definition than the approved one.
    pub changed: usize,
    /// Number of tools of a name that nobody approved.
    pub new: usize,
    /// Number of approved tools that are no longer announced.
    pub gone: usize,
}

/// Report on the tools of a server compared with their pins.
#[derive(Debug, Clone)]
pub struct PinReport {
    /// Treatment of tools that are not as they were approved.
    pub mode: PinMode,
    /// Digest of all announced tools, which an approval has to name.
    pub digest: ToolDigest,
    /// Announced tools in their order, then those that are gone; empty if nothing is compared.
    pub tools: Vec<PinnedTool>,
}

impl ToolPins {
    pub(crate) fn new(mode: PinMode, pins: Option<Arc<Pins>>, announced: Arc<Catalog>) -> ToolPins {
        ToolPins { mode, pins: pins.filter(|_| mode != PinMode::Off), announced }
    }

    /// Returns the announced tools without pins to compare them with.
    #[cfg(test)]
    pub(crate) fn none(announced: Arc<Catalog>) -> ToolPins {
        ToolPins { mode: PinMode::Off, pins: None, announced }
    }

    /// Returns the treatment of tools that are not as they were approved.
    pub fn mode(&self) -> PinMode {
        self.mode
    }

    /// Returns the state of an announced tool; `None` if nothing is compared.
    pub fn state_of(&self, tool: &Tool) -> Option<PinState> {
        self.pins.as_ref().map(|pins| pins.state_of(tool))
    }

    /// Counts the tools that are not as they were approved.
    pub fn sums(&self) -> PinSums {
        let mut sums = PinSums::default();
        for (_, state, _) in self.pins.iter().flat_map(|pins| pins.deviations(&self.announced)) {
            match state {
                PinState::Changed => sums.changed += 1,
                PinState::New => sums.new += 1,
                PinState::Gone => sums.gone += 1,
                PinState::Pinned | PinState::Reordered => {}
            }
        }
        sums
    }

    /// Returns the tools that may be listed: all, or, in the mode `block`, those that are approved.
    pub(crate) fn listed(&self) -> Arc<Catalog> {
        let blocking = self.pins.as_ref().filter(|_| self.mode == PinMode::Block);
        let Some(pins) = blocking else { return self.announced.clone() };
        let is_pinned = |tool: &Tool| pins.state_of(tool).is_approved();
        match self.announced.tools().iter().all(is_pinned) {
            true => self.announced.clone(),
            false => Arc::new(self.announced.with_tools(is_pinned)),
        }
    }

    /// Returns the state of each tool; none before anything was seen.
    pub fn report(&self) -> PinReport {
        PinReport {
            mode: self.mode,
            digest: digest_of(&self.announced),
            tools: self.pins.as_ref().map(|pins| pins.report(&self.announced)).unwrap_or_default(),
        }
    }
}

/// Returns the digest of all tools of a list.
fn digest_of(catalog: &Catalog) -> ToolDigest {
    ToolDigest::of_all(catalog.tools().iter().map(Tool::digest))
}

/// Pins that calls are checked against if changed tools are blocked.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Pins>);

impl Gate {
    /// Returns the state that forbids calls of a tool; `None` if it may be called.
    pub(crate) fn blocks(&self, tool: &Tool) -> Option<PinState> {
        Some(self.0.state_of(tool)).filter(|state| !state.is_approved())
    }
}

fn parsed(definition: &RawValue) -> Value {
    serde_json::from_str(definition.get()).unwrap_or_else(|_| Value::from(definition.get()))
}

#[cfg(test)]
mod tests;
