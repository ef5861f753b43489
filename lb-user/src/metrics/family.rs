//! A metric: its name, its help and its samples, as the crate `prometheus` encodes them.
//! It refuses to know what is measured.

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// Names and values of labels, in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, String)>;

/// A metric.
pub(super) struct Family(MetricFamily);

/// The kinds of metrics that there are here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises, or begins at zero anew. Its name ends in `_total`.
    Counter,
    /// Rises and falls.
    Gauge,
}

impl Family {
    /// A metric without samples.
    pub(super) fn new(kind: Kind, name: &str, help: &str) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(match kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
        });
        Self(family)
    }

    /// The same with a sample; no two may have the same labels.
    pub(super) fn with(mut self, labels: Labels, value: f64) -> Self {
        let labels = labels.into_iter().map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name(name.to_owned());
            label.set_value(value);
            label
        });
        let mut metric = Metric::from_label(labels.collect());
        if self.0.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.0.mut_metric().push(metric);
        self
    }

    /// The same with a sample for each item.
    pub(super) fn with_all(self, samples: impl IntoIterator<Item = (Labels, f64)>) -> Self {
        samples.into_iter().fold(self, |family, (labels, value)| family.with(labels, value))
    }
}

/// The families in Prometheus's text format 0.0.4. Those without a sample are left out.
pub(super) fn text(families: Vec<Family>) -> String {
    let families: Vec<_> = families
        .into_iter()
        .map(|family| family.0)
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    // It fails for a family without samples or without a name only.
    TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| format!("# {error}\n"))
}
