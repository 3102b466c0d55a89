//! What is encoded is decoded to the same, for arbitrary models; and no bytes make a decoder panic.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mesh_cel::{Program, Scope};
use mesh_model::access_log::{AccessLog, LogFormat, LogOverride, LogSink, Template};
use mesh_model::address::{Meaning, Member, Served, ServedPort};
use mesh_model::authentication::jwt::{ClaimHeader, Handling, JwtIssuer, JwtRules, TokenPlace};
use mesh_model::authentication::{Authentication, MtlsRule};
use mesh_model::compare::{Compare, JsonPath, Step};
use mesh_model::endpoint::{Endpoint, EndpointState, PortEndpoints, Transport};
use mesh_model::external::{ExternalPort, HostMeaning, Origination, Resolution};
use mesh_model::host::HostPattern;
use mesh_model::name::{Name, ServiceName, WorkloadName};
use mesh_model::route::{
    Backend, BackendTarget, Cors, Filter, GrpcMatch, HeaderEdit, Match, Mirror, ParentRef, PathMatch,
    PathRewrite, Pattern, Redirect, RouteKind, Rule, RuleRetry, Target, TextMatch, Timeouts, UrlRewrite,
    ValueMatch,
};
use mesh_model::service::{OwnPort, Protocol, ServicePort};
use mesh_model::settings::{
    MetricSettings, MtlsMode, OpenTelemetry, OtlpHeader, OtlpHeaderValue, OtlpProtocol, OutboundMode,
    Signals, TailSampling, TraceHeaders, TracingSettings,
};
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use mesh_model::stream::{StreamId, StreamKind};
use mesh_model::traffic::Ppm;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use self::policies::{policy, session};
use super::*;

mod asking;
mod authorization;
mod policies;

fn label() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,8}[a-z0-9])?"
}

fn service_name() -> impl Strategy<Value = ServiceName> {
    (label(), label()).prop_map(|(namespace, name)| ServiceName::new(&namespace, &name).unwrap())
}

fn port() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

fn access_log() -> impl Strategy<Value = AccessLog> {
    let template = || LogFormat::Text(Template::parse("{path} {request_header:x}").unwrap());
    let usual = || LogFormat::Text(Template::default());
    let filter = || Program::compile_in(Scope::Log, "response.code >= 500").unwrap();
    let headers = || vec("[a-z-]{1,10}", 0..4);
    (
        select(vec![LogFormat::Json, template(), usual()]),
        select(vec![LogSink::Stdout, LogSink::Stderr, LogSink::File("/a/b".to_owned()), LogSink::Otlp]),
        option::of(Just(filter())),
        headers(),
        headers(),
        0..=bounds::PPM,
    )
        .prop_map(|(format, sink, filter, request_headers, response_headers, success_ppm)| AccessLog {
            format,
            sink,
            filter,
            request_headers,
            response_headers,
            success_ppm,
        })
}

fn log_override() -> impl Strategy<Value = LogOverride> {
    let names = || vec("[a-z-]{1,10}", 0..3);
    (names(), names(), option::of(access_log())).prop_map(|(namespaces, workloads, log)| LogOverride {
        namespaces,
        workloads,
        log,
    })
}

fn mesh() -> impl Strategy<Value = MeshSettings> {
    (
        "[a-z0-9._-]{1,30}",
        select(vec![MtlsMode::Strict, MtlsMode::Permissive, MtlsMode::Disabled]),
        select(vec![OutboundMode::AllowAny, OutboundMode::RegistryOnly]),
        0..=bounds::PPM,
        (option::of(access_log()), vec(log_override(), 0..3)),
        (any::<bool>(), any::<bool>()),
        (tracing(), option::of(open_telemetry())),
    )
        .prop_map(
            |(trust_domain, mtls_mode, outbound_mode, trace_sample_ppm, access_log, names, told)| {
                MeshSettings {
                    trust_domain: TrustDomain::new(&trust_domain).unwrap(),
                    mtls_mode,
                    outbound_mode,
                    trace_sample_ppm,
                    access_log: access_log.0,
                    access_log_overrides: access_log.1,
                    metrics: MetricSettings { istio: names.0, linkerd: names.1 },
                    tracing: told.0,
                    open_telemetry: told.1,
                }
            },
        )
}

fn tracing() -> impl Strategy<Value = TracingSettings> {
    (any::<[bool; 3]>(), any::<bool>(), option::of(1..1_000_000u64)).prop_map(
        |([w3c, b3, b3_multi], failed, slower_than)| {
            // Something is always written.
            let headers = TraceHeaders { w3c: w3c || !(b3 || b3_multi), b3, b3_multi };
            let slower_than = slower_than.map(Duration::from_millis);
            TracingSettings { headers, tail: TailSampling { failed, slower_than } }
        },
    )
}

