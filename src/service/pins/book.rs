//! The pins that are in force, of all servers: read by calls, written by the registry after it has
//! stored them.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;

use super::{Gate, PinState, Pins, ToolPins, digest_of};
use crate::child::Catalog;
use crate::mcp::ToolDigest;
use crate::service::Error;
use crate::supervisor::PinMode;

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::service) struct PinBook(Arc<DashMap<Arc<str>, Kept>>);

struct Kept {
    pins: Arc<Pins>,
    /// What was told of each tool last, so that it is told once.
    told: HashMap<Box<str>, (PinState, Option<ToolDigest>)>,
    changes: u64,
}

/// What an administrator approves.
#[derive(Debug, Clone)]
pub struct Approval {
    /// The digest of all tools as they were looked at.
    pub digest: ToolDigest,
    /// The tools; none for all of them, and for letting go of those that are gone.
    pub tools: Option<Vec<String>>,
}

/// What the metrics tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::service) struct PinCounts {
    /// Tools that are not as they were approved.
    pub(in crate::service) unapproved: usize,
    /// Changes that were seen since the daemon started.
    pub(in crate::service) changes: u64,
}

impl PinBook {
    /// Puts pins in force.
    pub(in crate::service) fn set(&self, server: &Arc<str>, pins: Pins) {
        let pins = Arc::new(pins);
        match self.0.get_mut(server) {
            Some(mut kept) => kept.pins = pins,
            None => {
                let (told, changes) = (HashMap::new(), 0);
                self.0.insert(server.clone(), Kept { pins, told, changes });
            }
        }
    }

    /// Forgets servers that are no more.
    pub(in crate::service) fn retain(&self, there: impl Fn(&str) -> bool) {
        self.0.retain(|server, _| there(server));
    }

    /// The pins of a server; none before its tools were first seen.
    pub(in crate::service) fn of(&self, server: &str) -> Option<Arc<Pins>> {
        self.0.get(server).map(|kept| kept.pins.clone())
    }

    /// What calls of a server are checked against, where they are.
    pub(in crate::service) fn gate(&self, server: &str, mode: PinMode) -> Option<Gate> {
        (mode == PinMode::Block).then(|| self.of(server).map(Gate)).flatten()
    }

    /// The tools of a server beside their pins.
    pub(in crate::service) fn beside(
        &self,
        server: &str,
        mode: PinMode,
        announced: Arc<Catalog>,
    ) -> ToolPins {
        let pins = if mode == PinMode::Off { None } else { self.of(server) };
        ToolPins::new(mode, pins, announced)
    }

    /// What has changed since this was last asked, each change once.
    pub(in crate::service) fn news(&self, server: &str, catalog: &Catalog) -> Vec<(Box<str>, PinState)> {
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

    /// What the metrics tell of a server.
    pub(in crate::service) fn counts(&self, server: &str, catalog: &Catalog) -> PinCounts {
        let Some(kept) = self.0.get(server) else { return PinCounts::default() };
        let unapproved = kept.pins.deviations(catalog).count();
        PinCounts { unapproved, changes: kept.changes }
    }
}

impl Approval {
    /// The pins after the approval. Refused when the tools are not any more what was looked at, and
    /// for tools that are not there.
    pub(in crate::service) fn apply(
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
            return Err(Error::ToolNotFound { tool: unknown.clone(), suggestion: None });
        }
        Ok(pins.approved(announced, self.tools.as_deref(), by, now_ms))
    }
}
