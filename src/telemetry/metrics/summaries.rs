//! Summaries without quantiles: how many there were, and what they add up to. The library has a place for them in its
//! format and no type that fills it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType, Summary};
use prometheus::{Opts, Registry};

use super::{MetricsError, register};

/// Number and total of what was summed.
type Sum = (u64, f64);

/// One family of summaries by server, and by a second label if it has one. Cheap to clone.
#[derive(Clone)]
pub(super) struct Summaries(Arc<SummaryTable>);

struct SummaryTable {
    desc: Desc,
    /// Name of the second label; `None` for a family that has only the server.
    second: Option<&'static str>,
    /// By server, then by the value of the second label, which is empty where there is none.
    sums: Mutex<BTreeMap<String, BTreeMap<String, Sum>>>,
}

impl Summaries {
    pub(super) fn declare(
        registry: &Registry,
        name: &str,
        help: &str,
        second: Option<&'static str>,
    ) -> Result<Summaries, MetricsError> {
        let labels = std::iter::once("server").chain(second).map(str::to_owned).collect();
        let opts = Opts::new(name, help).variable_labels(labels);
        let desc = Desc::new(opts.name, opts.help, opts.variable_labels, opts.const_labels)?;
        register(registry, Summaries(Arc::new(SummaryTable { desc, second, sums: Mutex::default() })))
    }

    fn sums(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, Sum>>> {
        self.0.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to a series, which is made if it is new.
    pub(super) fn add(&self, server: &str, second: &str, count: u64, total: f64) {
        let mut sums = self.sums();
        if !sums.contains_key(server) {
            sums.insert(server.to_owned(), BTreeMap::new());
        }
        let Some(of_server) = sums.get_mut(server) else { return };
        match of_server.get_mut(second) {
            Some(sum) => *sum = (sum.0 + count, sum.1 + total),
            None => drop(of_server.insert(second.to_owned(), (count, total))),
        }
    }

    /// Removes the series of a server and returns the values of their second label.
    pub(super) fn remove(&self, server: &str) -> Vec<String> {
        self.sums().remove(server).map(|of_server| of_server.into_keys().collect()).unwrap_or_default()
    }
}

impl Collector for Summaries {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.0.desc.fq_name.clone());
        family.set_help(self.0.desc.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        let sums = self.sums();
        let series = sums.iter().flat_map(|(server, of_server)| {
            of_server.iter().map(move |(second, sum)| {
                let pairs = std::iter::once(label("server", server));
                let pairs = pairs.chain(self.0.second.map(|name| label(name, second)));
                let mut summary = Summary::default();
                summary.set_sample_count(sum.0);
                summary.set_sample_sum(sum.1);
                let mut metric = Metric::from_label(pairs.collect());
                metric.set_summary(summary);
                metric
            })
        });
        family.set_metric(series.collect());
        vec![family]
    }
}

/// Returns a label of a series.
pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
