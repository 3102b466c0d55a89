//! What comes of a case, decided by the functions of the proxy: the routes of the caller's sidecar, then the policies of the called one. Pure.
//! It must not know how a result is shown.

use std::net::IpAddr;

use mesh_model::explain::{FilterStep, Share};
use mesh_model::failure::Failure;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::policy::Claims;
use mesh_model::route::BackendTarget;
use mesh_model::service::{Service, ServicePort};
use mesh_model::spiffe::SpiffeId;
use mesh_model::stream::StreamKind;

use super::file::{Case, Wanted};
use super::live;
use crate::commands::callee::{self, Call, Peer, Said};
use crate::commands::explain::answer::{Answer, Destination, Outcome, Target};
use crate::commands::explain::arriving;
use crate::commands::explain::caller::Caller;
use crate::commands::explain::connection::{self, Connection};
use crate::commands::explain::objects::Objects;
use crate::commands::explain::question::{InvalidQuestion, Question};

/// Reasons that are told of one refusal.
const MAX_REASONS: usize = 5;

/// What comes of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Got {
    /// `None`: neither; the words say what.
    pub(super) verdict: Option<Wanted>,
    /// One sentence.
    pub(super) words: String,
    pub(super) policy: Option<String>,
    pub(super) would_deny: Option<String>,
    /// `NAMESPACE/NAME/RULE`, by the rule's name where it has one, and by its number.
    pub(super) route: Vec<String>,
    /// Those that get a share, as `NAMESPACE/NAME:PORT`.
    pub(super) backends: Vec<String>,
    /// Of an answer that the mesh makes itself.
    pub(super) status: Option<u16>,
    /// The object and the field that decide.
    pub(super) decided_by: Option<String>,
    /// What else helps to understand it.
    pub(super) reasons: Vec<String>,
}

/// Something that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The field below `expect`.
    pub(super) what: &'static str,
    pub(super) expected: String,
    pub(super) got: String,
}

/// Who calls, for its own sidecar and for the called one.
struct Sender {
    caller: Caller,
    peer: Peer,
}

/// Where a share of the calls goes, and as what.
struct Way<'a> {
    share: Option<&'a Share>,
    service: ServiceName,
    port: u16,
    endpoints: Vec<mesh_model::endpoint::Endpoint>,
}

/// Decides. `Err`: the case asks about something that is not there.
pub(super) fn judge(objects: &Objects, case: &Case) -> Result<Got, String> {
    let sender = sender(objects, case)?;
    let (service, port) = called(objects, case)?;
    if case.tcp {
        return Ok(connection(objects, case, &sender, &service.name, port));
    }
    let request = case.request.as_ref();
    let claims = request.map_or(Ok(None), super::file::Request::claims).map_err(|(_, text)| text)?;
    let question = match question(case, &service.name, port.port) {
        Ok(question) => question,
        Err(InvalidQuestion::Refused(refusal)) => {
            return Ok(failed(Failure::BadRequest, &refusal.to_string()));
        }
        Err(error) => return Err(error.to_string()),
    };
    // Without a sidecar of its own nobody applies routes for it.
    if sender.peer.identity.is_none() {
        let ways = [own_way(objects, &service.name, port.port)];
        return Ok(at_the_callee(objects, case, &sender, &ways, (&question, &[]), claims.as_ref()));
    }
    let destination = Destination::Service { name: service.name.clone(), port: port.clone() };
    let answer = Answer::at(objects, &question, &sender.caller, destination);
    let mut got = match &answer.outcome {
        Outcome::Sent { .. } => {
            let ways = ways(&answer);
            let of_rule = answer.routing.as_ref().map(|routing| routing.explanation.filters.as_slice());
            let asked = (&question, of_rule.unwrap_or_default());
            at_the_callee(objects, case, &sender, &ways, asked, claims.as_ref())
        }
        Outcome::Bytes => return Ok(connection(objects, case, &sender, &service.name, port)),
        Outcome::Failed { failure, why } => failed(*failure, why),
        Outcome::Redirect(to) => answered(to.status, format!("redirected to {}", to.location)),
        Outcome::Direct(status) => answered(*status, format!("answered {status} by a TrafficPolicy")),
        Outcome::Preflight(_) => answered(200, "answered as a preflight of CORS".to_owned()),
        Outcome::Foreign => Got { words: "leaves the mesh".to_owned(), ..Got::default() },
    };
    if let Some(routing) = &answer.routing {
        if let Some(chosen) = &routing.explanation.chosen {
            got.route = route_names(&chosen.label, chosen.rule_index);
            if got.decided_by.is_none() {
                got.decided_by = Some(format!(
                    "spec.rules[{}] of {}, {}",
                    chosen.rule_index, chosen.label, chosen.route.origin
                ));
            }
        }
        if got.backends.is_empty() {
            got.backends = ways(&answer).iter().map(Way::name).collect();
        }
    }
    Ok(got)
}

