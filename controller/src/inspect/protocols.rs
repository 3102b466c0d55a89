//! What each port of a service is declared to speak, what was seen there, and what does not fit. Pure.

use std::collections::BTreeMap;

use mesh_model::service::Protocol;
use mesh_proto::inspect::v1::{
    PortProtocol, ProtocolsRequest, ProtocolsResponse, SeenProtocol, StatResponse,
};

use super::facts::Facts;
use crate::observe::stats::named;

/// Puts declarations and traffic together.
pub fn protocols(all: StatResponse, request: &ProtocolsRequest, facts: &Facts) -> ProtocolsResponse {
    let mut seen: BTreeMap<(String, String, u32), BTreeMap<String, u64>> = BTreeMap::new();
    for row in all.rows {
        let port = (row.service_namespace, row.service, row.service_port);
        if !port.1.is_empty() && row.requests > 0 {
            *seen.entry(port).or_default().entry(row.protocol).or_default() += row.requests;
        }
    }
    let meant = |namespace: &str, service: &str| {
        (request.namespace.is_empty() || request.namespace == namespace)
            && (request.service.is_empty() || named(&request.service, namespace, service))
    };
    let ports = facts.ports().filter(|(name, ..)| meant(name.0.namespace(), name.0.name()));
    let port = |(name, port, declared): (&mesh_model::name::ServiceName, u16, Option<Protocol>)| {
        let (namespace, service) = (name.0.namespace().to_owned(), name.0.name().to_owned());
        let seen = seen.get(&(namespace.clone(), service.clone(), port.into()));
        let seen: Vec<SeenProtocol> = seen
            .into_iter()
            .flatten()
            .map(|(protocol, requests)| SeenProtocol { protocol: protocol.clone(), requests: *requests })
            .collect();
        PortProtocol {
            namespace,
            service,
            port: port.into(),
            declared: declared.map(label).unwrap_or_default().to_owned(),
            mismatch: mismatch(declared, &seen),
            seen,
        }
    };
    ProtocolsResponse { ports: ports.map(port).collect(), unanswered: all.unanswered }
}

pub(super) fn label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "http",
        Protocol::Http2 => "http2",
        Protocol::Grpc => "grpc",
        Protocol::Tcp => "tcp",
        Protocol::Tls => "tls",
    }
}

fn mismatch(declared: Option<Protocol>, seen: &[SeenProtocol]) -> String {
    let saw = |protocol: &str| seen.iter().any(|one| one.protocol == protocol);
    match declared {
        Some(declared @ (Protocol::Http1 | Protocol::Http2 | Protocol::Grpc)) if saw("tcp") => format!(
            "declared as {}, and bytes that are not HTTP came; declare `appProtocol: tcp`, or find who sends them",
            label(declared)
        ),
        Some(Protocol::Grpc) if saw("http") => {
            "declared as grpc, and HTTP without gRPC came; `appProtocol: http2` takes both".to_owned()
        }
        Some(Protocol::Http1) if saw("grpc") => {
            "declared as http, and gRPC came, which needs HTTP/2; declare `appProtocol: grpc`".to_owned()
        }
        None if saw("tcp") && (saw("http") || saw("grpc")) => {
            "nothing is declared, and both HTTP and other bytes came; declare `appProtocol`".to_owned()
        }
        None if saw("tcp") => "nothing is declared, so each connection waits until somebody speaks; \
                               `appProtocol: tcp` saves that"
            .to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_said() {
        let seen = |all: &[&str]| -> Vec<SeenProtocol> {
            all.iter().map(|one| SeenProtocol { protocol: (*one).to_owned(), requests: 1 }).collect()
        };
        for (declared, all, fits) in [
            (Some(Protocol::Http1), vec!["http"], true),
            (Some(Protocol::Http1), vec!["http", "tcp"], false),
            (Some(Protocol::Http1), vec!["grpc"], false),
            (Some(Protocol::Grpc), vec!["grpc"], true),
            (Some(Protocol::Grpc), vec!["http"], false),
            (Some(Protocol::Tcp), vec!["tcp"], true),
            (Some(Protocol::Http2), vec!["http", "grpc"], true),
            (None, vec!["http"], true),
            (None, vec!["tcp"], false),
            (None, vec!["http", "tcp"], false),
            (None, vec![], true),
        ] {
            let said = mismatch(declared, &seen(&all));
            assert_eq!(said.is_empty(), fits, "{declared:?} {all:?}: {said}");
        }
    }
}
