//! Whose word a Canary asks for: webhooks and queries, in the order of the plan's hooks. It must not know how anybody is asked.

use std::time::Duration;

use mesh_release::plan::{Hook, HookPoint};

use super::super::Findings;
use crate::api::canary::{Canary, HookAt};
use crate::api::lower::scalars::{MILLISECOND, optional};

/// An answer has this long where nobody says how long.
const USUALLY: Duration = Duration::from_secs(5);
/// And this long at most: a check waits for it.
const LONGEST: Duration = Duration::from_secs(30);

/// Somebody who is asked, or told.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Who and when.
    pub hook: Hook,
    /// Where.
    pub url: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What is asked.
    pub what: What,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Whether the release may go on, with its state as JSON.
    Webhook,
    /// A number, and what it may be.
    Query {
        /// PromQL, with names to be filled in.
        query: String,
        /// At least.
        at_least: Option<f64>,
        /// At most.
        at_most: Option<f64>,
    },
}

/// All of them, hooks first.
pub fn asks(canary: &Canary, findings: &mut Findings) -> Vec<Ask> {
    let mut all = Vec::new();
    for (at, hook) in canary.spec.hooks.iter().enumerate() {
        let field = format!("spec.hooks[{at}]");
        check_url(&hook.url, &format!("{field}.url"), findings);
        let bounds = MILLISECOND..=LONGEST;
        let timeout = optional(hook.timeout.as_ref(), &format!("{field}.timeout"), bounds, findings);
        all.push(Ask {
            hook: Hook { name: hook.name.clone(), point: point(hook.at) },
            url: hook.url.clone(),
            timeout: timeout.unwrap_or(USUALLY),
            what: What::Webhook,
        });
    }
    for (at, query) in canary.spec.analysis.queries.iter().enumerate() {
        let field = format!("spec.analysis.queries[{at}]");
        check_url(&query.url, &format!("{field}.url"), findings);
        if query.at_least.is_none() && query.at_most.is_none() {
            findings.fault(&*field, "needs `atLeast`, `atMost` or both; else nothing could fail");
        }
        let bounds = MILLISECOND..=LONGEST;
        let timeout = optional(query.timeout.as_ref(), &format!("{field}.timeout"), bounds, findings);
        all.push(Ask {
            hook: Hook { name: query.name.clone(), point: HookPoint::Check },
            url: query.url.trim_end_matches('/').to_owned(),
            timeout: timeout.unwrap_or(USUALLY),
            what: What::Query {
                query: query.query.clone(),
                at_least: query.at_least,
                at_most: query.at_most,
            },
        });
    }
    all
}

fn check_url(url: &str, field: &str, findings: &mut Findings) {
    if let Err(error) = mesh_fetch::ask::url(url) {
        findings.fault(field, error.to_string());
    } else if let Some(why) = mesh_fetch::never(url) {
        findings.fault(field, why.to_string());
    }
}

fn point(at: HookAt) -> HookPoint {
    match at {
        HookAt::Start => HookPoint::Start,
        HookAt::Check => HookPoint::Check,
        HookAt::Step => HookPoint::Step,
        HookAt::Promotion => HookPoint::Promotion,
        HookAt::Promoted => HookPoint::Promoted,
        HookAt::RolledBack => HookPoint::RolledBack,
    }
}