fn sender(objects: &Objects, case: &Case) -> Result<Sender, String> {
    let from = &case.from;
    let domain = &objects.compiled.mesh.trust_domain;
    let (identity, workload) = if let Some(identity) = &from.identity {
        (Some(SpiffeId::parse(identity).map_err(|error| error.to_string())?), None)
    } else if let Some((namespace, name)) = from.service_account.as_ref().and_then(|it| it.split_once('/')) {
        let identity = SpiffeId::new(domain.clone(), namespace, name).map_err(|error| error.to_string())?;
        (Some(identity), None)
    } else if let Some((namespace, name)) = from.workload.as_ref().and_then(|it| it.split_once('/')) {
        let workload = WorkloadName::new(namespace, name).map_err(|error| error.to_string())?;
        let known = callee::peer_of(objects, &workload)
            .ok_or_else(|| format!("there is no workload {workload} in {}; write `serviceAccount: NAMESPACE/NAME` to name who calls without it", objects.from))?;
        (known.identity, Some(workload))
    } else {
        (None, None)
    };
    let known = workload.as_ref().and_then(|name| objects.index.workloads.find(name));
    let address: Option<IpAddr> = known.map(|entry| entry.object.spec.address);
    let namespace = identity.as_ref().map_or("default", |identity| identity.namespace()).to_owned();
    let zone = known.and_then(|entry| entry.object.spec.zone.clone()).unwrap_or_default();
    let workload = workload.map(|name| name.0.name().to_owned());
    let caller = Caller { namespace, workload, zone, peer: None };
    Ok(Sender { caller, peer: Peer { identity, source: from.source(address), address } })
}

pub(super) fn called<'a>(
    objects: &'a Objects,
    case: &Case,
) -> Result<(&'a Service, &'a ServicePort), String> {
    let missing = || format!("there is no Service {} in {}", case.to.service, objects.from);
    let name = callee::service_named(&case.to.service, "").ok_or_else(missing)?;
    let (service, _) = objects.compiled.services.get(&name).ok_or_else(missing)?;
    let ports = || service.ports.iter().map(|port| port.port.to_string()).collect::<Vec<_>>().join(", ");
    let port = match (case.to.port, service.ports.as_slice()) {
        (Some(port), _) => service.port(port),
        (None, [only]) => Some(only),
        (None, _) => return Err(format!("Service {name} has several ports ({}); write to.port", ports())),
    };
    let missing = || format!("Service {name} has no port {}; it has {}", case.to.port.unwrap_or(0), ports());
    Ok((service, port.ok_or_else(missing)?))
}

pub(super) fn question(case: &Case, service: &ServiceName, port: u16) -> Result<Question, InvalidQuestion> {
    let request = case.request.as_ref();
    let own = || format!("{}.{}:{port}", service.0.name(), service.0.namespace());
    let host = request.and_then(|request| request.host.clone()).unwrap_or_else(own);
    let path = request.and_then(|request| request.path.as_deref()).unwrap_or("/");
    let headers: Vec<String> = request
        .map(|request| request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect())
        .unwrap_or_default();
    Question::parse(
        request.and_then(|request| request.method.as_deref()),
        &format!("http://{host}{path}"),
        &headers,
    )
}

fn failed(failure: Failure, why: &str) -> Got {
    let words = format!("fails in the mesh with {}: {why}", failure.code());
    Got { words, status: Some(failure.http_status()), ..Got::default() }
}

fn answered(status: u16, words: String) -> Got {
    Got { words, status: Some(status), ..Got::default() }
}

/// From `httproute/NS/NAME#RULE`.
fn route_names(label: &str, number: usize) -> Vec<String> {
    let Some((object, rule)) = label.split_once('#') else { return Vec::new() };
    let name = object.split_once('/').map_or(object, |(_, name)| name);
    let mut names = vec![format!("{name}/{rule}"), format!("{name}/{number}")];
    names.dedup();
    names
}

