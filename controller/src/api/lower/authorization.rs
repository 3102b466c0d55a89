//! An AuthorizationPolicy as the model has it. The same function serves `check`, which keeps the faults, and `compile`, which keeps the
//! result. It must not know other objects.

use std::fmt::Display;

use mesh_cel::Program;
use mesh_model::name::Name;
use mesh_model::policy::{
    Action, CallLists, CallerLists, Callers, Calls, Cidr, Condition, GrpcCall, HostRule, PathRule, Rehearsed,
    Rule,
};
use mesh_model::spiffe::{SpiffeId, TrustDomain};

use super::asking::LoweredAuth;
use super::{Findings, asking};
use crate::api::authorization::{self as given, AuditAs, AuthorizationAction, AuthorizationTargetKind};

/// Targets of a policy.
const MAX_TARGETS: usize = 16;
/// Labels of a selector.
const MAX_LABELS: usize = 32;
/// Rules of a policy.
const MAX_RULES: usize = 64;
/// Entries of each list of a rule.
const MAX_ENTRIES: usize = 32;
/// Values of each list of an entry.
const MAX_VALUES: usize = 128;
/// Bytes of a value.
const MAX_TEXT: usize = 4_096;

/// Expressions of a policy.
const MAX_EXPRESSIONS: usize = 64;

/// What an object says, as far as it can be known without others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// What becomes of calls that fit.
    pub action: Action,
    /// In order.
    pub rules: Vec<Rule>,
    /// Who is asked.
    pub external: Option<LoweredAuth>,
}

/// Lowers it; the faults say what is wrong with it.
pub fn lower(object: &given::AuthorizationPolicy) -> (Lowered, Findings) {
    let mut findings = Findings::default();
    let spec = &object.spec;
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    targets(spec, &mut findings);
    let action = match (spec.action, spec.audit_as) {
        (AuthorizationAction::Allow, _) => Action::Allow,
        (AuthorizationAction::Deny, _) => Action::Deny,
        (AuthorizationAction::External, _) => Action::External,
        (AuthorizationAction::Audit, None | Some(AuditAs::Allow)) => Action::Audit(Rehearsed::Allow),
        (AuthorizationAction::Audit, Some(AuditAs::Deny)) => Action::Audit(Rehearsed::Deny),
    };
    if spec.audit_as.is_some() && spec.action != AuthorizationAction::Audit {
        findings.fault("spec.auditAs", "is for `action: Audit`; leave it out");
    }
    let external = external(spec, &mut findings);
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.action != AuthorizationAction::Allow {
        findings.fault(
            "spec.rules",
            "is empty; only `action: Allow` means something without rules: it allows nothing",
        );
    }
    findings.limit("spec.rules", rules.len(), MAX_RULES);
    let one = |(at, rule): (usize, &given::AuthorizationRule)| {
        rule_of(rule, namespace, &format!("spec.rules[{at}]"), &mut findings)
    };
    let rules: Vec<Rule> = rules.iter().enumerate().map(one).collect();
    let conditions = rules.iter().flat_map(|rule| &rule.when);
    let expressions = conditions.filter(|one| matches!(one, Condition::Cel(_))).count();
    if expressions > MAX_EXPRESSIONS {
        findings.fault(
            "spec.rules",
            format!(
                "have {expressions} expressions, at most {MAX_EXPRESSIONS} are allowed; split the policy"
            ),
        );
    }
    (Lowered { action, rules, external }, findings)
}

fn external(spec: &given::AuthorizationPolicySpec, findings: &mut Findings) -> Option<LoweredAuth> {
    match (&spec.external, spec.action) {
        (Some(external), AuthorizationAction::External) => {
            asking::external_auth(external, "spec.external", findings)
        }
        (None, AuthorizationAction::External) => {
            findings.fault("spec.external", "is missing; `action: External` needs to know who is asked");
            None
        }
        (Some(_), _) => {
            findings.fault("spec.external", "is for `action: External`; leave it out");
            None
        }
        (None, _) => None,
    }
}

