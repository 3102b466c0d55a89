//! Everything that is to be said of who may call what: the doors of a Service or workload, what holds at each, and what each caller may there.
//! Pure. It must not know how it is shown.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_controller::sources::state::Report as Problem;
use mesh_model::authentication::MtlsRule;
use mesh_model::authentication::jwt::JwtRules;
use mesh_model::name::{Name, ServiceName, WorkloadName};
use mesh_model::policy::{Action, Applied, AuthorizationPolicy, Callers, Condition};
use mesh_model::service::Protocol;
use mesh_model::spiffe::SpiffeId;

use super::Target;
use super::calls::{Calls, Count};
use super::open::{Outlook, Word};
use crate::commands::callee::{self, Call, Peer, Place, standing, token};
use crate::commands::explain::answer::{Concerned, policies_at};
use crate::commands::explain::caller::Caller;
use crate::commands::explain::objects::Objects;
use crate::commands::explain::question::Question;
use crate::commands::test::concerns;

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) target: Target,
    /// Of the Service.
    pub(super) port: Option<u16>,
    /// `None`: everybody that is known.
    pub(super) caller: Option<Caller>,
    /// `None`: whatever is asked for.
    pub(super) request: Option<Question>,
}

/// The answer.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) objects: &'a Objects,
    pub(super) asked: &'a Asked,
    pub(super) doors: Vec<Door>,
    /// The policies that have a say, and those that could have been meant.
    pub(super) concerned: Vec<Concerned>,
    /// Seconds of which calls are known.
    pub(super) window: Option<u32>,
}

/// A port of workloads at which the same holds.
#[derive(Debug)]
pub(super) struct Door {
    /// The Service and its port that lead there.
    pub(super) service: Option<(ServiceName, u16)>,
    pub(super) workloads: Vec<WorkloadName>,
    /// Of the application.
    pub(super) port: u16,
    pub(super) mtls: MtlsRule,
    /// The field that says so.
    pub(super) mtls_field: &'static str,
    pub(super) jwt: Option<Arc<JwtRules>>,
    /// Those that deny, that allow, that record.
    pub(super) policies: Vec<Arc<AuthorizationPolicy>>,
    /// Endpoints without a sidecar: nobody asks anything there.
    pub(super) bare: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// A caller at a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// `None`: without a certificate of the mesh.
    pub(super) identity: Option<SpiffeId>,
    /// Its workloads, as far as they are known.
    pub(super) workloads: Vec<String>,
    pub(super) outlook: Outlook,
    pub(super) calls: Option<Count>,
}

impl Door {
    /// Whether what no policy allows is refused.
    pub(super) fn is_closed(&self) -> bool {
        self.policies.iter().any(|policy| policy.action == Action::Allow && policy.refused.is_none())
    }

    /// As `shop/orders:80`, or the workload's own port.
    pub(super) fn name(&self) -> String {
        match &self.service {
            Some((service, port)) => format!("{service}:{port}"),
            None => {
                let workloads: Vec<String> = self.workloads.iter().map(ToString::to_string).collect();
                format!("{} port {}", workloads.join(", "), self.port)
            }
        }
    }
}

impl<'a> Report<'a> {
    pub(super) fn find(objects: &'a Objects, asked: &'a Asked, calls: Option<&Calls>) -> Self {
        let mut doors = doors(objects, asked);
        let known = standing::known(objects);
        for door in &mut doors {
            let Some(place) = door.place() else { continue };
            door.rows = rows(objects, &place, door, asked, &known);
            for row in &mut door.rows {
                row.calls = calls.map(|calls| counted(calls, row, &door.workloads));
            }
        }
        let services: BTreeSet<ServiceName> =
            doors.iter().filter_map(|door| Some(door.service.as_ref()?.0.clone())).collect();
        let services: Vec<ServiceName> = services.into_iter().chain(target_of(asked)).collect();
        let places: Vec<Place> = doors.iter().flat_map(Door::places).collect();
        let mut concerned = policies_at(objects, &services, &places);
        let mut seen = BTreeSet::new();
        concerned.retain(|one| seen.insert(one.key.clone()));
        Self { objects, asked, doors, concerned, window: calls.map(|calls| calls.seconds) }
    }

