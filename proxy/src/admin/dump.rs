//! JSON mirrors of what this proxy holds, for people and scripts. The model itself is not serialisable by design; what is
//! shown is written down here. It must not know where a dump goes, and shows no key.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_cel::Program;
use mesh_identity::Identity;
use mesh_model::access_log::{AccessLog, LogFormat, LogSink};
use mesh_model::address::{Address, Meaning};
use mesh_model::authentication::{Authentication, MtlsRule};
use mesh_model::endpoint::{Endpoint, EndpointState, Endpoints, Transport};
use mesh_model::external::{HostEntry, HostMeaning};
use mesh_model::name::ServiceName;
use mesh_model::route::table::RouteTable;
use mesh_model::route::{
    Backend, BackendTarget, Filter, HeaderEdit, Match, PathMatch, Route, Rule, Target, TextMatch, ValueMatch,
};
use mesh_model::service::{OwnPort, Protocol, ServicePort};
use mesh_model::settings::{MeshSettings, MtlsMode, OpenTelemetry, OtlpProtocol, OutboundMode};
use mesh_model::stream::StreamRoute;
use mesh_model::traffic::Origin;
use serde_json::{Value, json};

use crate::dns::Picture;
use crate::state::{Destination, Snapshot, Standings};

/// Everything in force, except endpoints.
pub(super) fn config(snapshot: &Snapshot, saved_age: Option<Duration>) -> Value {
    let mut destinations: Vec<_> = snapshot.destinations().collect();
    destinations.sort_by_key(|(name, _)| (*name).clone());
    let mut unknown: Vec<_> = snapshot.unknown().map(ToString::to_string).collect();
    unknown.sort();
    let mut addresses: Vec<_> = snapshot.addresses().map(|known| &*known.address).collect();
    addresses.sort_by_key(|address| address.ip);
    let mut hosts: Vec<_> = snapshot.hosts().map(|known| &*known.entry).collect();
    hosts.sort_by(|one, other| one.host.as_str().cmp(other.host.as_str()));
    let mut strangers: Vec<_> = snapshot.unknown_sought().map(ToString::to_string).collect();
    strangers.sort();
    json!({
        "revision": snapshot.revision(),
        // The controller is away, and has been since this proxy began.
        "savedStateAgeSeconds": saved_age.map(|age| age.as_secs()),
        "mesh": snapshot.settings().map(|settings| mesh(settings)),
        "destinations": destinations.into_iter().map(|(_, d)| destination(snapshot, d)).collect::<Vec<_>>(),
        "unknown": unknown,
        "addresses": addresses.into_iter().map(address).collect::<Vec<_>>(),
        "hosts": hosts.into_iter().map(host).collect::<Vec<_>>(),
        "unknownAddressesAndHosts": strangers,
        "own": snapshot.own().ports.iter().map(own).collect::<Vec<_>>(),
        "authentication": snapshot.authentication().map(|said| authentication(said)),
    })
}

fn mode(mode: MtlsMode) -> &'static str {
    match mode {
        MtlsMode::Strict => "strict",
        MtlsMode::Permissive => "permissive",
        MtlsMode::Disabled => "disabled",
    }
}

/// Whom the workload lets in, and the objects that say so.
fn authentication(said: &Authentication) -> Value {
    let port = |(port, rule): (&u16, &MtlsRule)| json!({ "port": port, "mtlsMode": mode(rule.mode), "source": rule.source });
    json!({
        "mtlsMode": mode(said.mtls.mode),
        "source": said.mtls.source,
        "ports": said.ports.iter().map(port).collect::<Vec<_>>(),
    })
}

/// A port of a service that this proxy's workload serves: its policies are in force here.
fn own(own: &OwnPort) -> Value {
    json!({ "address": own.address.to_string(), "service": own.service.to_string(), "port": own.port })
}