fn targets(spec: &given::AuthorizationPolicySpec, findings: &mut Findings) {
    if spec.target_refs.is_some() && spec.selector.is_some() {
        findings.fault("spec.selector", "excludes targetRefs; remove one of the two");
    }
    if let Some(selector) = &spec.selector {
        let labels = selector.match_labels.len();
        if labels == 0 {
            findings.fault(
                "spec.selector.matchLabels",
                "is empty; to protect the whole namespace leave `selector` out",
            );
        }
        findings.limit("spec.selector.matchLabels", labels, MAX_LABELS);
    }
    let Some(targets) = &spec.target_refs else { return };
    if targets.is_empty() {
        findings.fault("spec.targetRefs", "is empty; to protect the whole namespace leave it out");
    }
    findings.limit("spec.targetRefs", targets.len(), MAX_TARGETS);
    for (at, target) in targets.iter().enumerate() {
        let field = format!("spec.targetRefs[{at}]");
        let (group_fits, right) = match (target.kind, target.group.as_deref()) {
            (_, None) => (true, ""),
            (AuthorizationTargetKind::Service, Some(group)) => (matches!(group, "" | "core"), "\"\""),
            (AuthorizationTargetKind::Workload, Some(group)) => (group == "amime.io", "amime.io"),
        };
        if !group_fits {
            findings.fault(
                format!("{field}.group"),
                format!("is not that of the kind; write {right} or leave it out"),
            );
        }
        let named = target.port.is_some() || target.section_name.is_some();
        if named && target.kind == AuthorizationTargetKind::Workload {
            let part = if target.port.is_some() { "port" } else { "sectionName" };
            findings.fault(
                format!("{field}.{part}"),
                "is for a Service; of a Workload name ports in rules[].to[].ports",
            );
        }
        if target.port.is_some() && target.section_name.is_some() {
            findings.fault(format!("{field}.port"), "excludes sectionName; remove one of the two");
        }
        if target.port == Some(0) {
            findings.fault(format!("{field}.port"), "0 is not a port; use 1 to 65535");
        }
    }
}

fn rule_of(rule: &given::AuthorizationRule, namespace: &str, at: &str, findings: &mut Findings) -> Rule {
    let from = entries(rule.from.as_deref(), &format!("{at}.from"), findings);
    let from = from.iter().enumerate().map(|(n, caller)| {
        let at = format!("{at}.from[{n}]");
        if *caller == given::Caller::default() {
            findings.fault(&at, "says nothing and so fits everybody; leave `from` out if that is meant");
        }
        Callers {
            fits: caller_lists(&caller.fits(), namespace, &at, findings),
            not: caller
                .not
                .as_ref()
                .map(|not| negated_callers(not, namespace, &format!("{at}.not"), findings))
                .unwrap_or_default(),
        }
    });
    let from = from.collect();
    let to = entries(rule.to.as_deref(), &format!("{at}.to"), findings);
    let to = to.iter().enumerate().map(|(n, call)| {
        let at = format!("{at}.to[{n}]");
        if *call == given::Call::default() {
            findings.fault(&at, "says nothing and so fits every call; leave `to` out if that is meant");
        }
        Calls {
            fits: call_lists(&call.fits(), &at, findings),
            not: call
                .not
                .as_ref()
                .map(|not| negated_calls(not, &format!("{at}.not"), findings))
                .unwrap_or_default(),
        }
    });
    let to = to.collect();
    let when = entries(rule.when.as_deref(), &format!("{at}.when"), findings);
    let when =
        when.iter().enumerate().filter_map(|(n, one)| condition(one, &format!("{at}.when[{n}]"), findings));
    Rule { from, to, when: when.collect() }
}

fn entries<'a, T>(entries: Option<&'a [T]>, field: &str, findings: &mut Findings) -> &'a [T] {
    let Some(entries) = entries else { return &[] };
    if entries.is_empty() {
        findings.fault(field, "is empty; leave it out to fit everything, or name something");
    }
    findings.limit(field, entries.len(), MAX_ENTRIES);
    entries
}

