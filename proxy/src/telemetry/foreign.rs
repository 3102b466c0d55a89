//! Traffic under the names that users of Istio and of Linkerd have in their dashboards, where the MeshConfig asks for them. Every value is
//! one that we have; a label of theirs for which we have nothing says so in their own word. It must not know how the sums came about.
//!
//! Sources: <https://istio.io/latest/docs/reference/config/metrics/> and <https://linkerd.io/2/reference/proxy-metrics/>.

use std::borrow::Cow;
use std::fmt;

use mesh_model::name::{Name, WorkloadName};
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::families::{Unit, counters, durations};
use super::totals::Totals;
use super::worker::SeriesDelta;
use super::{AppProtocol, Failure, Security, SeriesKey, Side};

type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;
type Shown<'a> = Vec<(&'a SeriesKey, &'a SeriesDelta)>;

/// Istio's standard metrics.
pub(super) fn istio(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    let (connections, requests) = by_kind(totals.istio.shown(totals.now));
    if !requests.is_empty() {
        let counts = requests.iter().map(|(key, sum)| (istio_labels(key), sum.requests));
        counters(encoder, "istio_requests", "Requests, as Istio counts them", counts)?;
        let timed = requests.iter().map(|(key, sum)| (istio_labels(key), *sum));
        let help = "Duration of requests, as Istio has it";
        durations(encoder, "istio_request_duration_milliseconds", help, Unit::Milliseconds, timed)?;
        let help = "Bytes of request bodies, in one bucket";
        sizes(encoder, "istio_request_bytes", help, &requests, |sum| sum.bytes_in)?;
        let help = "Bytes of response bodies, in one bucket";
        sizes(encoder, "istio_response_bytes", help, &requests, |sum| sum.bytes_out)?;
    }
    if !connections.is_empty() {
        let each = |of: fn(&SeriesDelta) -> u64| {
            connections.iter().map(move |(key, sum)| (istio_labels(key), of(sum)))
        };
        let help = "Bytes to TCP clients, as Istio counts them";
        counters(encoder, "istio_tcp_sent_bytes", help, each(|sum| sum.bytes_out))?;
        let help = "Bytes from TCP clients, as Istio counts them";
        counters(encoder, "istio_tcp_received_bytes", help, each(|sum| sum.bytes_in))?;
        let help = "TCP connections that ended, as Istio counts them";
        counters(encoder, "istio_tcp_connections_closed", help, each(|sum| sum.requests))?;
    }
    Ok(())
}

/// The metrics of Linkerd's proxy that its own dashboards ask for.
pub(super) fn linkerd(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    let (connections, requests) = by_kind(totals.linkerd.shown(totals.now));
    if !requests.is_empty() {
        // Its counter of requests has no outcome; a sum over outcomes that come and go would go back.
        let each = || requests.iter().map(|(key, sum)| (linkerd_outcome(key), sum.requests));
        counters(encoder, "request", "Requests, as Linkerd counts them", each())?;
        counters(encoder, "response", "Responses, as Linkerd counts them", each())?;
        let timed = requests.iter().map(|(key, sum)| (linkerd_outcome(key), *sum));
        let help = "From a request's head to the end of its response";
        durations(encoder, "response_latency_ms", help, Unit::Milliseconds, timed)?;
    }
    if !connections.is_empty() {
        let closed = connections.iter().map(|(key, sum)| (linkerd_labels(key), sum.requests));
        counters(encoder, "tcp_close", "TCP connections that ended, as Linkerd counts them", closed)?;
    }
    Ok(())
}

/// Connections, and requests.
fn by_kind<'a>(shown: impl Iterator<Item = (&'a SeriesKey, &'a SeriesDelta)>) -> (Shown<'a>, Shown<'a>) {
    shown.partition(|(key, _)| key.protocol == AppProtocol::Tcp)
}

/// A histogram of which the sum and the count are known.
fn sizes(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    requests: &Shown<'_>,
    of: fn(&SeriesDelta) -> u64,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (key, sum) in requests {
        let (labels, all) = (istio_labels(key), [(f64::INFINITY, sum.requests)]);
        let bytes = of(sum) as f64;
        metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(bytes, sum.requests, &all, None)?;
    }
    Ok(())
}