/// What an address that was dialled is: a service's, or an endpoint's own.
fn address(address: &Address) -> Value {
    let ip = address.ip.to_string();
    match &address.meaning {
        Meaning::Service(service) => json!({ "ip": ip, "service": service.to_string() }),
        Meaning::Served(served) => {
            let ports = served.ports.iter().map(|port| {
                json!({
                    "port": port.port,
                    "endpoint": port.endpoint.address.to_string(),
                    "identity": identity(&port.endpoint.transport),
                    "service": port.service.as_ref().map(|(service, port)| format!("{service}:{port}")),
                })
            });
            let others =
                served.others.as_ref().map(|member| json!({ "identity": identity(&member.transport) }));
            json!({ "ip": ip, "ports": ports.collect::<Vec<_>>(), "others": others })
        }
    }
}

fn identity(transport: &Transport) -> Option<String> {
    match transport {
        Transport::Mesh(id) => Some(id.to_string()),
        Transport::Plain => None,
    }
}

/// What a name that was asked for stands for.
fn host(entry: &HostEntry) -> Value {
    let host = entry.host.as_str();
    match &entry.meaning {
        HostMeaning::Service(service) => json!({ "host": host, "service": service.to_string() }),
        HostMeaning::Endpoints(ips) => {
            json!({ "host": host, "endpoints": ips.iter().map(ToString::to_string).collect::<Vec<_>>() })
        }
        HostMeaning::Alias(alias) => json!({ "host": host, "alias": alias.as_str() }),
        HostMeaning::External(name) => json!({ "host": host, "externalService": name.to_string() }),
    }
}

/// Where connections go that are carried as bytes.
fn stream(route: &StreamRoute) -> Value {
    json!({
        "id": route.id.to_string(),
        "origin": route.origin,
        "hosts": route.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "backends": route.backends.iter().map(backend).collect::<Vec<_>>(),
    })
}

/// Where each setting of the service's port comes from that is not a default.
fn settings(snapshot: &Snapshot, service: &ServiceName, port: u16, table: Option<&RouteTable>) -> Value {
    let backend = snapshot.backend_policy(service, port);
    let of_requests = table.map(|table| table.default_policy().origins()).unwrap_or_default();
    let all = of_requests.into_iter().chain(backend.origins());
    let written = all.filter(|(_, origin)| **origin != Origin::Default);
    let fields = written.map(|(field, origin)| (field.to_owned(), Value::from(origin.to_string())));
    Value::Object(fields.collect())
}

fn mesh(settings: &MeshSettings) -> Value {
    json!({
        "trustDomain": settings.trust_domain.as_str(),
        "mtlsMode": mode(settings.mtls_mode),
        "outboundMode": match settings.outbound_mode {
            OutboundMode::AllowAny => "allow-any",
            OutboundMode::RegistryOnly => "registry-only",
        },
        "traceSamplePpm": settings.trace_sample_ppm,
        "accessLog": settings.access_log.as_ref().map(access_log),
        "metrics": { "istio": settings.metrics.istio, "linkerd": settings.metrics.linkerd },
        "tracing": {
            "w3c": settings.tracing.headers.w3c,
            "b3": settings.tracing.headers.b3,
            "b3Multi": settings.tracing.headers.b3_multi,
            "tailFailed": settings.tracing.tail.failed,
            "tailSlowerThanMs": settings.tracing.tail.slower_than.map(|time| time.as_millis()),
        },
        "openTelemetry": settings.open_telemetry.as_deref().map(collector),
    })
}

/// Without the values of headers, which are secrets often enough.
fn collector(collector: &OpenTelemetry) -> Value {
    json!({
        "authority": collector.authority,
        "tls": collector.tls,
        "path": collector.path,
        "protocol": match collector.protocol {
            OtlpProtocol::Grpc => "grpc",
            OtlpProtocol::Http => "http",
        },
        "traces": collector.signals.traces,
        "metrics": collector.signals.metrics,
        "logs": collector.signals.logs,
        "headers": collector.headers.iter().map(|header| &header.name).collect::<Vec<_>>(),
        "intervalMs": collector.interval.as_millis(),
    })
}

fn access_log(log: &AccessLog) -> Value {
    let (sink, path) = match &log.sink {
        LogSink::Stdout => ("stdout", None),
        LogSink::Stderr => ("stderr", None),
        LogSink::File(path) => ("file", Some(path)),
        LogSink::Otlp => ("otlp", None),
    };
    json!({
        "format": match &log.format {
            LogFormat::Json => "json",
            LogFormat::Text(template) => template.text(),
        },
        "sink": sink,
        "path": path,
        "filter": log.filter.as_ref().map(Program::text),
        "requestHeaders": log.request_headers,
        "responseHeaders": log.response_headers,
        "successPpm": log.success_ppm,
    })
}

