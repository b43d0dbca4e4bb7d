//! Tool pinning: what a server's tools were when they were first seen or last approved, and how they
//! differ from that now. A server that is trusted today may announce another description tomorrow,
//! and a model does what descriptions say. Pure, but for [`PinBook`], which holds what is in force.

mod book;
mod diff;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub use self::book::Approval;
pub(in crate::service) use self::book::{PinBook, PinCounts};
pub use self::diff::Difference;
use crate::child::{Catalog, Tool};
use crate::mcp::ToolDigest;
use crate::supervisor::PinMode;

/// The tools of a server as they were approved, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::service) struct Pins {
    tools: BTreeMap<Box<str>, Pin>,
}

/// One approved definition.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pin {
    digest: ToolDigest,
    /// Kept to show what is different.
    definition: Box<RawValue>,
    approved_at_ms: u64,
    /// The member's id; none where it was the first sight.
    approved_by: Option<Arc<str>>,
    /// The digest without the order of what is enumerated; made when it is first asked for.
    #[serde(skip)]
    unordered: OnceLock<ToolDigest>,
}

impl Pin {
    fn unordered(&self) -> ToolDigest {
        *self.unordered.get_or_init(|| ToolDigest::of_unordered(&self.definition))
    }
}

/// How a tool stands to its pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinState {
    /// It is as it was approved.
    Pinned,
    /// It only enumerates in another order: let through, as it was approved.
    Reordered,
    /// Its definition is another one.
    Changed,
    /// Nobody has approved a tool of this name.
    New,
    /// It was approved and is not announced any more.
    Gone,
}

impl PinState {
    /// The word for it in answers, logs and errors.
    pub fn name(self) -> &'static str {
        match self {
            PinState::Pinned => "pinned",
            PinState::Reordered => "reordered",
            PinState::Changed => "changed",
            PinState::New => "new",
            PinState::Gone => "gone",
        }
    }

    /// Whether it means what was approved.
    pub fn is_approved(self) -> bool {
        matches!(self, PinState::Pinned | PinState::Reordered)
    }
}

/// One tool in a [`PinReport`].
#[derive(Debug, Clone)]
pub struct PinnedTool {
    /// The tool's name.
    pub name: Box<str>,
    /// How it stands.
    pub state: PinState,
    /// The digest of what is announced; none when it is gone.
    pub digest: Option<ToolDigest>,
    /// The digest of what was approved; none when it is new.
    pub approved_digest: Option<ToolDigest>,
    /// When it was approved or first seen, in milliseconds since 1970.
    pub approved_at_ms: Option<u64>,
    /// The member who approved it; none where it was the first sight.
    pub approved_by: Option<Arc<str>>,
    /// What is different from what was approved.
    pub differences: Vec<Difference>,
    /// Whether there are more differences than are listed.
    pub more_differences: bool,
    /// Characters in what is announced that no reader sees, such as `U+200B`.
    pub hidden_characters: Vec<String>,
}

impl Pins {
    /// Pins for what is seen for the first time.
    pub(in crate::service) fn of(catalog: &Catalog, now_ms: u64) -> Pins {
        let mut pins = Pins::default();
        for tool in catalog.tools() {
            pins.tools.insert(tool.name.clone(), pin(tool, now_ms, None));
        }
        pins
    }

    /// The pins after an approval of these tools, or of all and what is gone.
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

    /// How an announced tool stands.
    fn state_of(&self, tool: &Tool) -> PinState {
        match self.tools.get(&tool.name) {
            None => PinState::New,
            Some(pin) if pin.digest == tool.digest() => PinState::Pinned,
            Some(pin) if pin.unordered() == tool.unordered_digest() => PinState::Reordered,
            Some(_) => PinState::Changed,
        }
    }

    /// What is not as it was approved: the tool's name, how it stands, and its digest now.
    fn deviations<'a>(
        &'a self,
        catalog: &'a Catalog,
    ) -> impl Iterator<Item = (&'a str, PinState, Option<ToolDigest>)> {
        let there =
            catalog.tools().iter().map(|tool| (&*tool.name, self.state_of(tool), Some(tool.digest())));
        let gone = self.tools.keys().filter(|name| catalog.tool(name).is_none());
        there.chain(gone.map(|name| (&**name, PinState::Gone, None))).filter(|one| !one.1.is_approved())
    }

    /// How each tool stands: those announced in their order, then those that are gone.
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

/// The tools of a server beside their pins: a snapshot.
#[derive(Debug, Clone)]
pub struct ToolPins {
    mode: PinMode,
    /// None before the first sight is stored, and where nothing is compared.
    pins: Option<Arc<Pins>>,
    announced: Arc<Catalog>,
}

/// How many tools are not as they were approved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PinSums {
    /// With another definition.
    pub changed: usize,
    /// Of a name that nobody approved.
    pub new: usize,
    /// Not announced any more.
    pub gone: usize,
}

/// How the tools of a server stand to their pins.
#[derive(Debug, Clone)]
pub struct PinReport {
    /// What becomes of a tool that is not as it was approved.
    pub mode: PinMode,
    /// The digest of all that is announced: what an approval names.
    pub digest: ToolDigest,
    /// Each tool.
    pub tools: Vec<PinnedTool>,
}

impl ToolPins {
    pub(super) fn new(mode: PinMode, pins: Option<Arc<Pins>>, announced: Arc<Catalog>) -> ToolPins {
        ToolPins { mode, pins: pins.filter(|_| mode != PinMode::Off), announced }
    }

    /// What is announced, with nothing that it is compared with.
    #[cfg(test)]
    pub(crate) fn none(announced: Arc<Catalog>) -> ToolPins {
        ToolPins { mode: PinMode::Off, pins: None, announced }
    }

    /// What becomes of a tool that is not as it was approved.
    pub fn mode(&self) -> PinMode {
        self.mode
    }

    /// How an announced tool stands; none where nothing is compared.
    pub fn state_of(&self, tool: &Tool) -> Option<PinState> {
        self.pins.as_ref().map(|pins| pins.state_of(tool))
    }

    /// How many tools are not as they were approved.
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

    /// What may be listed.
    pub(super) fn listed(&self) -> Arc<Catalog> {
        let blocking = self.pins.as_ref().filter(|_| self.mode == PinMode::Block);
        let Some(pins) = blocking else { return self.announced.clone() };
        let is_pinned = |tool: &Tool| pins.state_of(tool).is_approved();
        match self.announced.tools().iter().all(is_pinned) {
            true => self.announced.clone(),
            false => Arc::new(self.announced.with_tools(is_pinned)),
        }
    }

    /// How each tool stands. Before anything was seen there is nothing to tell.
    pub fn report(&self) -> PinReport {
        PinReport {
            mode: self.mode,
            digest: digest_of(&self.announced),
            tools: self.pins.as_ref().map(|pins| pins.report(&self.announced)).unwrap_or_default(),
        }
    }
}

/// The digest of all tools of a list.
fn digest_of(catalog: &Catalog) -> ToolDigest {
    ToolDigest::of_all(catalog.tools().iter().map(Tool::digest))
}

/// What calls are checked against where tools that changed are blocked.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Pins>);

impl Gate {
    /// Why a tool must not be called.
    pub(super) fn blocks(&self, tool: &Tool) -> Option<PinState> {
        Some(self.0.state_of(tool)).filter(|state| !state.is_approved())
    }
}

fn parsed(definition: &RawValue) -> Value {
    serde_json::from_str(definition.get()).unwrap_or_else(|_| Value::from(definition.get()))
}

#[cfg(test)]
mod tests;
