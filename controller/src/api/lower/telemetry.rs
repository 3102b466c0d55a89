//! What a MeshConfig says of traces and of a collector, as the model has it. The same function serves `check`, which keeps the faults, and
//! `compile`, which keeps the result. It must not know other objects.

use std::sync::Arc;
use std::time::Duration;

use mesh_model::name::Name;
use mesh_model::settings::{
    OpenTelemetry, OtlpHeader, OtlpHeaderValue, OtlpProtocol, Signals, TailSampling, TraceHeaders,
    TracingSettings,
};
use mesh_reach::HostPort;

use super::Findings;
use super::scalars::{HOUR, MILLISECOND, SECOND, duration, optional};
use crate::api::amime::MeshConfigSpec;
use crate::api::telemetry::{
    OpenTelemetrySettings, OtlpHeaderSetting, OtlpProtocolSetting, Propagation, SignalSetting,
};

/// Between two batches of metrics, where the object says nothing.
const INTERVAL: Duration = Duration::from_secs(10);
/// Headers for a collector.
const MAX_HEADERS: usize = 16;
/// Bytes of certificates.
const MAX_PEM: usize = 64 * 1024;
/// Bytes of a header's value.
const MAX_VALUE: usize = 4096;
/// Headers that say how a message travels, and those that OTLP sets itself.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-timeout",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

/// What is traced beyond its share.
pub fn tracing(spec: &MeshConfigSpec, findings: &mut Findings) -> TracingSettings {
    let ppm = spec.tracing.sample_ppm;
    if ppm > 1_000_000 {
        findings.fault("spec.tracing.samplePpm", format!("{ppm} is over 1000000"));
    }
    let written = &spec.tracing.propagation;
    if written.is_empty() {
        findings.fault("spec.tracing.propagation", "is empty; use W3C, B3, B3Multi, or several of them");
    }
    let wanted = |one| written.contains(&one);
    let headers = TraceHeaders {
        w3c: wanted(Propagation::W3c),
        b3: wanted(Propagation::B3),
        b3_multi: wanted(Propagation::B3Multi),
    };
    let tail = spec.tracing.tail.as_ref().map(|tail| {
        let field = "spec.tracing.tail.slowerThan";
        let slower_than = optional(tail.slower_than.as_ref(), field, MILLISECOND..=HOUR, findings);
        TailSampling { failed: tail.failed, slower_than }
    });
    TracingSettings { headers, tail: tail.unwrap_or_default() }
}

/// Where telemetry is sent; `None`: nowhere, since nobody says so or since that cannot be.
pub fn open_telemetry(spec: &MeshConfigSpec, findings: &mut Findings) -> Option<Arc<OpenTelemetry>> {
    let given = spec.open_telemetry.as_ref()?;
    let protocol = match given.protocol {
        OtlpProtocolSetting::Grpc => OtlpProtocol::Grpc,
        OtlpProtocolSetting::Http => OtlpProtocol::Http,
    };
    if given.signals.is_empty() {
        findings
            .fault("spec.openTelemetry.signals", "is empty; use Traces, Metrics, Logs, or several of them");
    }
    findings.limit("spec.openTelemetry.headers", given.headers.len(), MAX_HEADERS);
    let headers = given
        .headers
        .iter()
        .enumerate()
        .filter_map(|(at, header)| self::header(at, header, findings))
        .collect();
    if let Some(Err(error)) = given.secret_name.as_deref().map(|name| Name::new("default", name)) {
        findings.fault("spec.openTelemetry.secretName", error.to_string());
    }
    let field = "spec.openTelemetry.interval";
    let interval = given.interval.as_ref().map(|text| duration(text, field, SECOND..=HOUR, findings));
    certificates(given, findings);
    let Endpoint { tls, authority, path } = match endpoint(&given.endpoint, protocol) {
        Ok(endpoint) => endpoint,
        Err(why) => {
            findings.fault("spec.openTelemetry.endpoint", why);
            return None;
        }
    };
    let wanted = |signal| given.signals.contains(&signal);
    Some(Arc::new(OpenTelemetry {
        authority,
        tls,
        ca: given.ca_certificates.as_deref().map(Arc::from),
        path,
        protocol,
        signals: Signals {
            traces: wanted(SignalSetting::Traces),
            metrics: wanted(SignalSetting::Metrics),
            logs: wanted(SignalSetting::Logs),
        },
        headers,
        interval: interval.unwrap_or(INTERVAL),
    }))
}

fn certificates(given: &OpenTelemetrySettings, findings: &mut Findings) {
    let field = "spec.openTelemetry.caCertificates";
    let Some(pem) = &given.ca_certificates else { return };
    if pem.len() > MAX_PEM {
        findings.fault(field, format!("has {} bytes, at most {MAX_PEM} are allowed", pem.len()));
    } else if !pem.contains("-----BEGIN CERTIFICATE-----") {
        findings.fault(field, "holds no certificate; it begins with -----BEGIN CERTIFICATE-----");
    } else if !given.endpoint.starts_with("https://") {
        findings.fault(field, "is for an endpoint that begins with https://");
    }
}

