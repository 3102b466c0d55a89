//! A connection that is asked about instead of a request: what an address or a host is, which route of connections takes it, and where
//! its shares go. Decided by the functions that the proxy uses. Pure. It must not know how an answer is shown.

mod view;

use std::net::IpAddr;
use std::sync::Arc;

use mesh_controller::api::{Kind, ObjectKey};
use mesh_model::address::{Direct, Meaning};
use mesh_model::authority::{self, Authority, CLUSTER_DOMAIN};
use mesh_model::endpoint::Endpoint;
use mesh_model::failure::Failure;
use mesh_model::host::Host;
use mesh_model::name::ServiceName;
use mesh_model::route::table::{self, Standing};
use mesh_model::route::{Backend, BackendTarget};
use mesh_model::service::ServicePort;
use mesh_model::settings::OutboundMode;
use mesh_model::stream::{
    self, RequestRoutes, StreamDecision, StreamKind, StreamRoute, StreamStanding, StreamTable,
};

use super::answer::{Concerned, concerned_of, policies_on};
use super::authorization::{self, Held, Way};
use super::caller::Caller;
use super::objects::Objects;
use super::outside::{self, Outside};

pub(crate) use view::{json, text};

/// The port where `tls://` names none.
const TLS_PORT: u16 = 443;

/// Why the words are no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidConnection {
    #[error(transparent)]
    Authority(#[from] authority::InvalidAuthority),
    #[error("`{0}` names no port; write tcp://HOST:PORT")]
    NoPort(String),
    #[error("a connection has no path: write tcp://HOST:PORT or tls://HOST:PORT in place of `{0}`")]
    Path(String),
    #[error("`{0}` is not a host name that a client can ask for in TLS; write --sni NAME")]
    Name(String),
    #[error("--sni goes with tls://HOST:PORT; nothing else asks for a name in TLS")]
    NotTls,
    #[error("a connection has neither method nor headers; leave them out, or write http:// for a request")]
    Request,
}

/// A connection as routing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Lower case; an IP address or a name.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) kind: StreamKind,
    /// What its ClientHello asks for.
    pub(crate) name: Option<String>,
}

impl Connection {
    /// From the command line; `None` if the words are a request.
    pub(crate) fn parse(url: &str, name: Option<&str>) -> Option<Result<Self, InvalidConnection>> {
        let (scheme, rest) = url.split_once("://")?;
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "tcp" => StreamKind::Tcp,
            "tls" => StreamKind::Tls,
            _ => return None,
        };
        Some(Self::read(kind, rest, url, name))
    }

    fn read(kind: StreamKind, rest: &str, url: &str, name: Option<&str>) -> Result<Self, InvalidConnection> {
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(InvalidConnection::Path(url.to_owned()));
        }
        let Authority { host, port } = Authority::parse(authority)?;
        let default = (kind == StreamKind::Tls).then_some(TLS_PORT);
        let port = port.or(default).ok_or_else(|| InvalidConnection::NoPort(url.to_owned()))?;
        let name = match (kind, name) {
            (StreamKind::Tcp, None) => None,
            (StreamKind::Tcp, Some(_)) => return Err(InvalidConnection::NotTls),
            // Clients ask for the host that they were told to call, and for nothing where that is an address.
            (StreamKind::Tls, None) => Host::parse(&host),
            (StreamKind::Tls, Some(text)) => {
                Some(Host::parse(text).ok_or_else(|| InvalidConnection::Name(text.to_owned()))?)
            }
        };
        Ok(Self { host, port, kind, name: name.map(|name| name.to_string()) })
    }
}

/// What the host or address is.
#[derive(Debug)]
pub(crate) enum Reached {
    /// A port of a service.
    Service { name: ServiceName, port: ServicePort },
    /// A service that does not have the port.
    NoPort { name: ServiceName, ports: Vec<u16> },
    /// An endpoint's own address: routes do not count.
    Own(Direct),
    /// No service, and the mesh has a word on it.
    Outside(Outside),
    /// Nothing that the mesh knows.
    Foreign,
}

/// A backend with its endpoints.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its place in the rule; `None`: the service itself.
    pub(crate) index: Option<usize>,
    pub(crate) target: BackendTarget,
    /// 0 to 1.
    pub(crate) share: f64,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Carried as bytes to a backend or an endpoint.
    Carried,
    /// Routes of requests count on the port.
    Requests,
    /// It leaves the mesh.
    Foreign,
    /// It is refused.
    Refused { failure: Failure, why: String },
}

