//! Releases for `meshctl`: where each stands, what somebody wants of one, and the figures of both versions for whoever decides. Orders go to
//! the one replica that leads. It must not know how a release is decided.

use std::time::Duration;

use mesh_model::name::ServiceName;
use mesh_proto::inspect::v1::{
    CanariesRequest, CanariesResponse, CanaryFinding, CanaryOrder, CanaryPast, CanaryRelease, StatRequest,
    StatResponse, StatRow, SteerCanaryRequest, SteerCanaryResponse,
};
use mesh_proto::report::v1::Side as WireSide;
use mesh_release::check::{percent, standing};
use mesh_release::machine::{Order, Routing};
use mesh_release::observation::{Figures, Latency, Observation, Side};
use mesh_release::plan::{ALL, Exposure};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::Inspector;
use super::objects::Objects;
use crate::api::{Kind, ObjectKey};
use crate::compile::canary::Release;
use crate::observe::histogram::Histogram;
use crate::observe::members::Callers;
use crate::observe::stats::group::View;

/// Orders that wait to be obeyed; more are refused.
const WAITING: usize = 16;
/// For an order to be obeyed.
const DEADLINE: Duration = Duration::from_secs(10);

/// An order, and where it is told what became of it: a sentence, or why it cannot be.
#[derive(Debug)]
pub struct Wish {
    /// Of which release.
    pub key: ObjectKey,
    /// What is wanted.
    pub order: Order,
    /// The answer.
    pub answer: oneshot::Sender<Result<String, Unheard>>,
}

/// Why an order was not obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unheard {
    /// There is no such Canary.
    Unknown(String),
    /// It does not apply now.
    NotNow(String),
    /// This replica does not lead.
    NotLeading,
}

/// Where orders are given. Clones give to the same.
#[derive(Debug, Clone)]
pub struct Orders(mpsc::Sender<Wish>);

impl Orders {
    /// And where they are obeyed.
    pub fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (give, obey) = mpsc::channel(WAITING);
        (Self(give), obey)
    }

    async fn give(&self, key: ObjectKey, order: Order) -> Result<String, Status> {
        let (answer, answered) = oneshot::channel();
        let wish = Wish { key, order, answer };
        self.0
            .try_send(wish)
            .map_err(|_| Status::resource_exhausted("too many orders wait already; try again"))?;
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(Ok(said))) => Ok(said),
            Ok(Ok(Err(Unheard::Unknown(text)))) => Err(Status::not_found(text)),
            Ok(Ok(Err(Unheard::NotNow(text)))) => Err(Status::failed_precondition(text)),
            Ok(Ok(Err(Unheard::NotLeading))) => Err(Status::unavailable("this replica does not lead")),
            Ok(Err(_)) | Err(_) => Err(Status::deadline_exceeded(
                "the order was not obeyed in time; look with `meshctl canary list`",
            )),
        }
    }
}

impl Inspector {
    /// Where releases stand.
    pub(super) fn canaries_now(&self, request: &CanariesRequest) -> CanariesResponse {
        let objects = self.objects();
        let all = objects.releases.iter();
        let asked = all.filter(|it| request.namespace.is_empty() || *it.key.namespace == request.namespace);
        CanariesResponse { canaries: asked.map(wire).collect() }
    }

    /// Gives an order, here or to the replica that leads.
    pub(super) async fn steer(&self, request: SteerCanaryRequest) -> Result<SteerCanaryResponse, Status> {
        let order = match request.order() {
            CanaryOrder::Promote => Order::Promote,
            CanaryOrder::PromoteFully => Order::PromoteFully,
            CanaryOrder::Pause => Order::Pause,
            CanaryOrder::Resume => Order::Resume,
            CanaryOrder::Abort => Order::Abort,
            CanaryOrder::Unspecified => {
                return Err(Status::invalid_argument("order: it says nothing that this controller knows"));
            }
        };
        let key = ObjectKey::new(Kind::Canary, &request.namespace, &request.name);
        let here = self.orders.give(key, order).await;
        let is_elsewhere = matches!(&here, Err(status) if status.code() == tonic::Code::Unavailable);
        if !is_elsewhere || request.local_only {
            return here.map(|message| SteerCanaryResponse { message });
        }
        let asked = SteerCanaryRequest { local_only: true, ..request };
        for (_, mut client) in self.others.clients() {
            match tokio::time::timeout(DEADLINE, client.steer_canary(asked.clone())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if status.code() == tonic::Code::Unavailable => {}
                Ok(Err(status)) => return Err(status),
                Err(_) => {}
            }
        }
        Err(Status::unavailable("no replica of the controller leads now; try again in a few seconds"))
    }

