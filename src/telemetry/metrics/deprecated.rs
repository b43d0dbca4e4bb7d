//! Use of what MCP has deprecated, by the clients that use it: when it can go.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, Registry};

use super::{MetricsError, OTHER, counters};

/// Maximum number of clients that are told apart; further ones share the label `other`. Their names are theirs to choose.
const MAX_CLIENTS: usize = 64;
/// Longest name of a client, in characters; the rest is cut off.
const MAX_NAME: usize = 64;
/// Label of a client that has no name.
const UNNAMED: &str = "unnamed";

/// Part of MCP that is deprecated since 2026-07-28 and still served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deprecated {
    /// A server asked the client for its roots.
    Roots,
    /// A server asked the client for a completion by its model.
    Sampling,
    /// The client asked for log messages.
    Logging,
}

impl Deprecated {
    fn name(self) -> &'static str {
        match self {
            Deprecated::Roots => "roots",
            Deprecated::Sampling => "sampling",
            Deprecated::Logging => "logging",
        }
    }
}

/// Counters of such uses.
pub(super) struct DeprecatedUse {
    family: IntCounterVec,
    clients: Mutex<HashSet<String>>,
}

impl DeprecatedUse {
    pub(super) fn declare(registry: &Registry) -> Result<DeprecatedUse, MetricsError> {
        let help = "Uses of what MCP has deprecated, by client.";
        let family = counters(registry, "mcpvisor_mcp_deprecated_total", help, &["feature", "client"])?;
        Ok(DeprecatedUse { family, clients: Mutex::default() })
    }

    /// Counts a use by the client of this name; `None` for one without.
    pub(super) fn count(&self, feature: Deprecated, client: Option<&str>) {
        let shown: String = client.unwrap_or(UNNAMED).chars().take(MAX_NAME).collect();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told_apart = clients.contains(&shown) || clients.len() < MAX_CLIENTS;
        let label = if is_told_apart { &*shown } else { OTHER };
        self.family.with_label_values(&[feature.name(), label]).inc();
        if is_told_apart {
            clients.insert(shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_beyond_the_bound_are_counted_together_and_names_are_cut() {
        let registry = Registry::new();
        let uses = DeprecatedUse::declare(&registry).expect("declared");
        for client in 0..MAX_CLIENTS * 2 {
            uses.count(Deprecated::Roots, Some(&format!("{client}")));
        }
        uses.count(Deprecated::Logging, Some("0"));
        uses.count(Deprecated::Sampling, Some(&"x".repeat(10_000)));
        let of = |feature: Deprecated, client: &str| {
            uses.family.with_label_values(&[feature.name(), client]).get()
        };
        assert_eq!((of(Deprecated::Roots, "0"), of(Deprecated::Logging, "0")), (1, 1));
        assert_eq!(of(Deprecated::Roots, OTHER), MAX_CLIENTS as u64);
        assert_eq!(of(Deprecated::Sampling, OTHER), 1);
        let few = DeprecatedUse::declare(&Registry::new()).expect("declared");
        few.count(Deprecated::Logging, None);
        few.count(Deprecated::Logging, Some(&"x".repeat(10_000)));
        let of = |client: &str| few.family.with_label_values(&["logging", client]).get();
        assert_eq!((of(UNNAMED), of(&"x".repeat(MAX_NAME))), (1, 1));
    }
}
