//! Routes from the wire. It must not decide which of them wins.

use std::sync::Arc;

use mesh_model::compare::{Compare, JsonPath};
use mesh_model::name::Name;
use mesh_model::route::{
    Backend, BackendTarget, Cors, Filter, GrpcMatch, HeaderEdit, Match, Mirror, ParentRef, PathMatch,
    PathRewrite, Pattern, Redirect, Route, RouteId, RouteKind, Rule, RuleRetry, Target, TextMatch, Timeouts,
    UrlRewrite, ValueMatch,
};

use super::asking::external_auth;
use super::field::{Field, Wrong, all};
use super::policy::{session, statuses};
use super::{route_kind, service_name};
use crate::config::v1 as wire;
use crate::convert::bounds;

pub(super) fn route(route: wire::Route) -> Result<Route, Wrong> {
    let root = Field::root();
    let kind = route_kind(&root.at("kind"), route.kind)?;
    let name = Name::new(&route.namespace, &route.name).map_err(|e| root.at(e.what).refused(&e))?;
    let parents = all(root.at("parents"), bounds::PARENTS, route.parents, parent)?;
    let rules = all(root.at("rules"), bounds::RULES, route.rules, |field, one| rule(field, kind, one))?;
    let origin = root.at("origin").text(route.origin)?;
    Ok(Route { id: RouteId { kind, name }, parents, rules, created: route.created, origin })
}

pub(super) fn parent(field: &Field<'_>, parent: wire::ParentRef) -> Result<ParentRef, Wrong> {
    Ok(ParentRef {
        service: service_name(field, &parent.namespace, &parent.name)?,
        port: field.at("port").optional_port(parent.port)?,
    })
}

fn rule(field: &Field<'_>, kind: RouteKind, rule: wire::Rule) -> Result<Rule, Wrong> {
    if rule.matches.is_empty() {
        return Err(field
            .at("matches")
            .wrong("is empty: a rule for every request has one match that says so"));
    }
    // Zero is a word of its own here: no limit, whatever a policy says.
    let timeout = |name, millis: Option<u64>| millis.map(|millis| field.at(name).time(millis)).transpose();
    let retry = |retry: wire::RuleRetry| {
        let field = field.at("retry");
        Ok(RuleRetry {
            statuses: statuses(field.at("statuses"), retry.statuses)?,
            attempts: retry
                .attempts
                .map(|n| field.at("attempts").at_most(n, bounds::ATTEMPTS))
                .transpose()?,
            backoff: retry.backoff_ms.map(|ms| field.at("backoff_ms").time(ms)).transpose()?,
        })
    };
    Ok(Rule {
        name: field.at("name").optional_text(rule.name)?,
        matches: all(field.at("matches"), bounds::MATCHES, rule.matches, |field, one| {
            one_match(field, kind, one)
        })?,
        filters: all(field.at("filters"), bounds::FILTERS, rule.filters, filter)?,
        backends: all(field.at("backends"), bounds::BACKENDS, rule.backends, backend)?,
        timeouts: Timeouts {
            request: timeout("request_timeout_ms", rule.request_timeout_ms)?,
            backend_request: timeout("backend_request_timeout_ms", rule.backend_request_timeout_ms)?,
        },
        retry: rule.retry.map(retry).transpose()?,
        session: rule.session.map(|one| session(&field.at("session"), one)).transpose()?,
    })
}