fn destination(snapshot: &Snapshot, destination: &Destination) -> Value {
    let service = &destination.service;
    json!({
        "service": service.name.to_string(),
        "addresses": service.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ports": service.ports.iter().map(|p| port(snapshot, destination, p)).collect::<Vec<_>>(),
    })
}

fn port(snapshot: &Snapshot, destination: &Destination, port: &ServicePort) -> Value {
    let table = destination.table(port.port).map(AsRef::as_ref);
    let mut routes: Vec<_> = table.map_or(&[][..], RouteTable::routes).iter().collect();
    routes.sort_by_key(|route| route.id.clone());
    let streams = destination.streams(port.port).map_or(&[][..], |table| table.routes());
    json!({
        "port": port.port,
        "name": port.name,
        "protocol": port.protocol.map(|protocol| match protocol {
            Protocol::Http1 => "http1",
            Protocol::Http2 => "http2",
            Protocol::Grpc => "grpc",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
        }),
        "routes": routes.into_iter().map(|r| route(r)).collect::<Vec<_>>(),
        "streamRoutes": streams.iter().map(|route| stream(route)).collect::<Vec<_>>(),
        "settings": settings(snapshot, &destination.service.name, port.port, table),
    })
}

fn route(route: &Route) -> Value {
    json!({
        "id": route.id.to_string(),
        "origin": route.origin,
        "rules": route.rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn rule(rule: &Rule) -> Value {
    let ms = |limit: Option<Duration>| limit.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    json!({
        "name": rule.name,
        "matches": rule.matches.iter().map(one_match).collect::<Vec<_>>(),
        "filters": rule.filters.iter().map(filter).collect::<Vec<_>>(),
        "backends": rule.backends.iter().map(backend).collect::<Vec<_>>(),
        "requestTimeoutMs": ms(rule.timeouts.request),
        "backendRequestTimeoutMs": ms(rule.timeouts.backend_request),
    })
}

fn one_match(one: &Match) -> Value {
    let headers = one.headers.iter().map(value_match).collect::<Vec<_>>();
    match &one.target {
        Target::Http { path, method, query } => json!({
            "path": match path {
                PathMatch::Exact(path) => json!({ "exact": path }),
                PathMatch::Prefix(path) => json!({ "prefix": path }),
                PathMatch::Regex(pattern) => json!({ "regex": pattern.source() }),
            },
            "method": method,
            "query": query.iter().map(value_match).collect::<Vec<_>>(),
            "headers": headers,
        }),
        Target::Grpc(grpc) => json!({
            "grpcService": grpc.service.as_ref().map(text_match),
            "grpcMethod": grpc.method.as_ref().map(text_match),
            "headers": headers,
        }),
    }
}

fn value_match(one: &ValueMatch) -> Value {
    json!({ "name": one.name, "value": text_match(&one.value) })
}

fn text_match(text: &TextMatch) -> Value {
    match text {
        TextMatch::Exact(text) => json!({ "exact": text }),
        TextMatch::Regex(pattern) => json!({ "regex": pattern.source() }),
    }
}

fn filter(filter: &Filter) -> Value {
    match filter {
        Filter::RequestHeaders(edit) => json!({ "requestHeaders": header_edit(edit) }),
        Filter::ResponseHeaders(edit) => json!({ "responseHeaders": header_edit(edit) }),
        Filter::Redirect(redirect) => json!({ "redirect": {
            "scheme": redirect.scheme,
            "hostname": redirect.hostname,
            "path": redirect.path.as_ref().map(|path| format!("{path:?}")),
            "port": redirect.port,
            "status": redirect.status,
        } }),
        Filter::Rewrite(rewrite) => json!({ "rewrite": {
            "hostname": rewrite.hostname,
            "path": rewrite.path.as_ref().map(|path| format!("{path:?}")),
        } }),
        Filter::Mirror(mirror) => {
            let compare = mirror.compare.as_ref().map(|compare| format!("{compare:?}"));
            json!({ "mirror": { "to": format!("{:?}", mirror.target), "ppm": mirror.share.0, "compare": compare } })
        }
        Filter::ExternalAuth(auth) => json!({ "externalAuth": format!("{auth:?}") }),
        Filter::Cors(cors) => json!({ "cors": format!("{cors:?}") }),
    }
}

fn header_edit(edit: &HeaderEdit) -> Value {
    json!({ "set": edit.set, "add": edit.add, "remove": edit.remove })
}

fn backend(backend: &Backend) -> Value {
    let filters = backend.filters.iter().map(filter).collect::<Vec<_>>();
    match &backend.target {
        BackendTarget::Service { service, port } => {
            let takes = backend.takes.iter().map(value_match).collect::<Vec<_>>();
            json!({
                "service": service.to_string(), "port": port, "weight": backend.weight, "filters": filters, "takes": takes,
            })
        }
        BackendTarget::Invalid { reference, reason } => {
            json!({ "invalid": reference, "reason": reason, "weight": backend.weight })
        }
    }
}

/// Endpoints of every service that is a destination or a backend of one.
pub(super) fn endpoints(snapshot: &Snapshot, standings: &Standings) -> Value {
    let mut all: Vec<_> = snapshot.all_endpoints().collect();
    all.sort_by_key(|endpoints| endpoints.service.clone());
    json!({ "services": all.into_iter().map(|e| service_endpoints(e, standings)).collect::<Vec<_>>() })
}

fn service_endpoints(endpoints: &Endpoints, standings: &Standings) -> Value {
    let ports = endpoints.ports.iter().map(|port| {
        let shown = port.endpoints.iter().map(|one| {
            let standing = standings.of(&endpoints.service, port.service_port, one.address);
            endpoint(one, &standing)
        });
        json!({ "port": port.service_port, "endpoints": shown.collect::<Vec<_>>() })
    });
    json!({ "service": endpoints.service.to_string(), "ports": ports.collect::<Vec<_>>() })
}

/// `standing`: for how many workers it is usable, ejected and so on.
fn endpoint(endpoint: &Endpoint, standing: &BTreeMap<&'static str, usize>) -> Value {
    json!({
        "address": endpoint.address.to_string(),
        "identity": identity(&endpoint.transport),
        "workload": endpoint.workload.as_ref().map(ToString::to_string),
        "zone": endpoint.zone,
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "state": match endpoint.state {
            EndpointState::Ready => "ready",
            EndpointState::Draining => "draining",
        },
        "standing": standing,
    })
}

/// What names are answered with, and who is asked for the others.
pub(super) fn dns(picture: &Picture) -> Value {
    let listen: Vec<_> = picture.listen.iter().map(ToString::to_string).collect();
    let resolvers = picture
        .resolvers
        .iter()
        .map(|(address, failures)| json!({ "address": address.to_string(), "failuresInARow": failures }));
    let hosts = picture.virtual_addresses.iter().map(|(host, pair)| {
        json!({ "host": host.as_ref(), "ipv4": pair.v4.to_string(), "ipv6": pair.v6.to_string() })
    });
    json!({
        "listen": listen,
        "resolvers": resolvers.collect::<Vec<_>>(),
        "search": picture.search,
        "ttlSeconds": picture.ttl.as_secs(),
        "virtualAddresses": hosts.collect::<Vec<_>>(),
        "cached": { "entries": picture.cached, "bytes": picture.cached_bytes },
    })
}

/// Certificate and trust bundle; times are Unix seconds.
pub(super) fn certificate(identity: &Identity) -> Value {
    let (svid, bundle, renewals) = (identity.svid(), identity.bundle(), identity.counters());
    json!({
        "spiffeId": svid.spiffe_id.to_string(),
        "serial": svid.serial,
        "issuer": svid.issuer,
        "notBefore": svid.not_before,
        "notAfter": svid.not_after,
        "renewals": renewals.ok,
        "renewalFailures": renewals.failed,
        "bundle": {
            "trustDomain": bundle.trust_domain().as_str(),
            "generation": bundle.generation(),
            "roots": bundle.fingerprints(),
        },
    })
}
