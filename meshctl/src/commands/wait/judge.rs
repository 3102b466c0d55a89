//! Whether what is waited for is so. Pure.

use std::fmt;

use mesh_controller::inspect::json::{ProxyState, lack_words, lacks, proxy_state};
use mesh_proto::inspect::v1::{ProxySync, SyncResponse};
use serde_json::{Value, json};

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// That every sidecar has everything.
    All,
    /// That every sidecar that uses it has this object, as the controller names it.
    Object(String),
}

/// What the answers say.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Done,
    /// Not yet, because of these.
    Waiting(Vec<Missing>),
    /// Not without an edit, and why.
    Never(Vec<String>),
    /// There is no such object.
    NoObject(String),
}

/// A sidecar that does not have it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Missing {
    proxy: ProxySync,
    away: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = &self.proxy;
        write!(f, "{}.{} ", proxy.workload, proxy.namespace)?;
        match proxy.lacks.first() {
            _ if self.away => f.write_str("is not connected"),
            None => f.write_str("has not confirmed it"),
            Some(lack) => {
                write!(f, "lacks {}: {}", lack.resource, lack_words(lack))?;
                match proxy.lacking.saturating_sub(1) {
                    0 => Ok(()),
                    more => write!(f, ", and {more} more"),
                }
            }
        }
    }
}

impl Missing {
    pub(super) fn json(&self) -> Value {
        let proxy = &self.proxy;
        json!({
            "namespace": proxy.namespace,
            "workload": proxy.workload,
            "instance": proxy.instance,
            "connected": proxy.connected,
            "lacking": proxy.lacking,
            "lacks": lacks(proxy),
        })
    }
}

/// `needed` is by replica the revision that has everything; `answers` are in the same order.
pub(super) fn judge(goal: &Goal, needed: &[u64], answers: &[SyncResponse]) -> Verdict {
    if let Goal::Object(name) = goal
        && let Some(verdict) = object(name, answers)
    {
        return verdict;
    }
    let (mut missing, mut never) = (Vec::new(), Vec::new());
    for (needed, answer) in needed.iter().zip(answers) {
        for proxy in &answer.proxies {
            let state = proxy_state(proxy, answer);
            match state {
                ProxyState::Left => {}
                ProxyState::Away => missing.push(Missing { proxy: proxy.clone(), away: true }),
                ProxyState::Rejects => never.extend(proxy.rejects.iter().map(|reject| {
                    format!(
                        "{}.{} rejects {}: {}: {}",
                        proxy.workload, proxy.namespace, reject.resource, reject.field, reject.reason
                    )
                })),
                ProxyState::Synced | ProxyState::Behind if has(proxy, *needed) => {}
                ProxyState::Synced | ProxyState::Behind => {
                    missing.push(Missing { proxy: proxy.clone(), away: false });
                }
            }
        }
    }
    match (missing.is_empty(), never.is_empty()) {
        (_, false) => Verdict::Never(never),
        (true, true) => Verdict::Done,
        (false, true) => Verdict::Waiting(missing),
    }
}

/// What there is to say of the object itself.
fn object(name: &str, answers: &[SyncResponse]) -> Option<Verdict> {
    let found: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.objects.iter().find(|object| object.object == *name))
        .collect();
    if found.is_empty() {
        return Some(Verdict::NoObject(name.to_owned()));
    }
    let bad = found.iter().find_map(|object| {
        let bad: Vec<String> = object
            .conditions
            .iter()
            .filter(|condition| !condition.status)
            .map(|c| format!("{name} ({}): {}: {}", object.origin, c.r#type, c.message))
            .collect();
        (!bad.is_empty()).then_some(bad)
    });
    bad.map(Verdict::Never)
}

/// Whether a sidecar has it. To have had it once is enough: what was edited since is not waited for.
fn has(proxy: &ProxySync, needed: u64) -> bool {
    proxy.lacking == 0 || proxy.acked_revision >= needed
}
