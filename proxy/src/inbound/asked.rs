//! What others are asked about a request on the way in: whether it may go on, by authorization policies with an external service, and
//! whether there were too many. It must not know how a question travels.

use std::rc::Rc;

use mesh_model::policy::{By, Claims};

use super::call::{Call, Refused};
use super::guard::Guard;
use super::own::Served;
use crate::ask::{About, Allowed, Counting, Edits, Said, Stopped};
use crate::http::{Body, Fault, RequestHead, Response};
use crate::telemetry::Failure;
use crate::worker::record::Record;

/// A request that does not go on.
pub(super) enum Stop {
    /// It fails.
    Refused(Refused),
    /// This is the answer to it.
    Denied(Response),
}

impl Call {
    /// Asks whom policies have asked, one after the other. All must say yes.
    pub(super) async fn external(
        &self,
        record: &mut Record,
        asks: &[By],
        head: &mut RequestHead,
        body: Body,
    ) -> Result<(Body, Edits), Stop> {
        let (mut body, mut edits) = (body, Edits::default());
        for by in asks {
            let name = by.policy.resource_name();
            let Some(external) = &by.policy.external else {
                let why = format!("{name} names nobody who could be asked");
                return Err(self.stopped(record, by, Stopped::Unavailable(why)));
            };
            let about = self.about(&name);
            match self.inbound.asker.authorize(external, &about, head, body).await {
                Ok(Allowed { body: left, response }) => {
                    body = left;
                    edits.extend(response);
                }
                Err(stopped) => return Err(self.stopped(record, by, stopped)),
            }
        }
        if let Some(last) = asks.last() {
            record.judged_if_nobody_has(Guard::yes(last, &self.inbound.worker.telemetry));
        }
        Ok((body, edits))
    }

    fn about<'a>(&self, policy: &'a str) -> About<'a> {
        let asker = &self.inbound.asker;
        let peer = self.caller.peer.as_ref();
        About {
            source: peer
                .map(|peer| format!("{}/{}", peer.namespace(), peer.service_account()))
                .unwrap_or_default(),
            source_principal: peer.map(ToString::to_string).unwrap_or_default(),
            address: Some(self.caller.source),
            destination: asker.own_name(),
            destination_principal: asker.own_identity(),
            port: self.inbound.app.address().port(),
            by: ("policy", policy),
        }
    }

    /// What the caller is told. Which policy it was, and why, is in the log and the record of this proxy.
    fn stopped(&self, record: &mut Record, by: &By, stopped: Stopped) -> Stop {
        let telemetry = &self.inbound.worker.telemetry;
        match stopped {
            Stopped::Request(fault) => Stop::Refused(Refused { fault, unseen: false }),
            Stopped::Unavailable(why) => {
                record.judged(Guard::no(by, telemetry));
                tracing::info!(policy = %by.policy.name, %why, "a request was refused, since nobody could be asked");
                let text = "an authorization service of the called workload gives no answer; the log of its proxy says why";
                Stop::Refused(Refused { fault: Fault::new(Failure::AuthzUnavailable, text), unseen: false })
            }
            Stopped::Denied(response) => {
                record.judged(Guard::no(by, telemetry));
                Stop::Denied(response)
            }
        }
    }

    /// Has a request counted, where a policy of the called service wants that.
    pub(super) async fn counted(
        &self,
        served: &Served,
        head: &mut RequestHead,
        claims: Option<&Rc<Claims>>,
    ) -> Option<Said> {
        let table = served.limits.as_deref()?;
        let chosen = table.decide(head);
        let policy = chosen.as_ref().map_or(table.default_policy(), |chosen| chosen.policy());
        let rate = policy.global_rate.as_ref()?;
        let route = chosen.as_ref().map_or("", |chosen| chosen.label);
        let claims = claims.map(|claims| &**claims);
        let counting = Counting { peer: self.caller.peer.as_ref(), route, claims };
        self.inbound.asker.count(rate, head, counting).await
    }
}
