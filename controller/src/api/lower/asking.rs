//! Services that are asked about requests, as the model has them, up to who that is. It must not know other objects.

use std::time::Duration;

use mesh_model::asking::{self as model, AuthProtocol, Entry, Part, Unanswered};
use mesh_model::route::BackendTarget;

use super::matches::check_header_name;
use super::scalars::{MILLISECOND, MINUTE, SECOND, optional};
use super::{Findings, Reference};
use crate::api::asking::{
    AskedService, ExternalAuth, GlobalRateLimit, GrpcAuth, HttpAuth, RateDescriptor, RateEntry, RateEntryKind,
};

/// Most names of headers in a list. Source: Gateway API.
const MAX_HEADERS: usize = 64;
/// Bytes before a path.
const MAX_PATH: usize = 1024;
/// Descriptors of a limit.
const MAX_DESCRIPTORS: usize = 16;
/// Parts of a descriptor.
const MAX_ENTRIES: usize = 8;
/// Bytes of a key, a name or a domain.
const MAX_NAME: usize = 256;

/// Who is asked whether requests may go on, not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoweredAuth {
    /// Whom.
    pub reference: Reference,
    /// How.
    pub protocol: AuthProtocol,
    /// Of the largest body; 0: none is sent.
    pub max_body: u64,
    /// For an answer.
    pub timeout: Duration,
}

impl LoweredAuth {
    /// With whom it is.
    pub fn resolved(&self, target: BackendTarget) -> model::ExternalAuth {
        let Self { protocol, max_body, timeout, .. } = self;
        model::ExternalAuth { target, protocol: protocol.clone(), max_body: *max_body, timeout: *timeout }
    }
}

/// A reference, not resolved.
pub fn reference(service: &AskedService, at: &str) -> Reference {
    Reference {
        field: format!("{at}.backendRef"),
        group: service.group.clone().unwrap_or_default(),
        kind: service.kind.clone().unwrap_or_else(|| "Service".to_owned()),
        namespace: service.namespace.clone(),
        name: service.name.clone(),
        port: service.port,
    }
}

fn checked_reference(service: &AskedService, at: &str, findings: &mut Findings) -> Reference {
    if service.port == Some(0) {
        findings.fault(format!("{at}.backendRef.port"), "0 is not a port; use 1 to 65535");
    }
    reference(service, at)
}

/// Of a filter or a policy. `None`: its protocol is none.
pub fn external_auth(it: &ExternalAuth, at: &str, findings: &mut Findings) -> Option<LoweredAuth> {
    let (grpc, http) = (it.grpc.clone().unwrap_or_default(), it.http.clone().unwrap_or_default());
    let (protocol, other) = match it.protocol.as_str() {
        "GRPC" => (by_grpc(&grpc, at, findings), ("http", it.http.is_some())),
        "HTTP" => (by_http(http, at, findings), ("grpc", it.grpc.is_some())),
        other => {
            findings.fault(format!("{at}.protocol"), format!("`{other}` is neither GRPC nor HTTP"));
            return None;
        }
    };
    if let (part, true) = other {
        findings.fault(format!("{at}.{part}"), format!("is not for protocol {}; remove it", it.protocol));
    }
    let timeout = optional(it.timeout.as_ref(), &format!("{at}.timeout"), MILLISECOND..=MINUTE, findings);
    Some(LoweredAuth {
        reference: checked_reference(&it.backend_ref, at, findings),
        protocol,
        max_body: it.forward_body.as_ref().map_or(0, |body| body.max_size).into(),
        timeout: timeout.unwrap_or(model::ExternalAuth::TIMEOUT),
    })
}

fn by_grpc(grpc: &GrpcAuth, at: &str, findings: &mut Findings) -> AuthProtocol {
    AuthProtocol::Grpc {
        allowed_headers: names(&grpc.allowed_headers, &format!("{at}.grpc.allowedHeaders"), findings),
    }
}

fn by_http(http: HttpAuth, at: &str, findings: &mut Findings) -> AuthProtocol {
    let path = http.path.unwrap_or_default();
    let bad = |b: u8| b <= 0x20 || b >= 0x7f || matches!(b, b'?' | b'#' | b'\\' | b'%');
    let dots = path.split('/').any(|part| part == ".." || part == ".");
    let begins = path.is_empty() || path.starts_with('/');
    if path.len() > MAX_PATH || path.bytes().any(bad) || dots || !begins {
        findings.fault(
            format!("{at}.http.path"),
            format!("is not a plain path of at most {MAX_PATH} bytes that begins with `/`"),
        );
    }
    AuthProtocol::Http {
        path,
        allowed_headers: names(&http.allowed_headers, &format!("{at}.http.allowedHeaders"), findings),
        allowed_response_headers: names(
            &http.allowed_response_headers,
            &format!("{at}.http.allowedResponseHeaders"),
            findings,
        ),
    }
}