fn one_match(field: &Field<'_>, kind: RouteKind, one: wire::Match) -> Result<Match, Wrong> {
    let target = match (kind, one.target) {
        (RouteKind::Http, Some(wire::r#match::Target::Http(target))) => Target::Http {
            path: path(&field.at("http").at("path"), target.path)?,
            method: field.at("http").at("method").optional_text(target.method)?,
            query: all(field.at("http").at("query"), bounds::CONDITIONS, target.query, condition)?,
        },
        (RouteKind::Grpc, Some(wire::r#match::Target::Grpc(target))) => {
            let part = |name, text: String| {
                let field = &field.at("grpc");
                field
                    .at(name)
                    .optional_text(text)?
                    .map(|text| text_match(&field.at(name), target.regex, text))
                    .transpose()
            };
            Target::Grpc(GrpcMatch {
                service: part("service", target.service)?,
                method: part("method", target.method)?,
            })
        }
        (_, None) => {
            return Err(field.at("target").wrong("is absent or of a kind that this version does not know"));
        }
        (_, Some(_)) => return Err(field.at("target").wrong("does not belong to this kind of route")),
    };
    let headers = all(field.at("headers"), bounds::CONDITIONS, one.headers, header_match)?;
    Ok(Match { target, headers })
}

fn header_match(field: &Field<'_>, header: wire::ValueMatch) -> Result<ValueMatch, Wrong> {
    let header = condition(field, header)?;
    Ok(ValueMatch { name: header_name(&field.at("name"), &header.name)?, value: header.value })
}

/// An absent path match fits every path.
fn path(field: &Field<'_>, path: Option<wire::PathMatch>) -> Result<PathMatch, Wrong> {
    let absolute = |text: String| {
        let text = field.text(text)?;
        if text.starts_with('/') { Ok(text) } else { Err(field.wrong("does not begin with `/`")) }
    };
    match path.map(|path| path.kind) {
        None => Ok(PathMatch::prefix("/")),
        Some(Some(wire::path_match::Kind::Exact(text))) => absolute(text).map(PathMatch::Exact),
        Some(Some(wire::path_match::Kind::Prefix(text))) => {
            absolute(text).map(|text| PathMatch::prefix(&text))
        }
        Some(Some(wire::path_match::Kind::Regex(source))) => pattern(field, source).map(PathMatch::Regex),
        Some(None) => Err(field.wrong("is of a kind that this version does not know")),
    }
}

fn pattern(field: &Field<'_>, source: String) -> Result<Pattern, Wrong> {
    let source = field.text(source)?;
    Pattern::new(&source).map_err(|e| field.wrong(format!("is not a usable expression: {e}")))
}

fn text_match(field: &Field<'_>, regex: bool, text: String) -> Result<TextMatch, Wrong> {
    if regex { pattern(field, text).map(TextMatch::Regex) } else { field.text(text).map(TextMatch::Exact) }
}

fn condition(field: &Field<'_>, condition: wire::ValueMatch) -> Result<ValueMatch, Wrong> {
    let name = field.at("name").text(condition.name)?;
    if name.is_empty() {
        return Err(field.at("name").wrong("is empty"));
    }
    let value = match condition.kind {
        Some(wire::value_match::Kind::Exact(text)) => text_match(&field.at("exact"), false, text)?,
        Some(wire::value_match::Kind::Regex(text)) => text_match(&field.at("regex"), true, text)?,
        None => return Err(field.wrong("is of a kind that this version does not know")),
    };
    Ok(ValueMatch { name, value })
}

/// A filter that is not known is an error: leaving it out could show what it was there to hide.
/// Source: Gateway API v1.6, HTTPRouteFilter.type, "the filter MUST NOT be skipped".
fn filter(field: &Field<'_>, filter: wire::Filter) -> Result<Filter, Wrong> {
    match filter.filter {
        Some(wire::filter::Filter::RequestHeaders(edit)) => {
            header_edit(&field.at("request_headers"), edit).map(Filter::RequestHeaders)
        }
        Some(wire::filter::Filter::ResponseHeaders(edit)) => {
            header_edit(&field.at("response_headers"), edit).map(Filter::ResponseHeaders)
        }
        Some(wire::filter::Filter::Redirect(one)) => {
            redirect(&field.at("redirect"), one).map(Filter::Redirect)
        }
        Some(wire::filter::Filter::Rewrite(one)) => {
            let field = field.at("rewrite");
            Ok(Filter::Rewrite(UrlRewrite {
                hostname: hostname(&field.at("hostname"), one.hostname)?,
                path: one.path.map(|path| path_rewrite(&field.at("path"), path)).transpose()?,
            }))
        }
        Some(wire::filter::Filter::Mirror(one)) => mirror(&field.at("mirror"), one).map(Filter::Mirror),
        Some(wire::filter::Filter::ExternalAuth(one)) => {
            external_auth(&field.at("external_auth"), one).map(Filter::ExternalAuth)
        }
        Some(wire::filter::Filter::Cors(one)) => cors(&field.at("cors"), one).map(Filter::Cors),
        None => Err(field.wrong("is of a kind that this version does not know")),
    }
}

fn mirror(field: &Field<'_>, mirror: wire::Mirror) -> Result<Mirror, Wrong> {
    let target = match mirror.target {
        Some(wire::mirror::Target::Service(target)) => service_target(&field.at("service"), target)?,
        Some(wire::mirror::Target::Invalid(target)) => invalid_target(&field.at("invalid"), target)?,
        None => {
            return Err(field.at("target").wrong("is absent or of a kind that this version does not know"));
        }
    };
    let compare = mirror.compare.map(|it| compare(&field.at("compare"), it)).transpose()?;
    Ok(Mirror { target, share: field.at("share_ppm").share(mirror.share_ppm)?, compare })
}

pub(super) fn compare(field: &Field<'_>, compare: wire::Compare) -> Result<Arc<Compare>, Wrong> {
    let path = |field: &Field<'_>, path: String| path.parse::<JsonPath>().map_err(|e| field.refused(&e));
    Ok(Arc::new(Compare {
        headers: all(field.at("headers"), bounds::COMPARED, compare.headers, |field, name: String| {
            header_name(field, &name)
        })?,
        body: compare.body,
        sample: field.at("sample_ppm").share(compare.sample_ppm)?,
        twins: field.at("twin_ppm").share(compare.twin_ppm)?,
        ignore: all(field.at("ignore_paths"), bounds::COMPARED, compare.ignore_paths, path)?,
        values: compare.values,
    }))
}

/// Names of headers become lower case; those of methods stay, since their case counts.
fn cors(field: &Field<'_>, cors: wire::Cors) -> Result<Cors, Wrong> {
    let origin = |field: &Field<'_>, origin: String| {
        let origin = field.text(origin)?;
        let good = origin == "*" || origin == "null" || origin.contains("://");
        if good && origin.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(origin)
        } else {
            Err(field.wrong("is neither `*` nor SCHEME://HOST"))
        }
    };
    let method = |field: &Field<'_>, method: String| header_name(field, &method).map(|_| method);
    let header = |field: &Field<'_>, name: String| header_name(field, &name);
    Ok(Cors {
        allow_origins: all(field.at("allow_origins"), bounds::CORS, cors.allow_origins, origin)?,
        allow_credentials: cors.allow_credentials,
        allow_methods: all(field.at("allow_methods"), bounds::CORS, cors.allow_methods, method)?,
        allow_headers: all(field.at("allow_headers"), bounds::CORS, cors.allow_headers, header)?,
        expose_headers: all(field.at("expose_headers"), bounds::CORS, cors.expose_headers, header)?,
        max_age: field.at("max_age_ms").time(cors.max_age_ms)?,
    })
}

