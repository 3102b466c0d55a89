//! A record that has ended, as expressions see it. A text that it does not have is empty; headers are those that the filter names. It must not
//! know expressions.

use std::borrow::Cow;

use mesh_cel::{Ended, Found, Variable, View};
use mesh_model::access_log::HeaderOf;
use mesh_model::authority::Authority;
use mesh_model::spiffe::SpiffeId;

use super::super::Security;
use super::AccessRecord;

/// A record in the eyes of a filter, and whose sidecar this is.
pub(super) struct Seen<'a> {
    pub(super) record: &'a AccessRecord<'a>,
    pub(super) own: (&'a str, &'a str),
}

impl View for Seen<'_> {
    fn value(&self, variable: Variable) -> Found<'_> {
        let record = self.record;
        // Who the other end is, is known of a caller only.
        let caller = record.peer_identity.filter(|_| record.key.side == super::super::Side::Inbound);
        let source = record.key.source.as_ref();
        match variable {
            Variable::RequestMethod => text(record.kept.method()),
            Variable::RequestPath => text(&record.kept.path),
            Variable::RequestQuery => text(&record.kept.query),
            Variable::RequestHost => match Authority::parse(&record.kept.host) {
                Ok(authority) => Found::Text(authority.host.into()),
                Err(_) => text(""),
            },
            Variable::SourceIdentity => {
                Found::Text(caller.map(ToString::to_string).unwrap_or_default().into())
            }
            Variable::SourceNamespace => {
                let own = source.map(|source| source.0.namespace());
                text(own.or(caller.map(SpiffeId::namespace)).unwrap_or_default())
            }
            Variable::SourceServiceAccount => text(caller.map_or("", |caller| caller.service_account())),
            Variable::SourceTrustDomain => text(caller.map_or("", |caller| caller.trust_domain().as_str())),
            Variable::SourceAddress => {
                let address = record.peer.map(|peer| peer.to_canonical().to_string());
                Found::Text(address.unwrap_or_default().into())
            }
            Variable::ConnectionMtls => Found::Bool(record.key.security == Security::Mtls),
            Variable::ConnectionSni => {
                let name = record.sni.unwrap_or_default();
                Found::Text(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into())
            }
            Variable::Ended(ended) => self.ended(ended),
            // The compiler of filters refuses them.
            Variable::DestinationPort | Variable::JwtClaims => {
                Found::Absent("an access log does not have it")
            }
        }
    }

    fn other_paths(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) -> bool {
        self.record.header(HeaderOf::Request, name).for_each(visit);
        true
    }

    fn answer_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) -> bool {
        self.record.header(HeaderOf::Response, name).for_each(visit);
        true
    }
}

impl Seen<'_> {
    fn ended(&self, variable: Ended) -> Found<'_> {
        let (record, key) = (self.record, self.record.key);
        let service = key.service.as_ref().map(|(service, _)| service);
        match variable {
            Ended::RequestBytes => int(record.bytes_in),
            Ended::RequestDurationMs => int(record.duration.as_millis()),
            Ended::RequestAttempts => int(record.attempts),
            Ended::RequestRoute => text(key.route.as_deref().unwrap_or_default()),
            Ended::RequestVerdict => text(record.judged.as_ref().map_or("", |judged| judged.verdict.label())),
            Ended::RequestSampled => Found::Bool(record.sampled),
            Ended::ResponseCode => int(if record.is_connection() { 0 } else { key.status }),
            Ended::ResponseGrpcStatus => match key.grpc_status {
                Some(status) => int(status),
                None => Found::Absent("no gRPC is spoken; ask with `has(response.grpcStatus)` first"),
            },
            Ended::ResponseBytes => int(record.bytes_out),
            Ended::ResponseFailure => text(key.failure.map_or("", |failure| failure.code())),
            Ended::SourceWorkload => text(key.source.as_ref().map_or("", |source| source.0.name())),
            Ended::DestinationWorkload => text(key.destination.as_ref().map_or("", |to| to.0.name())),
            Ended::DestinationNamespace => {
                let workload = key.destination.as_ref().map(|to| to.0.namespace());
                text(service.map(|service| service.0.namespace()).or(workload).unwrap_or_default())
            }
            Ended::DestinationService => {
                Found::Text(service.map(ToString::to_string).unwrap_or_default().into())
            }
            Ended::ConnectionProtocol => text(key.protocol.label()),
            Ended::ProxySide => text(key.side.label()),
            Ended::ProxyNamespace => text(self.own.0),
            Ended::ProxyWorkload => text(self.own.1),
        }
    }
}

fn text(text: &str) -> Found<'_> {
    Found::Text(text.into())
}

fn int(number: impl TryInto<i64>) -> Found<'static> {
    Found::Int(number.try_into().unwrap_or(i64::MAX))
}
