//! The objects that a user writes, as Rust types: our own kinds (with their CRDs), and of the Gateway API and Kubernetes
//! what the mesh reads. It must not know where objects come from (`sources`) or how they refer to each other (`compile`).
//!
//! [`check`] says what is wrong with one object by itself, with the path of the field; [`lower`] turns the parts of one
//! object that need no other object into model types.

pub mod access_log;
pub mod amime;
pub mod asking;
pub mod authentication;
pub mod authorization;
pub mod backend_policy;
pub mod canary;
pub mod check;
pub mod compare;
pub mod crds;
pub mod external;
pub mod federation;
pub mod gateway;
pub mod lower;
pub mod mesh;
pub mod pod;
pub mod scalars;
pub mod slice;
pub mod streams;
pub mod telemetry;
pub mod traffic;

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Service};
use mesh_model::name::Name;

pub use amime::{MeshConfig, Workload};
pub use authentication::AuthenticationPolicy;
pub use authorization::AuthorizationPolicy;
pub use backend_policy::XBackendTrafficPolicy;
pub use canary::Canary;
pub use external::ExternalService;
pub use federation::FederatedTrustDomain;
pub use gateway::{GrpcRoute, HttpRoute};
pub use mesh::Announcement;
pub use pod::Pod;
pub use slice::Slice;
pub use streams::StreamRoute;
pub use traffic::TrafficPolicy;

/// The kinds that the controller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1 Service`.
    Service,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    EndpointSlice,
    /// `v1 Namespace`.
    Namespace,
    /// `gateway.networking.k8s.io/v1 HTTPRoute`.
    HttpRoute,
    /// `gateway.networking.k8s.io/v1 GRPCRoute`.
    GrpcRoute,
    /// `gateway.networking.k8s.io/v1 TCPRoute`.
    TcpRoute,
    /// `gateway.networking.k8s.io/v1 TLSRoute`.
    TlsRoute,
    /// `gateway.networking.k8s.io/v1 UDPRoute`.
    UdpRoute,
    /// `amime.io/v1alpha1 MeshConfig`.
    MeshConfig,
    /// `amime.io/v1alpha1 Workload`.
    Workload,
    /// `amime.io/v1alpha1 ExternalService`.
    ExternalService,
    /// `amime.io/v1alpha1 FederatedTrustDomain`.
    FederatedTrustDomain,
    /// `amime.io/v1alpha1 TrafficPolicy`.
    TrafficPolicy,
    /// `amime.io/v1alpha1 AuthorizationPolicy`.
    AuthorizationPolicy,
    /// `gateway.networking.x-k8s.io/v1alpha1 XBackendTrafficPolicy`.
    XBackendTrafficPolicy,
    /// `amime.io/v1alpha1 AuthenticationPolicy`.
    AuthenticationPolicy,
    /// `amime.io/v1alpha1 Canary`.
    Canary,
    /// `v1 Pod`.
    Pod,
    /// `gateway.networking.k8s.io/v1 GatewayClass`.
    GatewayClass,
    /// `gateway.networking.x-k8s.io/v1alpha1 XMesh`.
    XMesh,
}

impl Kind {
    /// Every kind, with its `apiVersion` and `kind`.
    pub const ALL: [(Self, &'static str, &'static str); 20] = [
        (Self::Service, "v1", "Service"),
        (Self::EndpointSlice, "discovery.k8s.io/v1", "EndpointSlice"),
        (Self::Namespace, "v1", "Namespace"),
        (Self::HttpRoute, "gateway.networking.k8s.io/v1", "HTTPRoute"),
        (Self::GrpcRoute, "gateway.networking.k8s.io/v1", "GRPCRoute"),
        (Self::TcpRoute, "gateway.networking.k8s.io/v1", "TCPRoute"),
        (Self::TlsRoute, "gateway.networking.k8s.io/v1", "TLSRoute"),
        (Self::UdpRoute, "gateway.networking.k8s.io/v1", "UDPRoute"),
        (Self::MeshConfig, "amime.io/v1alpha1", "MeshConfig"),
        (Self::Workload, "amime.io/v1alpha1", "Workload"),
        (Self::ExternalService, "amime.io/v1alpha1", "ExternalService"),
        (Self::FederatedTrustDomain, "amime.io/v1alpha1", "FederatedTrustDomain"),
        (Self::TrafficPolicy, "amime.io/v1alpha1", "TrafficPolicy"),
        (Self::AuthorizationPolicy, "amime.io/v1alpha1", "AuthorizationPolicy"),
        (Self::XBackendTrafficPolicy, "gateway.networking.x-k8s.io/v1alpha1", "XBackendTrafficPolicy"),
        (Self::AuthenticationPolicy, "amime.io/v1alpha1", "AuthenticationPolicy"),
        (Self::Canary, "amime.io/v1alpha1", "Canary"),
        (Self::Pod, "v1", "Pod"),
        (Self::GatewayClass, "gateway.networking.k8s.io/v1", "GatewayClass"),
        (Self::XMesh, "gateway.networking.x-k8s.io/v1alpha1", "XMesh"),
    ];

