//! Whom rules have asked whether a request may go on, before anything of it goes anywhere. It must not know how a question travels.

use mesh_model::asking::ExternalAuth;
use mesh_model::name::ServiceName;

use super::Outbound;
use super::answer::Own;
use super::plan::{Outcome, Plan};
use crate::ask::{About, Allowed, Edits, Stopped};
use crate::http::{Body, Fault, RequestHead};
use crate::telemetry::Failure;

/// A request that does not go on.
pub(super) enum Stop {
    /// It fails.
    Fault(Fault),
    /// This is the answer to it.
    Denied(Own),
}

/// Asks one after the other, and changes the head as they say. All must say yes. A browser that asks first cannot say who it is, and what
/// fails anyway needs no question.
pub(super) async fn authorized(
    outbound: &Outbound,
    plan: &Plan<'_>,
    (service, port): (&ServiceName, u16),
    head: &mut RequestHead,
    body: Body,
) -> Result<(Body, Edits), Stop> {
    let (mut body, mut edits) = (body, Edits::default());
    let asked: &[&ExternalAuth] = match &plan.outcome {
        Outcome::Fault(_) | Outcome::Preflight(_) => &[],
        Outcome::Backend { .. } | Outcome::Redirect(_) => &plan.asked,
    };
    if asked.is_empty() {
        return Ok((body, edits));
    }
    let route = plan.label.map_or("", |label| &**label);
    let asker = &outbound.asker;
    let about = About {
        source: asker.own_name(),
        source_principal: asker.own_identity(),
        address: None,
        destination: service.to_string(),
        destination_principal: String::new(),
        port,
        by: ("route", route),
    };
    for auth in asked {
        match asker.authorize(auth, &about, head, body).await {
            Ok(Allowed { body: left, response }) => {
                body = left;
                edits.extend(response);
            }
            Err(Stopped::Request(fault)) => return Err(Stop::Fault(fault)),
            Err(Stopped::Unavailable(why)) => {
                let text =
                    format!("{route} has an authorization service asked, and there is no answer: {why}");
                return Err(Stop::Fault(Fault::new(Failure::AuthzUnavailable, text)));
            }
            Err(Stopped::Denied(response)) => {
                return Err(Stop::Denied(Own::failed(response, Failure::AuthzDenied)));
            }
        }
    }
    Ok((body, edits))
}