fn open_telemetry() -> impl Strategy<Value = Arc<OpenTelemetry>> {
    let header = ("[a-z-]{1,9}", any::<bool>(), "[a-z ]{0,9}");
    let place = ("[a-z.]{1,20}:[1-9]{1,4}", any::<bool>(), "(/[a-z]{1,5}){0,2}");
    (place, any::<bool>(), any::<[bool; 3]>(), vec(header, 0..3), 1..100_000u64, option::of("[A-Z]{1,20}"))
        .prop_map(|((authority, tls, path), grpc, [traces, metrics, logs], headers, interval, ca)| {
            let header = |(name, file, value)| OtlpHeader {
                name,
                value: if file { OtlpHeaderValue::File(value) } else { OtlpHeaderValue::Text(value) },
            };
            Arc::new(OpenTelemetry {
                authority,
                tls,
                ca: ca.map(Arc::from),
                path,
                protocol: if grpc { OtlpProtocol::Grpc } else { OtlpProtocol::Http },
                signals: Signals { traces, metrics, logs },
                headers: headers.into_iter().map(header).collect(),
                interval: Duration::from_millis(interval),
            })
        })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Http1, Protocol::Http2, Protocol::Grpc, Protocol::Tcp, Protocol::Tls])
}

fn service() -> impl Strategy<Value = Service> {
    let port = (port(), "[a-z-]{0,10}", option::of(protocol()))
        .prop_map(|(port, name, protocol)| ServicePort { port, name, protocol });
    (service_name(), vec(port, 0..4), vec(any::<IpAddr>(), 0..3), any::<bool>())
        .prop_map(|(name, ports, addresses, headless)| Service { name, ports, addresses, headless })
}

fn transport() -> impl Strategy<Value = Transport> {
    let identity = (label(), label()).prop_map(|(namespace, account)| {
        Transport::Mesh(SpiffeId::new(TrustDomain::new("td").unwrap(), &namespace, &account).unwrap())
    });
    prop_oneof![Just(Transport::Plain), identity]
}

fn workload() -> impl Strategy<Value = Option<WorkloadName>> {
    option::of(service_name().prop_map(|name| WorkloadName(name.0)))
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (
        (any::<IpAddr>(), port()),
        transport(),
        workload(),
        "[a-z0-9-]{0,6}",
        select(vec![EndpointState::Ready, EndpointState::Draining]),
        (prop_oneof![Just(1), 1..=bounds::WEIGHT], prop_oneof![Just(0), 0..=bounds::PRIORITY]),
    )
        .prop_map(|((ip, port), transport, workload, zone, state, (weight, priority))| Endpoint {
            address: SocketAddr::new(ip, port),
            transport,
            workload,
            zone,
            state,
            weight,
            priority,
        })
}

fn endpoints() -> impl Strategy<Value = Endpoints> {
    let ports =
        (port(), vec(endpoint(), 0..5)).prop_map(|(port, endpoints)| PortEndpoints::new(port, endpoints));
    (service_name(), vec(ports, 0..3)).prop_map(|(service, ports)| Endpoints { service, ports })
}

fn own() -> impl Strategy<Value = OwnServices> {
    let one = ((any::<IpAddr>(), port()), service_name(), port())
        .prop_map(|((ip, own), service, port)| OwnPort { address: SocketAddr::new(ip, own), service, port });
    prop::collection::btree_set(one, 0..5)
        .prop_map(|ports| OwnServices { ports: ports.into_iter().collect() })
}

fn authentication() -> impl Strategy<Value = Authentication> {
    let rule = || {
        let mode = select(vec![MtlsMode::Strict, MtlsMode::Permissive, MtlsMode::Disabled]);
        (mode, "\\PC{0,9}").prop_map(|(mode, source)| MtlsRule { mode, source })
    };
    (rule(), prop::collection::btree_map(port(), rule(), 0..4), option::of(jwt_rules()))
        .prop_map(|(mtls, ports, jwt)| Authentication { mtls, ports, jwt: jwt.map(Arc::new) })
}

