//! The Prometheus families of the data plane, written from the sums at each scrape. It must not know how the sums came
//! about. Every label's values are bounded: by topology, by configuration or by a closed set.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mesh_identity::Identity;
use mesh_model::name::Name;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::CounterWithExemplar;

use super::decisions::Decisions;
use super::histogram::Histogram;
use super::hub::Shared;
use super::otlp::{Lanes, Loss, Signal};
use super::outside::{Outside, Passed};
use super::totals::Totals;
use super::worker::SeriesDelta;
use super::{Direction, Event, Failure, SeriesKey, conventions, foreign};

#[cfg(test)]
mod tests;

/// Buckets of the duration family: powers of two from 0.512 ms to 67 s, which are bounds of the inner histogram too, so
/// that nothing is interpolated.
const OCTAVES: std::ops::RangeInclusive<usize> = 9..=26;

const NO_LABELS: [(&str, &str); 0] = [];

/// How many labels a family has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Who called whom.
    Traffic,
    /// That, and how it ended.
    Outcome,
}

/// Writes the families at each scrape.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Option<Identity>,
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sums = self.shared.sums();
        let totals = &sums.totals;
        requests(&mut encoder, totals)?;
        let bytes = |of: fn(&SeriesDelta) -> u64| {
            let shown = totals.traffic.shown(totals.now);
            shown.map(move |(key, sum)| (labels(key, Detail::Traffic), of(sum)))
        };
        let help = "Bytes of request bodies, or from TCP clients";
        counters(&mut encoder, "mesh_request_bytes", help, bytes(|sum| sum.bytes_in))?;
        let help = "Bytes of response bodies, or to TCP clients";
        counters(&mut encoder, "mesh_response_bytes", help, bytes(|sum| sum.bytes_out))?;
        let help = "From a request's head to the end of its response";
        let traffic = totals.traffic.shown(totals.now);
        let traffic = traffic.map(|(key, sum)| (labels(key, Detail::Traffic), sum));
        durations(&mut encoder, "mesh_request_duration_seconds", help, Unit::Seconds, traffic)?;
        conventions::write(&mut encoder, totals)?;
        foreign::istio(&mut encoder, totals)?;
        foreign::linkerd(&mut encoder, totals)?;

        let directions = || Direction::ALL.iter().zip(sums.opened).zip(sums.closed);
        let opened = directions().map(|((d, opened), _)| ([("direction", d.label())], opened));
        counters(&mut encoder, "mesh_connections", "Connections accepted", opened)?;
        let open = directions()
            .map(|((d, opened), closed)| ([("direction", d.label())], opened.saturating_sub(closed)));
        gauges(&mut encoder, "mesh_connections_open", "Connections open now", open)?;
        let events = Event::ALL.iter().zip(sums.events).map(|(e, count)| ([("event", e.label())], count));
        counters(&mut encoder, "mesh_events", "Things that happened to connections", events)?;
        let help = "Sampled spans thrown away because a buffer was full";
        single(&mut encoder, "mesh_spans_dropped", help, sums.spans_dropped)?;
        let lines = self.shared.writers.counts.all().map(|(outcome, count)| ([("outcome", outcome)], count));
        counters(
            &mut encoder,
            "mesh_access_log_lines",
            "Lines of the access log, by what became of them",
            lines,
        )?;
        if let Some(counts) = mesh_lifecycle::log::counts() {
            let lines = counts.all().map(|(outcome, count)| ([("outcome", outcome)], count));
            counters(
                &mut encoder,
                "mesh_log_lines",
                "Lines of the proxy's own log, by what became of them",
                lines,
            )?;
        }
        let help = "Failures whose kind found no room for an example";
        single(&mut encoder, "mesh_failure_examples_dropped", help, sums.examples_dropped)?;
        let help = "Times that a series had to be folded into an overflow series";
        single(&mut encoder, "mesh_series_overflow", help, sums.overflows)?;
        let help =
            "Requests that operators had this proxy send as its application would, by what became of them";
        let trials =
            self.shared.trials.counts().into_iter().map(|(outcome, count)| ([("outcome", outcome)], count));
        counters(&mut encoder, "mesh_trials", help, trials)?;
        outside(&mut encoder, &sums.outside)?;
        decisions(&mut encoder, &sums.decisions)?;
        drop(sums);
        told(&mut encoder, &self.shared.lanes)?;
        self.process(encoder)
    }
}

