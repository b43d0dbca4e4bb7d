//! Pins in force, of all servers: read by calls, written by the registry after it has stored them.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;

use super::error::Error;
use super::{Gate, PinState, Pins, ToolPins, digest_of};
use crate::mcp::ToolDigest;
use crate::supervisor::PinMode;
use crate::upstream::Catalog;

/// Pins in force by server id. Cheap to clone.
#[derive(Clone, Default)]
pub struct PinBook(Arc<DashMap<Arc<str>, Kept>>);

struct Kept {
    pins: Arc<Pins>,
    /// State and digest last reported for each tool, so that each change is reported once.
    told: HashMap<Box<str>, (PinState, Option<ToolDigest>)>,
    changes: u64,
}

/// Approval of tools by an administrator.
#[derive(Debug, Clone)]
pub struct Approval {
    /// Digest of all tools as the administrator saw them.
    pub digest: ToolDigest,
    /// Names of the approved tools; `None` approves all of them and drops those that are gone.
    pub tools: Option<Vec<String>>,
}

/// Numbers for the metrics of one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PinCounts {
    /// Number of tools that are not as they were approved.
    pub(crate) unapproved: usize,
    /// Number of changes seen since the daemon started.
    pub(crate) changes: u64,
}

impl PinBook {
    /// Puts a server's pins in force, in place of any before.
    pub(crate) fn set(&self, server: &Arc<str>, pins: Pins) {
        let pins = Arc::new(pins);
        match self.0.get_mut(server) {
            Some(mut kept) => kept.pins = pins,
            None => {
                let (told, changes) = (HashMap::new(), 0);
                self.0.insert(server.clone(), Kept { pins, told, changes });
            }
        }
    }

    /// Forgets all servers but those for which `there` returns `true`.
    pub(crate) fn retain(&self, there: impl Fn(&str) -> bool) {
        self.0.retain(|server, _| there(server));
    }

    /// Returns the pins of a server; `None` before its tools were first seen.
    pub(crate) fn of(&self, server: &str) -> Option<Arc<Pins>> {
        self.0.get(server).map(|kept| kept.pins.clone())
    }

    /// Returns the gate that calls of a server are checked against; `None` if they are not checked.
    pub(crate) fn gate(&self, server: &str, mode: PinMode) -> Option<Gate> {
        (mode == PinMode::Block).then(|| self.of(server).map(Gate)).flatten()
    }

    /// Returns the tools of a server beside their pins.
    pub(crate) fn beside(&self, server: &str, mode: PinMode, announced: Arc<Catalog>) -> ToolPins {
        let pins = if mode == PinMode::Off { None } else { self.of(server) };
        ToolPins::new(mode, pins, announced)
    }

    /// Returns what has changed since the last call, each change once.
    pub(crate) fn news(&self, server: &str, catalog: &Catalog) -> Vec<(Box<str>, PinState)> {
        let Some(mut kept) = self.0.get_mut(server) else { return Vec::new() };
        let now: HashMap<Box<str>, _> = kept
            .pins
            .deviations(catalog)
            .map(|(name, state, digest)| (Box::from(name), (state, digest)))
            .collect();
        let news: Vec<_> = now
            .iter()
            .filter(|(name, told)| kept.told.get(*name) != Some(told))
            .map(|(name, (state, _))| (name.clone(), *state))
            .collect();
        kept.told = now;
        kept.changes += news.len() as u64;
        news
    }

    /// Returns the numbers of a server for the metrics.
    pub(crate) fn counts(&self, server: &str, catalog: &Catalog) -> PinCounts {
        let Some(kept) = self.0.get(server) else { return PinCounts::default() };
        let unapproved = kept.pins.deviations(catalog).count();
        PinCounts { unapproved, changes: kept.changes }
    }
}

impl Approval {
    /// Returns the pins after the approval. Refuses it if the tools are no longer those that the administrator
    /// saw, or if one of the named tools does not exist.
    pub(crate) fn apply(
        &self,
        pins: &Pins,
        announced: &Catalog,
        by: &Arc<str>,
        now_ms: u64,
    ) -> Result<Pins, Error> {
        if digest_of(announced) != self.digest {
            return Err(Error::ToolsChanged);
        }
        let is_known =
            |name: &&String| announced.tool(name).is_some() || pins.tools.contains_key(name.as_str());
        if let Some(unknown) = self.tools.iter().flatten().find(|name| !is_known(name)) {
            return Err(Error::UnknownTool { tool: unknown.clone() });
        }
        Ok(pins.approved(announced, self.tools.as_deref(), by, now_ms))
    }
}
