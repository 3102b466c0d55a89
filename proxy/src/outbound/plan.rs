//! Route, filters, backend: what becomes of a request, decided without I/O. It must not know endpoints.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::uri::PathAndQuery;
use mesh_model::name::ServiceName;
use mesh_model::route::edit::{RedirectAnswer, edit_headers, redirect, rewrite_path};
use mesh_model::route::split;
use mesh_model::route::table::{Chosen, RouteTable};
use mesh_model::route::{BackendTarget, Filter, HeaderEdit, Match, Timeouts, UrlRewrite};

use crate::http::{Fault, HeaderEdits, RequestHead};
use crate::telemetry::Failure;

/// What becomes of a request.
#[derive(Debug)]
pub(super) struct Plan {
    /// The rule, if a route is attached.
    pub(super) label: Option<Arc<str>>,
    /// Limits of the rule.
    pub(super) timeouts: Timeouts,
    /// Changes to the response.
    pub(super) response: Vec<HeaderEdit>,
    /// Where it goes.
    pub(super) outcome: Outcome,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Outcome {
    Backend { service: ServiceName, port: u16 },
    Redirect(RedirectAnswer),
    Fault(Fault),
}

impl Plan {
    fn plain(outcome: Outcome) -> Self {
        Self { label: None, timeouts: Timeouts::default(), response: Vec::new(), outcome }
    }
}

/// Decides for a request to `port` of `service`, and edits the head as the filters say. `random` spreads over the weights.
pub(super) fn plan(
    table: Option<&RouteTable>,
    service: &ServiceName,
    port: u16,
    head: &mut RequestHead,
    random: u64,
) -> Plan {
    let Some(table) = table.filter(|table| !table.is_empty()) else {
        return Plan::plain(Outcome::Backend { service: service.clone(), port });
    };
    let Some(chosen) = table.decide(head) else {
        let text = format!(
            "routes are attached to service {service} port {port}, but no rule of them fits the request"
        );
        return Plan::plain(Outcome::Fault(Fault::new(Failure::NoRoute, text)));
    };
    let mut plan = Plan::plain(Outcome::Backend { service: service.clone(), port });
    plan.label = Some(Arc::clone(chosen.label));
    plan.timeouts = chosen.rule().timeouts;
    let matched = chosen.matched();
    if let Some(answer) = apply(&chosen.rule().filters, matched, head, port, &mut plan.response) {
        plan.outcome = Outcome::Redirect(answer);
        return plan;
    }
    plan.outcome = backend(&chosen, head, port, random, &mut plan.response);
    plan
}

fn backend(
    chosen: &Chosen<'_>,
    head: &mut RequestHead,
    port: u16,
    random: u64,
    response: &mut Vec<HeaderEdit>,
) -> Outcome {
    let label = chosen.label;
    let Some(backend) = split::pick(&chosen.rule().backends, random) else {
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
        BackendTarget::Service { service, port: backend_port } => {
            match apply(&backend.filters, chosen.matched(), head, port, response) {
                Some(answer) => Outcome::Redirect(answer),
                None => Outcome::Backend { service: service.clone(), port: *backend_port },
            }
        }
    }
}

/// Applies filters in order; a redirect ends it.
fn apply(
    filters: &[Filter],
    matched: &Match,
    head: &mut RequestHead,
    port: u16,
    response: &mut Vec<HeaderEdit>,
) -> Option<RedirectAnswer> {
    for filter in filters {
        match filter {
            Filter::RequestHeaders(edit) => {
                let mut edits = HeaderEdits::new(&mut head.headers);
                edit_headers(edit, &mut edits);
                if let Some(host) = edits.host {
                    head.authority = host;
                }
            }
            Filter::ResponseHeaders(edit) => response.push(edit.clone()),
            Filter::Redirect(to) => return Some(redirect(to, matched, head, "http", port)),
            Filter::Rewrite(rewrite) => rewrite_url(rewrite, matched, head),
            Filter::Mirror(_) | Filter::Cors(_) => {}
        }
    }
    None
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
