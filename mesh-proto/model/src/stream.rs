//! Routes of connections: TCPRoute and TLSRoute, and the decision where a connection goes that is carried as bytes.
//!
//! They must not know sockets, endpoints, objects or how bytes are told apart. A connection enters as the name that its ClientHello asks
//! for, if there is one; what leaves is a backend.
//!
//! Source: Gateway API v1.6 (TCPRoute, TLSRoute), GEP-1294 (Service as parent; GRPCRoute, HTTPRoute, TLSRoute, TCPRoute is the order of
//! kinds where several are attached).

use std::fmt;
use std::sync::Arc;

use crate::host::{Host, HostMap, HostPattern};
use crate::name::{Name, ServiceName};
use crate::route::{Backend, BackendTarget, ParentRef, split};

/// Which kind of object a route of connections came from. What wins comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    /// TCPRoute.
    Tcp,
    /// TLSRoute.
    Tls,
}

/// A route's identity; displays as `tcproute/NS/NAME` or `tlsroute/NS/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// The kind.
    pub kind: StreamKind,
    /// Namespace and name.
    pub name: Name,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            StreamKind::Tcp => "tcproute",
            StreamKind::Tls => "tlsroute",
        };
        write!(f, "{kind}/{}", self.name)
    }
}

/// A route of connections, attached to services. It has one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRoute {
    /// Kind, namespace and name.
    pub id: StreamId,
    /// What it is attached to.
    pub parents: Vec<ParentRef>,
    /// Names that a ClientHello asks for; any of them. A TCPRoute has none.
    pub hosts: Vec<HostPattern>,
    /// The rule's own name, if it has one.
    pub rule: Option<String>,
    /// Where its connections go, without filters. Empty, or all of weight 0: they are refused.
    pub backends: Vec<Backend>,
    /// Creation time, Unix seconds; 0 if the source knows none. Older wins among equals.
    pub created: u64,
    /// Where the object was read, for messages: `PATH:LINE`.
    pub origin: String,
}

impl StreamRoute {
    /// `tcproute/NS/NAME#RULE`; RULE is the rule's name, or 0.
    pub fn label(&self) -> String {
        format!("{}#{}", self.id, self.rule.as_deref().unwrap_or("0"))
    }

    /// Whether it is attached to that port of the service.
    pub fn is_attached(&self, service: &ServiceName, port: u16) -> bool {
        self.parents.iter().any(|p| p.service == *service && p.port.is_none_or(|wanted| wanted == port))
    }

    /// What wins first: the older one, then the first by `NAMESPACE/NAME`.
    fn order(&self) -> (u64, String) {
        (self.created, self.id.name.to_string())
    }
}

/// Whether a route counts for connections to a port of a service from a namespace, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StreamStanding {
    /// It counts.
    InForce,
    /// It names the service as parent, but another port of it.
    OtherPort,
    /// It is in a namespace that is neither the service's nor the client's.
    OtherNamespace,
    /// It is of the service's namespace, and the client's namespace has routes of its own for the service.
    HiddenByConsumer,
    /// An HTTPRoute or a GRPCRoute counts.
    HiddenByHttp,
    /// It is a TCPRoute, and a TLSRoute counts.
    HiddenByTls,
    /// This one is older and takes all connections, or all with the same names.
    HiddenByOlder(StreamId),
}

/// Whether routes of requests count for the same port and clients: then those of connections do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestRoutes {
    /// Some do.
    Some,
    /// None does.
    None,
}