    /// As an object's `kind` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Namespace => "Namespace",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TcpRoute => "TCPRoute",
            Self::TlsRoute => "TLSRoute",
            Self::UdpRoute => "UDPRoute",
            Self::MeshConfig => "MeshConfig",
            Self::Workload => "Workload",
            Self::ExternalService => "ExternalService",
            Self::FederatedTrustDomain => "FederatedTrustDomain",
            Self::TrafficPolicy => "TrafficPolicy",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::XBackendTrafficPolicy => "XBackendTrafficPolicy",
            Self::AuthenticationPolicy => "AuthenticationPolicy",
            Self::Canary => "Canary",
            Self::Pod => "Pod",
            Self::GatewayClass => "GatewayClass",
            Self::XMesh => "XMesh",
        }
    }

    /// Whether its objects live in a namespace.
    pub fn scope(self) -> Scope {
        match self {
            Self::Namespace
            | Self::MeshConfig
            | Self::FederatedTrustDomain
            | Self::GatewayClass
            | Self::XMesh => Scope::Cluster,
            Self::Service
            | Self::EndpointSlice
            | Self::HttpRoute
            | Self::GrpcRoute
            | Self::TcpRoute
            | Self::TlsRoute
            | Self::UdpRoute
            | Self::Workload
            | Self::ExternalService
            | Self::TrafficPolicy
            | Self::AuthorizationPolicy
            | Self::XBackendTrafficPolicy
            | Self::AuthenticationPolicy
            | Self::Canary
            | Self::Pod => Scope::Namespaced,
        }
    }
}

/// Where the name of an object is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In the whole mesh.
    Cluster,
    /// In its namespace.
    Namespaced,
}

/// The identity of an object. Displays as `HTTPRoute shop/reviews`, or `MeshConfig default` where there is no namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Empty for kinds without namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// From its parts.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// The object of one kind that has a name of the model.
    pub fn of(kind: Kind, name: &Name) -> Self {
        let (namespace, name) = (name.shared_namespace(), name.shared_name());
        Self { kind, namespace: Arc::clone(namespace), name: Arc::clone(name) }
    }

    /// As a name of the model; `None` for kinds without namespace.
    pub fn model_name(&self) -> Option<Name> {
        Name::shared(&self.namespace, &self.name).ok()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind.as_str(), self.name)
        } else {
            write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
        }
    }
}

/// One object. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Object {
    /// A Service.
    Service(Arc<Service>),
    /// An EndpointSlice.
    EndpointSlice(Arc<Slice>),
    /// A Namespace.
    Namespace(Arc<Namespace>),
    /// An HTTPRoute.
    HttpRoute(Arc<HttpRoute>),
    /// A GRPCRoute.
    GrpcRoute(Arc<GrpcRoute>),
    /// A TCPRoute.
    TcpRoute(Arc<StreamRoute>),
    /// A TLSRoute.
    TlsRoute(Arc<StreamRoute>),
    /// A UDPRoute.
    UdpRoute(Arc<StreamRoute>),
    /// A MeshConfig.
    MeshConfig(Arc<MeshConfig>),
    /// A Workload.
    Workload(Arc<Workload>),
    /// An ExternalService.
    ExternalService(Arc<ExternalService>),
    /// A FederatedTrustDomain.
    FederatedTrustDomain(Arc<FederatedTrustDomain>),
    /// A TrafficPolicy.
    TrafficPolicy(Arc<TrafficPolicy>),
    /// An AuthorizationPolicy.
    AuthorizationPolicy(Arc<AuthorizationPolicy>),
    /// An XBackendTrafficPolicy.
    XBackendTrafficPolicy(Arc<XBackendTrafficPolicy>),
    /// An AuthenticationPolicy.
    AuthenticationPolicy(Arc<AuthenticationPolicy>),
    /// A Canary.
    Canary(Arc<Canary>),
    /// A pod.
    Pod(Arc<Pod>),
    /// A GatewayClass.
    GatewayClass(Arc<Announcement>),
    /// An XMesh.
    XMesh(Arc<Announcement>),
}

/// What is wrong with a field of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path, as in `spec.rules[0].backendRefs[1].weight`.
    pub field: String,
    /// Why, in words.
    pub message: String,
}

impl Fault {
    /// From its parts.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
