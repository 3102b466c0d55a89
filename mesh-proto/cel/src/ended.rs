//! What expressions of an access log may ask of a request or connection that has ended, beside what they may ask of a call. It must not know
//! expressions.

use crate::value::Type;

/// A variable that only an access log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// `request.bytes`
    RequestBytes,
    /// `request.durationMs`
    RequestDurationMs,
    /// `request.attempts`
    RequestAttempts,
    /// `request.route`
    RequestRoute,
    /// `request.verdict`
    RequestVerdict,
    /// `request.sampled`
    RequestSampled,
    /// `response.code`
    ResponseCode,
    /// `response.grpcStatus`
    ResponseGrpcStatus,
    /// `response.bytes`
    ResponseBytes,
    /// `response.failure`
    ResponseFailure,
    /// `source.workload`
    SourceWorkload,
    /// `destination.workload`
    DestinationWorkload,
    /// `destination.namespace`
    DestinationNamespace,
    /// `destination.service`
    DestinationService,
    /// `connection.protocol`
    ConnectionProtocol,
    /// `proxy.side`
    ProxySide,
    /// `proxy.namespace`
    ProxyNamespace,
    /// `proxy.workload`
    ProxyWorkload,
}

impl Ended {
    /// All of them, as documents list them.
    pub const ALL: [Self; 18] = [
        Self::RequestBytes,
        Self::RequestDurationMs,
        Self::RequestAttempts,
        Self::RequestRoute,
        Self::RequestVerdict,
        Self::RequestSampled,
        Self::ResponseCode,
        Self::ResponseGrpcStatus,
        Self::ResponseBytes,
        Self::ResponseFailure,
        Self::SourceWorkload,
        Self::DestinationWorkload,
        Self::DestinationNamespace,
        Self::DestinationService,
        Self::ConnectionProtocol,
        Self::ProxySide,
        Self::ProxyNamespace,
        Self::ProxyWorkload,
    ];

    pub(crate) fn name(self) -> &'static str {
        self.facts().0
    }

    pub(crate) fn meaning(self) -> &'static str {
        self.facts().2
    }

    pub(crate) fn kind(self) -> Type {
        self.facts().1
    }

    fn facts(self) -> (&'static str, Type, &'static str) {
        match self {
            Self::RequestBytes => (
                "request.bytes",
                Type::Int,
                "bytes of the request's body, or of what a connection's client sent",
            ),
            Self::RequestDurationMs => (
                "request.durationMs",
                Type::Int,
                "milliseconds from the request's head to the end of the answer",
            ),
            Self::RequestAttempts => ("request.attempts", Type::Int, "how often it was sent"),
            Self::RequestRoute => {
                ("request.route", Type::Text, "the rule that it took, as `httproute/NS/NAME#0`")
            }
            Self::RequestVerdict => (
                "request.verdict",
                Type::Text,
                "what authorization policies said: `allow`, `deny`, `audit`, `undecided`",
            ),
            Self::RequestSampled => ("request.sampled", Type::Bool, "whether it is traced"),
            Self::ResponseCode => ("response.code", Type::Int, "the status; 0 of a connection"),
            Self::ResponseGrpcStatus => {
                ("response.grpcStatus", Type::Int, "gRPC's status; has none where gRPC is not spoken")
            }
            Self::ResponseBytes => (
                "response.bytes",
                Type::Int,
                "bytes of the answer's body, or of what a connection's client got",
            ),
            Self::ResponseFailure => {
                ("response.failure", Type::Text, "the failure code, where the mesh itself failed it")
            }
            Self::SourceWorkload => ("source.workload", Type::Text, "who called, without the namespace"),
            Self::DestinationWorkload => {
                ("destination.workload", Type::Text, "who answered, without the namespace")
            }
            Self::DestinationNamespace => (
                "destination.namespace",
                Type::Text,
                "the namespace of the service that was called, or of who answered",
            ),
            Self::DestinationService => {
                ("destination.service", Type::Text, "the service that was called, as `NS/NAME`")
            }
            Self::ConnectionProtocol => ("connection.protocol", Type::Text, "`http`, `grpc`, `tcp`"),
            Self::ProxySide => (
                "proxy.side",
                Type::Text,
                "which sidecar writes: the caller's, `outbound`, or the callee's, `inbound`",
            ),
            Self::ProxyNamespace => ("proxy.namespace", Type::Text, "of the workload whose sidecar writes"),
            Self::ProxyWorkload => ("proxy.workload", Type::Text, "the workload whose sidecar writes"),
        }
    }
}
