//! Values with `*` at their beginning or end, as lists where they are literal, else as expressions. They must not know rules.

use serde_json::{Value, json};

use super::{Action, Written};

/// A value as Istio reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Suffix(&'a str),
    /// Anything that is there.
    Present,
}

impl<'a> Pattern<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        match (text, text.strip_suffix('*'), text.strip_prefix('*')) {
            ("*", ..) => Self::Present,
            (_, Some(prefix), _) => Self::Prefix(prefix),
            (_, None, Some(suffix)) => Self::Suffix(suffix),
            _ => Self::Exact(text),
        }
    }

    /// As an expression over a string.
    fn cel(self, of: &str) -> String {
        match self {
            Self::Exact(text) => format!("{of} == {}", quoted(text)),
            Self::Prefix(text) => format!("{of}.startsWith({})", quoted(text)),
            Self::Suffix(text) => format!("{of}.endsWith({})", quoted(text)),
            Self::Present => "true".to_owned(),
        }
    }
}

/// A string of CEL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// One of several expressions, or none of them.
fn any(of: &[String], there: &str, negated: bool) -> Written {
    let of: Vec<&str> = of.iter().map(String::as_str).filter(|one| *one != "true").collect();
    let either = of.join(" || ");
    let text = match (there.is_empty(), of.as_slice()) {
        (true, []) => "true".to_owned(),
        (true, _) => either,
        (false, []) => there.to_owned(),
        (false, [_]) => format!("{there} && {either}"),
        (false, _) => format!("{there} && ({either})"),
    };
    if text.len() > 4_000 || text.is_empty() {
        return Written::Unknown;
    }
    Written::Cel(if negated { format!("!({text})") } else { text })
}

fn list(name: &'static str, values: Vec<Value>, negated: bool) -> Written {
    if negated { Written::Not(name, values) } else { Written::List(name, values) }
}

/// Texts of a variable that is always there, or is there where `there` holds. `*` among them fits all.
pub(super) fn text(of: &str, there: &str, given: &[&str], negated: bool) -> Written {
    let patterns: Vec<Pattern<'_>> = given.iter().map(|one| Pattern::parse(one)).collect();
    if patterns.contains(&Pattern::Present) {
        return any(&["true".to_owned()], there, negated);
    }
    any(&patterns.iter().map(|one| one.cel(of)).collect::<Vec<_>>(), there, negated)
}

/// Namespaces: a list where all are literal.
pub(super) fn names(name: &'static str, of: &str, given: &[&str], negated: bool) -> Written {
    match Written::literal(name, given, negated) {
        Written::Unknown => text(of, &format!("has({of})"), given, negated),
        literal => literal,
    }
}

/// `TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`; `cluster.local` is whatever the mesh's own trust domain is.
pub(super) fn principals(given: &[&str], negated: bool) -> Written {
    let own = |text: &str| -> Option<Value> {
        let mut parts = text.strip_prefix("cluster.local/ns/")?.split("/sa/");
        let (namespace, account, none) = (parts.next()?, parts.next()?, parts.next());
        (none.is_none() && !account.is_empty()).then(|| json!(format!("{namespace}/{account}")))
    };
    let exact = given.iter().all(|text| Pattern::parse(text) == Pattern::Exact(text)) && !given.is_empty();
    let accounts: Vec<Value> = given.iter().filter_map(|text| own(text)).collect();
    if exact && accounts.len() == given.len() {
        return list("serviceAccounts", accounts, negated);
    }
    if exact && accounts.is_empty() {
        return list(
            "identities",
            given.iter().map(|text| json!(format!("spiffe://{text}"))).collect(),
            negated,
        );
    }
    let namespace = |text: &&str| {
        let rest = text.strip_prefix("cluster.local/ns/")?;
        let name = rest.strip_suffix("/sa/*").or_else(|| rest.strip_suffix("/*"))?;
        (!name.contains(['/', '*'])).then(|| json!(name))
    };
    let namespaces: Vec<Value> = given.iter().filter_map(namespace).collect();
    if namespaces.len() == given.len() && !given.is_empty() {
        return list("namespaces", namespaces, negated);
    }
    let one = |text: &&str| match Pattern::parse(text) {
        Pattern::Present => Some("true".to_owned()),
        Pattern::Suffix(suffix) => Some(format!("source.identity.endsWith({})", quoted(suffix))),
        pattern @ (Pattern::Exact(body) | Pattern::Prefix(body)) => match body.strip_prefix("cluster.local/")
        {
            Some(rest) => own_prefix(rest, pattern),
            None if body.contains('/') => {
                let whole = format!("spiffe://{body}");
                Some(match pattern {
                    Pattern::Exact(_) => format!("source.identity == {}", quoted(&whole)),
                    _ => format!("source.identity.startsWith({})", quoted(&whole)),
                })
            }
            None => None,
        },
    };
    let all: Option<Vec<String>> = given.iter().map(one).collect();
    let present = given.contains(&"*");
    all.map_or(Written::Unknown, |all| any(if present { &[] } else { &all }, "connection.mtls", negated))
}

