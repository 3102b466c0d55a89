//! Rules of AuthorizationPolicies in words, as short as they can be without saying something else. Pure. It must not decide anything.

use mesh_model::policy::{CallLists, CallerLists, Callers, Calls, Condition, Rule};

/// Entries of a list that are written out.
const MOST: usize = 6;

/// What a rule lets through, or refuses.
pub(crate) fn rule(rule: &Rule) -> String {
    let from: Vec<String> = rule.from.iter().map(callers).collect();
    let to: Vec<String> = rule.to.iter().map(calls).collect();
    let mut parts = vec![if from.is_empty() { "anybody".to_owned() } else { from.join(" or ") }];
    if !to.is_empty() {
        parts.push(format!("for {}", to.join(" or ")));
    }
    let when: Vec<String> = rule.when.iter().map(condition).collect();
    if !when.is_empty() {
        parts.push(format!("when {}", when.join(" and ")));
    }
    parts.join(" ")
}

/// What a rule asks of a call, without who calls.
pub(crate) fn asks(rule: &Rule) -> String {
    let to: Vec<String> = rule.to.iter().map(calls).collect();
    let when = rule.when.iter().map(condition);
    let to = (!to.is_empty()).then(|| to.join(" or "));
    let all: Vec<String> = to.into_iter().chain(when).collect();
    if all.is_empty() { "every call".to_owned() } else { all.join(" and ") }
}

fn list<T: ToString>(name: &str, entries: &[T]) -> Option<String> {
    let shown: Vec<String> = entries.iter().take(MOST).map(ToString::to_string).collect();
    let more = entries.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!entries.is_empty()).then(|| format!("{name} {}{more}", shown.join(", ")))
}

fn callers(entry: &Callers) -> String {
    let mut parts = caller_lists(&entry.fits);
    parts.extend(caller_lists(&entry.not).into_iter().map(|part| format!("not {part}")));
    if parts.is_empty() { "anybody".to_owned() } else { parts.join(", ") }
}

fn caller_lists(lists: &CallerLists) -> Vec<String> {
    let all = [
        list("identity", &lists.identities),
        list("service account", &lists.accounts),
        list("namespace", &lists.namespaces),
        list("trust domain", &lists.trust_domains),
        list("address", &lists.cidrs),
    ];
    all.into_iter().flatten().collect()
}

fn calls(entry: &Calls) -> String {
    let mut parts = call_lists(&entry.fits);
    parts.extend(call_lists(&entry.not).into_iter().map(|part| format!("not {part}")));
    if parts.is_empty() { "every call".to_owned() } else { parts.join(", ") }
}

fn call_lists(lists: &CallLists) -> Vec<String> {
    let all = [
        list("", &lists.methods).map(|methods| methods.trim_start().to_owned()),
        list("", &lists.paths).map(|paths| paths.trim_start().to_owned()),
        list("gRPC", &lists.grpc),
        list("host", &lists.hosts),
        list("port", &lists.ports),
        list("SNI", &lists.sni),
    ];
    all.into_iter().flatten().collect()
}

fn condition(condition: &Condition) -> String {
    let among = |values: &[String]| match values {
        [one] => format!("is `{one}`"),
        several => format!("is one of `{}`", several.join("`, `")),
    };
    match condition {
        Condition::Header { name, values } => format!("header {name} {}", among(values)),
        Condition::HeaderPresent { name, present: true } => format!("header {name} is there"),
        Condition::HeaderPresent { name, present: false } => format!("header {name} is not there"),
        Condition::Claim { path, values } => format!("claim {path} {}", among(values)),
        Condition::Cel(program) => {
            format!("`{}`", program.text().split_whitespace().collect::<Vec<_>>().join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::name::Name;
    use mesh_model::policy::PathRule;

    use super::*;

    #[test]
    fn a_rule_reads_as_a_sentence() {
        let web = Name::new("shop", "web").unwrap();
        let from = Callers {
            fits: CallerLists { accounts: vec![web], ..CallerLists::default() },
            not: CallerLists { namespaces: vec!["lab".into()], ..CallerLists::default() },
        };
        let to = Calls {
            fits: CallLists {
                methods: vec!["GET".into(), "HEAD".into()],
                paths: vec![PathRule::parse("/orders/*").unwrap()],
                ..CallLists::default()
            },
            not: CallLists::default(),
        };
        let when = vec![
            Condition::Header { name: "x-t".into(), values: vec!["a".into(), "b".into()] },
            Condition::Claim { path: "sub".into(), values: vec!["ann".into()] },
        ];
        let one = Rule { from: vec![from], to: vec![to], when };
        assert_eq!(
            rule(&one),
            "service account shop/web, not namespace lab for GET, HEAD, /orders/* when header x-t is one of `a`, `b` and claim sub is `ann`"
        );
        assert_eq!(
            asks(&one),
            "GET, HEAD, /orders/* and header x-t is one of `a`, `b` and claim sub is `ann`"
        );
        assert_eq!((rule(&Rule::default()), asks(&Rule::default())), ("anybody".into(), "every call".into()));
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let namespaces: Vec<String> = (0..9).map(|n| format!("n{n}")).collect();
        assert_eq!(list("namespace", &namespaces).unwrap(), "namespace n0, n1, n2, n3, n4, n5 and 3 more");
    }
}
