//! Which kinds are followed, and where their objects are. It must not know what is done with them.

use crate::api::Kind;
use crate::cluster::Resource;

const CORE: &str = "/api/v1";
const GATEWAY: &str = "/apis/gateway.networking.k8s.io/v1";
const GATEWAY_X: &str = "/apis/gateway.networking.x-k8s.io/v1alpha1";
const AMIME: &str = "/apis/amime.io/v1alpha1";

/// Every kind that is followed.
pub const ALL: [Kind; 20] = [
    Kind::Namespace,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TcpRoute,
    Kind::TlsRoute,
    Kind::UdpRoute,
    Kind::GatewayClass,
    Kind::XMesh,
    Kind::XBackendTrafficPolicy,
    Kind::MeshConfig,
    Kind::Workload,
    Kind::ExternalService,
    Kind::FederatedTrustDomain,
    Kind::TrafficPolicy,
    Kind::AuthenticationPolicy,
    Kind::AuthorizationPolicy,
    Kind::Canary,
];

/// Where objects of a kind are.
pub fn resource(kind: Kind) -> Resource {
    let (api, plural) = match kind {
        Kind::Namespace => (CORE, "namespaces"),
        Kind::Service => (CORE, "services"),
        Kind::Pod => (CORE, "pods"),
        Kind::EndpointSlice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
        Kind::HttpRoute => (GATEWAY, "httproutes"),
        Kind::GrpcRoute => (GATEWAY, "grpcroutes"),
        Kind::TcpRoute => (GATEWAY, "tcproutes"),
        Kind::TlsRoute => (GATEWAY, "tlsroutes"),
        Kind::UdpRoute => (GATEWAY, "udproutes"),
        Kind::GatewayClass => (GATEWAY, "gatewayclasses"),
        Kind::XMesh => (GATEWAY_X, "xmeshes"),
        Kind::XBackendTrafficPolicy => (GATEWAY_X, "xbackendtrafficpolicies"),
        Kind::MeshConfig => (AMIME, "meshconfigs"),
        Kind::Workload => (AMIME, "workloads"),
        Kind::ExternalService => (AMIME, "externalservices"),
        Kind::FederatedTrustDomain => (AMIME, "federatedtrustdomains"),
        Kind::TrafficPolicy => (AMIME, "trafficpolicies"),
        Kind::AuthenticationPolicy => (AMIME, "authenticationpolicies"),
        Kind::AuthorizationPolicy => (AMIME, "authorizationpolicies"),
        Kind::Canary => (AMIME, "canaries"),
    };
    Resource { api, plural }
}

/// Whether the controller says something in the status of such objects.
pub fn has_status(kind: Kind) -> bool {
    match kind {
        Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TcpRoute
        | Kind::TlsRoute
        | Kind::UdpRoute
        | Kind::GatewayClass
        | Kind::XMesh
        | Kind::XBackendTrafficPolicy
        | Kind::MeshConfig
        | Kind::Workload
        | Kind::ExternalService
        | Kind::FederatedTrustDomain
        | Kind::TrafficPolicy
        | Kind::AuthenticationPolicy
        | Kind::AuthorizationPolicy
        | Kind::Canary => true,
        Kind::Namespace | Kind::Service | Kind::EndpointSlice | Kind::Pod => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_followed_where_its_api_version_says() {
        for (kind, version, _) in Kind::ALL {
            assert!(ALL.contains(&kind), "{kind:?}");
            let api = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
            assert_eq!(resource(kind).api, api, "{kind:?}");
        }
    }
}
