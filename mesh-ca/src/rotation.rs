//! How a root is replaced without anybody noticing: the next one is made, published, put to use when everybody trusts it, and the old one
//! is dropped when nothing of it lives. Pure: time, and what replicas know of members, are arguments. It must not know keys, nor where the
//! state is kept.
//!
//! Every step is one change of the stored state. Whoever reads that state can take the next step, so that a crash, or the loss of any
//! replica, stops nothing; of two that take it at once, the store refuses one.

use serde::{Deserialize, Serialize};

use crate::members::{Member, Members, View};

/// What clocks of replicas may differ by, and a request may be under way. Seconds.
pub(crate) const SLACK: u64 = 30;
/// A replica that has not written its view for so long may be gone. Seconds.
pub(crate) const STALE: u64 = 120;
/// The most members that a status names.
const NAMED: usize = 20;

/// Where the rotation is. In this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// One root.
    Steady,
    /// The next root and its issuer are kept; nobody knows of them.
    RootPrepared,
    /// The next root is in the bundle.
    RootPublished,
    /// The next root's issuer signs; the old root is in the bundle still.
    IssuerMoved,
}

impl Step {
    /// As metrics and `-o json` call it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::RootPrepared => "root_prepared",
            Self::RootPublished => "root_published",
            Self::IssuerMoved => "issuer_moved",
        }
    }
}

/// What an administrator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Asked {
    /// A new root.
    Root,
    /// A new issuer of the root there is.
    Issuer,
}

/// The state that is kept, beside the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotation {
    /// Of the bundle; grows with each change of it.
    pub(crate) generation: u64,
    pub(crate) step: Step,
    /// When the step began, Unix seconds.
    pub(crate) since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<Asked>,
    /// Seconds that the longest certificate lives, since the last root was dropped.
    pub(crate) leaf_life: u64,
}

/// How far somebody is: the bundle's generation and the step.
pub(crate) type Point = (u64, Step);

impl Rotation {
    /// Of a root that nobody knew before.
    pub(crate) fn begin(now: u64, leaf_life: u64) -> Self {
        Self { generation: 1, step: Step::Steady, since: now, asked: None, leaf_life }
    }

    pub(crate) fn point(&self) -> Point {
        (self.generation, self.step)
    }

    /// The state after a step.
    pub(crate) fn after(&self, act: Act, now: u64) -> Self {
        let next = |step, generation| Self { step, generation, since: now, ..self.clone() };
        match act {
            Act::Prepare => Self { asked: None, ..next(Step::RootPrepared, self.generation) },
            Act::Publish => next(Step::RootPublished, self.generation + 1),
            Act::Move => next(Step::IssuerMoved, self.generation),
            Act::Drop => next(Step::Steady, self.generation + 1),
            Act::RenewIssuer => {
                Self { asked: self.asked.filter(|asked| *asked != Asked::Issuer), ..self.clone() }
            }
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Make the next root and its issuer, and keep them.
    Prepare,
    /// Put the next root into the bundle.
    Publish,
    /// Sign with the next root's issuer.
    Move,
    /// Take the old root out of the bundle.
    Drop,
    /// Make another issuer of the same root.
    RenewIssuer,
}

/// When root and issuer are old enough to be replaced, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) root: u64,
    pub(crate) issuer: u64,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing is under way.
    Idle,
    Do(Act),
    Wait(Waiting),
}

/// What a step waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The first of those that do not trust the next root, or whose certificate is of the old one.
    pub(crate) first: Vec<Member>,
    pub(crate) count: usize,
    /// When it is over at the latest; `None` while a replica is waited for.
    pub(crate) until: Option<u64>,
    /// Replicas that have not come as far.
    pub(crate) replicas: Vec<String>,
    /// Certificates that no replica knows the holders of may live until then. Unix seconds, 0 for none.
    pub(crate) unknown_until: u64,
    /// Whether it is for certificates of the old root, which must end.
    pub(crate) for_old_certificates: bool,
}

