//! Verdicts in words, with the fields as objects name them. They must not decide anything.

use std::fmt::Write as _;

use mesh_cel::{Program, Trouble};

use super::{
    Action, Attributes, AuthorizationPolicy, By, CallList, CallerList, Condition, Decision, Negation, Place,
    Rehearsed, Unanswered, Verdict, expression,
};
use crate::head::HeadView;
use crate::route::BackendTarget;

impl Action {
    /// As an object says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
            Self::External => "External",
            Self::Audit(_) => "Audit",
        }
    }
}

impl Decision {
    /// One word, for labels and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Undecided => "undecided",
        }
    }
}

impl CallerList {
    fn field(self) -> &'static str {
        match self {
            Self::Identities => "identities",
            Self::Namespaces => "namespaces",
            Self::Accounts => "serviceAccounts",
            Self::TrustDomains => "trustDomains",
            Self::Cidrs => "cidrs",
        }
    }
}

impl CallList {
    fn field(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::Methods => "methods",
            Self::Paths => "paths",
            Self::Hosts => "hosts",
            Self::Grpc => "grpc",
            Self::Sni => "sni",
        }
    }
}

impl Negation {
    fn field(self) -> &'static str {
        match self {
            Self::Fits => "",
            Self::Not => "not.",
        }
    }
}

impl Place {
    /// The field of the object, as `spec.rules[1].from[0].namespaces`.
    pub fn field(self, rule: usize) -> String {
        let rest = match self {
            Self::From => "from".to_owned(),
            Self::To => "to".to_owned(),
            Self::Callers(at, not, list) => format!("from[{at}].{}{}", not.field(), list.field()),
            Self::Calls(at, not, list) => format!("to[{at}].{}{}", not.field(), list.field()),
            Self::When(at) => format!("when[{at}]"),
        };
        format!("spec.rules[{rule}].{rest}")
    }
}

impl By {
    /// The field that decides: `spec.rules[N]`, or `spec.rules` where none of them fits.
    pub fn field(&self) -> String {
        match self.rule {
            Some(rule) => format!("spec.rules[{rule}]"),
            None => "spec.rules".to_owned(),
        }
    }

    /// What its service has to say.
    fn asked(&self) -> String {
        let target = self.policy.external.as_ref().map(|external| &external.target);
        match target {
            Some(BackendTarget::Service { service, port }) => {
                format!("Service {service}:{port}, which {} has asked, says yes", self.words())
            }
            Some(BackendTarget::Invalid { reference, reason }) => {
                format!(
                    "{reference} could be asked, which {} names: {reason}; until then it is refused",
                    self.words()
                )
            }
            None => format!("somebody could be asked, whom {} does not name", self.words()),
        }
    }

    /// The policy and its field.
    pub fn words(&self) -> String {
        format!("{} of AuthorizationPolicy {}", self.field(), self.policy.name)
    }
}

impl Verdict {
    /// One sentence without a full stop.
    pub fn words(&self) -> String {
        let mut words = self.decision_words();
        let asked = self.asks.iter().map(By::asked).collect::<Vec<_>>().join(", and ");
        if !asked.is_empty() {
            words = format!("{words}, if {asked}");
        }
        match &self.unanswered {
            None => words,
            Some(unanswered) => format!("{words}; {}", unanswered.words()),
        }
    }

    fn decision_words(&self) -> String {
        let Some(by) = &self.by else {
            let words = match self.decision {
                Decision::Allow => "allowed: no policy that decides protects the port",
                Decision::Deny | Decision::Undecided => {
                    "denied: the caller is of another trust domain, and no policy allows it"
                }
            };
            return words.to_owned();
        };
        if let Some(why) = &by.policy.refused {
            return format!(
                "denied: AuthorizationPolicy {} cannot be read ({why}), and everything that it protects is closed until it can be",
                by.policy.name
            );
        }
        match (self.decision, by.rule) {
            (Decision::Allow, _) => format!("allowed by {}", by.words()),
            (Decision::Deny, Some(_)) => format!("denied by {}", by.words()),
            (Decision::Deny, None) if by.policy.rules.is_empty() => format!(
                "denied: AuthorizationPolicy {} has no rules and so allows nothing, and no other policy allows it",
                by.policy.name
            ),
            (Decision::Deny, None) => format!(
                "denied: no rule of a policy that allows fits, as of AuthorizationPolicy {}",
                by.policy.name
            ),
            (Decision::Undecided, _) if by.policy.action == Action::External => {
                format!(
                    "denied: {} has a service asked, which is about requests, and these bytes are no HTTP",
                    by.words()
                )
            }
            (Decision::Undecided, _) => format!(
                "denied: {} asks for what only a request has, and these bytes are no HTTP",
                by.words()
            ),
        }
    }
}

impl Unanswered {
    /// The field of the object, as `spec.rules[1].when[0].cel`.
    pub fn field(&self) -> String {
        format!("{}.cel", Place::When(self.when).field(self.by.rule.unwrap_or_default()))
    }

