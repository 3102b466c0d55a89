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
    /// Throughput and CPU of one opaque connection through a pair with mutual TLS
    Tcp1,
    /// The same of eight connections at once
    Tcp8,
    /// How long a connection takes to its first byte while its protocol is being told
    Detect,
    /// Latency at a fixed rate
    Latency,
    /// What metrics, reports and taps cost: our sidecar with them and without
    Observability,
    /// What each feature of ours costs; not in quick runs unless named
    Features,
}

impl Row {
    /// In the order in which they are run: memory first, while the processes are fresh.
    pub(crate) const ALL: [Self; 13] = [
        Self::Memory,
        Self::H1,
        Self::H2,
        Self::Grpc,
        Self::Body64k,
        Self::Mtls,
        Self::MtlsH2,
        Self::Tcp1,
        Self::Tcp8,
        Self::Detect,
        Self::Latency,
        Self::Observability,
        Self::Features,
    ];

    /// Which proxies are loaded; `None`: ours alone.
    pub(crate) fn place(self) -> Option<Place> {
        match self {
            Self::Memory | Self::H1 | Self::H2 | Self::Grpc | Self::Body64k | Self::Latency => {
                Some(Place::Single)
            }
            Self::Mtls | Self::MtlsH2 => Some(Place::Pair),
            Self::Tcp1 | Self::Tcp8 => Some(Place::Pipe),
            Self::Detect | Self::Observability | Self::Features => None,
        }
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
            Self::Tcp1 => "Bytes through a pair with mutual TLS, 1 connection",
            Self::Tcp8 => "Bytes through a pair with mutual TLS, 8 connections",
            Self::Detect => "First byte of a new connection, one sidecar, milliseconds",
            Self::Latency => "Latency at a fixed rate, HTTP/1.1",
            Self::Observability => "What observability adds, HTTP/1.1, 48 connections",
            Self::Features => "What each feature adds, HTTP/1.1, 48 connections",
        }
    }
}

/// Which proxies a row loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Single ones.
    Single,
    /// Pairs that carry requests.
    Pair,
    /// Pairs that carry bytes.
    Pipe,
}

/// One figure of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    CpuMicroseconds,
    AddedCpuMicroseconds,
    RequestsPerSecond,
    CpuMillisecondsPerMib,
    MibPerSecond,
    ClientFirstMilliseconds,
    ServerFirstMilliseconds,
    AddedClientFirstMilliseconds,
    AddedServerFirstMilliseconds,
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
        match self {
            Self::RequestsPerSecond | Self::MibPerSecond => largest(values),
            _ => smallest(values),
        }
    }

    /// Its name in JSON and above its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuMicroseconds => "cpu_us",
            Self::AddedCpuMicroseconds => "added_cpu_us",
            Self::RequestsPerSecond => "rps",
            Self::CpuMillisecondsPerMib => "cpu_ms_per_mib",
            Self::MibPerSecond => "mib_per_s",
            Self::ClientFirstMilliseconds => "client_first_ms",
            Self::ServerFirstMilliseconds => "server_first_ms",
            Self::AddedClientFirstMilliseconds => "added_client_first_ms",
            Self::AddedServerFirstMilliseconds => "added_server_first_ms",
            Self::P50Microseconds => "p50_us",
            Self::P99Microseconds => "p99_us",
            Self::P999Microseconds => "p999_us",
            Self::IdleMegabytes => "idle_mb",
            Self::ConnectionKib => "connection_kib",
            Self::MtlsConnectionKib => "mtls_connection_kib",
        }
    }
}

/// Which values are good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

impl Wanted {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    pub(crate) fn bound(self) -> f64 {
        match self {
            Self::AtMost(bound) | Self::AtLeast(bound) => bound,
        }
    }

    /// As it is shown before the bound.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::AtMost(_) => "at most",
            Self::AtLeast(_) => "at least",
        }
    }
}

/// What must come out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) row: Row,
    pub(crate) figure: Figure,
    /// None: the figure itself is compared with the goal, not a ratio.
    pub(crate) peer: Option<&'static str>,
    pub(crate) wanted: Wanted,
}

const fn ratio(name: &'static str, row: Row, figure: Figure, peer: &'static str, most: f64) -> Goal {
    Goal { name, row, figure, peer: Some(peer), wanted: Wanted::AtMost(most) }
}

const fn absolute(name: &'static str, row: Row, figure: Figure, most: f64) -> Goal {
    Goal { name, row, figure, peer: None, wanted: Wanted::AtMost(most) }
}

/// So many times the peer's throughput.
const fn faster(name: &'static str, row: Row, peer: &'static str) -> Goal {
    Goal { name, row, figure: Figure::MibPerSecond, peer: Some(peer), wanted: Wanted::AtLeast(1.2) }
}

pub(crate) const GOALS: [Goal; 21] = [
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
    absolute("idle_connection_plain_kib", Row::Memory, Figure::ConnectionKib, 3.0),
    absolute("idle_connection_mtls_kib", Row::Memory, Figure::MtlsConnectionKib, 12.0),
    absolute("idle_sidecar_mb", Row::Memory, Figure::IdleMegabytes, 8.0),
    faster("tcp1_throughput_haproxy", Row::Tcp1, "haproxy"),
    faster("tcp1_throughput_envoy", Row::Tcp1, "envoy"),
    faster("tcp8_throughput_haproxy", Row::Tcp8, "haproxy"),
    faster("tcp8_throughput_envoy", Row::Tcp8, "envoy"),
    absolute("detect_client_first_added_ms", Row::Detect, Figure::AddedClientFirstMilliseconds, 1.0),
    absolute("observability_added_cpu_us", Row::Observability, Figure::AddedCpuMicroseconds, 1.0),
    absolute("detect_server_first_added_ms", Row::Detect, Figure::AddedServerFirstMilliseconds, 15.0),
];
