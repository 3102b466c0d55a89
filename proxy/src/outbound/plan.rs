//! Route, filters, backend: what becomes of a request, decided without I/O. It must not know endpoints beyond what a session says.

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use http::uri::PathAndQuery;
use mesh_model::asking::ExternalAuth;
use mesh_model::name::ServiceName;
use mesh_model::route::cors::{self, CorsAnswer};
use mesh_model::route::edit::{RedirectAnswer, edit_headers, redirect, rewrite_path};
use mesh_model::route::split;
use mesh_model::route::table::{Chosen, RouteTable};
use mesh_model::route::{Backend, BackendTarget, Filter, HeaderEdit, Match, Mirror, UrlRewrite};
use mesh_model::traffic::effective::RequestPolicy;
use smallvec::SmallVec;

use super::affinity::{Fresh, Lot};
use crate::http::{Fault, HeaderEdits, RequestHead};
use crate::telemetry::Failure;

/// Header fields to be set; `vary` is added.
pub(super) type Fields = Vec<(String, String)>;

/// What becomes of a request.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The rule, if a route is attached.
    pub(super) label: Option<&'a Arc<str>>,
    /// The settings in force.
    pub(super) policy: &'a RequestPolicy,
    /// Changes to the response.
    pub(super) response: SmallVec<[&'a HeaderEdit; 2]>,
    /// Fields that browsers want across origins.
    pub(super) cors: Option<Fields>,
    /// Where copies may go.
    pub(super) mirrors: SmallVec<[&'a Mirror; 1]>,
    /// Who is asked whether it may go on.
    pub(super) asked: SmallVec<[&'a ExternalAuth; 1]>,
    /// A cookie that keeps the client in its share of a split.
    pub(super) cookie: Option<Fresh>,
    /// Where it goes.
    pub(super) outcome: Outcome<'a>,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    Backend {
        service: &'a ServiceName,
        port: u16,
    },
    Redirect(RedirectAnswer),
    /// An answer to a browser that asks first.
    Preflight(Fields),
    Fault(Fault),
}

/// The settings where there is no table.
pub(super) static DEFAULT: LazyLock<RequestPolicy> = LazyLock::new(RequestPolicy::default);

impl<'a> Plan<'a> {
    pub(super) fn plain(policy: &'a RequestPolicy, outcome: Outcome<'a>) -> Self {
        Self {
            label: None,
            policy,
            response: SmallVec::new(),
            cors: None,
            mirrors: SmallVec::new(),
            asked: SmallVec::new(),
            cookie: None,
            outcome,
        }
    }
}

/// Decides for a request to `port` of `service`, and edits the head as the filters say. `lot` says where in a split it falls, before
/// filters change it; `keeps` says
/// of a backend whether the client's session is with it, and is asked only where sessions are kept.
pub(super) fn plan<'a>(
    table: Option<&'a RouteTable>,
    service: &'a ServiceName,
    port: u16,
    head: &mut RequestHead,
    lot: impl FnOnce(&RequestPolicy, &RequestHead) -> Lot,
    keeps: impl Fn(&RequestPolicy, &RequestHead, &ServiceName, u16) -> bool,
) -> Plan<'a> {
    let to_service = Outcome::Backend { service, port };
    let Some(table) = table else { return Plan::plain(&DEFAULT, to_service) };
    if table.is_empty() {
        return Plan::plain(table.default_policy(), to_service);
    }
    let Some(chosen) = table.decide(head) else {
        let text = format!(
            "routes are attached to service {service} port {port}, but no rule of them fits the request"
        );
        return Plan::plain(table.default_policy(), Outcome::Fault(Fault::new(Failure::NoRoute, text)));
    };
    let mut plan = Plan::plain(chosen.policy(), to_service);
    plan.label = Some(chosen.label);
    // What a rule leaves to one backend needs no lot, and nobody a cookie for it.
    let lot = if chosen.rule().backends.len() > 1 { lot(plan.policy, head) } else { Lot::default() };
    let taken = split::taken_by(&chosen.rule().backends, &*head);
    if let Some(end) = plan.apply(&chosen.rule().filters, chosen.matched(), head, port) {
        plan.outcome = end;
        return plan;
    }
    // An answer of the policy's own stands in place of backends.
    if plan.policy.direct_response.is_some() {
        return plan;
    }
    let kept = taken.or_else(|| {
        plan.policy.session.as_ref()?;
        let with = |backend: &&Backend| match &backend.target {
            BackendTarget::Service { service, port } if backend.weight > 0 => {
                keeps(plan.policy, head, service, *port)
            }
            BackendTarget::Service { .. } | BackendTarget::Invalid { .. } => false,
        };
        chosen.rule().backends.iter().find(with)
    });
    plan.outcome = plan.backend(&chosen, kept, head, port, lot.place);
    plan.cookie = lot.cookie;
    plan
}

impl<'a> Plan<'a> {
    fn backend(
        &mut self,
        chosen: &Chosen<'a>,
        kept: Option<&'a Backend>,
        head: &mut RequestHead,
        port: u16,
        place: u64,
    ) -> Outcome<'a> {
        let label = chosen.label;
        let Some(backend) = kept.or_else(|| split::pick(&chosen.rule().backends, place)) else {
            return Outcome::Fault(Fault::new(
                Failure::NoBackend,
                format!("{label} has no backend with a weight above 0"),
            ));
        };
        match &backend.target {
            BackendTarget::Invalid { reference, reason } => Outcome::Fault(Fault::new(
                Failure::BackendInvalid,
                format!("backend {reference} of {label} cannot be used: {reason}"),
            )),
            BackendTarget::Service { service, port: backend_port } => self
                .apply(&backend.filters, chosen.matched(), head, port)
                .unwrap_or(Outcome::Backend { service, port: *backend_port }),
        }
    }

    /// Applies filters in order; an answer ends it.
    fn apply(
        &mut self,
        filters: &'a [Filter],
        matched: &Match,
        head: &mut RequestHead,
        port: u16,
    ) -> Option<Outcome<'a>> {
        for filter in filters {
            match filter {
                Filter::RequestHeaders(edit) => {
                    let mut edits = HeaderEdits::new(&mut head.headers);
                    edit_headers(edit, &mut edits);
                    if let Some(host) = edits.host {
                        head.authority = host;
                    }
                }
                Filter::ResponseHeaders(edit) => self.response.push(edit),
                Filter::Redirect(to) => {
                    return Some(Outcome::Redirect(redirect(to, matched, head, "http", port)));
                }
                Filter::Rewrite(rewrite) => rewrite_url(rewrite, matched, head),
                Filter::Mirror(mirror) => self.mirrors.push(mirror),
                Filter::ExternalAuth(auth) => self.asked.push(auth),
                Filter::Cors(policy) => match cors::decide(policy, head) {
                    CorsAnswer::NotCors => {}
                    CorsAnswer::Actual { headers, .. } => self.cors = Some(headers),
                    CorsAnswer::Preflight { headers, .. } => return Some(Outcome::Preflight(headers)),
                },
            }
        }
        None
    }
}

fn rewrite_url(rewrite: &UrlRewrite, matched: &Match, head: &mut RequestHead) {
    if let Some(path) = &rewrite.path {
        let mut target = rewrite_path(path, matched, head.target.path());
        if let Some(query) = head.target.query() {
            target.push('?');
            target.push_str(query);
        }
        // The model's paths are checked where objects are read; one that cannot be sent changes nothing.
        if let Ok(target) = PathAndQuery::try_from(target) {
            head.target = target;
        }
    }
    if let Some(host) = &rewrite.hostname {
        head.authority.clone_from(host);
    }
}
