//! Filters of rules and backends. They must not know matches. A filter that the mesh does not do is never skipped: it is
//! reported, and what it belongs to answers 500 (HTTPRoute specification, `HTTPRouteFilter`).

use mesh_model::route::{Filter, HeaderEdit, PathRewrite, Redirect, UrlRewrite};
use mesh_model::traffic::Ppm;

use super::matches::{check_header_name, check_header_value};
use super::{Findings, LoweredFilter, MAX_LIST, Reference, asking, cors};
use crate::api::gateway::{
    HeaderModifier, HeaderValue, PathModifier, PathModifierKind, RequestMirror, RequestRedirect, RouteFilter,
    UrlRewriteFilter,
};

/// Which kind of route a filter belongs to: gRPC knows fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
}

/// Lowers a list of filters.
pub fn lower(
    filters: &[RouteFilter],
    at: &str,
    family: Family,
    findings: &mut Findings,
) -> Vec<LoweredFilter> {
    findings.limit(at, filters.len(), MAX_LIST);
    let mut lowered = Vec::with_capacity(filters.len());
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("{at}[{index}]");
        if filters.iter().take(index).any(|earlier| {
            earlier.kind == filter.kind && filter.kind != "RequestMirror" && filter.kind != "ExtensionRef"
        }) {
            findings.fault(format!("{at}.type"), format!("{} occurs twice; merge the two", filter.kind));
        }
        lowered.extend(one(filter, &at, family, findings));
    }
    let has = |kind: &str| filters.iter().any(|f| f.kind == kind);
    if has("RequestRedirect") && has("URLRewrite") {
        findings.fault(at, "RequestRedirect and URLRewrite exclude each other; remove one");
    }
    lowered
}

fn one(filter: &RouteFilter, at: &str, family: Family, findings: &mut Findings) -> Option<LoweredFilter> {
    let filter = match (filter.kind.as_str(), family) {
        ("RequestMirror", _) => {
            let it = needed(filter.request_mirror.as_ref(), at, "requestMirror", findings)?;
            return Some(mirror(it, &format!("{at}.requestMirror"), findings));
        }
        ("ExternalAuth", Family::Http) => {
            let it = needed(filter.external_auth.as_ref(), at, "externalAuth", findings)?;
            let at = format!("{at}.externalAuth");
            if it.timeout.is_some() {
                findings.fault(format!("{at}.timeout"), "is for AuthorizationPolicies; remove it");
            }
            return asking::external_auth(it, &at, findings).map(LoweredFilter::ExternalAuth);
        }
        ("CORS", Family::Http) => {
            let it = needed(filter.cors.as_ref(), at, "cors", findings)?;
            Some(Filter::Cors(cors::lower(it, &format!("{at}.cors"), findings)))
        }
        ("RequestHeaderModifier", _) => {
            let edit =
                needed(filter.request_header_modifier.as_ref(), at, "requestHeaderModifier", findings)?;
            Some(Filter::RequestHeaders(header_edit(edit, &format!("{at}.requestHeaderModifier"), findings)))
        }
        ("ResponseHeaderModifier", _) => {
            let edit =
                needed(filter.response_header_modifier.as_ref(), at, "responseHeaderModifier", findings)?;
            Some(Filter::ResponseHeaders(header_edit(
                edit,
                &format!("{at}.responseHeaderModifier"),
                findings,
            )))
        }
        ("RequestRedirect", Family::Http) => {
            let it = needed(filter.request_redirect.as_ref(), at, "requestRedirect", findings)?;
            Some(Filter::Redirect(redirect(it, &format!("{at}.requestRedirect"), findings)))
        }
        ("URLRewrite", Family::Http) => {
            let it = needed(filter.url_rewrite.as_ref(), at, "urlRewrite", findings)?;
            Some(Filter::Rewrite(rewrite(it, &format!("{at}.urlRewrite"), findings)))
        }
        (other, _) => {
            findings.unsupported(
                format!("{at}.type"),
                format!("filter `{other}` is not supported by this version of the mesh"),
            );
            None
        }
    };
    filter.map(LoweredFilter::Ready)
}

fn mirror(it: &RequestMirror, at: &str, findings: &mut Findings) -> LoweredFilter {
    let backend = &it.backend_ref;
    if backend.port == Some(0) {
        findings.fault(format!("{at}.backendRef.port"), "0 is not a port; use 1 to 65535");
    }
    let reference = Reference {
        field: format!("{at}.backendRef"),
        group: backend.group.clone().unwrap_or_default(),
        kind: backend.kind.clone().unwrap_or_else(|| "Service".to_owned()),
        namespace: backend.namespace.clone(),
        name: backend.name.clone(),
        port: backend.port,
    };
    LoweredFilter::Mirror { reference, share: mirror_share(it, at, findings) }
}