fn negated_callers(
    not: &given::CallerLists,
    namespace: &str,
    at: &str,
    findings: &mut Findings,
) -> CallerLists {
    if *not == given::CallerLists::default() {
        findings.fault(at, "says nothing; leave it out");
    }
    caller_lists(not, namespace, at, findings)
}

fn negated_calls(not: &given::CallLists, at: &str, findings: &mut Findings) -> CallLists {
    if *not == given::CallLists::default() {
        findings.fault(at, "says nothing; leave it out");
    }
    call_lists(not, at, findings)
}

fn caller_lists(
    lists: &given::CallerLists,
    namespace: &str,
    at: &str,
    findings: &mut Findings,
) -> CallerLists {
    CallerLists {
        identities: values(lists.identities.as_deref(), &format!("{at}.identities"), findings, |text| {
            SpiffeId::parse(text).map_err(|error| literal(text, &error))
        }),
        namespaces: values(lists.namespaces.as_deref(), &format!("{at}.namespaces"), findings, |text| {
            Name::new(text, "x").map(|_| text.to_owned()).map_err(|error| literal(text, &error))
        }),
        accounts: values(
            lists.service_accounts.as_deref(),
            &format!("{at}.serviceAccounts"),
            findings,
            |text| {
                let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
                Name::new(namespace, name).map_err(|error| literal(text, &error))
            },
        ),
        trust_domains: values(
            lists.trust_domains.as_deref(),
            &format!("{at}.trustDomains"),
            findings,
            |text| TrustDomain::new(text).map_err(|error| literal(text, &error)),
        ),
        cidrs: values(lists.cidrs.as_deref(), &format!("{at}.cidrs"), findings, |text| {
            Cidr::parse(text).map_err(|error| format!("`{text}` {error}; write such as 10.0.0.0/8"))
        }),
    }
}

/// Who writes a `*` in a name may think that it is a pattern.
fn literal(text: &str, error: &dyn Display) -> String {
    if text.contains('*') {
        format!("{error}; names are literals, `*` is none of their characters")
    } else {
        error.to_string()
    }
}

fn call_lists(lists: &given::CallLists, at: &str, findings: &mut Findings) -> CallLists {
    let host = |text: &str| {
        HostRule::parse(text).ok_or_else(|| {
            format!("`{text}` is not a host; write one such as web.shop or *.example.com, without a port")
        })
    };
    CallLists {
        ports: listed(lists.ports.as_deref(), &format!("{at}.ports"), findings, |port| {
            if *port == 0 { Err("0 is not a port; use 1 to 65535".to_owned()) } else { Ok(*port) }
        }),
        methods: values(lists.methods.as_deref(), &format!("{at}.methods"), findings, method),
        paths: values(lists.paths.as_deref(), &format!("{at}.paths"), findings, path),
        hosts: values(lists.hosts.as_deref(), &format!("{at}.hosts"), findings, host),
        grpc: values(lists.grpc.as_deref(), &format!("{at}.grpc"), findings, |text| {
            GrpcCall::parse(text).map_err(|error| format!("`{text}` {error}"))
        }),
        sni: values(lists.sni.as_deref(), &format!("{at}.sni"), findings, host),
    }
}

fn method(text: &str) -> Result<String, String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.contains('*') || !text.bytes().all(token) {
        return Err(format!(
            "`{text}` is not a method; write one such as GET, and leave `methods` out for all"
        ));
    }
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(format!(
            "`{text}` has small letters, which no method of HTTP has; write `{}`",
            text.to_ascii_uppercase()
        ));
    }
    Ok(text.to_owned())
}