fn jwt_rules() -> impl Strategy<Value = JwtRules> {
    let text = || "\\PC{0,9}";
    let place = prop_oneof![
        (text(), text()).prop_map(|(name, prefix)| TokenPlace::Header { name, prefix }),
        text().prop_map(TokenPlace::Cookie),
        text().prop_map(TokenPlace::Query),
    ];
    let handling = select(vec![Handling::Removed, Handling::Forwarded]);
    let header = (text(), text()).prop_map(|(header, claim)| ClaimHeader { header, claim });
    let issuer = (text(), vec(text(), 0..3), text(), vec(place, 1..4), handling, vec(header, 0..3));
    let issuer = issuer.prop_map(|(issuer, audiences, jwks, from, handling, claim_headers)| JwtIssuer {
        issuer,
        audiences,
        jwks,
        from,
        handling,
        claim_headers,
    });
    (text(), any::<bool>(), vec(port(), 0..3), vec(issuer, 0..3))
        .prop_map(|(source, required, ports, issuers)| JwtRules { source, required, ports, issuers })
}

fn address() -> impl Strategy<Value = Address> {
    let served_port = (port(), endpoint(), option::of((service_name(), port())))
        .prop_map(|(port, endpoint, service)| ServedPort { port, endpoint, service });
    let member = (workload(), transport(), "[a-z0-9-]{0,6}").prop_map(|(workload, transport, zone)| Member {
        workload,
        transport,
        zone,
    });
    let served = (vec(served_port, 0..3), option::of(member))
        .prop_map(|(ports, others)| Meaning::Served(Served { ports, others }));
    let meaning = prop_oneof![service_name().prop_map(Meaning::Service), served];
    (any::<IpAddr>(), meaning).prop_map(|(ip, meaning)| Address { ip: ip.to_canonical(), meaning })
}

/// Milliseconds, at least one.
fn time() -> impl Strategy<Value = Duration> {
    (1..=bounds::TIMEOUT_MS).prop_map(Duration::from_millis)
}

fn share() -> impl Strategy<Value = Ppm> {
    (0..=bounds::PPM).prop_map(Ppm)
}

fn backend_target() -> impl Strategy<Value = BackendTarget> {
    prop_oneof![
        3 => (service_name(), port()).prop_map(|(service, port)| BackendTarget::Service { service, port }),
        1 => ("\\PC{0,9}", "\\PC{0,9}").prop_map(|(reference, reason)| BackendTarget::Invalid { reference, reason }),
    ]
}

fn cors() -> impl Strategy<Value = Cors> {
    let origin = || prop_oneof!["\\*", "https?://(\\*\\.)?[a-z]{1,5}\\.example(:[0-9]{1,4})?"];
    let name = || prop_oneof!["\\*", "[a-z][a-z-]{0,6}"];
    (
        vec(origin(), 0..3),
        any::<bool>(),
        vec("[A-Z]{1,7}|\\*", 0..3),
        vec(name(), 0..3),
        vec(name(), 0..3),
        time(),
    )
        .prop_map(
            |(allow_origins, allow_credentials, allow_methods, allow_headers, expose_headers, max_age)| {
                Cors {
                    allow_origins,
                    allow_credentials,
                    allow_methods,
                    allow_headers,
                    expose_headers,
                    max_age,
                }
            },
        )
}

fn pattern() -> impl Strategy<Value = Pattern> {
    select(vec![".*", "a|b", "/v[0-9]+", "(x)?y", "\\d+"]).prop_map(|source| Pattern::new(source).unwrap())
}

fn text_match() -> impl Strategy<Value = TextMatch> {
    prop_oneof!["\\PC{0,8}".prop_map(TextMatch::Exact), pattern().prop_map(TextMatch::Regex)]
}

fn condition(name: &'static str) -> impl Strategy<Value = ValueMatch> {
    (name, text_match()).prop_map(|(name, value)| ValueMatch { name, value })
}

fn http_target() -> impl Strategy<Value = Target> {
    let path = prop_oneof![
        "(/[a-z]{0,3}){1,3}".prop_map(PathMatch::Exact),
        "(/[a-z]{0,3}){0,3}".prop_map(|text| PathMatch::prefix(&text)),
        pattern().prop_map(PathMatch::Regex),
    ];
    (path, option::of("[A-Z]{1,7}"), vec(condition("\\PC{1,5}"), 0..3))
        .prop_map(|(path, method, query)| Target::Http { path, method, query })
}

fn grpc_target() -> impl Strategy<Value = Target> {
    let exact = || option::of("[a-zA-Z.]{1,8}".prop_map(TextMatch::Exact));
    let regex = || option::of(pattern().prop_map(TextMatch::Regex));
    prop_oneof![(exact(), exact()), (regex(), regex())]
        .prop_map(|(service, method)| Target::Grpc(GrpcMatch { service, method }))
}