fn redirect(field: &Field<'_>, one: wire::Redirect) -> Result<Redirect, Wrong> {
    let scheme = match one.scheme.as_str() {
        "" => None,
        "http" | "https" => Some(one.scheme),
        _ => return Err(field.at("scheme").wrong("is neither http nor https")),
    };
    let status = match one.status {
        0 => 302,
        301 => 301,
        302 => 302,
        303 => 303,
        307 => 307,
        308 => 308,
        other => return Err(field.at("status").wrong(format!("is {other}, not 301, 302, 303, 307 or 308"))),
    };
    Ok(Redirect {
        scheme,
        hostname: hostname(&field.at("hostname"), one.hostname)?,
        path: one.path.map(|path| path_rewrite(&field.at("path"), path)).transpose()?,
        port: field.at("port").optional_port(one.port)?,
        status,
    })
}

/// Empty: none. The characters are those that cannot end a host in a URL or a header.
pub(super) fn hostname(field: &Field<'_>, text: String) -> Result<Option<String>, Wrong> {
    let text = field.optional_text(text)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    match text {
        Some(text) if !text.bytes().all(good) => Err(field.wrong("has a character that hosts do not have")),
        text => Ok(text),
    }
}

fn path_rewrite(field: &Field<'_>, rewrite: wire::PathRewrite) -> Result<PathRewrite, Wrong> {
    let safe = |field: Field<'_>, text: String| {
        let text = field.text(text)?;
        let good = text.bytes().all(|b| b > b' ' && b != 0x7f && !matches!(b, b'?' | b'#'));
        if good { Ok(text) } else { Err(field.wrong("has a character that no path has")) }
    };
    match rewrite.kind {
        Some(wire::path_rewrite::Kind::Full(text)) => safe(field.at("full"), text).map(PathRewrite::Full),
        Some(wire::path_rewrite::Kind::Prefix(text)) => {
            safe(field.at("prefix"), text).map(PathRewrite::Prefix)
        }
        None => Err(field.wrong("is of a kind that this version does not know")),
    }
}