impl Families {
    /// What is not about traffic.
    fn process(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(identity) = &self.identity {
            let expiry = identity.svid().not_after;
            let help = "When the certificate expires, Unix time";
            gauges(&mut encoder, "mesh_certificate_expiry_seconds", help, [(NO_LABELS, expiry)])?;
            let renewals = identity.counters();
            let outcomes = [([("outcome", "ok")], renewals.ok), ([("outcome", "failed")], renewals.failed)];
            counters(
                &mut encoder,
                "mesh_certificate_renewals",
                "Attempts to renew the certificate",
                outcomes,
            )?;
        }
        let help = "What this is; always 1";
        gauges(&mut encoder, "mesh_build_info", help, [([("version", env!("CARGO_PKG_VERSION"))], 1)])
    }
}

/// What became of what was to be sent to a collector.
fn told(encoder: &mut DescriptorEncoder<'_>, lanes: &Lanes) -> fmt::Result {
    let help = "Spans, points and records of logs for a collector of OpenTelemetry's, by what became of them";
    let all = Signal::ALL.iter().flat_map(|signal| Loss::ALL.iter().map(move |loss| (*signal, *loss)));
    let items = all.map(|(signal, loss)| {
        ([("signal", signal.label()), ("outcome", loss.label())], lanes.items(signal, loss))
    });
    counters(encoder, "mesh_otlp_items", help, items)?;
    let help = "Batches that a collector did not take at once";
    let failures = Signal::ALL.iter().map(|signal| ([("signal", signal.label())], lanes.failures(*signal)));
    counters(encoder, "mesh_otlp_failures", help, failures)
}

/// Verdicts of authorization policies; without a policy those beyond the bound.
fn decisions(encoder: &mut DescriptorEncoder<'_>, decisions: &Decisions) -> fmt::Result {
    let help = "Requests and TCP connections judged by authorization policies, by the policy that decided";
    let values = decisions.iter().map(|(direction, verdict, policy, count)| {
        let policy = policy.map_or_else(|| "others".to_owned(), ToString::to_string);
        let labels = [
            ("direction", direction.label().to_owned()),
            ("verdict", verdict.label().to_owned()),
            ("policy", policy),
        ];
        (labels, count)
    });
    counters(encoder, "mesh_policy_decisions", help, values)
}

/// What passed to destinations that the mesh does not know.
fn outside(encoder: &mut DescriptorEncoder<'_>, outside: &Outside) -> fmt::Result {
    let each = |of: fn(&Passed) -> u64| {
        outside.names.iter().map(move |((seen, name), passed)| {
            ([("seen_in", seen.label().to_owned()), ("name", name.to_string())], of(passed))
        })
    };
    let help =
        "Captured connections that passed to destinations outside the mesh, by the name they were seen with";
    counters(encoder, "mesh_outside_connections", help, each(|passed| passed.connections))?;
    let help = "Bytes that they carried out";
    counters(encoder, "mesh_outside_sent_bytes", help, each(|passed| passed.bytes_out))?;
    let help = "Bytes that they carried back";
    counters(encoder, "mesh_outside_received_bytes", help, each(|passed| passed.bytes_in))
}

pub(super) fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
    }
    Ok(())
}