fn header(at: usize, given: &OtlpHeaderSetting, findings: &mut Findings) -> Option<OtlpHeader> {
    let field = format!("spec.openTelemetry.headers[{at}]");
    let name = given.name.to_ascii_lowercase();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        findings.fault(format!("{field}.name"), format!("`{}` is not the name of a header", given.name));
        return None;
    }
    if OWN_HEADERS.contains(&name.as_str()) || name.starts_with("grpc-") {
        findings.fault(format!("{field}.name"), format!("`{name}` is OTLP's own; it cannot be set"));
        return None;
    }
    let value = match (&given.value, &given.file) {
        (Some(text), None) => {
            let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
            if !printable || text.len() > MAX_VALUE {
                let message = format!("is not a line of at most {MAX_VALUE} printable characters of ASCII");
                findings.fault(format!("{field}.value"), message);
                return None;
            }
            OtlpHeaderValue::Text(text.clone())
        }
        (None, Some(file)) => {
            // It is looked for in one folder and nowhere else.
            let plain = file.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            if !plain || file.is_empty() || file.starts_with('.') || file.len() > 128 {
                findings.fault(
                    format!("{field}.file"),
                    format!("`{file}` is not the name of a file in the sidecar's folder of secrets: a-z, 0-9, `-`, `_` and `.`"),
                );
                return None;
            }
            OtlpHeaderValue::File(file.clone())
        }
        (None, None) | (Some(_), Some(_)) => {
            findings.fault(field, "has to have one of value and file");
            return None;
        }
    };
    Some(OtlpHeader { name, value })
}

#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    tls: bool,
    authority: String,
    path: String,
}

/// `SCHEME://HOST[:PORT][/PATH]`. What a URL may have beside that says nothing here, or hides a host (RFC 3986 section 3.2.1).
fn endpoint(text: &str, protocol: OtlpProtocol) -> Result<Endpoint, String> {
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => return Err(format!("`{text}` does not begin with http:// or https://")),
    };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let path = path.trim_end_matches('/');
    if !path.is_empty() && protocol == OtlpProtocol::Grpc {
        return Err(format!("`{text}` has a path, which gRPC has no use for; use protocol: Http"));
    }
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b)) {
        return Err(format!("the path of `{text}` has characters that do not belong there"));
    }
    let port = match protocol {
        OtlpProtocol::Grpc => 4317,
        OtlpProtocol::Http => 4318,
    };
    // After the bracket of an IPv6 address, or in a name.
    let has_port = host.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    let authority = if has_port { host.to_owned() } else { format!("{host}:{port}") };
    match authority.parse::<HostPort>() {
        Ok(place) => Ok(Endpoint { tls, authority: place.to_string(), path: path.to_owned() }),
        Err(error) => Err(format!("`{text}` names no host with a port: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_a_port_and_for_http_a_path() {
        for (text, protocol, tls, authority, path) in [
            ("http://otel.mon:4317", OtlpProtocol::Grpc, false, "otel.mon:4317", ""),
            ("https://otel.mon", OtlpProtocol::Grpc, true, "otel.mon:4317", ""),
            ("http://10.0.0.7", OtlpProtocol::Http, false, "10.0.0.7:4318", ""),
            ("http://[::1]", OtlpProtocol::Http, false, "[::1]:4318", ""),
            ("http://[::1]:9/", OtlpProtocol::Http, false, "[::1]:9", ""),
            ("https://api.example/otlp/v0/", OtlpProtocol::Http, true, "api.example:4318", "/otlp/v0"),
        ] {
            let path = path.to_owned();
            let wanted = Endpoint { tls, authority: authority.to_owned(), path };
            assert_eq!(endpoint(text, protocol).unwrap(), wanted, "{text}");
        }
        for (text, protocol) in [
            ("otel:4317", OtlpProtocol::Grpc),
            ("grpc://otel:4317", OtlpProtocol::Grpc),
            ("http://otel:4317/a", OtlpProtocol::Grpc),
            ("http://user@otel:4318", OtlpProtocol::Http),
            ("http://otel:0", OtlpProtocol::Http),
            ("http://:4318", OtlpProtocol::Http),
            ("http://", OtlpProtocol::Http),
            ("http://otel/a?b=c", OtlpProtocol::Http),
            ("http://otel/a#b", OtlpProtocol::Http),
            ("http://otel/a b", OtlpProtocol::Http),
            ("http://::1:4318", OtlpProtocol::Http),
        ] {
            assert!(endpoint(text, protocol).is_err(), "{text}");
        }
    }
}
