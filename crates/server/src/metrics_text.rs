//! Metrics in the text format of Prometheus.

use std::fmt::{Display, Write as _};

/// What a metric is to those who read it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MetricKind {
    /// It only rises, and begins again when the process does.
    Counter,
    Gauge,
}

/// Metrics, one family after the other.
#[derive(Default)]
pub(crate) struct MetricsText(String);

impl MetricsText {
    pub(crate) const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// A metric with one value.
    pub(crate) fn value(
        &mut self,
        name: &str,
        (kind, help): (MetricKind, &str),
        value: impl Display,
    ) {
        self.family(name, (kind, help), [([], value)]);
    }

    /// A metric with a value for each set of labels.
    pub(crate) fn family<'a, const LABELS: usize, V: Display>(
        &mut self,
        name: &str,
        (kind, help): (MetricKind, &str),
        samples: impl IntoIterator<Item = ([(&'static str, &'a str); LABELS], V)>,
    ) {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let text = &mut self.0;
        // Writing to a text does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            text.push_str(name);
            for (n, (label, of)) in labels.iter().enumerate() {
                text.push(if n == 0 { '{' } else { ',' });
                let _ = write!(text, "{label}=\"{}\"", escaped(of));
            }
            text.push_str(if LABELS == 0 { " " } else { "} " });
            let _ = writeln!(text, "{value}");
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = MetricsText::default();
        text.value("up", (MetricKind::Gauge, "Whether."), 1);
        text.family("lag", (MetricKind::Counter, "How far."), [([("name", "a\"\\\nb")], 2.5)]);
        let expected = "# HELP up Whether.\n# TYPE up gauge\nup 1\n\
                        # HELP lag How far.\n# TYPE lag counter\nlag{name=\"a\\\"\\\\\\nb\"} 2.5\n";
        assert_eq!(text.into_text(), expected);
    }
}
