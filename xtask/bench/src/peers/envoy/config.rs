//! Envoy's configuration as JSON. Pure.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::certificates::Certificates;

/// What protects a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Security<'a> {
    Plain,
    Mutual(&'a Certificates),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Listener<'a> {
    pub(super) name: &'a str,
    pub(super) address: SocketAddr,
    pub(super) cluster: &'a str,
    pub(super) carries: Carries,
    pub(super) security: Security<'a>,
}

/// What a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    Requests,
    Bytes,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Upstream<'a> {
    pub(super) name: &'a str,
    pub(super) address: SocketAddr,
    pub(super) http2: bool,
    pub(super) security: Security<'a>,
}

pub(super) fn bootstrap(listeners: &[Listener<'_>], upstreams: &[Upstream<'_>]) -> Value {
    json!({
        "static_resources": {
            "listeners": listeners.iter().map(listener).collect::<Vec<_>>(),
            "clusters": upstreams.iter().map(cluster).collect::<Vec<_>>(),
        }
    })
}

fn extension(kind: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{kind}")
}

fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn proxy(listener: &Listener<'_>) -> Value {
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": extension("filters.network.tcp_proxy.v3.TcpProxy"),
            "stat_prefix": listener.name,
            "cluster": listener.cluster,
        },
    })
}

fn manager(listener: &Listener<'_>) -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": extension("filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": listener.name,
            "codec_type": "AUTO",
            "generate_request_id": true,
            "route_config": {
                "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": listener.cluster } }],
                }],
            },
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": extension("filters.http.router.v3.Router"),
                    "suppress_envoy_headers": true,
                },
            }],
        },
    })
}

fn listener(listener: &Listener<'_>) -> Value {
    let filter = match listener.carries {
        Carries::Requests => manager(listener),
        Carries::Bytes => proxy(listener),
    };
    let mut chain = json!({ "filters": [filter] });
    if let (Security::Mutual(files), Some(chain)) = (listener.security, chain.as_object_mut()) {
        let context = json!({
            "@type": extension("transport_sockets.tls.v3.DownstreamTlsContext"),
            "require_client_certificate": true,
            "common_tls_context": common(files),
        });
        chain.insert("transport_socket".to_owned(), socket(&context));
    }
    json!({ "name": listener.name, "address": address(listener.address), "filter_chains": [chain] })
}

fn cluster(upstream: &Upstream<'_>) -> Value {
    let mut cluster = json!({
        "name": upstream.name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": upstream.name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(upstream.address) } }] }],
        },
    });
    let Some(fields) = cluster.as_object_mut() else { return cluster };
    if upstream.http2 {
        let options = json!({
            "@type": extension("upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": { "http2_protocol_options": {} },
        });
        let options = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options });
        fields.insert("typed_extension_protocol_options".to_owned(), options);
    }
    if let Security::Mutual(files) = upstream.security {
        let context = json!({
            "@type": extension("transport_sockets.tls.v3.UpstreamTlsContext"),
            "common_tls_context": common(files),
        });
        fields.insert("transport_socket".to_owned(), socket(&context));
    }
    cluster
}

fn socket(context: &Value) -> Value {
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": context })
}

/// The peer's certificate is checked against the root and its name, as sidecars do.
fn common(files: &Certificates) -> Value {
    let version = "TLSv1_3";
    json!({
        "tls_params": { "tls_minimum_protocol_version": version, "tls_maximum_protocol_version": version },
        "tls_certificates": [{
            "certificate_chain": { "filename": files.certificate },
            "private_key": { "filename": files.key },
        }],
        "validation_context": {
            "trusted_ca": { "filename": files.root },
            "match_typed_subject_alt_names": [{
                "san_type": "URI",
                "matcher": { "exact": files.identity },
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_shows_certificates_and_asks_for_them() {
        let files = Certificates {
            root: "r.pem".into(),
            certificate: "c.pem".into(),
            key: "k.pem".into(),
            both: "b.pem".into(),
            identity: "spiffe://a/ns/b/sa/c".to_owned(),
        };
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let config = bootstrap(
            &[
                Listener {
                    name: "in",
                    address: at(1),
                    cluster: "c",
                    carries: Carries::Requests,
                    security: Security::Mutual(&files),
                },
                Listener {
                    name: "bytes",
                    address: at(3),
                    cluster: "c",
                    carries: Carries::Bytes,
                    security: Security::Plain,
                },
            ],
            &[Upstream { name: "c", address: at(2), http2: true, security: Security::Plain }],
        );
        let chain = &config["static_resources"]["listeners"][0]["filter_chains"][0];
        let context = &chain["transport_socket"]["typed_config"];
        assert_eq!(context["require_client_certificate"], true);
        let bytes = &config["static_resources"]["listeners"][1]["filter_chains"][0]["filters"];
        assert_eq!(bytes[0]["name"], "envoy.filters.network.tcp_proxy");
        let params = &context["common_tls_context"]["tls_params"];
        assert_eq!(params["tls_minimum_protocol_version"], "TLSv1_3");
        let cluster = &config["static_resources"]["clusters"][0];
        assert!(cluster.get("transport_socket").is_none());
        assert!(cluster["typed_extension_protocol_options"].to_string().contains("http2_protocol_options"));
    }
}
