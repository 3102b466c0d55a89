//! Settings of the whole mesh. They must not know where they were written.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::access_log::{AccessLog, LogOverride};
use crate::spiffe::TrustDomain;

/// Whether plaintext is taken where mTLS could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MtlsMode {
    /// Only mTLS.
    Strict,
    /// mTLS, and plaintext from clients outside the mesh.
    Permissive,
    /// Callers are told to use none. Who comes with it is let in all the same.
    Disabled,
}

impl MtlsMode {
    /// Higher lets fewer in.
    pub const fn strictness(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Permissive => 1,
            Self::Strict => 2,
        }
    }

    /// As objects write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Permissive => "Permissive",
            Self::Disabled => "Disabled",
        }
    }
}

/// What happens to requests for hosts that the mesh does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutboundMode {
    /// They pass, and are counted.
    AllowAny,
    /// They are refused.
    RegistryOnly,
}

/// The `MeshConfig` object, with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshSettings {
    /// The trust domain of every identity.
    pub trust_domain: TrustDomain,
    /// Default for every workload. `Strict` unless set.
    pub mtls_mode: MtlsMode,
    /// `AllowAny` unless set.
    pub outbound_mode: OutboundMode,
    /// Share of traces to sample where the caller did not decide, parts per million. 10,000 (1 %) unless set.
    pub trace_sample_ppm: u32,
    /// What proxies write of each request and connection; `None`: nothing.
    pub access_log: Option<AccessLog>,
    /// For some proxies in place of that; the first that fits a proxy counts.
    pub access_log_overrides: Vec<LogOverride>,
    /// What metrics are also called.
    pub metrics: MetricSettings,
    /// What traces beyond their share.
    pub tracing: TracingSettings,
    /// Where traces, metrics and logs are sent.
    pub open_telemetry: Option<Arc<OpenTelemetry>>,
}

impl MeshSettings {
    /// What a proxy writes. `names`: of its workload, and of what made that.
    pub fn access_log_of(&self, namespace: &str, names: &[&str]) -> Option<&AccessLog> {
        let own = self.access_log_overrides.iter().find(|one| one.fits(namespace, names));
        own.map_or(self.access_log.as_ref(), |own| own.log.as_ref())
    }
}

/// What traces beyond their share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TracingSettings {
    /// Headers that are written; those of all are read.
    pub headers: TraceHeaders,
    /// What is told whatever its trace.
    pub tail: TailSampling,
}

/// Headers that carry a trace. Where none is set it is W3C's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceHeaders {
    /// `traceparent`.
    pub w3c: bool,
    /// `b3`.
    pub b3: bool,
    /// `x-b3-traceid` and those beside it.
    pub b3_multi: bool,
}

impl Default for TraceHeaders {
    fn default() -> Self {
        Self { w3c: true, b3: false, b3_multi: false }
    }
}

/// Requests that are told because of how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TailSampling {
    /// Those that failed.
    pub failed: bool,
    /// Those that took longer.
    pub slower_than: Option<Duration>,
}

/// A collector that takes OTLP.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenTelemetry {
    /// `HOST:PORT`.
    pub authority: String,
    /// Whether it is spoken to with TLS.
    pub tls: bool,
    /// Certificates that the collector's must lead to, PEM; `None`: the public ones.
    pub ca: Option<Arc<str>>,
    /// Before the paths of the signals, without a slash at its end; for HTTP.
    pub path: String,
    /// What is spoken.
    pub protocol: OtlpProtocol,
    /// What it gets.
    pub signals: Signals,
    /// Sent along.
    pub headers: Vec<OtlpHeader>,
    /// Between two batches of metrics.
    pub interval: Duration,
}

/// Without the values of headers, which are secrets often enough.
impl fmt::Debug for OpenTelemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|header| &header.name).collect();
        f.debug_struct("OpenTelemetry")
            .field("authority", &self.authority)
            .field("tls", &self.tls)
            .field("path", &self.path)
            .field("protocol", &self.protocol)
            .field("signals", &self.signals)
            .field("headers", &headers)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// Spans.
    pub traces: bool,
    /// Metrics.
    pub metrics: bool,
    /// Records of logs.
    pub logs: bool,
}

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OtlpProtocol {
    /// gRPC.
    Grpc,
    /// Protobuf in the body of HTTP/1.1.
    Http,
}

/// A header for the collector.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_debug_implementations, reason = "its value may be a secret")]
pub struct OtlpHeader {
    /// In lower case.
    pub name: String,
    /// Its value, or where that is.
    pub value: OtlpHeaderValue,
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_debug_implementations, reason = "it may be a secret")]
pub enum OtlpHeaderValue {
    /// This text.
    Text(String),
    /// The file of that name in the sidecar's folder of secrets.
    File(String),
}

/// Whose names metrics have beside our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetricSettings {
    /// Those of Istio's proxies.
    pub istio: bool,
    /// Those of Linkerd's proxies.
    pub linkerd: bool,
}
