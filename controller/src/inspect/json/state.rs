//! What proxies and objects are up to, and certificates, as JSON. Pure.

use mesh_proto::inspect::v1::{CertsResponse, Lack, LackCause, ProxySync, SyncResponse};
use serde_json::{Value, json};

/// Whether a proxy has what the source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyState {
    /// It has all.
    Synced,
    /// It was told more than it has taken in.
    Behind,
    /// It refuses something.
    Rejects,
    /// Not connected, though its workload is there.
    Away,
    /// Not connected, and its workload is gone: it ended.
    Left,
}

impl ProxyState {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Behind => "behind",
            Self::Rejects => "rejects",
            Self::Away => "not connected",
            Self::Left => "left",
        }
    }
}

/// What the state of a proxy is; one whose workload is gone has left.
pub fn proxy_state(proxy: &ProxySync, answer: &SyncResponse) -> ProxyState {
    let workload = format!("Workload {}/{}", proxy.namespace, proxy.workload);
    let expected = answer.objects.iter().any(|object| object.object == workload);
    match proxy {
        proxy if !proxy.connected && !expected => ProxyState::Left,
        proxy if !proxy.connected => ProxyState::Away,
        proxy if !proxy.rejects.is_empty() => ProxyState::Rejects,
        proxy if proxy.lacking > 0 || proxy.acked_revision < proxy.sent_revision => ProxyState::Behind,
        _ => ProxyState::Synced,
    }
}

/// Why a proxy does not use a resource in its newest form, as one word.
fn cause(lack: &Lack) -> &'static str {
    match lack.cause() {
        LackCause::Unspecified => "unknown",
        LackCause::Unsent => "unsent",
        LackCause::Unconfirmed => "unconfirmed",
        LackCause::Rejected => "rejected",
        LackCause::Surplus => "surplus",
    }
}

/// The same for people, with how long it has been so.
pub fn lack_words(lack: &Lack) -> String {
    let ago = format!("{}.{} s", lack.for_ms / 1_000, lack.for_ms % 1_000 / 100);
    match lack.cause() {
        LackCause::Unspecified => format!("since {ago}"),
        LackCause::Unsent => format!("not sent yet, for {ago}"),
        LackCause::Unconfirmed => format!("not confirmed, for {ago}"),
        LackCause::Rejected => format!("rejected, {ago} ago"),
        LackCause::Surplus => format!("is no more, not told yet for {ago}"),
    }
}

/// What a proxy lacks.
pub fn lacks(proxy: &ProxySync) -> Value {
    let one = |lack: &Lack| json!({ "resource": lack.resource, "cause": cause(lack), "for_ms": lack.for_ms });
    proxy.lacks.iter().map(one).collect()
}

/// Which proxies have what, and which objects are in force.
pub fn sync(answer: &SyncResponse) -> Value {
    let proxies = answer.proxies.iter().map(|proxy| {
        let rejects = proxy
            .rejects
            .iter()
            .map(|r| json!({ "resource": r.resource, "field": r.field, "reason": r.reason }));
        json!({
            "namespace": proxy.namespace,
            "workload": proxy.workload,
            "instance": proxy.instance,
            "spiffe_id": proxy.spiffe_id,
            "version": proxy.proxy_version,
            "state": proxy_state(proxy, answer).word(),
            "connected": proxy.connected,
            "sent_revision": proxy.sent_revision,
            "acked_revision": proxy.acked_revision,
            "resources": proxy.resources,
            "destinations": proxy.destinations,
            "since_ms": proxy.since_ms,
            "rejects": rejects.collect::<Vec<_>>(),
            "lacking": proxy.lacking,
            "lacks": lacks(proxy),
            "agreed_ms": proxy.agreed_ms,
            "resyncs": proxy.resyncs,
        })
    });
    let objects = answer.objects.iter().map(|object| {
        let conditions = object.conditions.iter().map(|c| {
            json!({ "type": c.r#type, "status": c.status, "reason": c.reason, "field": c.field, "message": c.message })
        });
        json!({
            "object": object.object,
            "origin": object.origin,
            "generation": object.generation,
            "programmed": object.programmed,
            "programmed_of": object.programmed_of,
            "conditions": conditions.collect::<Vec<_>>(),
        })
    });
    json!({
        "revision": answer.revision,
        "source_time_ms": answer.source_time_ms,
        "source_lost_ms": answer.source_lost_ms,
        "proxies": proxies.collect::<Vec<_>>(),
        "objects": objects.collect::<Vec<_>>(),
    })
}

/// The certificates of all proxies.
pub fn certs(answer: &CertsResponse) -> Value {
    let certificates = answer.certificates.iter().map(|certificate| {
        let state = certificate.state.clone().unwrap_or_default();
        json!({
            "namespace": certificate.namespace,
            "workload": certificate.workload,
            "instance": certificate.instance,
            "spiffe_id": state.spiffe_id,
            "serial": state.certificate_serial,
            "not_before": state.not_before,
            "not_after": state.not_after,
            "issuer": state.issuer,
            "bundle_generation": state.bundle_generation,
            "trusted_roots": state.trusted_roots,
            "renewals": state.renewals,
            "renewal_failures": state.renewal_failures,
            "reported_ms": certificate.reported_ms,
        })
    });
    json!({ "certificates": certificates.collect::<Vec<_>>() })
}