fn compare() -> BoxedStrategy<Arc<Compare>> {
    let step = prop_oneof!["[a-z. ]{1,4}".prop_map(Step::Key), Just(Step::AnyKey), Just(Step::Entry)];
    let path = vec(step, 1..4).prop_map(JsonPath);
    (vec("[a-z][a-z0-9_-]{0,8}", 0..3), any::<bool>(), share(), share(), vec(path, 0..3), any::<bool>())
        .prop_map(|(headers, body, sample, twins, ignore, values)| {
            Arc::new(Compare { headers, body, sample, twins, ignore, values })
        })
        .boxed()
}

fn filter() -> BoxedStrategy<Filter> {
    let name = || "[a-z][a-z0-9_-]{0,8}";
    let header = || (name(), "[ -~\u{e4}]{0,8}");
    let edit = || {
        (vec(header(), 0..3), vec(header(), 0..3), vec(name(), 0..3))
            .prop_map(|(set, add, remove)| HeaderEdit { set, add, remove })
    };
    let rewrite = || {
        option::of(prop_oneof![
            "(/[a-z]{0,3}){0,3}".prop_map(PathRewrite::Full),
            "(/[a-z]{0,3}){0,3}".prop_map(PathRewrite::Prefix)
        ])
    };
    let host = || option::of("[a-z]{1,5}(\\.[a-z]{1,5})?");
    let redirect = (
        option::of(select(vec!["http", "https"])),
        host(),
        rewrite(),
        option::of(port()),
        select(vec![301, 302, 303, 307, 308]),
    )
        .prop_map(|(scheme, hostname, path, port, status)| Redirect {
            scheme: scheme.map(str::to_owned),
            hostname,
            path,
            port,
            status,
        });
    prop_oneof![
        edit().prop_map(Filter::RequestHeaders),
        edit().prop_map(Filter::ResponseHeaders),
        redirect.prop_map(Filter::Redirect),
        (host(), rewrite()).prop_map(|(hostname, path)| Filter::Rewrite(UrlRewrite { hostname, path })),
        (backend_target(), share(), option::of(compare()))
            .prop_map(|(target, share, compare)| Filter::Mirror(Mirror { target, share, compare })),
        cors().prop_map(Filter::Cors),
        asking::external_auth().prop_map(Filter::ExternalAuth),
    ]
    .boxed()
}

fn rule(target: impl Strategy<Value = Target> + 'static) -> impl Strategy<Value = Rule> {
    let takes = vec(condition("[a-z]{1,8}"), 0..2);
    let backend = (backend_target(), 0..=bounds::WEIGHT, vec(filter(), 0..2), takes)
        .prop_map(|(target, weight, filters, takes)| Backend { target, weight, filters, takes });
    let limit = || option::of(time());
    let retry = (vec(400_u16..=599, 0..3), option::of(0..=bounds::ATTEMPTS), option::of(time()))
        .prop_map(|(statuses, attempts, backoff)| RuleRetry { statuses, attempts, backoff });
    let own = (option::of(retry), option::of(session()));
    let one = (target, vec(condition("[a-z][a-z0-9-]{0,5}"), 0..3))
        .prop_map(|(target, headers)| Match { target, headers });
    (
        option::of("[a-z]{1,5}"),
        vec(one, 1..4),
        vec(filter(), 0..3),
        vec(backend, 0..4),
        (limit(), limit()),
        own,
    )
        .prop_map(|(name, matches, filters, backends, (request, backend_request), (retry, session))| {
            Rule {
                name,
                matches,
                filters,
                backends,
                timeouts: Timeouts { request, backend_request },
                retry,
                session,
            }
        })
}

fn route() -> impl Strategy<Value = Route> {
    let parent = (service_name(), option::of(port())).prop_map(|(service, port)| ParentRef { service, port });
    let rules = prop_oneof![
        vec(rule(http_target()), 0..3).prop_map(|rules| (RouteKind::Http, rules)),
        vec(rule(grpc_target()), 0..3).prop_map(|rules| (RouteKind::Grpc, rules)),
    ];
    (rules, label(), "[a-z]{1,5}(\\.[a-z]{1,5})?", vec(parent, 0..3), any::<u64>(), "\\PC{0,20}").prop_map(
        |((kind, rules), namespace, name, parents, created, origin)| Route {
            id: RouteId { kind, name: Name::new(&namespace, &name).unwrap() },
            parents,
            rules,
            created,
            origin,
        },
    )
}

