//! Parts of the model in words: shares, sizes, matches, filters, backends. Pure.

use mesh_model::asking::{AuthProtocol, ExternalAuth};
use mesh_model::route::cors::Verdict as CorsVerdict;
use mesh_model::route::table::Standing;
use mesh_model::route::{
    BackendTarget, Cors, Filter, HeaderEdit, Match, PathMatch, PathRewrite, Redirect, Route, Target,
    TextMatch, UrlRewrite, ValueMatch,
};
use mesh_model::service::Protocol;
use mesh_model::traffic::Ppm;

/// Parts per million as per cent, exactly.
pub(crate) fn per_cent(share: Ppm) -> String {
    let text = format!("{}.{:04}", share.0 / 10_000, share.0 % 10_000);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A part of 1 as per cent, with at most two digits after the point.
pub(crate) fn share(part: f64) -> String {
    let text = format!("{:.2}", part * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `1 attempt`, `2 attempts`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Bytes in the largest unit in which they are whole.
pub(crate) fn kib(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        bytes => count(bytes, "byte"),
    }
}

/// What is spoken.
pub(crate) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
        Protocol::Grpc => "gRPC",
        Protocol::Tcp => "TCP, carried as bytes",
        Protocol::Tls => "TLS of the application, carried as bytes",
    }
}

/// A match, as `GET, path below /a, header x is y`.
pub(crate) fn matching(one: &Match) -> String {
    let mut parts = Vec::new();
    match &one.target {
        Target::Http { path, method, query } => {
            parts.extend(method.clone());
            parts.extend(path_match(path));
            parts.extend(query.iter().map(|value| value_match("query", value)));
        }
        Target::Grpc(call) => {
            parts.extend(call.service.as_ref().map(|text| format!("service {}", text_match(text))));
            parts.extend(call.method.as_ref().map(|text| format!("method {}", text_match(text))));
        }
    }
    parts.extend(one.headers.iter().map(|value| value_match("header", value)));
    if parts.is_empty() { "every request".to_owned() } else { parts.join(", ") }
}

/// `None`: fits every path.
fn path_match(path: &PathMatch) -> Option<String> {
    match path {
        PathMatch::Exact(path) => Some(format!("path {path}")),
        PathMatch::Prefix(prefix) if prefix == "/" => None,
        PathMatch::Prefix(prefix) => Some(format!("path {prefix} and below")),
        PathMatch::Regex(pattern) => Some(format!("path like {}", pattern.source())),
    }
}

fn text_match(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => text.clone(),
        TextMatch::Regex(pattern) => format!("like {}", pattern.source()),
    }
}

fn value_match(what: &str, value: &ValueMatch) -> String {
    match &value.value {
        TextMatch::Exact(text) => format!("{what} {} is `{text}`", value.name),
        TextMatch::Regex(pattern) => format!("{what} {} is like {}", value.name, pattern.source()),
    }
}

/// A filter, as what it does.
pub(crate) fn filter(filter: &Filter) -> String {
    match filter {
        Filter::RequestHeaders(edit) => format!("request headers: {}", header_edit(edit)),
        Filter::ResponseHeaders(edit) => format!("response headers: {}", header_edit(edit)),
        Filter::Redirect(to) => format!("redirect: {}", redirect(to)),
        Filter::Rewrite(to) => format!("rewrite: {}", rewrite(to)),
        Filter::Mirror(mirror) => {
            let compared = if mirror.compare.is_some() { ", answers compared" } else { "" };
            format!("mirror: {} to {}{compared}", per_cent(mirror.share), target(&mirror.target))
        }
        Filter::ExternalAuth(auth) => external_auth(auth),
        Filter::Cors(rules) => format!("CORS: {}", cors(rules)),
    }
}

/// Who is asked whether a request may go on.
fn external_auth(auth: &ExternalAuth) -> String {
    let how = match &auth.protocol {
        AuthProtocol::Grpc { .. } => "by Envoy's ext_authz API",
        AuthProtocol::Http { .. } => "in HTTP",
    };
    let body = match auth.max_body {
        0 => String::new(),
        max => format!(", with bodies of at most {max} bytes"),
    };
    let seconds = auth.timeout.as_secs_f64();
    format!(
        "external authorization: {} is asked {how}{body}, and refuses unless it says yes within {seconds} s",
        target(&auth.target)
    )
}