fn header_edit(field: &Field<'_>, edit: wire::HeaderEdit) -> Result<HeaderEdit, Wrong> {
    let header = |field: &Field<'_>, header: wire::Header| {
        Ok((header_name(&field.at("name"), &header.name)?, header_value(&field.at("value"), header.value)?))
    };
    Ok(HeaderEdit {
        set: all(field.at("set"), bounds::EDITS, edit.set, header)?,
        add: all(field.at("add"), bounds::EDITS, edit.add, header)?,
        remove: all(field.at("remove"), bounds::EDITS, edit.remove, |field, name| header_name(field, &name))?,
    })
}

/// A token in lower case. Source: RFC 9110 section 5.6.2.
pub(super) fn header_name(field: &Field<'_>, name: &str) -> Result<String, Wrong> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
        return Err(field.wrong("is not a header's name"));
    }
    Ok(name.to_ascii_lowercase())
}

/// Without the control characters that could end the header. Source: RFC 9110 section 5.5.
pub(super) fn header_value(field: &Field<'_>, value: String) -> Result<String, Wrong> {
    let value = field.text(value)?;
    if value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err(field.wrong("has a control character"));
    }
    Ok(value)
}

pub(super) fn service_target(field: &Field<'_>, target: wire::ServiceTarget) -> Result<BackendTarget, Wrong> {
    Ok(BackendTarget::Service {
        service: service_name(field, &target.namespace, &target.name)?,
        port: field.at("port").port(target.port)?,
    })
}

pub(super) fn invalid_target(
    field: &Field<'_>,
    invalid: wire::InvalidBackend,
) -> Result<BackendTarget, Wrong> {
    Ok(BackendTarget::Invalid {
        reference: field.at("reference").text(invalid.reference)?,
        reason: field.at("reason").text(invalid.reason)?,
    })
}

pub(super) fn backend(field: &Field<'_>, backend: wire::Backend) -> Result<Backend, Wrong> {
    let target = match backend.target {
        Some(wire::backend::Target::Service(target)) => service_target(&field.at("service"), target)?,
        Some(wire::backend::Target::Invalid(invalid)) => invalid_target(&field.at("invalid"), invalid)?,
        None => {
            return Err(field.at("target").wrong("is absent or of a kind that this version does not know"));
        }
    };
    Ok(Backend {
        target,
        weight: field.at("weight").at_most(backend.weight, bounds::WEIGHT)?,
        filters: all(field.at("filters"), bounds::FILTERS, backend.filters, filter)?,
        takes: all(field.at("takes"), bounds::CONDITIONS, backend.takes, header_match)?,
    })
}
