//! One HTTP connection of the application, and each of its requests on the way to a backend: one line a phase.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use http::{Method, StatusCode};
use mesh_lifecycle::failpoint;
use mesh_model::name::ServiceName;
use mesh_traffic::fault;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::affinity::{self, Affinity};
use super::asked::{self, Stop};
use super::attempts::{self, Errand};
use super::backends::Backend;
use super::compare::{self, Seeing};
use super::destination::Found;
use super::limits::Limits;
use super::mirror::Original;
use super::plan::{self, Outcome, Plan};
use super::{Host, Outbound, Permit, answer, foreign, mirror};
use crate::ask::Edits;
use crate::http::{
    Body, Fault, Handler, Kind, Request, RequestHead, Response, Upgrade, bad_request, refusal,
};
use crate::state::Snapshot;
use crate::telemetry::{AppProtocol, Event, Failure, Reason, Side};
use crate::worker::record::{Record, Stage};
use crate::worker::wire;

/// A connection. `host` is its destination; on the HTTP proxy port each request names its own.
pub(super) struct Call {
    pub(super) outbound: Rc<Outbound>,
    pub(super) host: Option<Rc<Host>>,
    pub(super) permit: Permit,
    /// What the last request of the connection was for: the next one is nearly always for the same.
    last: RefCell<Option<Last>>,
}

/// Where a request went, as of a snapshot.
struct Last {
    /// Weak: the configuration of then is not kept, and its address is not another's meanwhile.
    snapshot: Weak<Snapshot>,
    authority: String,
    host: Rc<Host>,
    found: Found,
}

/// A request whose head was accepted.
struct Checked {
    head: Box<RequestHead>,
    body: Body,
    upgrade: Upgrade,
}

impl Call {
    pub(super) fn new(outbound: &Rc<Outbound>, host: Option<Rc<Host>>, permit: Permit) -> Self {
        Self { outbound: Rc::clone(outbound), host, permit, last: RefCell::default() }
    }

    /// What the destination stands for.
    async fn found(&self, head: &RequestHead) -> Result<(Rc<Host>, Found), Fault> {
        let snapshot = self.outbound.worker.snapshot();
        if let Some(last) = &*self.last.borrow()
            && last.snapshot.as_ptr() == Arc::as_ptr(&snapshot)
            && (self.host.is_some() || last.authority == head.authority)
        {
            if let Found::Service { destination, .. } = &last.found {
                destination.mark_used();
            }
            return Ok((Rc::clone(&last.host), last.found.clone()));
        }
        let host = self.host(head)?;
        let found = self.outbound.discover(&host).await?;
        // Whether a host outside may be called is asked, and counted, each time.
        if matches!(found, Found::Service { .. }) {
            let (authority, snapshot) = (head.authority.clone(), Arc::downgrade(&snapshot));
            *self.last.borrow_mut() =
                Some(Last { snapshot, authority, host: Rc::clone(&host), found: found.clone() });
        }
        Ok((host, found))
    }

    /// The phases of a request.
    async fn forward(&self, mut record: Record, mut request: Checked) -> Response {
        let kind = request.head.kind;
        record.trace(&request.head).write(&mut request.head);
        let asked = record.clock();
        let found = self.found(&request.head).await;
        record.stage(Stage::Discover, asked);
        match found {
            Err(fault) => self.fail(record, &fault, kind),
            Ok((host, Found::Foreign)) => {
                let Checked { head, body, upgrade } = request;
                let to = foreign::To { host: &host, direct: None };
                Box::pin(foreign::forward(self, record, to, head, body, upgrade)).await
            }
            Ok((host, Found::Direct(direct))) => {
                let Checked { head, body, upgrade } = request;
                if let Some((service, port)) = &direct.service {
                    record.service(service.clone(), *port);
                }
                let to = foreign::To { host: &host, direct: Some(&direct) };
                Box::pin(foreign::forward(self, record, to, head, body, upgrade)).await
            }
            Ok((_, Found::Service { destination, port })) => {
                let service = &destination.service.name;
                record.service(service.clone(), port);
                let table = destination.table(port).map(AsRef::as_ref);
                let snapshot = self.outbound.worker.snapshot();
                let keeps = |policy: &_, head: &_, service: &_, port| {
                    affinity::token(policy, head)
                        .is_some_and(|token| affinity::locate(&snapshot, service, port, &token).is_some())
                };
                let worker = &self.outbound.worker;
                let lot = |policy: &_, head: &_| {
                    affinity::lot(policy, service, head, self.permit.address, || worker.random())
                };
                let plan = plan::plan(table, service, port, &mut request.head, lot, keeps);
                if let Some(label) = plan.label {
                    record.route(label);
                }
                self.carry_out(record, (service, port), plan, request).await
            }
        }
    }