fn name(name: Option<&Name>) -> (Cow<'_, str>, Cow<'_, str>) {
    name.map_or(("unknown".into(), "unknown".into()), |name| (name.namespace().into(), name.name().into()))
}

fn workload(workload: Option<&WorkloadName>) -> (Cow<'_, str>, Cow<'_, str>) {
    name(workload.map(|workload| &workload.0))
}

fn istio_labels(key: &SeriesKey) -> Labels<'_> {
    let (source_namespace, source) = workload(key.source.as_ref());
    let (destination_namespace, destination) = workload(key.destination.as_ref());
    let (service_namespace, service) = name(key.service.as_ref().map(|(service, _)| &service.0));
    let host = if key.service.is_some() {
        format!("{service}.{service_namespace}.svc.cluster.local")
    } else {
        "unknown".to_owned()
    };
    let mut labels: Labels<'_> = vec![
        (
            "reporter",
            match key.side {
                Side::Outbound => "source".into(),
                Side::Inbound => "destination".into(),
            },
        ),
        ("source_app", source.clone()),
        ("source_canonical_service", source.clone()),
        ("source_workload", source),
        ("source_workload_namespace", source_namespace),
        ("destination_app", destination.clone()),
        ("destination_canonical_service", destination.clone()),
        ("destination_workload", destination),
        ("destination_workload_namespace", destination_namespace),
        ("destination_service", host.into()),
        ("destination_service_name", service),
        ("destination_service_namespace", service_namespace),
        ("request_protocol", key.protocol.label().into()),
        ("response_flags", key.failure.map_or("-", Failure::flag).into()),
        (
            "connection_security_policy",
            match key.security {
                Security::Mtls => "mutual_tls".into(),
                Security::Tls | Security::Plaintext | Security::None => "none".into(),
            },
        ),
    ];
    if key.protocol != AppProtocol::Tcp {
        let grpc = key.grpc_status.map(|status| status.to_string()).unwrap_or_default();
        labels.push(("response_code", key.status.to_string().into()));
        labels.push(("grpc_response_status", grpc.into()));
    }
    labels
}

fn linkerd_labels(key: &SeriesKey) -> Labels<'_> {
    let (own, peer) = match key.side {
        Side::Outbound => (key.source.as_ref(), key.destination.as_ref()),
        Side::Inbound => (key.destination.as_ref(), key.source.as_ref()),
    };
    let ((namespace, deployment), (peer_namespace, peer)) = (workload(own), workload(peer));
    let tls = match key.security {
        Security::Mtls => "true",
        Security::Tls | Security::Plaintext | Security::None => "no_identity",
    };
    let mut labels: Labels<'_> = vec![
        ("direction", key.side.label().into()),
        ("namespace", namespace),
        ("deployment", deployment),
        ("tls", tls.into()),
    ];
    match key.side {
        Side::Outbound => {
            let service = name(key.service.as_ref().map(|(service, _)| &service.0)).1;
            labels.extend([
                ("dst_namespace", peer_namespace),
                ("dst_deployment", peer),
                ("dst_service", service),
            ]);
        }
        Side::Inbound => labels.extend([("client_namespace", peer_namespace), ("client_deployment", peer)]),
    }
    labels
}

fn linkerd_outcome(key: &SeriesKey) -> Labels<'_> {
    let failed = key.failure.is_some()
        || key.status >= 500
        || matches!(key.grpc_status, Some(2 | 4 | 7 | 13 | 14 | 15));
    let mut labels = linkerd_labels(key);
    labels.push(("classification", if failed { "failure".into() } else { "success".into() }));
    labels.push(("status_code", key.status.to_string().into()));
    let grpc = key.grpc_status.map(|status| status.to_string()).unwrap_or_default();
    labels.push(("grpc_status", grpc.into()));
    labels.push(("error", key.failure.map_or("", Failure::code).into()));
    labels
}