    /// What could not be read, of kinds that are ours.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.objects.problems.iter().filter(|problem| concerns(problem))
    }

    /// Whether the caller that was named may call what was named, and everything concerned is in force.
    pub(super) fn is_fine(&self) -> bool {
        let is_named = self.asked.caller.is_some() && !matches!(self.asked.target, Target::All(_));
        let mut rows = self.doors.iter().flat_map(|door| &door.rows);
        self.concerned.iter().all(Concerned::is_good)
            && self.problems().next().is_none()
            && !(is_named && rows.any(|row| row.outlook.word == Word::Refused))
    }
}

fn target_of(asked: &Asked) -> Option<ServiceName> {
    match &asked.target {
        Target::Service(service) => Some(service.clone()),
        Target::All(_) | Target::Workload(_) => None,
    }
}

impl Door {
    fn place(&self) -> Option<Place> {
        self.places().into_iter().next()
    }

    fn places(&self) -> Vec<Place> {
        let place = |workload: &WorkloadName| Place { workload: workload.clone(), port: self.port };
        self.workloads.iter().map(place).collect()
    }

    /// Whether the same holds at both.
    fn is_like(&self, other: &Self) -> bool {
        (&self.service, self.port, &self.mtls, &self.jwt, &self.policies)
            == (&other.service, other.port, &other.mtls, &other.jwt, &other.policies)
    }

    fn at(objects: &Objects, service: Option<(ServiceName, u16)>, place: &Place) -> Self {
        let (mtls, mtls_field) = callee::mtls(objects, place);
        let applied = Applied::at(objects.compiled.authorization.of(&place.workload), place.port);
        Self {
            service,
            workloads: vec![place.workload.clone()],
            port: place.port,
            mtls: mtls.clone(),
            mtls_field,
            jwt: token::rules(objects, place).cloned().map(Arc::new),
            policies: applied.all().cloned().collect(),
            bare: Vec::new(),
            rows: Vec::new(),
        }
    }
}

fn doors(objects: &Objects, asked: &Asked) -> Vec<Door> {
    let mut doors: Vec<Door> = Vec::new();
    for (service, (own, endpoints)) in &objects.compiled.services {
        let is_meant = match &asked.target {
            Target::All(namespace) => {
                namespace.as_deref().is_none_or(|namespace| namespace == service.0.namespace())
            }
            Target::Service(only) => only == service,
            Target::Workload(_) => false,
        };
        for port in own.ports.iter().filter(|_| is_meant) {
            if asked.port.is_some_and(|only| only != port.port) {
                continue;
            }
            let (places, bare) = callee::places(objects, service, port.port, endpoints.port(port.port));
            let bare: Vec<String> = bare.iter().map(|endpoint| endpoint.address.to_string()).collect();
            let from = doors.len();
            for place in &places {
                add(&mut doors, from, Door::at(objects, Some((service.clone(), port.port)), place));
            }
            if places.is_empty() && !bare.is_empty() {
                doors.push(Door::nobody(service, port.port));
            }
            if let Some(door) = doors.get_mut(from) {
                door.bare = bare;
            }
        }
    }
    if let Target::Workload(workload) = &asked.target {
        let ports = objects.index.workloads.find(workload).map(|entry| &entry.object.spec.ports);
        let mut ports: BTreeSet<u16> = ports.into_iter().flatten().map(|own| own.port).collect();
        // Of a pod only Services say where its application listens.
        for (service, (_, endpoints)) in &objects.compiled.services {
            for port in &endpoints.ports {
                let (places, _) = callee::places(objects, service, port.service_port, &port.endpoints);
                ports.extend(
                    places.iter().filter(|place| place.workload == *workload).map(|place| place.port),
                );
            }
        }
        for port in ports {
            let place = Place { workload: workload.clone(), port };
            doors.push(Door::at(objects, None, &place));
        }
    }
    doors
}