    async fn carry_out(
        &self,
        mut record: Record,
        called: (&ServiceName, u16),
        plan: Plan<'_>,
        request: Checked,
    ) -> Response {
        let Checked { mut head, mut body, upgrade } = request;
        let (kind, policy) = (head.kind, plan.policy);
        failpoint::reach("filter", head.target.path());
        let mut edits = Edits::default();
        if !plan.asked.is_empty() {
            let began = record.clock();
            let said = Box::pin(asked::authorized(&self.outbound, &plan, called, &mut head, body)).await;
            record.stage(Stage::Check, began);
            match said {
                Ok((left, wanted)) => (body, edits) = (left, wanted),
                Err(Stop::Fault(fault)) => return self.fail(record, &fault, kind),
                Err(Stop::Denied(own)) => return answer::own(record, own, kind),
            }
        }
        let began = record.clock();
        let injected = self.inject(&plan, &head).await;
        record.stage(Stage::Fault, began);
        if let Some(own) = injected {
            return answer::own(record, own, kind);
        }
        let (service, port) = match &plan.outcome {
            Outcome::Fault(fault) => return self.fail(record, fault, kind),
            Outcome::Redirect(to) => return answer::own(record, answer::redirect(&plan, to), kind),
            Outcome::Preflight(fields) => {
                return answer::own(record, answer::preflight(fields.clone()), kind);
            }
            Outcome::Backend { service, port } => (*service, *port),
        };
        if let Some(direct) = &policy.direct_response {
            return answer::own(record, answer::direct(&plan, &direct.value, kind), kind);
        }
        let (body, seeing) = match self.bounded(&plan, body) {
            Ok(body) => self.mirrored(&plan, (service, port), &head, body),
            Err(fault) => return self.fail(record, &fault, kind),
        };
        let snapshot = self.outbound.worker.snapshot();
        let Some(backend) = self.outbound.backends.backend(&snapshot, service, port) else {
            let text = format!("nothing is known about the endpoints of service {service}");
            let fault = Fault::new(Failure::NoEndpoints, text).because(Reason::NoEndpoint);
            return self.fail(record, &fault, kind);
        };
        let errand = Errand {
            outbound: &self.outbound,
            backend: &backend,
            service,
            port,
            policy,
            limits: self.limits(&record, &plan, &head),
            affinity: self.affinity(&backend, port, &plan, &head),
            wire: wire::upstream(&head, wire::declared(&backend.policy(), &snapshot, service, port)),
        };
        match attempts::send(&errand, &mut record, head, body).await {
            Ok(mut answered) => {
                if answered.response.upgrade.is_none() {
                    compare::see(seeing, &mut answered.response.response);
                }
                let client = answer::Client { upgrade, permit: Rc::clone(&self.permit), kind };
                answer::upstream(record, &errand, answered, client, |response| {
                    edits.write(&mut response.headers);
                    answer::edit(response, &plan);
                })
            }
            Err(fault) => self.fail(record, &fault, kind),
        }
    }

    /// The destination: the listener's, or what the request names.
    fn host(&self, head: &RequestHead) -> Result<Rc<Host>, Fault> {
        match &self.host {
            Some(host) => Ok(Rc::clone(host)),
            None => Host::parse(&head.authority).map(Rc::new),
        }
    }

    /// Faults on purpose: a pause, an answer in place of the backend's, or both.
    async fn inject(&self, plan: &Plan<'_>, head: &RequestHead) -> Option<answer::Own> {
        let fault = plan.policy.fault.as_ref()?;
        let worker = &self.outbound.worker;
        let injected =
            worker.with_random(|rng| fault::inject(&fault.value, |name| head.headers.get(name), rng));
        if let Some(delay) = injected.delay {
            worker.telemetry.count(Event::FaultDelay);
            tokio::time::sleep(delay).await;
        }
        let abort = injected.abort?;
        worker.telemetry.count(Event::FaultAbort);
        Some(answer::abort(plan, abort, &fault.origin, head.kind))
    }