/// The rest after the own trust domain: `ns/N/sa/A` or a beginning of it.
fn own_prefix(rest: &str, pattern: Pattern<'_>) -> Option<String> {
    let ours = "has(source.namespace)";
    let rest = rest.strip_prefix("ns/").or_else(|| rest.is_empty().then_some(""))?;
    let exact = matches!(pattern, Pattern::Exact(_));
    match rest.split_once("/sa/") {
        _ if rest.is_empty() => Some(ours.to_owned()),
        Some((namespace, account)) => {
            let account = if exact { Pattern::Exact(account) } else { Pattern::Prefix(account) };
            let account = account.cel("source.serviceAccount");
            Some(format!("({ours} && source.namespace == {} && {account})", quoted(namespace)))
        }
        None if exact => None,
        None => match rest.strip_suffix('/') {
            Some(namespace) => Some(format!("({ours} && source.namespace == {})", quoted(namespace))),
            None if rest.contains('/') => None,
            None => Some(format!("({ours} && source.namespace.startsWith({}))", quoted(rest))),
        },
    }
}

/// `ISSUER/SUBJECT` of a token.
pub(super) fn request_principals(given: &[&str], negated: bool) -> Written {
    let there = "has(jwt.claims.iss) && has(jwt.claims.sub)";
    if given.contains(&"*") {
        return any(&[], there, negated);
    }
    let one = |text: &&str| match Pattern::parse(text) {
        Pattern::Exact(text) => {
            let (issuer, subject) = text.rsplit_once('/')?;
            Some(format!("(jwt.claims.iss == {} && jwt.claims.sub == {})", quoted(issuer), quoted(subject)))
        }
        Pattern::Prefix(text) => match text.strip_suffix('/') {
            Some(issuer) => Some(format!("jwt.claims.iss == {}", quoted(issuer))),
            None => Some(format!("(jwt.claims.iss + '/' + jwt.claims.sub).startsWith({})", quoted(text))),
        },
        Pattern::Suffix(text) => match text.strip_prefix('/').filter(|subject| !subject.contains('/')) {
            Some(subject) => Some(format!("jwt.claims.sub == {}", quoted(subject))),
            None => Some(format!("(jwt.claims.iss + '/' + jwt.claims.sub).endsWith({})", quoted(text))),
        },
        Pattern::Present => None,
    };
    let all: Option<Vec<String>> = given.iter().map(one).collect();
    all.map_or(Written::Unknown, |all| any(&all, there, negated))
}

/// Hosts: in small letters, without port.
pub(super) fn hosts(given: &[&str], negated: bool) -> Written {
    let bare = |text: &&str| text.split(':').next().unwrap_or(text).to_ascii_lowercase();
    // A port of one's own would be one condition more.
    if given.iter().any(|text| text.split_once(':').is_some_and(|(_, port)| port != "*")) {
        return Written::Unknown;
    }
    let bare: Vec<String> = given.iter().map(bare).collect();
    let literal = bare.iter().all(|text| match Pattern::parse(text) {
        Pattern::Exact(_) => true,
        Pattern::Suffix(suffix) => suffix.starts_with('.'),
        Pattern::Prefix(_) | Pattern::Present => false,
    });
    if literal && !bare.is_empty() {
        return list("hosts", bare.iter().map(|text| json!(text)).collect(), negated);
    }
    let bare: Vec<&str> = bare.iter().map(String::as_str).collect();
    text("request.host", "", &bare, negated)
}

