//! Compares tables with a second reading of the standard: it collects what fits by other means, then strikes out
//! criterion by criterion as the text of the standard goes. It shares no code with what it checks.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::name::Name;
use crate::route::{ParentRef, RouteId, ValueMatch};
use crate::sample::{Head, grpc, http, rule};

/// A request whose parts are known before encoding.
#[derive(Debug, Clone)]
struct Sent {
    head: Head,
    query: Vec<(&'static str, &'static str)>,
}

/// A candidate: route, rule, match.
type Fit<'a> = (&'a Arc<Route>, usize, usize);

fn matched<'a>((route, rule, one): &Fit<'a>) -> &'a Match {
    &route.rules[*rule].matches[*one]
}

fn text_fits(wanted: &TextMatch, text: &str) -> bool {
    match wanted {
        TextMatch::Exact(exact) => exact == text,
        TextMatch::Regex(pattern) => match pattern.source() {
            "/a|/b" => text == "/a" || text == "/b",
            ".*" => !text.contains('\n'),
            ".+" => !text.is_empty() && !text.contains('\n'),
            "/.*" => text.starts_with('/'),
            "/a.*" => text.starts_with("/a"),
            ".*/b" => text.ends_with("/b"),
            "[12]" => text == "1" || text == "2",
            "[MN]" => text == "M" || text == "N",
            "s\\..*" => text.starts_with("s."),
            other => panic!("say what {other} means"),
        },
    }
}

/// Keeps the first of each name.
fn distinct(conditions: &[ValueMatch]) -> Vec<&ValueMatch> {
    let mut out: Vec<&ValueMatch> = Vec::new();
    for condition in conditions {
        if out.iter().all(|seen| seen.name != condition.name) {
            out.push(condition);
        }
    }
    out
}

fn path_fits(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(exact) => exact == path,
        PathMatch::Prefix(prefix) if prefix == "/" => true,
        PathMatch::Prefix(prefix) => {
            let segments: Vec<&str> = path.split('/').collect();
            segments.starts_with(&prefix.split('/').collect::<Vec<&str>>())
        }
        PathMatch::Regex(pattern) => text_fits(&TextMatch::Regex(pattern.clone()), path),
    }
}

fn fits(one: &Match, sent: &Sent) -> bool {
    let headers = distinct(&one.headers).into_iter().all(|wanted| {
        let values: Vec<&str> = sent
            .head
            .headers
            .iter()
            .filter(|(name, _)| name.to_lowercase() == wanted.name)
            .map(|(_, value)| std::str::from_utf8(value).unwrap())
            .collect();
        !values.is_empty() && text_fits(&wanted.value, &values.join(","))
    });
    headers
        && match &one.target {
            Target::Http { path, method, query } => {
                path_fits(path, &sent.head.path)
                    && (method.is_none() || method.as_ref() == Some(&sent.head.method))
                    && distinct(query).into_iter().all(|wanted| {
                        let first = sent.query.iter().find(|(name, _)| *name == wanted.name);
                        first.is_some_and(|(_, value)| text_fits(&wanted.value, value))
                    })
            }
            Target::Grpc(GrpcMatch { service: None, method: None }) => true,
            Target::Grpc(call) => match sent.head.path.split('/').collect::<Vec<_>>().as_slice() {
                ["", service, method] if !service.is_empty() && !method.is_empty() => {
                    call.service.as_ref().is_none_or(|wanted| text_fits(wanted, service))
                        && call.method.as_ref().is_none_or(|wanted| text_fits(wanted, method))
                }
                _ => false,
            },
        }
}

