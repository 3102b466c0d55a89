//! What a caller may at a place whatever it asks for: always, never, or for some requests, and then for which. By the functions that the called
//! sidecar uses, with the request left open. Pure.

use mesh_model::policy::{Action, Applied, Decision, Fit};
use mesh_model::settings::MtlsMode;

use crate::commands::callee::{self, Call, Peer, Place, Said, token, words};
use crate::commands::explain::authorization::{audited, why};
use crate::commands::explain::objects::Objects;

/// One word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    Allowed,
    Depends,
    Refused,
}

impl Word {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Depends => "depends",
            Self::Refused => "refused",
        }
    }
}

/// What is said of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outlook {
    pub(super) word: Word,
    /// One sentence.
    pub(super) words: String,
    /// Rules that let some of its requests through, or refuse some, each with its field.
    pub(super) rules: Vec<String>,
    /// What does not fit, each with its field.
    pub(super) misfits: Vec<String>,
    /// The object and the field that decide.
    pub(super) decided_by: Option<String>,
    pub(super) notes: Vec<String>,
}

impl Outlook {
    /// Of a call that was judged as it is.
    pub(super) fn of(objects: &Objects, place: &Place, peer: &Peer, call: Call<'_>) -> Self {
        let said = callee::judge(objects, place, peer, call);
        let notes = audited(&said).into_iter().chain(token::note(objects, place, call));
        Self {
            word: if said.is_allowed() { Word::Allowed } else { Word::Refused },
            words: said.words(),
            rules: Vec::new(),
            misfits: why(objects, place, peer, call, &said),
            decided_by: said.decided_by(objects),
            notes: notes.collect(),
        }
    }

    /// Of whatever requests the caller may make.
    pub(super) fn open(objects: &Objects, place: &Place, peer: &Peer) -> Self {
        let call = Call { request: None, sni: None, claims: None };
        let (rule, _) = callee::mtls(objects, place);
        let seen = callee::seen_at(objects, place, peer);
        if seen.identity.is_none() && rule.mode == MtlsMode::Strict {
            return Self::of(objects, place, peer, call);
        }
        let applied = Applied::at(objects.compiled.authorization.of(&place.workload), place.port);
        let attributes = callee::open_attributes(objects, place, &seen);
        let verdict = applied.judge(&attributes);
        let token = token_note(objects, place);
        if verdict.decision == Decision::Undecided
            && let Some(outlook) = Self::some(objects, place, peer, &applied)
        {
            let notes = outlook.notes.iter().cloned().chain(token).collect();
            return Self { notes, ..outlook };
        }
        let mut said = Said::Policies(verdict);
        if said.is_undecided() {
            // Nothing that a request could be would let it through.
            let first = applied.to_change();
            said = Said::Policies(mesh_model::policy::Verdict {
                decision: Decision::Deny,
                by: first.map(|policy| mesh_model::policy::By { policy: policy.clone(), rule: None }),
                asks: Vec::new(),
                would_deny: None,
                unanswered: None,
            });
        }
        let allowed = said.is_allowed();
        let word = match (allowed, &token) {
            (true, None) => Word::Allowed,
            (true, Some(_)) => Word::Depends,
            (false, _) => Word::Refused,
        };
        Self {
            word,
            words: said.words(),
            rules: Vec::new(),
            misfits: why(objects, place, peer, call, &said),
            decided_by: said.decided_by(objects),
            notes: audited(&said).into_iter().chain(token.filter(|_| allowed)).collect(),
        }
    }

    /// For which requests; `None`: for none.
    fn some(objects: &Objects, place: &Place, peer: &Peer, applied: &Applied) -> Option<Self> {
        let seen = callee::seen_at(objects, place, peer);
        let attributes = callee::open_attributes(objects, place, &seen);
        let (mut lets, mut refuses, mut asks, mut closed) = (Vec::new(), Vec::new(), Vec::new(), false);
        for policy in applied.all().filter(|policy| policy.refused.is_none()) {
            closed |= policy.action == Action::Allow;
            for (at, looked) in policy.look(&attributes).iter().enumerate() {
                let Some(rule) = policy.rules.get(at).filter(|_| looked.fit != Fit::No) else { continue };
                let by = format!("spec.rules[{at}] of AuthorizationPolicy {}", policy.name);
                match policy.action {
                    Action::Allow => lets.push(format!("{by} allows {}", words::asks(rule))),
                    Action::Deny => refuses.push(format!("{by} refuses {}", words::asks(rule))),
                    Action::External => {
                        asks.push(format!("{by} has a service asked about {}", words::asks(rule)));
                    }
                    Action::Audit(_) => {}
                }
            }
        }
        if closed && lets.is_empty() {
            return None;
        }
        let words = match (closed, refuses.is_empty()) {
            (true, true) => "allowed for some requests",
            (true, false) => "allowed for some requests, and refused for some of those",
            (false, true) => "allowed for requests to which the services say yes that are asked",
            (false, false) => "refused for some requests",
        };
        Some(Self {
            word: Word::Depends,
            words: words.to_owned(),
            rules: lets.into_iter().chain(refuses).chain(asks).collect(),
            misfits: Vec::new(),
            decided_by: None,
            notes: Vec::new(),
        })
    }
}

/// Which token a request must have beside what policies ask for.
fn token_note(objects: &Objects, place: &Place) -> Option<String> {
    let rules = token::rules(objects, place).filter(|rules| rules.required)?;
    let issuers: Vec<&str> = rules.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    Some(format!(
        "only with a good token of {}: spec.jwt.required of {}",
        if issuers.is_empty() { "nobody".to_owned() } else { issuers.join(" or ") },
        rules.source
    ))
}