    /// What has no answer, and why.
    pub fn words(&self) -> String {
        format!("{} of AuthorizationPolicy {} has no answer: {}", self.field(), self.by.policy.name, self.why)
    }
}

/// Why a call does not fit a place of a rule, or what waits for a request there: what the call has, against what is written.
pub(super) fn misfit<H: HeadView + ?Sized>(
    policy: &AuthorizationPolicy,
    rule: usize,
    place: Place,
    call: &Attributes<'_, H>,
) -> String {
    let Some(rule) = policy.rules.get(rule) else { return String::new() };
    match place {
        Place::From => format!("none of {} entries fits {}", rule.from.len(), caller(call)),
        Place::To => format!("none of {} entries fits the call", rule.to.len()),
        Place::Callers(_, not, list) => {
            let has = match list {
                CallerList::Cidrs => format!("the connection comes from {}", call.source),
                CallerList::Identities
                | CallerList::Namespaces
                | CallerList::Accounts
                | CallerList::TrustDomains => {
                    format!("the caller is {}", caller(call))
                }
            };
            format!("{has}, which is {}", among(not))
        }
        Place::Calls(_, not, list) => format!("{}, which is {}", called(list, call), among(not)),
        Place::When(at) => match rule.when.get(at) {
            Some(Condition::Cel(program)) => unanswered(program, policy, call),
            Some(condition) => unmet(condition, call),
            None => String::new(),
        },
    }
}

fn among(not: Negation) -> &'static str {
    match not {
        Negation::Fits => "not among these",
        Negation::Not => "or could be among those excluded",
    }
}

fn caller<H: ?Sized>(call: &Attributes<'_, H>) -> String {
    call.peer.map_or_else(|| "nobody with a certificate of the mesh".to_owned(), ToString::to_string)
}

fn called<H: HeadView + ?Sized>(list: CallList, call: &Attributes<'_, H>) -> String {
    let Some(request) = call.request else {
        return match list {
            CallList::Ports => format!("the port is {}", call.port),
            CallList::Sni => sni(call.sni),
            CallList::Methods | CallList::Paths | CallList::Hosts | CallList::Grpc => {
                "there is no request".to_owned()
            }
        };
    };
    match list {
        CallList::Ports => format!("the port is {}", call.port),
        CallList::Sni => sni(call.sni),
        CallList::Methods => format!("the method is {}", request.method()),
        CallList::Paths | CallList::Grpc => format!("the path is {}", request.path()),
        CallList::Hosts => format!("the host is {}", request.authority()),
    }
}

fn sni(sni: Option<&str>) -> String {
    sni.map_or_else(
        || "no name is asked for in TLS".to_owned(),
        |name| format!("the name asked for in TLS is {name}"),
    )
}

/// Bytes of an expression that are shown.
const SHOWN: usize = 160;

fn unanswered<H: HeadView + ?Sized>(
    program: &Program,
    policy: &AuthorizationPolicy,
    call: &Attributes<'_, H>,
) -> String {
    let mut text = program.text().split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > SHOWN {
        text = text.chars().take(SHOWN).chain(['…']).collect();
    }
    match expression::answer(program, call, policy.reading()) {
        Ok(true) => format!("`{text}` holds"),
        Ok(false) => format!("`{text}` does not hold"),
        Err(Trouble::Later) => format!("there is no request, for which `{text}` asks"),
        Err(Trouble::Failed(why)) => format!("`{text}` has no answer: {why}"),
    }
}

fn unmet<H: HeadView + ?Sized>(condition: &Condition, call: &Attributes<'_, H>) -> String {
    let Some(request) = call.request else { return "there is no request".to_owned() };
    match condition {
        Condition::Header { name, .. } => {
            let mut all = String::new();
            request.header_values(name, &mut |value| {
                let _ = write!(
                    all,
                    "{}`{}`",
                    if all.is_empty() { "" } else { ", " },
                    String::from_utf8_lossy(value)
                );
            });
            if all.is_empty() {
                format!("header {name} is not there")
            } else {
                format!("header {name} is {all}")
            }
        }
        Condition::HeaderPresent { name, present: true } => format!("header {name} is not there"),
        Condition::HeaderPresent { name, present: false } => format!("header {name} is there"),
        Condition::Cel(program) => format!("`{}` does not hold", program.text()),
        Condition::Claim { path, .. } => match call.claims {
            None => "there is no token whose claims could be looked at".to_owned(),
            Some(claims) if claims.find(path).is_none() => format!("the token has no claim {path}"),
            Some(_) => format!("claim {path} has another value"),
        },
    }
}

impl AuthorizationPolicy {
    /// Why a call does not fit a place of a rule: what the call has, against what is written there.
    pub fn misfit<H: HeadView + ?Sized>(
        &self,
        rule: usize,
        place: Place,
        call: &Attributes<'_, H>,
    ) -> String {
        misfit(self, rule, place, call)
    }

    /// What the policy rehearses, if it only records.
    pub fn rehearsed(&self) -> Option<Rehearsed> {
        match self.action {
            Action::Audit(rehearsed) => Some(rehearsed),
            Action::Allow | Action::Deny | Action::External => None,
        }
    }
}