impl Door {
    /// Where nothing asks.
    fn nobody(service: &ServiceName, port: u16) -> Self {
        Self {
            service: Some((service.clone(), port)),
            workloads: Vec::new(),
            port,
            mtls: MtlsRule { mode: mesh_model::settings::MtlsMode::Disabled, source: String::new() },
            mtls_field: "spec.mtls.mode",
            jwt: None,
            policies: Vec::new(),
            bare: Vec::new(),
            rows: Vec::new(),
        }
    }
}

fn add(doors: &mut Vec<Door>, from: usize, door: Door) {
    match doors.iter_mut().skip(from).find(|known| known.is_like(&door)) {
        Some(known) => known.workloads.extend(door.workloads),
        None => doors.push(door),
    }
}

/// What each caller may. Callers of one identity are one row, unless rules tell their addresses apart.
fn rows(
    objects: &Objects,
    place: &Place,
    door: &Door,
    asked: &Asked,
    known: &[(WorkloadName, Peer)],
) -> Vec<Row> {
    let callers: Vec<(Option<String>, Peer)> = match &asked.caller {
        Some(Caller { workload, namespace, peer: Some(peer), .. }) => {
            vec![(workload.as_ref().map(|workload| format!("{namespace}/{workload}")), peer.clone())]
        }
        Some(_) | None => {
            let plain = Peer { identity: None, source: callee::UNKNOWN, address: None };
            let known = known.iter().map(|(name, peer)| (Some(name.to_string()), peer.clone()));
            known.chain([(None, plain)]).collect()
        }
    };
    let by_address = door.policies.iter().any(|policy| names_addresses(policy));
    let is_bytes = is_bytes(objects, door);
    let mut rows: Vec<(Option<IpAddr>, Row)> = Vec::new();
    for (workload, peer) in callers {
        let address = by_address.then_some(peer.source);
        let same = rows.iter_mut().find(|(known, row)| *known == address && row.identity == peer.identity);
        if let Some((_, row)) = same {
            row.workloads.extend(workload);
            continue;
        }
        let request = asked.request.as_ref().map(|request| request as &dyn mesh_model::head::HeadView);
        let call = Call { request, sni: None, claims: None };
        let outlook = if request.is_some() || is_bytes {
            Outlook::of(objects, place, &peer, call)
        } else {
            Outlook::open(objects, place, &peer)
        };
        let workloads = workload.into_iter().collect();
        rows.push((address, Row { identity: peer.identity, workloads, outlook, calls: None }));
    }
    let mut rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    rows.sort_by_key(order);
    rows
}

fn order(row: &Row) -> (Word, bool, String) {
    let identity = row.identity.as_ref().map(ToString::to_string).unwrap_or_default();
    (row.outlook.word, row.identity.is_none(), identity)
}

/// Whether rules may tell addresses apart: by ranges, or in expressions.
fn names_addresses(policy: &AuthorizationPolicy) -> bool {
    policy.rules.iter().any(|rule| {
        let ranges = |entry: &Callers| !(entry.fits.cidrs.is_empty() && entry.not.cidrs.is_empty());
        rule.from.iter().any(ranges) || rule.when.iter().any(|one| matches!(one, Condition::Cel(_)))
    })
}

/// Whether the Service says that its port carries no requests.
fn is_bytes(objects: &Objects, door: &Door) -> bool {
    let Some((service, port)) = &door.service else { return false };
    let known = objects.compiled.services.get(service).and_then(|(own, _)| own.port(*port));
    known.is_some_and(|port| matches!(port.protocol, Some(Protocol::Tcp | Protocol::Tls)))
}

fn counted(calls: &Calls, row: &Row, workloads: &[WorkloadName]) -> Count {
    let source = row.identity.as_ref();
    let source = source.and_then(|id| Name::new(id.namespace(), id.service_account()).ok());
    calls.between(source.as_ref(), workloads)
}