/// All requests, where nothing is written.
fn mirror_share(it: &RequestMirror, at: &str, findings: &mut Findings) -> Ppm {
    let (part, numerator, denominator) = match (it.percent, &it.fraction) {
        (None, None) => return Ppm(1_000_000),
        (Some(percent), None) => ("percent", percent, 100),
        (None, Some(fraction)) => ("fraction", fraction.numerator, fraction.denominator.unwrap_or(100)),
        (Some(_), Some(_)) => {
            findings.fault(format!("{at}.fraction"), "`percent` says the share too; remove one of the two");
            return Ppm(0);
        }
    };
    if denominator < 1 || !(0..=denominator).contains(&numerator) {
        findings.fault(
            format!("{at}.{part}"),
            format!("{numerator} of {denominator} is not a share; use 0 to all of at least 1"),
        );
        return Ppm(0);
    }
    let share = i128::from(numerator) * 1_000_000 / i128::from(denominator);
    Ppm(u32::try_from(share).unwrap_or(1_000_000))
}

fn needed<'a, T>(part: Option<&'a T>, at: &str, name: &str, findings: &mut Findings) -> Option<&'a T> {
    if part.is_none() {
        findings.fault(format!("{at}.{name}"), "is missing though `type` asks for it");
    }
    part
}

fn header_edit(edit: &HeaderModifier, at: &str, findings: &mut Findings) -> HeaderEdit {
    let mut pairs = |list: &[HeaderValue], part: &str| {
        findings.limit(&format!("{at}.{part}"), list.len(), MAX_LIST);
        let pair = |(i, header): (usize, &HeaderValue)| {
            let at = format!("{at}.{part}[{i}]");
            check_header_name(&header.name, &format!("{at}.name"), findings);
            check_header_value(&header.value, &format!("{at}.value"), findings);
            (header.name.to_ascii_lowercase(), header.value.clone())
        };
        list.iter().enumerate().map(pair).collect::<Vec<_>>()
    };
    let (set, add) = (pairs(&edit.set, "set"), pairs(&edit.add, "add"));
    for (i, name) in edit.remove.iter().enumerate() {
        check_header_name(name, &format!("{at}.remove[{i}]"), findings);
    }
    HeaderEdit { set, add, remove: edit.remove.iter().map(|name| name.to_ascii_lowercase()).collect() }
}

fn redirect(it: &RequestRedirect, at: &str, findings: &mut Findings) -> Redirect {
    if let Some(scheme) = &it.scheme
        && !matches!(scheme.as_str(), "http" | "https")
    {
        findings.fault(format!("{at}.scheme"), format!("`{scheme}` is neither http nor https"));
    }
    let status = it.status_code.unwrap_or(302);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        findings.fault(format!("{at}.statusCode"), format!("{status} is none of 301, 302, 303, 307, 308"));
    }
    if it.port == Some(0) {
        findings.fault(format!("{at}.port"), "0 is not a port; use 1 to 65535");
    }
    check_hostname(it.hostname.as_deref(), at, findings);
    let path = it.path.as_ref().and_then(|path| path_rewrite(path, &format!("{at}.path"), findings));
    Redirect { scheme: it.scheme.clone(), hostname: it.hostname.clone(), path, port: it.port, status }
}

fn rewrite(it: &UrlRewriteFilter, at: &str, findings: &mut Findings) -> UrlRewrite {
    check_hostname(it.hostname.as_deref(), at, findings);
    let path = it.path.as_ref().and_then(|path| path_rewrite(path, &format!("{at}.path"), findings));
    UrlRewrite { hostname: it.hostname.clone(), path }
}

fn check_hostname(hostname: Option<&str>, at: &str, findings: &mut Findings) {
    let Some(name) = hostname else { return };
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        findings.fault(
            format!("{at}.hostname"),
            format!("`{name}` is not a host name without port, in lower case"),
        );
    }
}

fn path_rewrite(path: &PathModifier, at: &str, findings: &mut Findings) -> Option<PathRewrite> {
    let (value, name) = match path.kind {
        PathModifierKind::ReplaceFullPath => (path.replace_full_path.as_ref(), "replaceFullPath"),
        PathModifierKind::ReplacePrefixMatch => (path.replace_prefix_match.as_ref(), "replacePrefixMatch"),
    };
    let value = needed(value, at, name, findings)?;
    if value.len() > 1024 || value.bytes().any(|b| b <= 0x20 || b == 0x7f || b == b'?' || b == b'#') {
        findings.fault(
            format!("{at}.{name}"),
            "is not a path: over 1024 bytes, or with blanks, control characters, `?` or `#`",
        );
    }
    Some(match path.kind {
        PathModifierKind::ReplaceFullPath => PathRewrite::Full(value.clone()),
        PathModifierKind::ReplacePrefixMatch => PathRewrite::Prefix(value.clone()),
    })
}
