//! Conversion between the model and the wire form of configuration. It must not know what a route or a mode means:
//! only how it is written, what is refused as unreadable, and what two resources of the same meaning have in common.
//!
//! [`encode()`] cannot fail. [`decode()`] fails with [`Invalid`], which names the resource and the field; whoever applies an
//! update keeps the last good form of that resource and applies the others.
//!
//! Unknown content (from a newer controller) is an error where guessing could open something or send a request astray:
//! modes, kinds of routes, matches, filters and backends. The others have a default, which stands at their decoder.

pub mod bounds;
pub mod decode;
pub mod encode;

use std::net::IpAddr;

use mesh_model::address::Address;
use mesh_model::authentication::Authentication;
use mesh_model::endpoint::Endpoints;
use mesh_model::external::{ExternalService, HostEntry};
use mesh_model::host::Host;
use mesh_model::policy::AuthorizationPolicy;
use mesh_model::route::{Route, RouteId};
use mesh_model::service::{OwnServices, Service};
use mesh_model::settings::MeshSettings;
use mesh_model::stream::StreamRoute;
use mesh_model::traffic::TrafficPolicy;
use prost::Message;

pub use decode::decode;
pub use encode::encode;

/// One unit of configuration, as proxies subscribe to it.
#[expect(clippy::large_enum_variant, reason = "each is moved once, from the decoder into its place")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelResource {
    /// Settings of the whole mesh.
    Mesh(MeshSettings),
    /// A service.
    Service(Service),
    /// The endpoints of a service.
    Endpoints(Endpoints),
    /// A route.
    Route(Route),
    /// A policy.
    Policy(TrafficPolicy),
    /// What the proxy's own workload serves.
    Own(OwnServices),
    /// What an IP address is.
    Address(Address),
    /// A route of connections.
    Stream(StreamRoute),
    /// What a host stands for.
    Host(HostEntry),
    /// Hosts outside the mesh.
    External(ExternalService),
    /// Whom the proxy's own workload lets in unauthenticated.
    Authentication(Authentication),
    /// Who may call the proxy's own workload.
    Authorization(AuthorizationPolicy),
}

impl ModelResource {
    /// The name on the wire: `mesh`, `own`, `service/NS/NAME`, `endpoints/NS/NAME`, `httproute/NS/NAME`,
    /// `grpcroute/NS/NAME`, `trafficpolicy/NS/NAME`, `address/IP`,
    /// `tcproute/NS/NAME`, `tlsroute/NS/NAME`, `host/HOST`, `externalservice/NS/NAME`,
    /// `authorizationpolicy/NS/NAME` or `authentication`.
    pub fn name(&self) -> String {
        match self {
            Self::Mesh(_) => MESH.to_owned(),
            Self::Service(service) => format!("service/{}", service.name),
            Self::Endpoints(endpoints) => format!("endpoints/{}", endpoints.service),
            Self::Route(route) => route_name(&route.id),
            Self::Policy(policy) => policy.resource_name(),
            Self::Own(_) => OWN.to_owned(),
            Self::Address(address) => address_name(address.ip),
            Self::Stream(route) => route.id.to_string(),
            Self::Host(entry) => host_name(&entry.host),
            Self::External(external) => external.resource_name(),
            Self::Authentication(_) => AUTHENTICATION.to_owned(),
            Self::Authorization(policy) => policy.resource_name(),
        }
    }

    /// A hash of the meaning, 16 hexadecimal digits. Equal for two forms that proxies would treat alike: the
    /// origin of a route or policy does not count; its creation time does, since it decides between equals.
    pub fn version(&self) -> String {
        use crate::config::v1::resource::Body;
        let mut wire = encode(self);
        match &mut wire.body {
            Some(Body::Route(route)) => route.origin.clear(),
            Some(Body::Policy(policy)) => policy.origin.clear(),
            Some(Body::Stream(route)) => route.origin.clear(),
            Some(Body::External(external)) => external.origin.clear(),
            Some(Body::Authorization(policy)) => policy.origin.clear(),
            Some(
                Body::Mesh(_)
                | Body::Service(_)
                | Body::Endpoints(_)
                | Body::Own(_)
                | Body::Address(_)
                | Body::Host(_)
                | Body::Authentication(_),
            )
            | None => {}
        }
        format!("{:016x}", fnv1a(wire.encode_to_vec()))
    }
}

/// The name of the settings.
pub const MESH: &str = "mesh";

/// The name of what the proxy's own workload serves.
pub const OWN: &str = "own";

/// The name of whom the proxy's own workload lets in unauthenticated.
pub const AUTHENTICATION: &str = "authentication";

/// The name of a route's resource.
pub fn route_name(id: &RouteId) -> String {
    id.to_string()
}

/// The name of what an IP address is.
pub fn address_name(ip: IpAddr) -> String {
    format!("{ADDRESS}{ip}")
}

/// The address that a resource of that name is about, if it is about one.
pub fn address_of(name: &str) -> Option<IpAddr> {
    name.strip_prefix(ADDRESS)?.parse().ok()
}

/// The name of what a host stands for.
pub fn host_name(host: &Host) -> String {
    format!("{HOST}{host}")
}

/// The host that a resource of that name is about, if it is about one.
pub fn host_of(name: &str) -> Option<Host> {
    Host::parse(name.strip_prefix(HOST)?)
}

const HOST: &str = "host/";

const ADDRESS: &str = "address/";

/// Why a resource cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{resource}`: field `{field}` {reason}")]
pub struct Invalid {
    /// The resource's name as sent, cut at 400 characters.
    pub resource: String,
    /// Where in it, such as `rules[2].backends[0].weight`.
    pub field: String,
    /// What is wrong, to be read after the field's name.
    pub reason: String,
}

/// 64-bit FNV-1a: it only has to tell versions of one resource apart, not to withstand an attacker, and its definition
/// is short enough to stay the same in every release.
pub(crate) fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;