/// Paths are compared in the spelling that is forwarded; one in another spelling would never fit, and never deny.
fn path(text: &str) -> Result<PathRule, String> {
    let rule = PathRule::parse(text).map_err(|error| format!("`{text}` {error}"))?;
    let bare = match &rule {
        PathRule::Exact(path) | PathRule::Under(path) => path.as_str(),
    };
    if let Some(odd) = ['?', '#'].into_iter().find(|odd| bare.contains(*odd)) {
        return Err(format!("`{text}` has a `{odd}`; only the path is compared, never the query"));
    }
    if bare.is_empty() {
        return Ok(rule);
    }
    match mesh_http1::canonical::path(bare.as_bytes()) {
        Ok(canonical) if *canonical == *bare.as_bytes() => Ok(rule),
        Ok(canonical) => {
            let right = String::from_utf8_lossy(&canonical).into_owned();
            Err(format!("`{text}` is forwarded as `{right}` and compared so; write that"))
        }
        Err(refusal) => Err(format!("`{text}` is a path that no request has: {refusal}")),
    }
}

fn values<T>(
    given: Option<&[String]>,
    field: &str,
    findings: &mut Findings,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    listed(given, field, findings, |text| {
        if text.len() > MAX_TEXT {
            return Err(format!("has {} bytes, at most {MAX_TEXT} are allowed", text.len()));
        }
        read(text)
    })
}

fn listed<G, T>(
    given: Option<&[G]>,
    field: &str,
    findings: &mut Findings,
    read: impl Fn(&G) -> Result<T, String>,
) -> Vec<T> {
    let Some(given) = given else { return Vec::new() };
    if given.is_empty() {
        findings
            .fault(field, "is empty, which is neither nobody nor everybody; leave it out, or name something");
    }
    findings.limit(field, given.len(), MAX_VALUES);
    let mut all = Vec::with_capacity(given.len());
    for (at, one) in given.iter().enumerate() {
        match read(one) {
            Ok(value) => all.push(value),
            Err(message) => findings.fault(format!("{field}[{at}]"), message),
        }
    }
    all
}

fn condition(given: &given::Condition, at: &str, findings: &mut Findings) -> Option<Condition> {
    match (&given.header, &given.claim, &given.cel) {
        (Some(header), None, None) => header_condition(header, &format!("{at}.header"), findings),
        (None, Some(claim), None) => {
            let values = values(Some(&claim.values), &format!("{at}.claim.values"), findings, |text| {
                Ok(text.to_owned())
            });
            if claim.path.is_empty() {
                findings.fault(format!("{at}.claim.path"), "is empty; name a claim, such as `sub`");
            }
            Some(Condition::Claim { path: claim.path.clone(), values })
        }
        (None, None, Some(text)) => match Program::compile(text) {
            Ok(program) => Some(Condition::Cel(program)),
            Err(error) => {
                findings.fault(format!("{at}.cel"), error.to_string());
                None
            }
        },
        (None, None, None) => {
            findings.fault(at, "says nothing; write `header`, `claim` or `cel`");
            None
        }
        _ => {
            findings.fault(at, "says several things; write an entry of `when` for each");
            None
        }
    }
}

fn header_condition(given: &given::HeaderCondition, at: &str, findings: &mut Findings) -> Option<Condition> {
    let name = given.name.to_ascii_lowercase();
    if !super::matches::is_header_name(&name) {
        findings.fault(format!("{at}.name"), format!("`{}` is not a header name", given.name));
    } else if name == "host" {
        findings.fault(format!("{at}.name"), "is compared in to[].hosts, where case and port mean nothing");
    }
    match (&given.values, given.present) {
        (Some(all), None) => {
            let values = values(Some(all), &format!("{at}.values"), findings, |text| {
                if text.contains('*') && text.len() == 1 {
                    return Err("is a literal; write `present: true` for any value".to_owned());
                }
                Ok(text.to_owned())
            });
            Some(Condition::Header { name, values })
        }
        (None, Some(present)) => Some(Condition::HeaderPresent { name, present }),
        (None, None) | (Some(_), Some(_)) => {
            findings.fault(at, "needs either `values` or `present`");
            None
        }
    }
}

#[cfg(test)]
mod tests;