    /// What was seen of both versions in the last seconds.
    pub async fn observed(&self, release: &Release, seconds: u64) -> Observation {
        let ready = |ready| Side { ready, figures: None };
        let mut observed = Observation { stable: ready(release.ready.0), canary: ready(release.ready.1) };
        let Ok(window_seconds) = u32::try_from(seconds.clamp(1, 3600)) else { return observed };
        let namespace = release.key.namespace.to_string();
        let request = StatRequest { window_seconds, namespace, ..StatRequest::default() };
        let objects = self.objects();
        let all = self.traffic(&request, &objects).await;
        // Without an answer of all, or with nobody who reports, nothing is known.
        if !all.unanswered.is_empty() || all.reporters.is_empty() {
            return observed;
        }
        let is_shadow = matches!(release.routing, Routing::Expose(Exposure::Shadow(_)));
        observed.stable.figures = Some(figures(&all, &objects, &release.stable, is_shadow));
        observed.canary.figures = Some(figures(&all, &objects, &release.canary, is_shadow));
        observed
    }
}

/// Requests to the workloads behind a Service: as callers saw them; copies, of which callers tell nothing, as the called ones did.
fn figures(all: &StatResponse, objects: &Objects, service: &ServiceName, is_shadow: bool) -> Figures {
    let workloads = objects.facts.behind_one(service);
    let callers = Callers::of(&all.reporters);
    let view = if is_shadow { View::Only(WireSide::Inbound) } else { View::Caller };
    let is_meant = |row: &&StatRow| {
        workloads.contains(&(row.destination_namespace.as_str(), row.destination_workload.as_str()))
            && view.shows(row, &callers)
    };
    let mut sum = Figures::default();
    for row in all.rows.iter().filter(is_meant) {
        sum.requests += row.requests;
        sum.failures += row.failures;
        for code in &row.failure_codes {
            *sum.codes.entry(code.code.clone()).or_default() += code.count;
        }
        let latency = row.latency.as_ref().map(Histogram::from_wire).unwrap_or_default();
        let buckets = latency.buckets().iter().map(|(bucket, count)| (*bucket, u64::from(*count)));
        sum.latency.merge(&Latency(buckets.collect()));
    }
    sum
}

fn wire(release: &Release) -> CanaryRelease {
    let (plan, known) = (&release.plan, release.state.is_some());
    let state = &*release.current();
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let why = state.why.clone();
    let is_running = state.phase.is_running();
    let findings = if is_running { standing(plan, &state.tests) } else { Vec::new() };
    CanaryRelease {
        namespace: release.key.namespace.to_string(),
        name: release.key.name.to_string(),
        stable: release.stable.0.name().to_owned(),
        canary: release.canary.0.name().to_owned(),
        version: release.version.clone(),
        phase: if known { format!("{:?}", state.phase) } else { String::new() },
        pause: state.pause.map(|pause| format!("{pause:?}")).unwrap_or_default(),
        step: small(state.step),
        steps: small(plan.steps.len()),
        routing: in_words(release.routing),
        weight_ppm: match release.routing {
            Routing::Untouched
            | Routing::Stable
            | Routing::Expose(Exposure::Shadow(_) | Exposure::Cohort) => 0,
            Routing::Canary => ALL,
            Routing::Expose(Exposure::Weight(share)) => share,
        },
        started: state.started,
        step_began: state.step_began,
        checked: state.checked,
        next_check: if is_running { state.checked + plan.analysis.interval } else { 0 },
        failed_checks: state.failed_checks,
        failed_checks_allowed: plan.analysis.failed_checks,
        requests: state.requests,
        min_requests: plan.analysis.min_requests,
        stable_ready: release.ready.0,
        canary_ready: release.ready.1,
        frozen: state.frozen,
        reason: why.as_ref().map(|why| format!("{:?}", why.reason)).unwrap_or_default(),
        message: why.map(|why| why.message).unwrap_or_default(),
        findings: findings
            .into_iter()
            .map(|finding| CanaryFinding {
                rule: finding.rule,
                verdict: format!("{:?}", finding.verdict),
                text: finding.text,
                stable: finding.stable,
                canary: finding.canary,
            })
            .collect(),
        past: state
            .past
            .iter()
            .map(|past| CanaryPast {
                version: past.version.clone(),
                phase: format!("{:?}", past.phase),
                step: small(past.step),
                started: past.started,
                ended: past.ended,
                reason: format!("{:?}", past.why.reason),
                message: past.why.message.clone(),
            })
            .collect(),
        refused: release.refused.clone().unwrap_or_default(),
    }
}

fn in_words(routing: Routing) -> String {
    let share = |ppm: u32| percent(f64::from(ppm) / f64::from(ALL));
    match routing {
        Routing::Untouched => "as routes say".to_owned(),
        Routing::Stable => "all to the stable version".to_owned(),
        Routing::Canary => "all to the new version".to_owned(),
        Routing::Expose(Exposure::Weight(weight)) => share(weight),
        Routing::Expose(Exposure::Shadow(copied)) => format!("a copy of {}", share(copied)),
        Routing::Expose(Exposure::Cohort) => "the cohort".to_owned(),
    }
}
