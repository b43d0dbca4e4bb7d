//! Metrics of what the daemon keeps (store, usage, audit), of its clock and of the processes that it adopted.

use prometheus::{Gauge, IntCounter, IntGauge, Registry};

use super::{MetricsError, register};

/// Metrics of the stored data, the clock and adopted processes.
pub(super) struct Kept {
    pub(super) store_degraded: IntGauge,
    pub(super) store_from_backup: IntGauge,
    pub(super) flush_age: Gauge,
    pub(super) audit_lost: IntCounter,
    pub(super) audit_unrecorded: IntCounter,
    pub(super) spans_exported: IntCounter,
    pub(super) spans_dropped: IntCounter,
    pub(super) clock_in_doubt: IntGauge,
    pub(super) strays: IntGauge,
    pub(super) strays_ended: IntCounter,
}

impl Kept {
    pub(super) fn declare(registry: &Registry) -> Result<Kept, MetricsError> {
        let store_degraded = register(
            registry,
            IntGauge::new("mcpvisor_store_degraded", "1 while changes cannot be stored and are refused.")?,
        )?;
        let store_from_backup = register(
            registry,
            IntGauge::new(
                "mcpvisor_store_from_backup",
                "1 while the store cannot be opened and a backup stands in for it.",
            )?,
        )?;
        let flush_age = register(
            registry,
            Gauge::new(
                "mcpvisor_store_flush_age_seconds",
                "How long ago usage was last written as a whole.",
            )?,
        )?;
        let audit_lost = register(
            registry,
            IntCounter::new("mcpvisor_audit_lost_total", "Entries of the audit that could not be written.")?,
        )?;
        let audit_unrecorded = register(
            registry,
            IntCounter::new(
                "mcpvisor_audit_unrecorded_total",
                "Refusals, failures and calls that the audit only counted.",
            )?,
        )?;
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help)?);
        let spans_exported = counter("mcpvisor_spans_exported_total", "Spans that a collector has taken.")?;
        let spans_dropped = counter(
            "mcpvisor_spans_dropped_total",
            "Spans that were dropped: no room, or nobody took them.",
        )?;
        let clock_in_doubt = register(
            registry,
            IntGauge::new("mcpvisor_clock_in_doubt", "1 while the machine's clock is not believed.")?,
        )?;
        let strays = register(
            registry,
            IntGauge::new(
                "mcpvisor_strays",
                "Processes that fell to the daemon and that no server is known by.",
            )?,
        )?;
        let strays_ended = register(
            registry,
            IntCounter::new("mcpvisor_strays_ended_total", "Such processes that were ended.")?,
        )?;
        Ok(Kept {
            store_degraded,
            store_from_backup,
            flush_age,
            audit_lost,
            audit_unrecorded,
            spans_exported,
            spans_dropped,
            clock_in_doubt,
            strays,
            strays_ended,
        })
    }
}