impl Way<'_> {
    fn name(&self) -> String {
        format!("{}:{}", self.service, self.port)
    }
}

fn own_way<'a>(objects: &Objects, service: &ServiceName, port: u16) -> Way<'a> {
    let known = objects.compiled.services.get(service);
    let endpoints = known.map(|(_, endpoints)| endpoints.port(port).to_vec()).unwrap_or_default();
    Way { share: None, service: service.clone(), port, endpoints }
}

/// Backends that get a share.
fn ways<'a>(answer: &'a Answer<'_>) -> Vec<Way<'a>> {
    let targets = answer.routing.iter().flat_map(|routing| &routing.targets);
    let way = |target: &'a Target| match &target.share.target {
        BackendTarget::Service { service, port } if target.share.weight > 0 => Some(Way {
            share: Some(&target.share),
            service: service.clone(),
            port: *port,
            endpoints: target.endpoints.clone(),
        }),
        BackendTarget::Service { .. } | BackendTarget::Invalid { .. } => None,
    };
    targets.filter_map(way).collect()
}

fn at_the_callee(
    objects: &Objects,
    case: &Case,
    sender: &Sender,
    ways: &[Way<'_>],
    (question, of_rule): (&Question, &[FilterStep]),
    claims: Option<&Claims>,
) -> Got {
    let ask = |way: &Way<'_>, place: &callee::Place| {
        // The filters of the rule come first; a backend has its own behind them.
        let own = way.share.map(|share| share.filters.as_slice()).unwrap_or_default();
        let arriving = arriving(question, &[of_rule, own]);
        let call = Call { request: Some(&arriving), sni: None, claims };
        let said = callee::judge(objects, place, &sender.peer, call);
        let reasons = callee::misfits(objects, place, &sender.peer, call);
        (said, reasons)
    };
    gathered(objects, case, ways, ask)
}

fn connection(
    objects: &Objects,
    case: &Case,
    sender: &Sender,
    service: &ServiceName,
    port: &ServicePort,
) -> Got {
    let sni = case.to.sni.as_deref();
    let asked = Connection {
        host: format!("{}.{}", service.0.name(), service.0.namespace()),
        port: port.port,
        kind: if sni.is_some() { StreamKind::Tls } else { StreamKind::Tcp },
        name: sni.map(str::to_owned),
    };
    let answer = connection::Answer::find(objects, &asked, &sender.caller);
    let mut ways = Vec::new();
    match &answer.outcome {
        _ if sender.peer.identity.is_none() => ways.push(own_way(objects, service, port.port)),
        connection::Outcome::Refused { failure, why } => {
            return Got {
                words: format!("fails in the mesh with {}: {why}", failure.code()),
                ..Got::default()
            };
        }
        connection::Outcome::Foreign => {
            return Got { words: "leaves the mesh".to_owned(), ..Got::default() };
        }
        connection::Outcome::Requests => ways.push(own_way(objects, service, port.port)),
        connection::Outcome::Carried => {
            for target in answer.targets.iter().filter(|target| target.share > 0.0) {
                if let BackendTarget::Service { service, port } = &target.target {
                    let endpoints = target.endpoints.clone();
                    ways.push(Way { share: None, service: service.clone(), port: *port, endpoints });
                }
            }
        }
    }
    let ask = |_: &Way<'_>, place: &callee::Place| {
        let call = Call { request: None, sni, claims: None };
        let said = callee::judge(objects, place, &sender.peer, call);
        (said, callee::misfits(objects, place, &sender.peer, call))
    };
    let mut got = gathered(objects, case, &ways, ask);
    got.status = None;
    if let Some(route) = &answer.taken {
        let by_name = route.rule.iter().map(|rule| format!("{}/{rule}", route.id.name));
        got.route = by_name.chain([format!("{}/0", route.id.name)]).collect();
    }
    got
}

