//! The verdict over a connection or a request. It must not know how it is carried out.
//!
//! Order: a policy that denies and fits decides; else, if policies that allow protect the port, one of them must fit; else callers of the
//! mesh's own trust domain and those without an identity go on, and those of another trust domain are refused. A call that goes on by all
//! that is asked of the services of those policies with an external service that fit it: all of them must say yes. Audit policies never
//! decide: what they would have made of a call that goes through is noted beside the verdict.

use std::sync::Arc;

use super::fit::{Fit, Looked, Reading};
use super::{Action, Attributes, AuthorizationPolicy, Rehearsed};
use crate::head::HeadView;

/// The policies that protect one port of a workload.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    deny: Vec<Arc<AuthorizationPolicy>>,
    allow: Vec<Arc<AuthorizationPolicy>>,
    external: Vec<Arc<AuthorizationPolicy>>,
    audit_deny: Vec<Arc<AuthorizationPolicy>>,
    audit_allow: Vec<Arc<AuthorizationPolicy>>,
    needs: Needs,
    has_expressions: bool,
}

/// What rules ask for.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    request: bool,
    headers: bool,
    sni: bool,
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It goes on.
    Allow,
    /// It is refused.
    Deny,
    /// It is refused, since a policy asks for what only a request has, and there is none.
    Undecided,
}

/// A policy, and the rule of it, if a rule decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The policy.
    pub policy: Arc<AuthorizationPolicy>,
    /// From 0. `None`: that none of its rules fits.
    pub rule: Option<usize>,
}

/// What becomes of a call, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What is decided.
    pub decision: Decision,
    /// Who decides; `None` where no policy that decides protects the port.
    pub by: Option<By>,
    /// Whose services must say yes as well before a call that is allowed goes on.
    pub asks: Vec<By>,
    /// The audit policy that would have refused a call that goes through.
    pub would_deny: Option<By>,
    /// An expression without an answer, of a call that is refused for it, or for want of a rule that allows it.
    pub unanswered: Option<Unanswered>,
}

/// An expression that has no answer for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The policy, and the rule.
    pub by: By,
    /// Which entry of `when`, from 0.
    pub when: usize,
    /// A sentence without a full stop.
    pub why: String,
}

impl Verdict {
    fn refused(decision: Decision, by: Option<By>) -> Self {
        Self { decision, by, asks: Vec::new(), would_deny: None, unanswered: None }
    }

    /// Whether the call goes on, once those services say yes that [`Verdict::asks`] names.
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allow
    }
}