/// The standing of every route that names the service as parent.
pub fn standing<'a>(
    service: &ServiceName,
    port: u16,
    client_namespace: &str,
    routes: &'a [Arc<StreamRoute>],
    of_requests: RequestRoutes,
) -> Vec<(&'a Arc<StreamRoute>, StreamStanding)> {
    let of_service = || routes.iter().filter(|route| route.parents.iter().any(|p| p.service == *service));
    let attached = |namespace: &str, route: &StreamRoute| {
        route.id.name.namespace() == namespace && route.is_attached(service, port)
    };
    let consumer = of_service().any(|route| attached(client_namespace, route));
    let counts = if consumer { client_namespace } else { service.0.namespace() };
    let tls = of_service().any(|route| route.id.kind == StreamKind::Tls && attached(counts, route));
    let mut sorted: Vec<&Arc<StreamRoute>> = of_service().collect();
    sorted.sort_by_key(|route| route.order());
    let (mut oldest, mut names) = (None, HostMap::default());
    let one = |route: &'a Arc<StreamRoute>| {
        let namespace = route.id.name.namespace();
        let standing = if namespace != service.0.namespace() && namespace != client_namespace {
            StreamStanding::OtherNamespace
        } else if !route.is_attached(service, port) {
            StreamStanding::OtherPort
        } else if namespace != counts {
            StreamStanding::HiddenByConsumer
        } else if of_requests == RequestRoutes::Some {
            StreamStanding::HiddenByHttp
        } else if tls && route.id.kind == StreamKind::Tcp {
            StreamStanding::HiddenByTls
        } else {
            let older = match route.id.kind {
                StreamKind::Tcp => oldest.replace(&route.id).inspect(|first| oldest = Some(first)),
                StreamKind::Tls => all_taken(route, &mut names),
            };
            older.map_or(StreamStanding::InForce, |older| StreamStanding::HiddenByOlder(older.clone()))
        };
        (route, standing)
    };
    sorted.into_iter().map(one).collect()
}

/// Takes the names of a route that are still free. If none was: whose the first one is.
fn all_taken<'a>(route: &'a StreamRoute, names: &mut HostMap<&'a StreamId>) -> Option<&'a StreamId> {
    let mut first = None;
    let mut free = false;
    for host in &route.hosts {
        match names.insert(host, &route.id) {
            Ok(()) => free = true,
            Err(older) => first = first.or(Some(*older)),
        }
    }
    first.filter(|_| !free)
}

/// All routes of connections of one port of a service, as clients in one namespace see them. Immutable; build a new one on a change.
#[derive(Debug, Clone, Default)]
pub struct StreamTable {
    /// In force, what wins first.
    routes: Vec<Arc<StreamRoute>>,
    names: HostMap<usize>,
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StreamDecision<'a> {
    /// No route counts: to the service itself.
    Service,
    /// Routes count and none is meant by the name that is asked for, or no name is: it is refused.
    NoRoute,
    /// The route has no backend with a weight above 0: it is refused.
    NoBackend(&'a Arc<StreamRoute>),
    /// To this backend of the route. An invalid one refuses its share.
    Backend(&'a Arc<StreamRoute>, &'a Backend),
}

impl StreamTable {
    /// The table of `service`'s `port` for clients in `client_namespace`: see [`standing`] for which routes count.
    pub fn build(
        service: &ServiceName,
        port: u16,
        client_namespace: &str,
        routes: &[Arc<StreamRoute>],
        of_requests: RequestRoutes,
    ) -> Self {
        let mut table = Self::default();
        for (route, standing) in standing(service, port, client_namespace, routes, of_requests) {
            if standing != StreamStanding::InForce {
                continue;
            }
            for host in &route.hosts {
                // A name of an older route stays with that one.
                let _ = table.names.insert(host, table.routes.len());
            }
            table.routes.push(Arc::clone(route));
        }
        table
    }

    /// Whether no route counts.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Whether the name in a ClientHello decides: then it has to be read before the connection goes on.
    pub fn needs_name(&self) -> bool {
        self.routes.first().is_some_and(|route| route.id.kind == StreamKind::Tls)
    }

    /// The route that a connection takes. `name` is what its ClientHello asks for; `None`: it asks for none, or it is not TLS.
    pub fn route(&self, name: Option<&str>) -> Option<&Arc<StreamRoute>> {
        if !self.needs_name() {
            return self.routes.first();
        }
        let at = self.names.get(&Host::parse(name?)?)?;
        self.routes.get(*at)
    }

    /// Where a connection goes. Over evenly spread `random` each backend gets its share.
    pub fn decide(&self, name: Option<&str>, random: u64) -> StreamDecision<'_> {
        if self.is_empty() {
            return StreamDecision::Service;
        }
        let Some(route) = self.route(name) else { return StreamDecision::NoRoute };
        match split::pick(&route.backends, random) {
            Some(backend) => StreamDecision::Backend(route, backend),
            None => StreamDecision::NoBackend(route),
        }
    }

    /// The routes in force, what wins first.
    pub fn routes(&self) -> &[Arc<StreamRoute>] {
        &self.routes
    }

    /// Every backend of every route, with repetitions.
    pub fn backends(&self) -> impl Iterator<Item = &BackendTarget> {
        self.routes.iter().flat_map(|route| &route.backends).map(|backend| &backend.target)
    }
}

#[cfg(test)]
mod tests;
