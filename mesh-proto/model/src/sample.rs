//! Requests, matches and routes for tests, in few words. It must not know what is tested with them.

use std::sync::Arc;

use crate::head::HeadView;
use crate::name::{Name, ServiceName};
use crate::route::{
    Backend, BackendTarget, GrpcMatch, Match, ParentRef, PathMatch, Pattern, Route, RouteId, RouteKind, Rule,
    Target, TextMatch, Timeouts, ValueMatch,
};

/// A request head.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) authority: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    pub(crate) fn get(target: &str) -> Self {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            authority: "cart.shop:8080".to_owned(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }
}

impl HeadView for Head {
    fn method(&self) -> &str {
        &self.method
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn authority(&self) -> &str {
        &self.authority
    }
    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        self.headers
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .for_each(|(_, value)| visit(value));
    }
}

/// `=text` exact, `~text` expression.
pub(crate) fn text(spec: &str) -> TextMatch {
    match spec.strip_prefix('~') {
        Some(source) => TextMatch::Regex(Pattern::new(source).unwrap()),
        None => TextMatch::Exact(spec.strip_prefix('=').unwrap_or(spec).to_owned()),
    }
}

pub(crate) fn value(name: &str, spec: &str) -> ValueMatch {
    ValueMatch { name: name.to_owned(), value: text(spec) }
}

/// `=/path` exact, `~source` expression, else prefix.
pub(crate) fn path(spec: &str) -> PathMatch {
    match text(spec) {
        TextMatch::Exact(path) if spec.starts_with('=') => PathMatch::Exact(path),
        TextMatch::Exact(path) => PathMatch::prefix(&path),
        TextMatch::Regex(pattern) => PathMatch::Regex(pattern),
    }
}

pub(crate) fn http(path_spec: &str) -> Match {
    Match {
        target: Target::Http { path: path(path_spec), method: None, query: Vec::new() },
        headers: Vec::new(),
    }
}

/// Empty texts: none.
pub(crate) fn grpc(service: &str, method: &str) -> Match {
    let part = |spec: &str| (!spec.is_empty()).then(|| text(spec));
    Match {
        target: Target::Grpc(GrpcMatch { service: part(service), method: part(method) }),
        headers: Vec::new(),
    }
}

impl Match {
    pub(crate) fn with_method(mut self, wanted: &str) -> Self {
        if let Target::Http { method, .. } = &mut self.target {
            *method = Some(wanted.to_owned());
        }
        self
    }
    pub(crate) fn with_query(mut self, name: &str, spec: &str) -> Self {
        if let Target::Http { query, .. } = &mut self.target {
            query.push(value(name, spec));
        }
        self
    }
    pub(crate) fn with_header(mut self, name: &str, spec: &str) -> Self {
        self.headers.push(value(name, spec));
        self
    }
}

pub(crate) fn backend(name: &str, weight: u32) -> Backend {
    let service = ServiceName::new("shop", name).unwrap();
    Backend {
        target: BackendTarget::Service { service, port: 80 },
        weight,
        filters: Vec::new(),
        takes: Vec::new(),
    }
}

pub(crate) fn rule(matches: Vec<Match>) -> Rule {
    Rule {
        name: None,
        matches,
        filters: Vec::new(),
        backends: Vec::new(),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    }
}

/// A route of service `shop/cart`, all ports.
pub(crate) fn route(kind: RouteKind, namespace: &str, name: &str, rules: Vec<Rule>) -> Route {
    Route {
        id: RouteId { kind, name: Name::new(namespace, name).unwrap() },
        parents: vec![ParentRef { service: cart(), port: None }],
        rules,
        created: 0,
        origin: String::new(),
    }
}

pub(crate) fn http_route(name: &str, matches: Vec<Match>) -> Arc<Route> {
    Arc::new(route(RouteKind::Http, "shop", name, matches.into_iter().map(|one| rule(vec![one])).collect()))
}

pub(crate) fn cart() -> ServiceName {
    ServiceName::new("shop", "cart").unwrap()
}