impl Applied {
    /// Those of `all` that protect that port, in the order that they have.
    pub fn at<'a>(all: impl IntoIterator<Item = &'a Arc<AuthorizationPolicy>>, port: u16) -> Self {
        let mut applied = Self::default();
        for policy in all.into_iter().filter(|policy| policy.protects(port)) {
            applied.needs.request |=
                policy.action == Action::External || policy.rules.iter().any(super::Rule::needs_request);
            applied.needs.headers |=
                policy.rules.iter().flat_map(|rule| &rule.when).any(super::Condition::needs_request);
            applied.has_expressions |=
                policy.rules.iter().flat_map(|rule| &rule.when).any(|one| one.expression().is_some());
            applied.needs.sni |= policy.rules.iter().any(super::Rule::needs_sni);
            let list = match policy.action {
                _ if policy.refused.is_some() => &mut applied.deny,
                Action::Deny => &mut applied.deny,
                Action::Allow => &mut applied.allow,
                Action::External => &mut applied.external,
                Action::Audit(Rehearsed::Deny) => &mut applied.audit_deny,
                Action::Audit(Rehearsed::Allow) => &mut applied.audit_allow,
            };
            list.push(Arc::clone(policy));
        }
        applied
    }

    /// Whether nothing is to be judged.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Whether some rule asks for what only a request has.
    pub fn needs_request(&self) -> bool {
        self.needs.request
    }

    /// Whether some rule asks for more of a request than its method, path and host.
    pub fn needs_headers(&self) -> bool {
        self.needs.headers
    }

    /// Whether some rule asks for the name in a client's own TLS.
    pub fn needs_sni(&self) -> bool {
        self.needs.sni
    }

    /// All of them: those that deny, that allow, that ask, that only record.
    pub fn all(&self) -> impl Iterator<Item = &Arc<AuthorizationPolicy>> {
        let decide = self.deny.iter().chain(&self.allow).chain(&self.external);
        decide.chain(&self.audit_deny).chain(&self.audit_allow)
    }

    /// The policy that is named where none of those that allow fits: the one that would have to change for the call to go through. One that has
    /// no rules closes, and opens nothing: it is named where there is no other.
    pub fn to_change(&self) -> Option<&Arc<AuthorizationPolicy>> {
        opener(&self.allow)
    }

    /// The verdict over a request, or over a connection that carries no requests.
    pub fn judge<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>) -> Verdict {
        let mut verdict = self.decide(call);
        if self.has_expressions && !verdict.is_allowed() {
            verdict.unanswered = self.unanswered(call, verdict.by.as_ref());
        }
        verdict
    }

    /// The expression that stands in the way without an answer: of the rule that decides, or of those that could have allowed the call.
    fn unanswered<H: HeadView + ?Sized>(
        &self,
        call: &Attributes<'_, H>,
        by: Option<&By>,
    ) -> Option<Unanswered> {
        let decides = by.filter(|by| by.rule.is_some());
        let policies = decides.map_or(self.allow.as_slice(), |by| std::slice::from_ref(&by.policy));
        let rules = policies.iter().flat_map(|policy| {
            policy.rules.iter().enumerate().map(move |(number, rule)| (policy, number, rule))
        });
        let wanted = |number: usize| decides.is_none_or(|by| by.rule == Some(number));
        rules.filter(|(_, number, _)| wanted(*number)).find_map(|(policy, number, rule)| {
            let (when, why) = rule.unanswered(call, policy.reading())?;
            Some(Unanswered { by: By { policy: Arc::clone(policy), rule: Some(number) }, when, why })
        })
    }

    fn decide<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>) -> Verdict {
        if let Some((by, fit)) = fitting(&self.deny, call, Reading::Any) {
            let decision = if fit == Fit::Yes { Decision::Deny } else { Decision::Undecided };
            return Verdict::refused(decision, Some(by));
        }
        let (allowed, unsure) = match fitting(&self.allow, call, Reading::Every) {
            Some((by, Fit::Yes)) => (Some(by), None),
            Some((by, _)) => (None, Some(by)),
            None => (None, None),
        };
        match (self.to_change(), allowed) {
            (Some(first), None) => {
                let decision = if unsure.is_some() { Decision::Undecided } else { Decision::Deny };
                let by = unsure.unwrap_or_else(|| By { policy: Arc::clone(first), rule: None });
                Verdict::refused(decision, Some(by))
            }
            // A member of another mesh is known, and nothing more: what it may do has to be said.
            (None, None) if call.peer.is_some_and(|peer| peer.trust_domain() != call.trust_domain) => {
                Verdict::refused(Decision::Deny, None)
            }
            (_, allowed) => {
                let asks = self.asks(call);
                match asks.first() {
                    // Services are asked about requests alone.
                    Some(first) if call.request.is_none() => {
                        Verdict::refused(Decision::Undecided, Some(first.clone()))
                    }
                    _ => {
                        let would_deny = self.rehearse(call, allowed.is_some());
                        Verdict { decision: Decision::Allow, by: allowed, asks, would_deny, unanswered: None }
                    }
                }
            }
        }
    }

    /// The policies whose services are to be asked: of each the first rule that fits, if any reading of the call does.
    fn asks<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>) -> Vec<By> {
        let one = |policy| fitting(std::slice::from_ref(policy), call, Reading::Any).map(|(by, _)| by);
        self.external.iter().filter_map(one).collect()
    }

    /// The verdict over a connection that will carry requests, if they can change nothing about it: every one of them would be refused.
    pub fn judge_early<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>) -> Option<Verdict> {
        let verdict = self.judge(&Attributes { request: None::<&H>, ..*call });
        (verdict.decision == Decision::Deny).then_some(verdict)
    }

    /// What audit policies would have made of a call that goes through.
    fn rehearse<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>, allowed: bool) -> Option<By> {
        if let Some((by, _)) = fitting(&self.audit_deny, call, Reading::Any) {
            return Some(by);
        }
        let first = opener(&self.audit_allow).filter(|_| !allowed)?;
        let fits = matches!(fitting(&self.audit_allow, call, Reading::Every), Some((_, Fit::Yes)));
        (!fits).then(|| By { policy: Arc::clone(first), rule: None })
    }
}

/// The first that has rules, else the first.
fn opener(policies: &[Arc<AuthorizationPolicy>]) -> Option<&Arc<AuthorizationPolicy>> {
    policies.iter().find(|policy| !policy.rules.is_empty()).or_else(|| policies.first())
}

/// The first rule that fits, else the first of which only a request can tell.
fn fitting<H: HeadView + ?Sized>(
    policies: &[Arc<AuthorizationPolicy>],
    call: &Attributes<'_, H>,
    reading: Reading,
) -> Option<(By, Fit)> {
    let mut later = None;
    for policy in policies {
        if policy.refused.is_some() {
            return Some((By { policy: Arc::clone(policy), rule: None }, Fit::Yes));
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            match rule.fit(call, reading) {
                Fit::Yes => return Some((By { policy: Arc::clone(policy), rule: Some(at) }, Fit::Yes)),
                Fit::Later if later.is_none() => later = Some((policy, at)),
                Fit::Later | Fit::No => {}
            }
        }
    }
    later.map(|(policy, at)| (By { policy: Arc::clone(policy), rule: Some(at) }, Fit::Later))
}

impl AuthorizationPolicy {
    /// Each rule, whether the call fits it, and what does not fit.
    pub fn look<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>) -> Vec<Looked> {
        let reading = self.reading();
        self.rules.iter().map(|rule| rule.look(call, reading)).collect()
    }

    pub(super) fn reading(&self) -> Reading {
        match self.action {
            Action::Deny | Action::External | Action::Audit(Rehearsed::Deny) => Reading::Any,
            Action::Allow | Action::Audit(Rehearsed::Allow) => Reading::Every,
        }
    }
}