fn stream() -> impl Strategy<Value = StreamRoute> {
    let parent = (service_name(), option::of(port())).prop_map(|(service, port)| ParentRef { service, port });
    let host = "(\\*\\.)?[a-z]{1,5}(\\.[a-z]{1,5}){0,2}".prop_map(|text| HostPattern::parse(&text).unwrap());
    let backend = (backend_target(), 0..=bounds::WEIGHT).prop_map(|(target, weight)| Backend {
        target,
        weight,
        filters: Vec::new(),
        takes: Vec::new(),
    });
    let hosts = prop_oneof![
        Just((StreamKind::Tcp, Vec::new())),
        vec(host, 1..4).prop_map(|hosts| (StreamKind::Tls, hosts)),
    ];
    let name = (label(), label()).prop_map(|(namespace, name)| Name::new(&namespace, &name).unwrap());
    let rest = (option::of("[a-z]{1,9}"), any::<u64>(), "\\PC{0,20}");
    (hosts, name, vec(parent, 0..3), vec(backend, 0..4), rest).prop_map(
        |((kind, hosts), name, parents, backends, (rule, created, origin))| StreamRoute {
            id: StreamId { kind, name },
            parents,
            hosts,
            rule,
            backends,
            created,
            origin,
        },
    )
}

fn host() -> impl Strategy<Value = Host> {
    "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}".prop_map(|text| Host::parse(&text).unwrap())
}

fn object_name() -> impl Strategy<Value = Name> {
    (label(), label()).prop_map(|(namespace, name)| Name::new(&namespace, &name).unwrap())
}

fn host_entry() -> impl Strategy<Value = HostEntry> {
    let meaning = prop_oneof![
        service_name().prop_map(HostMeaning::Service),
        vec(any::<IpAddr>(), 0..3).prop_map(HostMeaning::Endpoints),
        host().prop_map(HostMeaning::Alias),
        object_name().prop_map(HostMeaning::External),
    ];
    (host(), meaning).prop_map(|(host, meaning)| HostEntry { host, meaning })
}

fn external() -> impl Strategy<Value = ExternalService> {
    let tls = (option::of(host()), option::of("[A-Z]{1,9}")).prop_map(|(sni, ca)| Origination { sni, ca });
    let port = (port(), port(), option::of(protocol()), option::of(tls))
        .prop_map(|(port, target, protocol, tls)| ExternalPort { port, target, protocol, tls });
    let resolution = prop_oneof![
        vec(host(), 0..3).prop_map(Resolution::Dns),
        vec(any::<IpAddr>(), 0..3).prop_map(Resolution::Static),
        Just(Resolution::None),
    ];
    let pattern = prop_oneof![host().prop_map(HostPattern::Exact), host().prop_map(HostPattern::Under)];
    (object_name(), vec(pattern, 0..3), vec(port, 0..3), resolution, "\\PC{0,9}").prop_map(
        |(name, hosts, ports, resolution, origin)| ExternalService { name, hosts, ports, resolution, origin },
    )
}

fn resource() -> impl Strategy<Value = ModelResource> {
    prop_oneof![
        1 => mesh().prop_map(ModelResource::Mesh),
        1 => service().prop_map(ModelResource::Service),
        1 => endpoints().prop_map(ModelResource::Endpoints),
        3 => route().boxed().prop_map(ModelResource::Route),
        3 => policy().prop_map(ModelResource::Policy),
        1 => own().prop_map(ModelResource::Own),
        2 => address().prop_map(ModelResource::Address),
        2 => stream().prop_map(ModelResource::Stream),
        1 => host_entry().prop_map(ModelResource::Host),
        2 => external().prop_map(ModelResource::External),
        2 => authentication().prop_map(ModelResource::Authentication),
        3 => authorization::policy().prop_map(ModelResource::Authorization),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded_to_the_same(model in resource()) {
        let bytes = encode(&model).encode_to_vec();
        let wire = crate::config::v1::Resource::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(decode(wire), Ok(model));
    }

    #[test]
    fn versions_differ_exactly_when_the_meaning_does(a in resource(), b in resource()) {
        prop_assert_eq!(a == b, a.version() == b.version());
    }

    #[test]
    fn no_damaged_resource_makes_the_decoder_panic(model in resource(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = encode(&model).encode_to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(wire) = crate::config::v1::Resource::decode(bytes.as_slice())
            && let Ok(read) = decode(wire)
        {
            // Whatever is accepted is in the form that we write ourselves.
            prop_assert_eq!(decode(encode(&read)), Ok(read));
        }
    }
}