/// Everything that is to be said about a connection.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) connection: &'a Connection,
    pub(crate) caller: &'a Caller,
    pub(crate) reached: Reached,
    pub(crate) taken: Option<Arc<StreamRoute>>,
    pub(crate) standings: Vec<(Arc<StreamRoute>, StreamStanding)>,
    pub(crate) targets: Vec<Target>,
    pub(crate) outcome: Outcome,
    pub(crate) concerned: Vec<Concerned>,
}

impl<'a> Answer<'a> {
    /// Decides.
    pub(crate) fn find(objects: &'a Objects, connection: &'a Connection, caller: &'a Caller) -> Self {
        let reached = reached(objects, connection, caller);
        let mut answer = Self {
            objects,
            connection,
            caller,
            reached,
            taken: None,
            standings: Vec::new(),
            targets: Vec::new(),
            outcome: Outcome::Carried,
            concerned: Vec::new(),
        };
        answer.outcome = answer.decide();
        answer.concerned = concerned_of(objects, answer.keys());
        let policies = policies_on(objects, &answer.ways());
        answer.concerned.extend(policies);
        answer
    }

    /// What the called sidecars say of these bytes.
    pub(crate) fn held(&self) -> Vec<Held> {
        let sni = self.connection.name.as_deref();
        authorization::held(self.objects, self.caller.peer.as_ref(), sni, &self.ways())
    }

    fn ways(&self) -> Vec<Way> {
        if let (Outcome::Carried, Reached::Own(direct)) = (&self.outcome, &self.reached) {
            let way = |(service, port): &(ServiceName, u16)| Way {
                service: service.clone(),
                port: *port,
                endpoints: vec![direct.endpoint.clone()],
                arriving: None,
                is_mirror: false,
            };
            return direct.service.iter().map(way).collect();
        }
        let used = self.targets.iter().filter(|target| target.share > 0.0);
        let way = |target: &Target| match &target.target {
            BackendTarget::Service { service, port } if self.outcome == Outcome::Carried => {
                Some(Way::to(self.objects, service, *port, None, false))
            }
            BackendTarget::Service { .. } | BackendTarget::Invalid { .. } => None,
        };
        used.filter_map(way).collect()
    }

