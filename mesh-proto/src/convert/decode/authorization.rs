//! Authorization policies from the wire. Everything that is not known is an error: whoever applies it denies instead of guessing (INV-7).

use mesh_cel::Program;
use mesh_model::name::Name;
use mesh_model::policy::{
    Action, AuthorizationPolicy, CallLists, CallerLists, Callers, Calls, Cidr, Condition, GrpcCall, HostRule,
    PathRule, Rehearsed, Rule, Scope,
};
use mesh_model::spiffe::{SpiffeId, TrustDomain};

use super::asking::external_auth;
use super::field::{Field, Wrong, all};
use crate::config::v1 as wire;
use crate::convert::bounds;

/// What this version knows of the message: see `AuthorizationPolicy.level`.
const LEVEL: u32 = 0;

/// A policy.
pub(super) fn authorization(policy: wire::AuthorizationPolicy) -> Result<AuthorizationPolicy, Wrong> {
    let root = Field::root();
    if policy.level > LEVEL {
        return Err(root.at("level").wrong(format!("is {}, this version knows up to {LEVEL}", policy.level)));
    }
    let action = match wire::AuthorizationAction::try_from(policy.action) {
        Ok(wire::AuthorizationAction::Allow) => Action::Allow,
        Ok(wire::AuthorizationAction::Deny) => Action::Deny,
        Ok(wire::AuthorizationAction::External) => Action::External,
        Ok(wire::AuthorizationAction::AuditAllow) => Action::Audit(Rehearsed::Allow),
        Ok(wire::AuthorizationAction::AuditDeny) => Action::Audit(Rehearsed::Deny),
        Ok(wire::AuthorizationAction::Unspecified) | Err(_) => {
            return Err(root.at("action").unknown(policy.action));
        }
    };
    let external =
        policy.external.map(|external| external_auth(&root.at("external"), external)).transpose()?;
    if (action == Action::External) != external.is_some() {
        return Err(root.at("external").wrong("is there for the action EXTERNAL, and only for it"));
    }
    let ports = all(root.at("ports"), bounds::AUTHORIZATION_VALUES, policy.ports, port)?;
    Ok(AuthorizationPolicy {
        name: Name::new(&policy.namespace, &policy.name).map_err(|e| root.at(e.what).refused(&e))?,
        action,
        rules: all(root.at("rules"), bounds::AUTHORIZATION_RULES, policy.rules, rule)?,
        external,
        scope: if ports.is_empty() { Scope::All } else { Scope::Ports(ports) },
        refused: root.at("refused").optional_text(policy.refused)?,
        origin: root.at("origin").text(policy.origin)?,
    })
}

fn rule(field: &Field<'_>, rule: wire::AuthorizationRule) -> Result<Rule, Wrong> {
    Ok(Rule {
        from: all(field.at("from"), bounds::AUTHORIZATION_ENTRIES, rule.from, callers)?,
        to: all(field.at("to"), bounds::AUTHORIZATION_ENTRIES, rule.to, calls)?,
        when: all(field.at("when"), bounds::AUTHORIZATION_ENTRIES, rule.when, condition)?,
    })
}

fn callers(field: &Field<'_>, callers: wire::Callers) -> Result<Callers, Wrong> {
    Ok(Callers {
        fits: caller_lists(&field.at("fits"), callers.fits.unwrap_or_default())?,
        not: caller_lists(&field.at("not"), callers.not.unwrap_or_default())?,
    })
}