fn header_edit(edit: &HeaderEdit) -> String {
    let pairs = |verb: &str, pairs: &[(String, String)]| {
        pairs.iter().map(|(name, value)| format!("{verb} {name}: {value}")).collect::<Vec<_>>()
    };
    let mut parts = pairs("set", &edit.set);
    parts.extend(pairs("add", &edit.add));
    parts.extend(edit.remove.iter().map(|name| format!("remove {name}")));
    parts.join(", ")
}

fn redirect(to: &Redirect) -> String {
    let mut parts = vec![to.status.to_string()];
    parts.extend(to.scheme.as_ref().map(|scheme| format!("scheme {scheme}")));
    parts.extend(to.hostname.as_ref().map(|host| format!("host {host}")));
    parts.extend(to.port.map(|port| format!("port {port}")));
    parts.extend(to.path.as_ref().map(path_rewrite));
    format!("{}; no backend is called", parts.join(", "))
}

fn rewrite(to: &UrlRewrite) -> String {
    let mut parts = Vec::new();
    parts.extend(to.hostname.as_ref().map(|host| format!("host {host}")));
    parts.extend(to.path.as_ref().map(path_rewrite));
    parts.join(", ")
}

fn path_rewrite(path: &PathRewrite) -> String {
    match path {
        PathRewrite::Full(path) => format!("path {path}"),
        PathRewrite::Prefix(prefix) => format!("matched prefix becomes {prefix}"),
    }
}

fn cors(cors: &Cors) -> String {
    let list =
        |name: &str, values: &[String]| (!values.is_empty()).then(|| format!("{name} {}", values.join(" ")));
    let mut parts: Vec<String> = [
        list("origins", &cors.allow_origins),
        list("methods", &cors.allow_methods),
        list("headers", &cors.allow_headers),
        list("exposes", &cors.expose_headers),
    ]
    .into_iter()
    .flatten()
    .collect();
    if cors.allow_credentials {
        parts.push("with credentials".to_owned());
    }
    parts.join(", ")
}

/// Why a route does not count; `None` of one that does.
pub(crate) fn standing(standing: Standing, route: &Route) -> Option<String> {
    let namespace = route.id.name.namespace();
    match standing {
        Standing::InForce => None,
        Standing::OtherPort => Some("it is attached to another port".to_owned()),
        Standing::OtherNamespace => Some(format!("it holds for callers in {namespace} only")),
        Standing::HiddenByConsumer => {
            Some("the caller's namespace has routes of its own for the service".to_owned())
        }
        Standing::HiddenByGrpc => {
            Some("a GRPCRoute is attached to the port, so HTTPRoutes do not count".to_owned())
        }
    }
}

/// What a cross-origin request lacks; empty where nothing.
pub(crate) fn cors_verdict(verdict: CorsVerdict) -> &'static str {
    match verdict {
        CorsVerdict::Allowed => "",
        CorsVerdict::OriginRefused => "its origin is not allowed",
        CorsVerdict::MethodRefused => "its method is not allowed",
        CorsVerdict::HeaderRefused => "one of its headers is not allowed",
    }
}

/// A backend's service.
pub(crate) fn target(target: &BackendTarget) -> String {
    match target {
        BackendTarget::Service { service, port } => format!("{service}:{port}"),
        BackendTarget::Invalid { reference, .. } => reference.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_sizes_are_exact() {
        assert_eq!(
            [Ppm(0), Ppm(100_000), Ppm(1_000_000), Ppm(125_000), Ppm(1)].map(per_cent),
            ["0 %", "10 %", "100 %", "12.5 %", "0.0001 %"]
        );
        assert_eq!(
            [0, 1, 1000, 1024, 65_536, 3 << 20].map(kib),
            ["0", "1 byte", "1000 bytes", "1 KiB", "64 KiB", "3 MiB"]
        );
    }

    #[test]
    fn a_match_that_fits_everything_says_so() {
        let target = Target::Http { path: PathMatch::prefix("/"), method: None, query: Vec::new() };
        assert_eq!(matching(&Match { target, headers: Vec::new() }), "every request");
        let value = |name: &str| ValueMatch { name: name.into(), value: TextMatch::Exact("yes".into()) };
        let target = Target::Http {
            path: PathMatch::prefix("/a/"),
            method: Some("GET".into()),
            query: vec![value("q")],
        };
        assert_eq!(
            matching(&Match { target, headers: vec![value("x-t")] }),
            "GET, path /a and below, query q is `yes`, header x-t is `yes`"
        );
    }
}