/// What all sidecars behind the ways say together.
fn gathered(
    objects: &Objects,
    case: &Case,
    ways: &[Way<'_>],
    ask: impl Fn(&Way<'_>, &callee::Place) -> (Said, Vec<String>),
) -> Got {
    let mut got = Got { backends: ways.iter().map(Way::name).collect(), ..Got::default() };
    // A backend that gets no share says nothing about those that do.
    let named = case.expect.backend.as_ref().filter(|backend| ways.iter().any(|way| way.name() == **backend));
    let wanted = |way: &&Way<'_>| named.is_none_or(|backend| way.name() == *backend);
    let mut all: Vec<(String, Said, Vec<String>)> = Vec::new();
    let mut bare = Vec::new();
    for way in ways.iter().filter(wanted) {
        let (places, without) = callee::places(objects, &way.service, way.port, &way.endpoints);
        for place in &places {
            let (said, reasons) = ask(way, place);
            all.push((format!("{} port {}", place.workload, place.port), said, reasons));
        }
        bare.extend(without.iter().map(|endpoint| endpoint.address.to_string()));
    }
    let denied = all.iter().find(|(_, said, _)| !said.is_allowed());
    let allowed = all.iter().find(|(_, said, _)| said.is_allowed());
    let (first, verdict) = match (denied, allowed, bare.first()) {
        (Some(_), Some((open, ..)), _) | (Some(_), None, Some(open)) => {
            got.reasons.push(format!("another endpoint lets it through: {open}"));
            (denied, None)
        }
        (Some(_), None, None) => (denied, Some(Wanted::Deny)),
        (None, Some(_), _) => (allowed, Some(Wanted::Allow)),
        (None, None, Some(address)) => {
            got.words = format!("allowed: nothing at {address} asks policies, since it has no sidecar");
            got.verdict = Some(Wanted::Allow);
            return got;
        }
        (None, None, None) => {
            "goes nowhere: no endpoint is known".clone_into(&mut got.words);
            return got;
        }
    };
    got.verdict = verdict;
    if let Some((at, said, reasons)) = first {
        got.words = format!("{}, at {at}", said.words());
        got.policy = said.policy();
        got.decided_by = said.decided_by(objects);
        got.status = said.failure().map(Failure::http_status);
        if let Said::Policies(policies) = said {
            got.would_deny = policies.would_deny.as_ref().map(|by| by.policy.name.to_string());
            if !said.is_allowed() && policies.by.as_ref().is_some_and(|by| by.rule.is_none()) {
                got.reasons.extend(reasons.iter().take(MAX_REASONS).cloned());
            }
        }
    }
    got
}

/// What is not as expected.
pub(super) fn compare(case: &Case, got: &Got) -> Vec<Mismatch> {
    let expect = &case.expect;
    let mut found = Vec::new();
    let mut differs = |what, expected: &str, found_here: &str| {
        found.push(Mismatch { what, expected: expected.to_owned(), got: found_here.to_owned() });
    };
    if let Some(wanted) = expect.verdict
        && got.verdict != Some(wanted)
    {
        differs("verdict", wanted.word(), got.verdict.map_or("neither allow nor deny", Wanted::word));
    }
    let none = "none";
    for (what, wanted, is) in
        [("policy", &expect.policy, &got.policy), ("wouldDeny", &expect.would_deny, &got.would_deny)]
    {
        let is = is.as_deref().unwrap_or(none);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != is) {
            differs(what, wanted, is);
        }
    }
    if let Some(wanted) = &expect.route {
        let is_none = got.route.is_empty() && wanted == none;
        if !is_none && !got.route.contains(wanted) {
            differs("route", wanted, got.route.first().map_or(none, String::as_str));
        }
    }
    if let Some(wanted) = &expect.backend
        && !got.backends.contains(wanted)
    {
        let is = if got.backends.is_empty() { none.to_owned() } else { got.backends.join(", ") };
        differs("backend", wanted, &is);
    }
    if let Some(wanted) = expect.status
        && got.status != Some(wanted)
    {
        let is = got.status.map_or_else(|| "that of the application".to_owned(), |status| status.to_string());
        differs("status", &wanted.to_string(), &is);
    }
    found
}

/// Where the answer of the mesh is not what was judged, or not what is expected.
pub(super) fn differs(case: &Case, got: &Got, answer: &live::Answer) -> Vec<Mismatch> {
    let mut found = Vec::new();
    if let Some(judged) = got.verdict.filter(|judged| answer.verdict != Some(*judged)) {
        let expected = format!("{}, as it was judged", judged.word());
        found.push(Mismatch { what: "live", expected, got: answer.words.clone() });
    }
    if let (Some(wanted), Some(is)) = (case.expect.status, answer.status)
        && wanted != is
    {
        let expected = format!("status {wanted}");
        found.push(Mismatch { what: "live", expected, got: answer.words.clone() });
    }
    found
}

impl Wanted {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}