fn names(list: &[String], at: &str, findings: &mut Findings) -> Vec<String> {
    findings.limit(at, list.len(), MAX_HEADERS);
    for (i, name) in list.iter().enumerate() {
        check_header_name(name, &format!("{at}[{i}]"), findings);
    }
    list.iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// Of a TrafficPolicy. Who it is comes later.
pub fn global_rate(it: &GlobalRateLimit, at: &str, findings: &mut Findings) -> model::GlobalRate {
    text(&it.domain, &format!("{at}.domain"), findings);
    findings.limit(&format!("{at}.descriptors"), it.descriptors.len(), MAX_DESCRIPTORS);
    if it.descriptors.is_empty() {
        findings.fault(
            format!("{at}.descriptors"),
            "is empty, so nothing would be counted; name a part of requests",
        );
    }
    let most = SECOND.saturating_mul(10);
    let timeout = optional(it.timeout.as_ref(), &format!("{at}.timeout"), MILLISECOND..=most, findings);
    let reference = checked_reference(&it.backend_ref, at, findings);
    let mut descriptor = |(n, descriptor): (usize, &RateDescriptor)| {
        let at = format!("{at}.descriptors[{n}].entries");
        findings.limit(&at, descriptor.entries.len(), MAX_ENTRIES);
        if descriptor.entries.is_empty() {
            findings.fault(&at, "is empty; name a part of requests");
        }
        let entries = descriptor.entries.iter().enumerate();
        entries.filter_map(|(n, one)| entry(one, &format!("{at}[{n}]"), findings)).collect()
    };
    let descriptors = it.descriptors.iter().enumerate().map(&mut descriptor).collect();
    let invalid =
        BackendTarget::Invalid { reference: reference.name, reason: "it is not looked up yet".to_owned() };
    model::GlobalRate {
        target: invalid,
        domain: it.domain.clone(),
        descriptors,
        timeout: timeout.unwrap_or(model::GlobalRate::TIMEOUT),
        unanswered: if it.fail_closed { Unanswered::Refuse } else { Unanswered::Pass },
    }
}

fn entry(it: &RateEntry, at: &str, findings: &mut Findings) -> Option<Entry> {
    text(&it.key, &format!("{at}.key"), findings);
    let wants_name = matches!(it.kind, RateEntryKind::Header | RateEntryKind::Claim);
    for (part, there, wanted, kinds) in [
        ("name", it.name.is_some(), wants_name, "types Header and Claim"),
        ("value", it.value.is_some(), it.kind == RateEntryKind::Literal, "type Literal"),
    ] {
        match (there, wanted) {
            (true, false) => findings.fault(format!("{at}.{part}"), format!("is for {kinds}; remove it")),
            (false, true) => {
                findings.fault(format!("{at}.{part}"), format!("is missing, and {kinds} need it"));
                return None;
            }
            (true, true) | (false, false) => {}
        }
    }
    let name = it.name.as_deref().unwrap_or_default();
    let value = match it.kind {
        RateEntryKind::Literal => Part::Literal(it.value.clone().unwrap_or_default()),
        RateEntryKind::Header => {
            check_header_name(name, &format!("{at}.name"), findings);
            Part::Header(name.to_ascii_lowercase())
        }
        RateEntryKind::Claim => {
            text(name, &format!("{at}.name"), findings);
            Part::Claim(name.to_owned())
        }
        RateEntryKind::Method => Part::Method,
        RateEntryKind::Path => Part::Path,
        RateEntryKind::Host => Part::Host,
        RateEntryKind::Route => Part::Route,
        RateEntryKind::ClientIdentity => Part::ClientIdentity,
        RateEntryKind::ClientNamespace => Part::ClientNamespace,
        RateEntryKind::ClientWorkload => Part::ClientWorkload,
    };
    Some(Entry { key: it.key.clone(), value })
}

fn text(text: &str, field: &str, findings: &mut Findings) {
    if text.is_empty() || text.len() > MAX_NAME || text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        findings.fault(field, format!("is empty, longer than {MAX_NAME} bytes, or has control characters"));
    }
}

#[cfg(test)]
mod tests;
