//! What a collector wrote into its files, as numbers. It must not know how it came there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Spans of a request through the chain: four hops, each told at both sides.
pub(super) const SPANS: usize = 8;
/// Who tells them.
const SERVICES: [&str; 5] = ["a", "b", "c", "caller", "d"];

/// One span.
#[derive(Debug)]
struct Span {
    id: String,
    parent: String,
    service: String,
}

/// Spans by trace.
#[derive(Debug, Default)]
pub(super) struct Spans(BTreeMap<String, Vec<Span>>);

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    value.pointer(at).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An attribute as text.
fn attribute<'a>(attributes: &'a [Value], key: &str) -> &'a str {
    let found = attributes.iter().find(|one| text(one, "/key") == key);
    found.map(|one| text(one, "/value/stringValue")).unwrap_or_default()
}

/// Lines that are whole; the last one may still be written.
fn lines(file: &str) -> impl Iterator<Item = Result<Value>> {
    let whole = file.rfind('\n').and_then(|end| file.get(..end)).unwrap_or_default();
    whole.lines().map(|line| serde_json::from_str(line).context("a line of the collector"))
}

/// Each resource of a signal with its service.
fn resources(file: &str, kind: &str) -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for line in lines(file) {
        for resource in list(&line?, &format!("/resource{kind}")) {
            let service = attribute(list(resource, "/resource/attributes"), "service.name").to_owned();
            all.push((service, resource.clone()));
        }
    }
    Ok(all)
}

impl Spans {
    pub(super) fn read(file: &str) -> Result<Self> {
        let mut spans = Self::default();
        for (service, resource) in resources(file, "Spans")? {
            for span in list(&resource, "/scopeSpans").iter().flat_map(|scope| list(scope, "/spans")) {
                let one = Span {
                    id: text(span, "/spanId").to_owned(),
                    parent: text(span, "/parentSpanId").to_owned(),
                    service: service.clone(),
                };
                spans.0.entry(text(span, "/traceId").to_owned()).or_default().push(one);
            }
        }
        Ok(spans)
    }

    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn all_whole(&self, ids: &BTreeSet<String>) -> bool {
        ids.iter().all(|id| self.is_whole(id).is_ok())
    }

    /// One root, every other span's parent is there, and all services tell.
    pub(super) fn is_whole(&self, trace: &str) -> Result<()> {
        let spans = self.0.get(trace).context("is not there")?;
        ensure!(spans.len() == SPANS, "has {} spans", spans.len());
        let ids: BTreeSet<_> = spans.iter().map(|span| span.id.as_str()).collect();
        ensure!(ids.len() == SPANS, "has a span twice");
        let roots = spans.iter().filter(|span| span.parent.is_empty()).count();
        ensure!(roots == 1, "has {roots} roots");
        let orphan = spans.iter().find(|span| !span.parent.is_empty() && !ids.contains(span.parent.as_str()));
        ensure!(orphan.is_none(), "has a span without its parent: {orphan:?}");
        let services: BTreeSet<_> = spans.iter().map(|span| span.service.as_str()).collect();
        ensure!(services.iter().eq(SERVICES.iter()), "is told by {services:?}");
        Ok(())
    }
}

/// The newest points of each service's metrics.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<String, Value>);

impl Told {
    pub(super) fn read(file: &str) -> Result<Self> {
        // They are cumulative: what comes later counts.
        Ok(Self(resources(file, "Metrics")?.into_iter().collect()))
    }

    fn points(&self, service: &str, metric: &str, data: &str) -> Vec<&Value> {
        let scopes = self.0.get(service).map(|resource| list(resource, "/scopeMetrics")).unwrap_or_default();
        let metrics = scopes.iter().flat_map(|scope| list(scope, "/metrics"));
        let named = metrics.filter(|found| text(found, "/name") == metric);
        named.flat_map(|found| list(found, &format!("/{data}/dataPoints"))).collect()
    }

    /// Requests that a service's sidecar sent for it.
    pub(super) fn requests_of(&self, service: &str) -> u64 {
        let points = self.points(service, "mesh.requests", "sum");
        let outbound =
            points.iter().filter(|point| attribute(list(point, "/attributes"), "side") == "outbound");
        outbound.filter_map(|point| text(point, "/asInt").parse::<u64>().ok()).sum()
    }

    /// What a histogram counts.
    pub(super) fn durations_of(&self, metric: &str, service: &str) -> u64 {
        let points = self.points(service, metric, "histogram");
        points.iter().filter_map(|point| text(point, "/count").parse::<u64>().ok()).sum()
    }
}

/// Records of logs of a service.
pub(super) fn log_records(file: &str, service: &str) -> Result<u64> {
    let all = resources(file, "Logs")?;
    let own = all.iter().filter(|(told_by, _)| told_by == service);
    let records = own
        .flat_map(|(_, resource)| list(resource, "/scopeLogs"))
        .map(|scope| list(scope, "/logRecords").len());
    Ok(u64::try_from(records.sum::<usize>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(service: &str, spans: &[(&str, &str)]) -> String {
        let spans: Vec<_> = spans
            .iter()
            .map(|(id, parent)| format!(r#"{{"traceId":"t","spanId":"{id}","parentSpanId":"{parent}"}}"#))
            .collect();
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            spans.join(",")
        )
    }

    #[test]
    fn a_trace_is_whole_when_all_services_tell_and_every_parent_is_there() {
        let whole = [
            line("caller", &[("1", "")]),
            line("a", &[("2", "1"), ("3", "2")]),
            line("b", &[("4", "3"), ("5", "4")]),
            line("c", &[("6", "5"), ("7", "6")]),
            line("d", &[("8", "7")]),
        ]
        .join("\n");
        let read = |text: &str| Spans::read(text).unwrap().is_whole("t");
        read(&format!("{whole}\n")).unwrap();
        // The last line is not yet there.
        assert!(read(&whole).unwrap_err().to_string().contains("7 spans"));
        let orphan =
            whole.replace(r#""spanId":"8","parentSpanId":"7""#, r#""spanId":"8","parentSpanId":"9""#);
        assert!(read(&format!("{orphan}\n")).unwrap_err().to_string().contains("without its parent"));
    }
}
