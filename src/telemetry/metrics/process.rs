//! Metrics of the daemon's own process, under the names that every client library of Prometheus gives them
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).

use prometheus::{Counter, Gauge, Registry};

use super::{MetricsError, register};

/// Values of the process metrics at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessSample {
    /// User plus system CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Number of open file descriptors.
    pub open_fds: f64,
    /// Limit on open file descriptors; infinite if there is none.
    pub max_fds: f64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: f64,
    /// Start, in seconds since 1970.
    pub start_seconds: f64,
    /// Number of threads.
    pub threads: f64,
}

/// The process metrics. Not a part of the prometheus crate's own collector, which counts whole seconds of CPU time and
/// brings a parser of all of `/proc` and a second rustix.
pub(super) struct ProcessMetrics {
    cpu: Counter,
    gauges: [Gauge; 6],
}

impl ProcessMetrics {
    pub(super) fn declare(registry: &Registry) -> Result<ProcessMetrics, MetricsError> {
        let cpu =
            Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")?;
        let gauge = |name: &str, help: &str| register(registry, Gauge::new(name, help)?);
        Ok(ProcessMetrics {
            cpu: register(registry, cpu)?,
            gauges: [
                gauge("process_open_fds", "Number of open file descriptors.")?,
                gauge("process_max_fds", "Maximum number of open file descriptors.")?,
                gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
                gauge("process_resident_memory_bytes", "Resident memory size in bytes.")?,
                gauge(
                    "process_start_time_seconds",
                    "Start time of the process since unix epoch in seconds.",
                )?,
                gauge("process_threads", "Number of OS threads in the process.")?,
            ],
        })
    }

    /// Takes over a sample.
    pub(super) fn set(&self, sample: &ProcessSample) {
        self.cpu.inc_by((sample.cpu_seconds - self.cpu.get()).max(0.0));
        let values = [
            sample.open_fds,
            sample.max_fds,
            sample.virtual_bytes,
            sample.resident_bytes,
            sample.start_seconds,
            sample.threads,
        ];
        self.gauges.iter().zip(values).for_each(|(gauge, value)| gauge.set(value));
    }
}