fn caller_lists(field: &Field<'_>, lists: wire::CallerLists) -> Result<CallerLists, Wrong> {
    const MAX: usize = bounds::AUTHORIZATION_VALUES;
    Ok(CallerLists {
        identities: all(field.at("identities"), MAX, lists.identities, |field, text| {
            SpiffeId::parse(&text).map_err(|error| field.refused(&error))
        })?,
        namespaces: all(field.at("namespaces"), MAX, lists.namespaces, text)?,
        accounts: all(field.at("service_accounts"), MAX, lists.service_accounts, |field, text| {
            let (namespace, name) = text.split_once('/').ok_or_else(|| field.wrong("is not NS/NAME"))?;
            Name::new(namespace, name).map_err(|error| field.refused(&error))
        })?,
        trust_domains: all(field.at("trust_domains"), MAX, lists.trust_domains, |field, text| {
            TrustDomain::new(&text).map_err(|error| field.refused(&error))
        })?,
        cidrs: all(field.at("cidrs"), MAX, lists.cidrs, |field, text| {
            Cidr::parse(&text).map_err(|error| field.wrong(error))
        })?,
    })
}

fn calls(field: &Field<'_>, calls: wire::Calls) -> Result<Calls, Wrong> {
    Ok(Calls {
        fits: call_lists(&field.at("fits"), calls.fits.unwrap_or_default())?,
        not: call_lists(&field.at("not"), calls.not.unwrap_or_default())?,
    })
}

fn call_lists(field: &Field<'_>, lists: wire::CallLists) -> Result<CallLists, Wrong> {
    const MAX: usize = bounds::AUTHORIZATION_VALUES;
    Ok(CallLists {
        ports: all(field.at("ports"), MAX, lists.ports, port)?,
        methods: all(field.at("methods"), MAX, lists.methods, text)?,
        paths: all(field.at("paths"), MAX, lists.paths, |field, text| {
            PathRule::parse(&field.text(text)?).map_err(|error| field.wrong(error))
        })?,
        hosts: all(field.at("hosts"), MAX, lists.hosts, host)?,
        grpc: all(field.at("grpc"), MAX, lists.grpc, |field, text| {
            GrpcCall::parse(&field.text(text)?).map_err(|error| field.wrong(error))
        })?,
        sni: all(field.at("sni"), MAX, lists.sni, host)?,
    })
}

fn host(field: &Field<'_>, text: String) -> Result<HostRule, Wrong> {
    HostRule::parse(&text).ok_or_else(|| field.wrong("is neither a host nor `*.` and a host"))
}

/// A text that is not empty.
fn text(field: &Field<'_>, text: String) -> Result<String, Wrong> {
    if text.is_empty() { Err(field.wrong("is empty")) } else { field.text(text) }
}

fn condition(field: &Field<'_>, one: wire::AuthorizationCondition) -> Result<Condition, Wrong> {
    use wire::authorization_condition::Condition as Wire;
    match one.condition {
        None => Err(field.at("condition").wrong("is absent or of a kind that this version does not know")),
        Some(Wire::Header(header)) => {
            let field = field.at("header");
            Ok(Condition::Header {
                name: text(&field.at("name"), header.name)?,
                values: values(&field, header.values)?,
            })
        }
        Some(Wire::Presence(header)) => Ok(Condition::HeaderPresent {
            name: text(&field.at("presence").at("name"), header.name)?,
            present: header.present,
        }),
        Some(Wire::Claim(claim)) => {
            let field = field.at("claim");
            Ok(Condition::Claim {
                path: text(&field.at("path"), claim.path)?,
                values: values(&field, claim.values)?,
            })
        }
        Some(Wire::Cel(expression)) => {
            let program = Program::compile(&expression);
            program.map(Condition::Cel).map_err(|error| field.at("cel").refused(&error))
        }
    }
}

/// Values that one of them fits: none would fit nothing, which nobody writes.
fn values(field: &Field<'_>, values: Vec<String>) -> Result<Vec<String>, Wrong> {
    let field = field.at("values");
    if values.is_empty() {
        return Err(field.wrong("are absent"));
    }
    all(field, bounds::AUTHORIZATION_VALUES, values, value)
}

fn port(field: &Field<'_>, port: u32) -> Result<u16, Wrong> {
    field.port(port)
}

/// A text that may be empty.
fn value(field: &Field<'_>, value: String) -> Result<String, Wrong> {
    field.text(value)
}
