//! Which proxies have what, and what each lacks; for somebody who waits, as of a moment that he can name. Pure, but for the waiting.

use std::time::Duration;

use mesh_proto::inspect::v1::{Lack as WireLack, LackCause, ObjectStatus, ProxySync, RejectedResource};

use crate::serve::registry::{Connected, ProxyLine};
use crate::serve::session::{Cause, Lack};

/// For the source to be looked at anew.
pub(super) const BARRIER: Duration = Duration::from_secs(8);
/// Most lacks that are told of one proxy.
const MAX_LACKS: usize = 100;

/// The resources that carry an object to proxies, by their names, if it is told by itself.
pub(super) fn resources(resource: Option<&str>) -> Vec<String> {
    let Some(resource) = resource else { return Vec::new() };
    match resource.split_once('/') {
        Some(("service", name)) => vec![resource.to_owned(), format!("endpoints/{name}")],
        // Compiled into one resource of the proxy.
        Some(("authenticationpolicy", _)) => vec![resource.to_owned(), "authentication".to_owned()],
        _ => vec![resource.to_owned()],
    }
}

/// Leaves what is about one object: `names` are its resources.
pub(super) fn only(lines: &mut [ProxyLine], names: &[String]) {
    for line in lines {
        line.lacks.retain(|lack| names.iter().any(|name| *name == *lack.resource));
        line.rejects.retain(|reject| names.contains(&reject.resource));
    }
}

/// The status of that object alone, and of workloads: of these it is told whether they are expected to be connected.
pub(super) fn object(mut objects: Vec<ObjectStatus>, name: &str) -> Vec<ObjectStatus> {
    objects.retain(|object| object.object == name || object.object.starts_with("Workload "));
    objects
}

/// Whether it is connected and has all.
pub(super) fn has_all(line: &ProxyLine) -> bool {
    line.connected == Connected::Yes && line.lacks.is_empty() && line.rejects.is_empty()
}

/// As it is told.
pub(super) fn proxy(line: ProxyLine, now_ms: u64) -> ProxySync {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let rejects = line.rejects.into_iter();
    let rejects =
        rejects.map(|r| RejectedResource { resource: r.resource, field: r.field, reason: r.reason });
    let lacking = count(line.lacks.len());
    ProxySync {
        namespace: line.proxy.namespace,
        workload: line.proxy.workload,
        instance: line.proxy.instance,
        spiffe_id: line.proxy.spiffe_id.to_string(),
        proxy_version: line.proxy.version,
        connected: line.connected == Connected::Yes,
        sent_revision: line.sent_revision,
        acked_revision: line.acked_revision,
        resources: count(line.resources),
        destinations: count(line.destinations),
        rejects: rejects.collect(),
        since_ms: line.since_ms,
        lacks: line.lacks.into_iter().take(MAX_LACKS).map(lack).collect(),
        lacking,
        agreed_ms: line.agreed.map_or(0, |ago| now_ms.saturating_sub(millis(ago))),
        resyncs: line.resyncs,
    }
}

fn lack(lack: Lack) -> WireLack {
    let cause = match lack.cause {
        Cause::Unsent => LackCause::Unsent,
        Cause::Unconfirmed => LackCause::Unconfirmed,
        Cause::Rejected => LackCause::Rejected,
        Cause::Surplus => LackCause::Surplus,
    };
    WireLack { resource: lack.resource.to_string(), cause: cause.into(), for_ms: millis(lack.age) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