    /// Whether the connection is carried, and all objects concerned are in force.
    pub(crate) fn is_fine(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused { .. })
            && self.concerned.iter().all(Concerned::is_good)
            && self.objects.problems.is_empty()
            && self.held().iter().all(|held| !held.is_refused())
    }

    fn decide(&mut self) -> Outcome {
        let refused = |failure, why: String| Outcome::Refused { failure, why };
        let (service, port) = match &self.reached {
            Reached::Own(_) => return Outcome::Carried,
            Reached::Outside(Outside { refused: Some((failure, why)), .. }) => {
                return refused(*failure, why.clone());
            }
            Reached::Outside(_) => return Outcome::Foreign,
            Reached::Foreign if self.objects.compiled.mesh.outbound_mode == OutboundMode::AllowAny => {
                return Outcome::Foreign;
            }
            Reached::Foreign => {
                let why = format!("the mesh knows nothing at {}", self.connection.host);
                return refused(Failure::UnknownDestination, why);
            }
            Reached::NoPort { name, ports } => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                let wanted = self.connection.port;
                let why = format!("service {name} has no port {wanted}; it has {}", ports.join(", "));
                return refused(Failure::NoEndpoints, why);
            }
            Reached::Service { name, port } => (name.clone(), port.port),
        };
        let (namespace, compiled) = (self.caller.namespace.as_str(), &self.objects.compiled);
        let mut of_requests = table::standing(&service, port, namespace, &compiled.routes);
        let requests = if of_requests.any(|(_, standing)| standing == Standing::InForce) {
            RequestRoutes::Some
        } else {
            RequestRoutes::None
        };
        let standings = stream::standing(&service, port, namespace, &compiled.streams, requests);
        self.standings = standings.into_iter().map(|(route, s)| (Arc::clone(route), s)).collect();
        if requests == RequestRoutes::Some {
            return Outcome::Requests;
        }
        let table = StreamTable::build(&service, port, namespace, &compiled.streams, requests);
        self.follow(&table, &service, port)
    }

    fn follow(&mut self, table: &StreamTable, service: &ServiceName, port: u16) -> Outcome {
        let refused = |failure, why: String| Outcome::Refused { failure, why };
        // Any number shows what kind of decision it is; all shares are shown.
        let (route, backends) = match table.decide(self.connection.name.as_deref(), 0) {
            StreamDecision::Service => {
                let target = BackendTarget::Service { service: service.clone(), port };
                self.targets.push(self.target(None, &target, 1.0));
                return self.arrives();
            }
            StreamDecision::NoRoute => {
                let why = match &self.connection.name {
                    Some(name) => format!("TLSRoutes count, and none of them has the name {name}"),
                    None => "TLSRoutes count, and the connection asks for no name".to_owned(),
                };
                return refused(Failure::NoRoute, why);
            }
            StreamDecision::NoBackend(route) => {
                self.taken = Some(Arc::clone(route));
                let why = "no backend of the rule has a weight above 0".to_owned();
                return refused(Failure::NoBackend, why);
            }
            StreamDecision::Backend(route, _) => (Arc::clone(route), &route.backends),
        };
        let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
        let share = |backend: &Backend| f64::from(backend.weight) / total as f64;
        let one = |(at, backend): (usize, &Backend)| self.target(Some(at), &backend.target, share(backend));
        self.targets = backends.iter().enumerate().map(one).collect();
        self.taken = Some(route);
        self.arrives()
    }

    fn target(&self, index: Option<usize>, target: &BackendTarget, share: f64) -> Target {
        let endpoints = match target {
            BackendTarget::Service { service, port } => {
                let known = self.objects.compiled.services.get(service);
                known.map(|(_, endpoints)| endpoints.port(*port).to_vec()).unwrap_or_default()
            }
            BackendTarget::Invalid { .. } => Vec::new(),
        };
        Target { index, target: target.clone(), share, endpoints }
    }

    /// Whether some share gets somewhere.
    fn arrives(&self) -> Outcome {
        let mut used = self.targets.iter().filter(|target| target.share > 0.0).peekable();
        if used.peek().is_some() && used.clone().all(|t| matches!(t.target, BackendTarget::Invalid { .. })) {
            let why = "no backend of the rule can be resolved".to_owned();
            return Outcome::Refused { failure: Failure::BackendInvalid, why };
        }
        if used.all(|target| target.endpoints.is_empty()) {
            let why = "no backend has an endpoint".to_owned();
            return Outcome::Refused { failure: Failure::NoEndpoints, why };
        }
        Outcome::Carried
    }

    /// The objects that have a say in it.
    fn keys(&self) -> Vec<ObjectKey> {
        let of_service =
            |name: &ServiceName| ObjectKey::new(Kind::Service, name.0.namespace(), name.0.name());
        let mut keys = Vec::new();
        match &self.reached {
            Reached::Service { name, .. } | Reached::NoPort { name, .. } => keys.push(of_service(name)),
            Reached::Own(direct) => {
                keys.extend(direct.endpoint.workload.as_ref().map(|workload| {
                    ObjectKey::new(Kind::Workload, workload.0.namespace(), workload.0.name())
                }));
                keys.extend(direct.service.as_ref().map(|(service, _)| of_service(service)));
            }
            Reached::Outside(known) => keys.extend(known.key.clone()),
            Reached::Foreign => {}
        }
        if let Some(route) = &self.taken {
            let kind = match route.id.kind {
                StreamKind::Tcp => Kind::TcpRoute,
                StreamKind::Tls => Kind::TlsRoute,
            };
            keys.push(ObjectKey::new(kind, route.id.name.namespace(), route.id.name.name()));
        }
        for target in &self.targets {
            if let BackendTarget::Service { service, .. } = &target.target {
                keys.push(of_service(service));
            }
        }
        keys
    }
}

/// What the host is: an address as a captured connection has it, or a name.
fn reached(objects: &Objects, connection: &Connection, caller: &Caller) -> Reached {
    let compiled = &objects.compiled;
    let of_service = |name: &ServiceName| match compiled.services.get(name) {
        None => Reached::Foreign,
        Some((service, _)) => match service.port(connection.port) {
            Some(port) => Reached::Service { name: name.clone(), port: port.clone() },
            None => Reached::NoPort {
                name: name.clone(),
                ports: service.ports.iter().map(|port| port.port).collect(),
            },
        },
    };
    if let Ok(ip) = connection.host.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return match compiled.addresses.get(&ip).map(|address| &address.meaning) {
            None => Reached::Foreign,
            Some(Meaning::Service(name)) => of_service(name),
            Some(Meaning::Served(served)) => {
                served.port(ip, connection.port).map_or(Reached::Foreign, Reached::Own)
            }
        };
    }
    let meant = outside::meant(objects, &connection.host, &caller.namespace);
    let candidates = authority::service_of(&meant, &caller.namespace, CLUSTER_DOMAIN);
    match candidates.service().map_or(Reached::Foreign, of_service) {
        Reached::Foreign => outside::find(objects, &connection.host, connection.port, &caller.namespace)
            .map_or(Reached::Foreign, Reached::Outside),
        reached => reached,
    }
}

#[cfg(test)]
mod tests;
