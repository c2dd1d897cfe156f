//! PURE: Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

use jiff::Timestamp;

use crate::runner::metrics::Histogram;

/// One metric, with a line for each of its values.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    head: String,
    lines: String,
}

impl Family {
    pub(super) fn counter(name: &'static str, help: &str) -> Family {
        Family::new(name, "counter", help)
    }

    pub(super) fn gauge(name: &'static str, help: &str) -> Family {
        Family::new(name, "gauge", help)
    }

    pub(super) fn distribution(name: &'static str, help: &str) -> Family {
        Family::new(name, "histogram", help)
    }

    fn new(name: &'static str, kind: &str, help: &str) -> Family {
        Family { name, head: format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"), lines: String::new() }
    }

    pub(super) fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, value, None);
    }

    /// `at`: when it was so.
    pub(super) fn value_at(&mut self, labels: &[(&str, &str)], value: impl Display, at: Timestamp) {
        self.line("", labels, value, Some(at));
    }

    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        for (bound, count) in histogram.cumulative() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            self.line("_bucket", &[labels, &[("le", &bound)]].concat(), count, None);
        }
        self.line("_sum", labels, histogram.sum(), None);
        self.line("_count", labels, histogram.count(), None);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display, at: Option<Timestamp>) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let at = at.map_or_else(String::new, |at| format!(" {}", at.as_millisecond()));
        // a string takes everything
        let _ = writeln!(self.lines, "{}{suffix}{labels} {value}{at}", self.name);
    }

    /// Nothing where there is no value.
    pub(super) fn text(self) -> String {
        if self.lines.is_empty() { String::new() } else { self.head + &self.lines }
    }
}

/// All of them, in this order.
pub(super) fn text(families: impl IntoIterator<Item = Family>) -> String {
    families.into_iter().map(Family::text).collect()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_a_head_and_a_line_for_each_value() {
        let mut family = Family::gauge("a", "What it is.");
        family.value(&[], 1.5);
        family.value_at(&[("b", "x\"y\\z\n"), ("c", "")], 2, Timestamp::UNIX_EPOCH);
        let lines = ["# HELP a What it is.", "# TYPE a gauge", "a 1.5", "a{b=\"x\\\"y\\\\z\\n\",c=\"\"} 2 0", ""];
        assert_eq!(family.text(), lines.join("\n"));
        assert_eq!(Family::counter("a", "Nothing.").text(), "");
    }

    #[test]
    fn buckets_count_what_is_in_the_smaller_ones_too() {
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        for seconds in [0.25, 0.5, 0.75, 2.0] {
            histogram.observe(seconds);
        }
        let mut family = Family::distribution("a", "Seconds.");
        family.histogram(&[("b", "c")], &histogram);
        let lines = [
            "# HELP a Seconds.",
            "# TYPE a histogram",
            "a_bucket{b=\"c\",le=\"0.5\"} 2",
            "a_bucket{b=\"c\",le=\"1\"} 3",
            "a_bucket{b=\"c\",le=\"+Inf\"} 4",
            "a_sum{b=\"c\"} 3.5",
            "a_count{b=\"c\"} 4",
            "",
        ];
        assert_eq!(family.text(), lines.join("\n"));
    }
}
