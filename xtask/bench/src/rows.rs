//! The rows: what is measured, against whom, and what must come out (the goals are those of the project). Pure.

use clap::ValueEnum;

use crate::stats::{largest, smallest};

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Row {
    /// Memory: idle, and for each idle connection
    Memory,
    /// CPU for each HTTP/1.1 request
    H1,
    /// CPU for each HTTP/2 request
    H2,
    /// CPU for each unary gRPC call
    Grpc,
    /// CPU for each response of 64 KiB
    Body64k,
    /// CPU for each request through a pair with mutual TLS
    Mtls,
    /// CPU for each HTTP/2 request through such a pair
    MtlsH2,
    /// Latency at a fixed rate
    Latency,
    /// What each feature of ours costs; not in quick runs unless named
    Features,
}

impl Row {
    /// In the order in which they are run: memory first, while the processes are fresh.
    pub(crate) const ALL: [Self; 9] = [
        Self::Memory,
        Self::H1,
        Self::H2,
        Self::Grpc,
        Self::Body64k,
        Self::Mtls,
        Self::MtlsH2,
        Self::Latency,
        Self::Features,
    ];

    /// Whether a pair of proxies is loaded.
    pub(crate) fn is_pair(self) -> bool {
        matches!(self, Self::Mtls | Self::MtlsH2)
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Memory => "Memory",
            Self::H1 => "HTTP/1.1, 128 bytes, 48 connections",
            Self::H2 => "HTTP/2, 128 bytes, 8 connections of 8 streams",
            Self::Grpc => "gRPC unary, 128 bytes, 8 connections of 8 streams",
            Self::Body64k => "HTTP/1.1, 64 KiB, 48 connections",
            Self::Mtls => "Sidecar pair with mutual TLS, HTTP/1.1, 48 connections",
            Self::MtlsH2 => "Sidecar pair with mutual TLS, HTTP/2, 8 connections of 8 streams",
            Self::Latency => "Latency at a fixed rate, HTTP/1.1",
            Self::Features => "What each feature adds, HTTP/1.1, 48 connections",
        }
    }
}

/// One figure of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    CpuMicroseconds,
    RequestsPerSecond,
    P50Microseconds,
    P99Microseconds,
    P999Microseconds,
    IdleMegabytes,
    ConnectionKib,
    MtlsConnectionKib,
}

impl Figure {
    /// Of several rounds the best: what the machine gives when its other work is quiet.
    pub(crate) fn best(self, values: &[f64]) -> Option<f64> {
        if self == Self::RequestsPerSecond { largest(values) } else { smallest(values) }
    }

    /// Its name in JSON and above its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuMicroseconds => "cpu_us",
            Self::RequestsPerSecond => "rps",
            Self::P50Microseconds => "p50_us",
            Self::P99Microseconds => "p99_us",
            Self::P999Microseconds => "p999_us",
            Self::IdleMegabytes => "idle_mb",
            Self::ConnectionKib => "connection_kib",
            Self::MtlsConnectionKib => "mtls_connection_kib",
        }
    }
}

/// What must come out. Smaller is better everywhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) row: Row,
    pub(crate) figure: Figure,
    /// None: the figure itself is compared with the goal, not a ratio.
    pub(crate) peer: Option<&'static str>,
    pub(crate) most: f64,
}

const fn ratio(name: &'static str, row: Row, figure: Figure, peer: &'static str, most: f64) -> Goal {
    Goal { name, row, figure, peer: Some(peer), most }
}

const fn absolute(name: &'static str, figure: Figure, most: f64) -> Goal {
    Goal { name, row: Row::Memory, figure, peer: None, most }
}

pub(crate) const GOALS: [Goal; 14] = [
    ratio("h1_cpu_envoy", Row::H1, Figure::CpuMicroseconds, "envoy", 1.0 / 3.0),
    ratio("h1_cpu_nginx", Row::H1, Figure::CpuMicroseconds, "nginx", 1.0 / 1.3),
    ratio("h1_cpu_haproxy", Row::H1, Figure::CpuMicroseconds, "haproxy", 1.0),
    ratio("h2_cpu_envoy", Row::H2, Figure::CpuMicroseconds, "envoy", 0.25),
    ratio("grpc_cpu_envoy", Row::Grpc, Figure::CpuMicroseconds, "envoy", 0.25),
    ratio("mtls_pair_cpu_envoy", Row::Mtls, Figure::CpuMicroseconds, "envoy", 0.25),
    ratio("mtls_pair_h2_cpu_envoy", Row::MtlsH2, Figure::CpuMicroseconds, "envoy", 0.25),
    ratio("body64k_cpu_envoy", Row::Body64k, Figure::CpuMicroseconds, "envoy", 0.5),
    ratio("latency_p50_envoy", Row::Latency, Figure::P50Microseconds, "envoy", 0.5),
    ratio("latency_p99_envoy", Row::Latency, Figure::P99Microseconds, "envoy", 0.5),
    ratio("latency_p999_envoy", Row::Latency, Figure::P999Microseconds, "envoy", 0.6),
    absolute("idle_connection_plain_kib", Figure::ConnectionKib, 3.0),
    absolute("idle_connection_mtls_kib", Figure::MtlsConnectionKib, 12.0),
    absolute("idle_sidecar_mb", Figure::IdleMegabytes, 8.0),
];