pub(super) fn methods(given: &[&str], negated: bool) -> Written {
    let token = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    if given.iter().all(token) && !given.is_empty() {
        return list("methods", given.iter().map(|text| json!(text)).collect(), negated);
    }
    text("request.method", "", given, negated)
}

/// Paths: `X/*` is a list's own form, and fits X too.
pub(super) fn paths(given: &[&str], negated: bool, action: Action) -> Written {
    if given.iter().any(|text| text.contains('{')) {
        return templates(given, negated);
    }
    if given.contains(&"*") {
        return list("paths", vec![json!("/*")], negated);
    }
    let simple = |text: &str| {
        text.starts_with('/')
            && !text.contains("//")
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b))
    };
    let literal = given.iter().all(|text| match Pattern::parse(text) {
        Pattern::Exact(text) => simple(text),
        Pattern::Prefix(prefix) => prefix.ends_with('/') && simple(prefix),
        Pattern::Suffix(_) | Pattern::Present => false,
    });
    if !literal || given.is_empty() {
        return text("request.path", "", given, negated);
    }
    let values = given.iter().map(|text| json!(text)).collect();
    let bare: Vec<Value> = given
        .iter()
        .filter_map(|text| text.strip_suffix("/*"))
        .filter(|bare| !bare.is_empty() && !given.contains(bare))
        .map(|bare| json!(bare))
        .collect();
    // Where X itself must not be let in: in a list that allows, and among the exceptions of one that denies.
    match (action, negated) {
        (Action::Allow, false) if !bare.is_empty() => {
            Written::All(vec![Written::List("paths", values), Written::Not("paths", bare)])
        }
        (Action::Deny, true) if !bare.is_empty() => text("request.path", "", given, true),
        _ => list("paths", values, negated),
    }
}

/// `{*}` is a segment, `{**}` any number of them.
fn templates(given: &[&str], negated: bool) -> Written {
    if given.len() > 4 {
        return Written::Unknown;
    }
    let one = |text: &&str| {
        let marked = text.replace("{**}", "\u{1}").replace("{*}", "\u{2}");
        let pattern =
            regex::escape(marked.trim_end_matches('*')).replace('\u{1}', ".*").replace('\u{2}', "[^/]+");
        let end = if marked.ends_with('*') { "" } else { "$" };
        format!("request.path.matches(r'^{pattern}{end}')")
    };
    if given.iter().any(|text| text.contains('\'')) {
        return Written::Unknown;
    }
    any(&given.iter().map(one).collect::<Vec<_>>(), "", negated)
}

/// A header: a list where all are literal.
pub(super) fn header(name: &str, given: &[&str], negated: bool) -> Written {
    let name = name.to_ascii_lowercase();
    if name == "host" || name == ":authority" {
        return hosts(given, negated);
    }
    let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !token {
        return Written::Unknown;
    }
    let patterns: Vec<Pattern<'_>> = given.iter().map(|one| Pattern::parse(one)).collect();
    if patterns.contains(&Pattern::Present) {
        return Written::When(json!({ "header": { "name": name, "present": !negated } }));
    }
    let literal = patterns.iter().all(|one| matches!(one, Pattern::Exact(_)));
    if literal && !negated && !given.is_empty() {
        return Written::When(json!({ "header": { "name": name, "values": given } }));
    }
    let (of, there) = (format!("request.headers['{name}']"), format!("'{name}' in request.headers"));
    text(&of, &there, given, negated)
}

/// A claim of a verified token: a list where all are literal.
pub(super) fn claim(path: &str, given: &[&str], negated: bool) -> Written {
    let patterns: Vec<Pattern<'_>> = given.iter().map(|one| Pattern::parse(one)).collect();
    let literal = patterns.iter().all(|one| matches!(one, Pattern::Exact(_)));
    if literal && !negated && !given.is_empty() {
        return Written::When(json!({ "claim": { "path": path, "values": given } }));
    }
    let name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    if !name(path) {
        return Written::Unknown;
    }
    let of = format!("jwt.claims.{path}");
    text(&of, &format!("has({of})"), given, negated)
}

/// A port of the application.
pub(super) fn port(given: &[&str], negated: bool) -> Written {
    let all: Option<Vec<String>> = given
        .iter()
        .map(|text| text.parse::<u16>().ok().map(|port| format!("destination.port == {port}")))
        .collect();
    all.filter(|all| !all.is_empty()).map_or(Written::Unknown, |all| any(&all, "", negated))
}
