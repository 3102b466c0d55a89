//! Authorization policies on the wire.

use mesh_model::policy::{
    Action, AuthorizationPolicy, CallLists, CallerLists, Callers, Calls, Condition, Rehearsed, Rule, Scope,
};

use super::asking::external_auth;
use crate::config::v1 as wire;

/// A policy.
pub(super) fn authorization(policy: &AuthorizationPolicy) -> wire::AuthorizationPolicy {
    let action = match policy.action {
        Action::Allow => wire::AuthorizationAction::Allow,
        Action::Deny => wire::AuthorizationAction::Deny,
        Action::External => wire::AuthorizationAction::External,
        Action::Audit(Rehearsed::Allow) => wire::AuthorizationAction::AuditAllow,
        Action::Audit(Rehearsed::Deny) => wire::AuthorizationAction::AuditDeny,
    };
    wire::AuthorizationPolicy {
        namespace: policy.name.namespace().to_owned(),
        name: policy.name.name().to_owned(),
        action: action.into(),
        rules: policy.rules.iter().map(rule).collect(),
        ports: match &policy.scope {
            Scope::All => Vec::new(),
            Scope::Ports(ports) => ports.iter().copied().map(u32::from).collect(),
        },
        refused: policy.refused.clone().unwrap_or_default(),
        origin: policy.origin.clone(),
        level: 0,
        external: policy.external.as_ref().map(external_auth),
    }
}

fn rule(rule: &Rule) -> wire::AuthorizationRule {
    wire::AuthorizationRule {
        from: rule.from.iter().map(callers).collect(),
        to: rule.to.iter().map(calls).collect(),
        when: rule.when.iter().map(condition).collect(),
    }
}

fn callers(callers: &Callers) -> wire::Callers {
    wire::Callers { fits: Some(caller_lists(&callers.fits)), not: Some(caller_lists(&callers.not)) }
}

fn caller_lists(lists: &CallerLists) -> wire::CallerLists {
    wire::CallerLists {
        identities: texts(&lists.identities),
        namespaces: lists.namespaces.clone(),
        service_accounts: texts(&lists.accounts),
        trust_domains: texts(&lists.trust_domains),
        cidrs: texts(&lists.cidrs),
    }
}

fn calls(calls: &Calls) -> wire::Calls {
    wire::Calls { fits: Some(call_lists(&calls.fits)), not: Some(call_lists(&calls.not)) }
}

fn call_lists(lists: &CallLists) -> wire::CallLists {
    wire::CallLists {
        ports: lists.ports.iter().copied().map(u32::from).collect(),
        methods: lists.methods.clone(),
        paths: texts(&lists.paths),
        hosts: texts(&lists.hosts),
        grpc: texts(&lists.grpc),
        sni: texts(&lists.sni),
    }
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn condition(condition: &Condition) -> wire::AuthorizationCondition {
    use wire::authorization_condition::Condition as Wire;
    let condition = match condition {
        Condition::Header { name, values } => {
            Wire::Header(wire::HeaderValues { name: name.clone(), values: values.clone() })
        }
        Condition::HeaderPresent { name, present } => {
            Wire::Presence(wire::HeaderPresence { name: name.clone(), present: *present })
        }
        Condition::Claim { path, values } => {
            Wire::Claim(wire::ClaimValues { path: path.clone(), values: values.clone() })
        }
        Condition::Cel(program) => Wire::Cel(program.text().to_owned()),
    };
    wire::AuthorizationCondition { condition: Some(condition) }
}
