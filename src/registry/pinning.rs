//! Pins of tools: made at first sight, compared at each later announcement, changed only by an approval.

use std::sync::Arc;

use super::error::Error;
use super::list::ServerEntry;
use super::{Registry, now, registry_store, stored};
use crate::pins::{Approval, Pins};
use crate::supervisor::PinMode;
use crate::unix_time;
use crate::upstream::Catalog;

/// Maximum number of changed tools that one comparison logs with a line each.
const LINES: usize = 20;

impl Registry {
    /// Logs each tool that is not as it was approved, once. Returns the pins to make where there are none yet;
    /// `None` if there are pins already or the mode is off.
    pub(super) fn compare_pins(&self, entry: &ServerEntry, announced: &Catalog) -> Option<Pins> {
        let mode = entry.definition.policy().pin;
        if mode == PinMode::Off {
            return None;
        }
        if self.pins.of(&entry.id).is_none() {
            return Some(Pins::of(announced, unix_time::millis(now())));
        }
        let news = self.pins.news(&entry.id, announced);
        for (tool, state) in news.iter().take(LINES) {
            tracing::warn!(
                server = %entry.name, tool = %tool.escape_debug(), change = state.name(), pin = mode.name(),
                "a tool is not as it was approved"
            );
        }
        if let Some(more) = news.len().checked_sub(LINES).filter(|more| *more > 0) {
            tracing::warn!(server = %entry.name, more, "further tools are not as they were approved");
        }
        None
    }

    /// Approves tools as they are announced. The approval is durable when this returns.
    pub fn approve_tools(
        &mut self,
        server: &str,
        announced: &Catalog,
        approval: &Approval,
        by: &Arc<str>,
    ) -> Result<(), Error> {
        let list = self.list();
        let entry = list.by_id(server).ok_or_else(|| Error::ServerNotFound { name: server.to_owned() })?;
        let before = self.pins.of(&entry.id).unwrap_or_default();
        let pins = approval.apply(&before, announced, by, unix_time::millis(now()))?;
        self.ledger
            .commit(vec![registry_store::put_pins(&entry.id, &pins).map_err(stored)?])
            .map_err(stored)?;
        self.pins.set(&entry.id, pins);
        Ok(())
    }
}
