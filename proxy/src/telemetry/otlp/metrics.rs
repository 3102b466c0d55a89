//! The sums as OTLP's metrics: the same families as in a scrape, with OpenTelemetry's names where there are such, cumulative since the
//! process began. It must not know how the sums came about.

use std::borrow::Cow;
use std::time::SystemTime;

use mesh_proto::otlp::v1::{
    Exemplar, ExportMetrics, Gauge, Histogram, HistogramDataPoint, KeyValue, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, Temporality, metric,
};
use prost::Message as _;

use super::Resource;
use super::value::{Attributes, nanos, scope};
use crate::telemetry::aggregate::Aggregate;
use crate::telemetry::families::{Detail, Unit, coarse, labels};
use crate::telemetry::worker::SeriesDelta;
use crate::telemetry::{Direction, Event, SeriesKey, conventions};

type Times = (SystemTime, SystemTime);

/// The message of everything as of the second of these times, counted since the first, and how many points it has.
pub(super) fn message(sums: &Aggregate, resource: &Resource, times: Times) -> (Vec<u8>, usize) {
    let mut metrics = traffic(sums, times);
    metrics.extend(conventions(sums, times));
    metrics.extend(connections(sums, times));
    let points = metrics.iter().map(points).sum();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics }];
    let all =
        ResourceMetrics { resource: Some(resource.message()), scope_metrics, schema_url: String::new() };
    (ExportMetrics { resource_metrics: vec![all] }.encode_to_vec(), points)
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        None => 0,
    }
}

/// The mesh's own set.
fn traffic(sums: &Aggregate, times: Times) -> Vec<Metric> {
    let totals = &sums.totals;
    let by = |detail| move |key: &SeriesKey| plain(labels(key, detail));
    let requests = totals.outcomes.shown(totals.now);
    let requests = requests.map(|(key, sum)| number(by(Detail::Outcome)(key), sum.requests, times)).collect();
    let bytes = |of: fn(&SeriesDelta) -> u64| {
        let shown = totals.traffic.shown(totals.now);
        shown.map(|(key, sum)| number(by(Detail::Traffic)(key), of(sum), times)).collect()
    };
    let durations = totals.traffic.shown(totals.now);
    let durations = durations.map(|(key, sum)| histogram(by(Detail::Traffic)(key), sum, times)).collect();
    vec![
        counter("mesh.requests", "Requests, or TCP connections, by outcome", "{request}", requests),
        counter(
            "mesh.request.bytes",
            "Bytes of request bodies, or from TCP clients",
            "By",
            bytes(|sum| sum.bytes_in),
        ),
        counter(
            "mesh.response.bytes",
            "Bytes of response bodies, or to TCP clients",
            "By",
            bytes(|sum| sum.bytes_out),
        ),
        duration("mesh.request.duration", "From a request's head to the end of its response", durations),
    ]
}

/// OpenTelemetry's own.
fn conventions(sums: &Aggregate, times: Times) -> Vec<Metric> {
    let totals = &sums.totals;
    let family = |family: &conventions::Family| {
        let shown = totals.conventions.shown(totals.now).filter(|(key, _)| family.has(key));
        let points = shown.map(|(key, sum)| {
            let mut attributes = Attributes::default();
            for (label, value) in conventions::labels(key) {
                let name = conventions::attribute(label);
                match (label, value.parse::<i64>()) {
                    ("http_response_status_code" | "server_port", Ok(number)) => attributes.int(name, number),
                    _ => attributes.text(name, &value),
                }
            }
            histogram(attributes.0, sum, times)
        });
        duration(family.otlp, family.help, points.collect())
    };
    let all = conventions::FAMILIES.iter().map(family);
    all.filter(|metric| points(metric) > 0).collect()
}

fn connections(sums: &Aggregate, times: Times) -> Vec<Metric> {
    let each = |values: [u64; 2]| {
        Direction::ALL
            .iter()
            .zip(values)
            .map(|(direction, value)| {
                number(plain(vec![("direction", direction.label().into())]), value, times)
            })
            .collect()
    };
    let [opened_in, opened_out] = sums.opened;
    let [closed_in, closed_out] = sums.closed;
    let open = each([opened_in.saturating_sub(closed_in), opened_out.saturating_sub(closed_out)]);
    let events = Event::ALL.iter().zip(sums.events).filter(|(_, count)| *count > 0);
    let events = events
        .map(|(event, count)| number(plain(vec![("event", event.label().into())]), count, times))
        .collect();
    vec![
        counter("mesh.connections", "Connections accepted", "{connection}", each(sums.opened)),
        Metric {
            data: Some(metric::Data::Gauge(Gauge { data_points: open })),
            ..about("mesh.connections.open", "Connections open now", "{connection}")
        },
        counter("mesh.events", "Things that happened to connections", "{event}", events),
    ]
}

fn about(name: &str, help: &str, unit: &str) -> Metric {
    Metric { name: name.to_owned(), description: help.to_owned(), unit: unit.to_owned(), data: None }
}

fn counter(name: &str, help: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let aggregation_temporality = Temporality::Cumulative.into();
    let sum = Sum { data_points, aggregation_temporality, is_monotonic: true };
    Metric { data: Some(metric::Data::Sum(sum)), ..about(name, help, unit) }
}

fn duration(name: &str, help: &str, data_points: Vec<HistogramDataPoint>) -> Metric {
    let histogram = Histogram { data_points, aggregation_temporality: Temporality::Cumulative.into() };
    Metric { data: Some(metric::Data::Histogram(histogram)), ..about(name, help, "s") }
}

fn number(attributes: Vec<KeyValue>, value: u64, (start, now): Times) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: nanos(start),
        time_unix_nano: nanos(now),
        as_int: i64::try_from(value).unwrap_or(i64::MAX),
        attributes,
    }
}

fn histogram(attributes: Vec<KeyValue>, sum: &SeriesDelta, (start, now): Times) -> HistogramDataPoint {
    let buckets = coarse(&sum.latency, Unit::Seconds);
    let exemplar = sum.traced.map(|traced| Exemplar {
        time_unix_nano: nanos(traced.at),
        as_double: Some(traced.latency_us as f64 / 1e6),
        trace_id: traced.trace_id.to_vec(),
    });
    HistogramDataPoint {
        start_time_unix_nano: nanos(start),
        time_unix_nano: nanos(now),
        count: sum.latency.count(),
        sum: Some(sum.latency_sum_us as f64 / 1e6),
        bucket_counts: buckets.iter().map(|(_, count)| *count).collect(),
        // The last bucket has no upper bound.
        explicit_bounds: buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect(),
        exemplars: exemplar.into_iter().collect(),
        attributes,
    }
}

/// Labels of a scrape under their own names.
fn plain(labels: Vec<(&'static str, Cow<'_, str>)>) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    for (name, value) in labels {
        attributes.text(name, &value);
    }
    attributes.0
}