fn single(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// Requests by outcome, each series with a traced request as its exemplar.
fn requests(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    let help = "Requests, or TCP connections, by outcome";
    let mut metric = encoder.encode_descriptor("mesh_requests", help, None, MetricType::Counter)?;
    for (key, sum) in totals.outcomes.shown(totals.now) {
        let labels = labels(key, Detail::Outcome);
        let mut series = metric.encode_family(&labels)?;
        let Some(traced) = sum.traced else {
            series.encode_counter::<NoLabelSet, u64, u64>(&sum.requests, None)?;
            continue;
        };
        // The library makes exemplars only inside of its own metrics.
        let carrier = CounterWithExemplar::<TraceLabel, f64, AtomicU64>::default();
        let id = u128::from_be_bytes(traced.trace_id);
        let label = vec![("trace_id", format!("{id:032x}"))];
        carrier.inc_by(traced.latency_us as f64 / 1e6, Some(label), Some(traced.at));
        series.encode_counter(&sum.requests, carrier.get().1.as_ref())?;
    }
    Ok(())
}

type TraceLabel = Vec<(&'static str, String)>;

/// What a family of durations is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    /// As other meshes have it.
    Milliseconds,
}

impl Unit {
    /// How much of a microsecond it is.
    const fn scale(self) -> f64 {
        match self {
            Self::Seconds => 1e6,
            Self::Milliseconds => 1e3,
        }
    }
}

pub(super) fn durations<'a, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Unit,
    values: impl IntoIterator<Item = (L, &'a SeriesDelta)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, sum) in values {
        metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            sum.latency_sum_us as f64 / unit.scale(),
            sum.latency.count(),
            &coarse(&sum.latency, unit),
            None,
        )?;
    }
    Ok(())
}

/// The inner histogram in the buckets of the family: upper bound and count, not cumulated.
pub(super) fn coarse(fine: &Histogram, unit: Unit) -> Vec<(f64, u64)> {
    let bound = |octave| (1u64 << octave) as f64 / unit.scale();
    let mut buckets: Vec<(f64, u64)> = OCTAVES.map(|octave| (bound(octave), 0)).collect();
    buckets.push((f64::INFINITY, 0));
    for (index, count) in fine.iter() {
        // Bucket `index` ends at 2^((index + 1) / 8), so it belongs to the octave above.
        let octave = (index + 1).div_ceil(8).max(*OCTAVES.start());
        let at = (octave - OCTAVES.start()).min(buckets.len() - 1);
        if let Some(bucket) = buckets.get_mut(at) {
            bucket.1 += count;
        }
    }
    buckets
}

pub(super) fn labels(key: &SeriesKey, detail: Detail) -> Vec<(&'static str, Cow<'_, str>)> {
    let name = |name: Option<&Name>| {
        (name.map_or("", Name::namespace).to_owned(), name.map_or("", Name::name).to_owned())
    };
    let (source_namespace, source) = name(key.source.as_ref().map(|w| &w.0));
    let (service_namespace, service) = name(key.service.as_ref().map(|(s, _)| &s.0));
    let (destination_namespace, destination) = name(key.destination.as_ref().map(|w| &w.0));
    let mut labels: Vec<(&'static str, Cow<'_, str>)> = vec![
        ("side", key.side.label().into()),
        ("source_namespace", source_namespace.into()),
        ("source_workload", source.into()),
        ("service_namespace", service_namespace.into()),
        ("service", service.into()),
        ("service_port", key.service.as_ref().map(|(_, port)| port.to_string()).unwrap_or_default().into()),
        ("destination_namespace", destination_namespace.into()),
        ("destination_workload", destination.into()),
        ("route", key.route.as_deref().unwrap_or_default().into()),
        ("protocol", key.protocol.label().into()),
        ("security", key.security.label().into()),
    ];
    if detail == Detail::Outcome {
        labels.push(("status", key.status.to_string().into()));
        labels.push(("grpc_status", key.grpc_status.map(|s| s.to_string()).unwrap_or_default().into()));
        labels.push(("failure", key.failure.map_or("", Failure::code).into()));
    }
    labels
}