    /// The request's body within the policy's bound.
    fn bounded(&self, plan: &Plan<'_>, body: Body) -> Result<Body, Fault> {
        let Some(bodies) = &plan.policy.bodies else { return Ok(body) };
        let Some(max) = bodies.value.request else { return Ok(body) };
        if let Some(size) = body.size_hint().filter(|size| *size > max) {
            self.outbound.worker.telemetry.count(Event::BodyTooLarge);
            let text = format!("the request's body has {size} bytes, and {} allows {max}", bodies.origin);
            return Err(Fault::new(Failure::RequestTooLarge, text));
        }
        Ok(if body.is_end_stream() { body } else { body.limited(max) })
    }

    /// Starts copies for the mirrors that get one of this request.
    fn mirrored(
        &self,
        plan: &Plan<'_>,
        to: (&ServiceName, u16),
        head: &RequestHead,
        body: Body,
    ) -> (Body, Vec<Seeing>) {
        if plan.mirrors.is_empty() {
            return (body, Vec::new());
        }
        let mirrors = plan.mirrors.iter().copied();
        let chosen: SmallVec<[_; 2]> =
            self.outbound.worker.with_random(|rng| fault::copied(mirrors, rng).collect());
        let compare = plan.policy.compare.as_ref().map(|compare| &compare.value);
        let original = Original { label: plan.label, to, compare, head };
        mirror::send(&self.outbound, chosen.into_iter(), &original, body)
    }

    fn limits(&self, record: &Record, plan: &Plan<'_>, head: &RequestHead) -> Limits {
        let most = self.outbound.worker.config.timeouts.tunnel_idle;
        Limits::of(plan.policy, head, Instant::from_std(record.started()), most)
    }

    fn affinity(&self, backend: &Backend, port: u16, plan: &Plan<'_>, head: &RequestHead) -> Affinity {
        let mut found = Affinity { cookies: plan.cookie.iter().cloned().collect(), ..Affinity::default() };
        if plan.policy.session.is_some() {
            found.token = affinity::token(plan.policy, head);
            found.sticky = found.token.and_then(|token| {
                backend.find(|address| affinity::is_meant(&token, backend.service(), port, address))
            });
        }
        affinity::hash(&mut found, &backend.policy(), head, self.permit.address, || {
            self.outbound.worker.random()
        });
        found
    }

    pub(super) fn fail(&self, record: Record, fault: &Fault, kind: Kind) -> Response {
        if fault.failure == Failure::Overload {
            self.outbound.worker.telemetry.count(Event::Overload);
        }
        answer::fail(record, fault, kind)
    }

    /// `CONNECT`: a tunnel, which is served like a listener for that destination.
    async fn connect(&self, record: Record, head: &RequestHead, client: Upgrade) -> Response {
        let found = match Host::parse(&head.authority) {
            Ok(host) => self.outbound.discover(&host).await.map(|_| host),
            Err(fault) => Err(fault),
        };
        match found {
            Err(fault) => self.fail(record, &fault, head.kind),
            Ok(host) => {
                // What goes through the tunnel has records of its own; this one would count it twice.
                record.forget();
                let outbound = Rc::clone(&self.outbound);
                let permit = Rc::clone(&self.permit);
                self.outbound.worker.connections.spawn_local("connect tunnel", async move {
                    match client.stream(outbound.worker.config.timeouts.head).await {
                        Ok(client) => outbound.carry(client.stream, Rc::new(host), permit).await,
                        Err(error) => tracing::debug!(%error, "a CONNECT tunnel did not open"),
                    }
                });
                Response::new(StatusCode::OK)
            }
        }
    }
}

impl Handler for Call {
    async fn handle(self: Rc<Self>, request: Request) -> Response {
        let Request { head, body, upgrade } = request;
        let protocol = head.as_ref().map_or(AppProtocol::Http, |head| head.kind.into());
        let mut record = Record::new(&self.outbound.worker, Side::Outbound, protocol);
        record.source(self.outbound.worker.own.clone());
        record.peer(self.permit.address);
        if self.permit.trial {
            record.is_trial();
        }
        let head = match head {
            Ok(head) => head,
            Err(bad) => {
                record.fault(&bad_request(bad));
                return record.attach(refusal(bad), Kind::Http);
            }
        };
        if head.method == Method::CONNECT {
            return self.connect(record, &head, upgrade).await;
        }
        let body = body.counted(record.bytes_in());
        self.forward(record, Checked { head, body, upgrade }).await
    }
}