/// Strikes out all whose value is not the largest.
fn keep_largest(fit: Vec<Fit<'_>>, value: impl Fn(&Match) -> usize) -> Vec<Fit<'_>> {
    let largest = fit.iter().map(|one| value(matched(one))).max().unwrap_or(0);
    fit.into_iter().filter(|one| value(matched(one)) == largest).collect()
}

fn path_of(one: &Match) -> Option<&PathMatch> {
    match &one.target {
        Target::Http { path, .. } => Some(path),
        Target::Grpc(_) => None,
    }
}

/// "Characters in a matching service (or method)": an exact text counts before an expression.
fn keep_grpc(fit: Vec<Fit<'_>>, part: fn(&GrpcMatch) -> &Option<TextMatch>) -> Vec<Fit<'_>> {
    let of = |one: &Match, exact: bool| match &one.target {
        Target::Grpc(call) => match part(call) {
            Some(TextMatch::Exact(text)) if exact => text.len(),
            Some(TextMatch::Regex(pattern)) if !exact => pattern.source().len(),
            _ => 0,
        },
        Target::Http { .. } => 0,
    };
    keep_largest(keep_largest(fit, |one| of(one, true)), |one| of(one, false))
}

/// The decision as the standard tells it.
fn decide(
    service: &ServiceName,
    port: u16,
    client: &str,
    routes: &[Arc<Route>],
    sent: &Sent,
) -> Option<(RouteId, usize, usize)> {
    let attached = |route: &&Arc<Route>| {
        route.parents.iter().any(|p| p.service == *service && (p.port.is_none() || p.port == Some(port)))
    };
    let mut held: Vec<&Arc<Route>> =
        routes.iter().filter(attached).filter(|r| r.id.name.namespace() == client).collect();
    if held.is_empty() {
        held = routes
            .iter()
            .filter(attached)
            .filter(|r| r.id.name.namespace() == service.0.namespace())
            .collect();
    }
    if held.iter().any(|r| r.id.kind == RouteKind::Grpc) {
        held.retain(|r| r.id.kind == RouteKind::Grpc);
    }
    let mut fit: Vec<Fit<'_>> = Vec::new();
    for route in held {
        for (rule_index, rule) in route.rules.iter().enumerate() {
            for (match_index, one) in rule.matches.iter().enumerate() {
                if fits(one, sent) {
                    fit.push((route, rule_index, match_index));
                }
            }
        }
    }
    fit = keep_largest(fit, |one| usize::from(matches!(path_of(one), Some(PathMatch::Exact(_)))));
    fit = keep_largest(fit, |one| match path_of(one) {
        Some(PathMatch::Regex(pattern)) => pattern.source().len(),
        _ => 0,
    });
    fit = keep_largest(fit, |one| match path_of(one) {
        Some(PathMatch::Prefix(prefix)) => prefix.len(),
        _ => 0,
    });
    fit = keep_largest(fit, |one| usize::from(matches!(&one.target, Target::Http { method: Some(_), .. })));
    fit = keep_grpc(fit, |call| &call.service);
    fit = keep_grpc(fit, |call| &call.method);
    fit = keep_largest(fit, |one| distinct(&one.headers).len());
    fit = keep_largest(fit, |one| match &one.target {
        Target::Http { query, .. } => distinct(query).len(),
        Target::Grpc(_) => 0,
    });
    let oldest = fit.iter().map(|(route, _, _)| route.created).min()?;
    fit.retain(|(route, _, _)| route.created == oldest);
    let first = fit.iter().map(|(route, _, _)| route.id.name.to_string()).min()?;
    fit.retain(|(route, _, _)| route.id.name.to_string() == first);
    fit.first().map(|(route, rule_index, match_index)| (route.id.clone(), *rule_index, *match_index))
}

// Small alphabets, so that most requests fit several matches and ties are common.

fn few<S: Strategy>(one: S) -> impl Strategy<Value = Vec<S::Value>> {
    (prop_oneof![4 => Just(0_usize), 2 => Just(1), 1 => Just(2)], prop::collection::vec(one, 2)).prop_map(
        |(count, mut all)| {
            all.truncate(count);
            all
        },
    )
}

fn any_http() -> impl Strategy<Value = Match> {
    let plain = vec!["/", "/a", "/a/b", "/b", "=/a", "=/a/b", "=/"];
    let expressions = vec!["~/.*", "~/a.*", "~.*/b", "~/a|/b"];
    (
        prop_oneof![4 => select(plain), 1 => select(expressions)],
        prop::option::weighted(0.3, select(vec!["GET", "POST"])),
        few((select(vec!["x", "y"]), select(vec!["=1", "=1", "=2", "=1,2", "~.*", "~[12]"]))),
        few((select(vec!["p", "q r"]), select(vec!["=1", "=1", "=a b", "=", "~.+"]))),
    )
        .prop_map(|(path, method, headers, query)| {
            let start = method.map_or_else(|| http(path), |method| http(path).with_method(method));
            let start = headers.into_iter().fold(start, |one, (name, spec)| one.with_header(name, spec));
            query.into_iter().fold(start, |one, (name, spec)| one.with_query(name, spec))
        })
}

fn any_grpc() -> impl Strategy<Value = Match> {
    (
        select(vec!["", "", "=s.A", "=s.A", "=s.AB", "~s\\..*", "~.*"]),
        select(vec!["", "", "=M", "=M", "=N", "~[MN]", "~.*"]),
        few((select(vec!["x", "y"]), select(vec!["=1", "=1", "~.*"]))),
    )
        .prop_map(|(service, method, headers)| {
            headers.into_iter().fold(grpc(service, method), |one, (name, spec)| one.with_header(name, spec))
        })
}

fn rules_of(one: impl Strategy<Value = Match>) -> impl Strategy<Value = Vec<Vec<Match>>> {
    prop::collection::vec(prop::collection::vec(one, 1..4), 0..4)
}

/// `grpc_share` of ten are GRPCRoutes: where there is one, HTTPRoutes count nothing.
fn any_route(grpc_share: u32) -> impl Strategy<Value = Route> {
    let rules = prop_oneof![
        10 - grpc_share => rules_of(any_http()).prop_map(|rules| (RouteKind::Http, rules)),
        grpc_share => rules_of(any_grpc()).prop_map(|rules| (RouteKind::Grpc, rules)),
    ];
    let parent =
        (select(vec!["cart", "cart", "cart", "other"]), select(vec![None, None, Some(80), Some(81)]));
    let namespaces = select(vec!["shop", "shop", "shop", "web", "mobile"]);
    (rules, namespaces, select(vec!["a", "a-b", "a.b", "b"]), prop::collection::vec(parent, 1..3), 0_u64..2)
        .prop_map(|((kind, rules), namespace, name, parents, created)| Route {
            id: RouteId { kind, name: Name::new(namespace, name).unwrap() },
            parents: parents
                .into_iter()
                .map(|(service, port)| ParentRef {
                    service: ServiceName::new("shop", service).unwrap(),
                    port,
                })
                .collect(),
            rules: rules.into_iter().map(rule).collect(),
            created,
            origin: String::new(),
        })
}

fn any_routes() -> impl Strategy<Value = Vec<Arc<Route>>> {
    let routes = |grpc_share| prop::collection::vec(any_route(grpc_share), 0..7);
    prop_oneof![6 => routes(0), 2 => routes(10), 1 => routes(2)]
        .prop_map(|mut routes| {
            // There is one object of a kind and a name.
            routes.sort_by(|a, b| a.id.cmp(&b.id));
            routes.dedup_by(|a, b| a.id == b.id);
            routes.into_iter().map(Arc::new).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

fn any_request() -> impl Strategy<Value = Sent> {
    let http = vec!["/", "/a", "/a", "/a/b", "/a/", "/a/b/c", "/ab", "/b", "/c", "*"];
    let grpc = vec!["/s.A/M", "/s.A/M", "/s.A/N", "/s.AB/M", "/s.C/O", "/s.A/M/x"];
    let paths = prop_oneof![2 => select(http), 1 => select(grpc)];
    // Encoded and plain form of names and values.
    let names = vec![("p", "p"), ("%70", "p"), ("q+r", "q r"), ("q%20r", "q r")];
    let values = vec![("1", "1"), ("%31", "1"), ("a+b", "a b"), ("a%20b", "a b"), ("", ""), ("2", "2")];
    (
        select(vec!["GET", "GET", "POST", "PUT"]),
        paths,
        prop::collection::vec((select(vec!["x", "X", "y"]), select(vec!["1", "1", "2"])), 0..4),
        prop::option::of(prop::collection::vec((select(names), select(values)), 0..4)),
    )
        .prop_map(|(method, path, headers, query)| {
            let mut head = Head::get(path).method(method);
            for (name, value) in headers {
                head = head.header(name, value);
            }
            let query = query.map(|pairs| {
                let text: Vec<String> =
                    pairs.iter().map(|((name, _), (value, _))| format!("{name}={value}")).collect();
                head.query = Some(text.join("&"));
                pairs.into_iter().map(|((_, name), (_, value))| (name, value)).collect()
            });
            Sent { head, query: query.unwrap_or_default() }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    #[test]
    fn tables_decide_as_the_standard_says(
        routes in any_routes(),
        requests in prop::collection::vec(any_request(), 32),
        client in select(vec!["shop", "web", "elsewhere"]),
        port in select(vec![80_u16, 81]),
    ) {
        let service = ServiceName::new("shop", "cart").unwrap();
        let table = RouteTable::build(&service, port, client, &routes, &[]);
        for sent in &requests {
            let decided = table.decide(&sent.head).map(|c| (c.route.id.clone(), c.rule_index, c.match_index));
            prop_assert_eq!(decided, decide(&service, port, client, &routes, sent), "{:?}", sent);
        }
    }
}