/// Decides about `rotation`, by what all replicas wrote last.
pub(crate) fn next(rotation: &Rotation, due: Due, views: &[View], now: u64) -> Next {
    let issuer_is_due = due.issuer <= now || rotation.asked == Some(Asked::Issuer);
    match rotation.step {
        Step::Steady if due.root <= now || rotation.asked == Some(Asked::Root) => Next::Do(Act::Prepare),
        Step::Steady if issuer_is_due => Next::Do(Act::RenewIssuer),
        Step::Steady => Next::Idle,
        Step::RootPrepared => Next::Do(Act::Publish),
        Step::RootPublished => match acknowledgements(rotation, views, now) {
            Some(_) if issuer_is_due => Next::Do(Act::RenewIssuer),
            Some(waiting) => Next::Wait(waiting),
            None => Next::Do(Act::Move),
        },
        Step::IssuerMoved => match old_certificates(rotation, views, now) {
            Some(_) if issuer_is_due => Next::Do(Act::RenewIssuer),
            Some(waiting) => Next::Wait(waiting),
            None => Next::Do(Act::Drop),
        },
    }
}

/// Until when certificates may live that a replica signed which nobody hears of any more: it stops by itself one leaf life after it last
/// read the state.
fn end_of_silent(view: &View, leaf_life: u64) -> u64 {
    view.time + 2 * leaf_life + SLACK
}

/// Whoever has a living certificate and has not said that it trusts this generation. `None`: nobody.
fn acknowledgements(rotation: &Rotation, views: &[View], now: u64) -> Option<Waiting> {
    let mut waiting = Waiting::default();
    for view in views {
        let mut unknown = view.unknown_until(rotation.generation);
        if view.is_silent(now) {
            unknown = unknown.max(end_of_silent(view, rotation.leaf_life));
        } else if !view.has_ended && view.point < rotation.point() {
            waiting.replicas.push(view.replica.clone());
        }
        waiting.unknown_until = waiting.unknown_until.max(unknown);
    }
    let members = Members::merged(views);
    let late = members.living(now).filter(|member| member.generation < rotation.generation);
    let mut end = waiting.unknown_until;
    for member in late {
        waiting.count += 1;
        end = end.max(member.not_after);
        if waiting.first.len() < NAMED {
            waiting.first.push(member);
        }
    }
    waiting.until = waiting.replicas.is_empty().then_some(end);
    let is_over = waiting.count == 0 && waiting.replicas.is_empty() && waiting.unknown_until <= now;
    (!is_over).then_some(waiting)
}

/// Certificates of the old root that may live. `None`: none.
fn old_certificates(rotation: &Rotation, views: &[View], now: u64) -> Option<Waiting> {
    let mut waiting = Waiting { for_old_certificates: true, ..Waiting::default() };
    let mut end = 0;
    for view in views {
        if view.point >= rotation.point() {
            end = end.max(view.adopted + rotation.leaf_life + SLACK);
        } else if view.has_ended {
            end = end.max(view.time + rotation.leaf_life + SLACK);
        } else if view.is_silent(now) {
            end = end.max(end_of_silent(view, rotation.leaf_life));
        } else {
            waiting.replicas.push(view.replica.clone());
        }
    }
    waiting.unknown_until = end;
    waiting.until = waiting.replicas.is_empty().then_some(end);
    let is_over = waiting.replicas.is_empty() && end <= now;
    (!is_over).then_some(waiting)
}

impl Waiting {
    /// As a sentence for people.
    pub(crate) fn why(&self) -> String {
        let mut parts = Vec::new();
        if !self.replicas.is_empty() {
            parts.push(format!("for the authority's replicas {} to take the step", self.replicas.join(", ")));
        }
        if self.count > 0 {
            let what = if self.count == 1 { "member" } else { "members" };
            parts.push(format!("for {} {what} to say that the new root is trusted", self.count));
        }
        if parts.is_empty() {
            parts.push(if self.for_old_certificates {
                "for the last certificates of the old root to end".to_owned()
            } else {
                "for certificates to end that were signed before this authority started".to_owned()
            });
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests;
