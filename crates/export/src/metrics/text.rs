//! Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use std::fmt::Write;

use super::Histogram;

/// The media type of a [`Page`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values, in the order in which they are shown.
pub type Labels<'a> = [(&'a str, &'a str)];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever rises, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations, counted by size.
    Histogram,
}

/// All metrics of one scrape.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Begins a metric. One without samples leaves no trace on the page. A name stands on a page once.
    pub fn metric<'a>(&'a mut self, name: &'a str, kind: Kind, help: &'a str) -> Metric<'a> {
        Metric { page: &mut self.0, name, kind, help: Some(help) }
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.metric(name, Kind::Counter, help).sample(&[], value as f64);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.metric(name, Kind::Gauge, help).sample(&[], value);
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// One metric with all its label sets.
#[derive(Debug)]
pub struct Metric<'a> {
    page: &'a mut String,
    name: &'a str,
    kind: Kind,
    /// Until the first sample.
    help: Option<&'a str>,
}

impl Metric<'_> {
    /// One value.
    pub fn sample(&mut self, labels: &Labels<'_>, value: f64) {
        self.line("", labels, None, value);
    }

    /// One histogram: its cumulative buckets, sum and count.
    pub fn histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) {
        let mut count = 0;
        for (bound, of_bucket) in histogram.buckets() {
            count += of_bucket;
            self.line("_bucket", labels, Some(bound), count as f64);
        }
        self.line("_sum", labels, None, histogram.sum());
        self.line("_count", labels, None, count as f64);
    }

    fn line(&mut self, suffix: &str, labels: &Labels<'_>, le: Option<f64>, value: f64) {
        if let Some(help) = self.help.take() {
            let kind = match self.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let name = self.name;
            let _ = write!(self.page, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        self.page.push_str(self.name);
        self.page.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels {
            let _ = write!(self.page, "{before}{name}=\"");
            escape(value, self.page);
            self.page.push('"');
            before = ',';
        }
        if let Some(le) = le {
            let _ = match le.is_finite() {
                true => write!(self.page, "{before}le=\"{le}\""),
                false => write!(self.page, "{before}le=\"+Inf\""),
            };
            before = ',';
        }
        if before == ',' {
            self.page.push('}');
        }
        let _ = writeln!(self.page, " {value}");
    }
}

/// Backslash, quote and line feed are escaped in label values; everything else stands as it is.
fn escape(value: &str, page: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => page.push_str("\\\\"),
            '"' => page.push_str("\\\""),
            '\n' => page.push_str("\\n"),
            other => page.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_prometheus_text() {
        let mut page = Page::default();
        page.counter("calls_total", "Calls.", 3);
        page.metric("nothing", Kind::Gauge, "No samples.");
        let mut models = page.metric("models", Kind::Gauge, "By model.");
        models.sample(&[("model", "a\"b\\c\nd"), ("empty", "")], 0.5);
        models.sample(&[("model", "é"), ("empty", "")], 1e21);
        let mut histogram = Histogram::new(&[0.5, 250.0]);
        [0.1, 0.5, 0.6, 251.0].into_iter().for_each(|value| histogram.observe(value));
        let mut latency = page.metric("latency_ms", Kind::Histogram, "How long.");
        latency.histogram(&[("model", "m")], &histogram);
        latency.histogram(&[], &Histogram::new(&[1.0]));
        assert_eq!(
            page.into_text(),
            r#"# HELP calls_total Calls.
# TYPE calls_total counter
calls_total 3
# HELP models By model.
# TYPE models gauge
models{model="a\"b\\c\nd",empty=""} 0.5
models{model="é",empty=""} 1000000000000000000000
# HELP latency_ms How long.
# TYPE latency_ms histogram
latency_ms_bucket{model="m",le="0.5"} 2
latency_ms_bucket{model="m",le="250"} 3
latency_ms_bucket{model="m",le="+Inf"} 4
latency_ms_sum{model="m"} 252.2
latency_ms_count{model="m"} 4
latency_ms_bucket{le="1"} 0
latency_ms_bucket{le="+Inf"} 0
latency_ms_sum 0
latency_ms_count 0
"#
        );
    }
}
