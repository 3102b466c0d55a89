//! What requests are counted by. It must not know how they are counted.

use std::sync::Arc;

use mesh_model::name::{ServiceName, WorkloadName};

use super::Failure;

/// Which proxy of the pair saw the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The caller's proxy.
    Outbound,
    /// The callee's proxy.
    Inbound,
}

/// What the application spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AppProtocol {
    /// HTTP of any version, without gRPC.
    Http,
    /// gRPC.
    Grpc,
    /// Bytes.
    Tcp,
}

/// A method of RFC 9110 or RFC 5789; every other one is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KnownMethod {
    /// There is none.
    None,
    /// CONNECT.
    Connect,
    /// DELETE.
    Delete,
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// OPTIONS.
    Options,
    /// PATCH.
    Patch,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// TRACE.
    Trace,
    /// Whatever else a client sends.
    Other,
}

/// How the hop between the proxies was secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Security {
    /// Mutual TLS with checked identities.
    Mtls,
    /// TLS with a host outside the mesh, whose certificate was checked.
    Tls,
    /// Nothing.
    Plaintext,
    /// There was no hop: the proxy itself answered.
    None,
}

/// One series: requests that are the same in all of this are counted together. Every field is bounded by the topology,
/// by configuration or by a closed set; nothing that a client sends reaches it unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    /// Who counted.
    pub side: Side,
    /// The calling workload, if known.
    pub source: Option<WorkloadName>,
    /// The service and port that were called, if known.
    pub service: Option<(ServiceName, u16)>,
    /// The workload that answered, if one was reached and is known.
    pub destination: Option<WorkloadName>,
    /// `httproute/NS/NAME#RULE`; `None` without a route.
    pub route: Option<Arc<str>>,
    /// What was spoken.
    pub protocol: AppProtocol,
    /// HTTP method, of those that are known.
    pub method: KnownMethod,
    /// HTTP status, 0 for TCP.
    pub status: u16,
    /// gRPC status, `None` when not gRPC.
    pub grpc_status: Option<u8>,
    /// What the mesh itself failed with.
    pub failure: Option<Failure>,
    /// How the hop was secured.
    pub security: Security,
}

/// The route label of series that stand for many because the bound on series was reached.
pub(crate) const OVERFLOW_ROUTE: &str = "overflow";

impl SeriesKey {
    /// The series that stands for this one when there is no room for more: names are dropped and the status is
    /// rounded to its class, so that there are few of them, and totals and success rates stay right.
    pub(crate) fn overflow(&self) -> Self {
        Self {
            side: self.side,
            source: None,
            service: None,
            destination: None,
            route: Some(OVERFLOW_ROUTE.into()),
            protocol: self.protocol,
            method: KnownMethod::None,
            status: (self.status / 100).min(9) * 100,
            grpc_status: self.grpc_status.map(|status| if status == 0 { 0 } else { 2 }),
            failure: None,
            security: self.security,
        }
    }
}

impl KnownMethod {
    /// From the name that a client sent; in capitals, as methods are.
    pub fn of(name: &str) -> Self {
        match name {
            "CONNECT" => Self::Connect,
            "DELETE" => Self::Delete,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// The label's value, as OpenTelemetry has it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
        }
    }
}

impl Side {
    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

impl AppProtocol {
    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }
}

impl Security {
    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::Tls => "tls",
            Self::Plaintext => "plaintext",
            Self::None => "none",
        }
    }
}
