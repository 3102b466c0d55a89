//! Routes of the model: parents and backends resolved. It must not know endpoints.
//!
//! Decisions, with their source:
//! - A parent is a Service of the core group (GEP-1294). A Gateway has a controller of its own and is left to it; others are told as not
//!   supported.
//! - A backend in another namespace needs no ReferenceGrant: a mesh route decides only about requests of clients that could call
//!   that Service themselves (GEP-1294; the conformance test MeshConsumerRoute relies on it). So there is nothing that a
//!   grant could hide, and a missing Service may be told as such.
//! - A rule without backends goes to the parent itself (GEP-1686), where that is one Service and one port.
//! - External authorization that leads nowhere refuses the requests of its rule, and is told (GEP-1494). In another namespace it needs no
//!   ReferenceGrant, as backends do not.
//! - A mirror that leads nowhere is told and gets no copies; requests themselves go on (HTTPRequestMirrorFilter.backendRef).
//! - What the mesh does not do makes its rule (or its backend's share) answer 500, never pass as if it were not there.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mesh_model::name::ServiceName;
use mesh_model::route::{Backend, BackendTarget, Filter, Mirror, ParentRef, Route, RouteId, RouteKind, Rule};

use super::Reports;
pub(super) use super::services::Services;
use crate::api::lower::{self, LoweredBackend, LoweredFilter, LoweredRule, Reference};
use crate::api::{ObjectKey, gateway};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// The reason of what is said about parents that other controllers serve.
pub const OTHERS: &str = "OtherController";

/// Compiles every route that is attached to a Service.
pub fn compile(index: &Index, services: &Services, reports: &mut Reports) -> Vec<Arc<Route>> {
    let mut routes = Vec::new();
    for (key, entry) in index.routes.http.iter() {
        let object = &entry.object;
        let source = Source {
            kind: RouteKind::Http,
            key,
            metadata: &object.metadata,
            origin: &entry.origin,
            parents: &object.spec.parent_refs,
            hostnames: object.spec.hostnames.len(),
            rules: lower::http_rules(object),
        };
        routes.extend(source.compile(services, reports));
    }
    for (key, entry) in index.routes.grpc.iter() {
        let object = &entry.object;
        let source = Source {
            kind: RouteKind::Grpc,
            key,
            metadata: &object.metadata,
            origin: &entry.origin,
            parents: &object.spec.parent_refs,
            hostnames: object.spec.hostnames.len(),
            rules: lower::grpc_rules(object),
        };
        routes.extend(source.compile(services, reports));
    }
    routes
}

/// A route object of either kind.
struct Source<'a> {
    kind: RouteKind,
    key: &'a ObjectKey,
    metadata: &'a ObjectMeta,
    origin: &'a Arc<str>,
    parents: &'a [gateway::ParentRef],
    hostnames: usize,
    rules: Vec<LoweredRule>,
}

impl Source<'_> {
    fn compile(self, services: &Services, reports: &mut Reports) -> Option<Arc<Route>> {
        let id = RouteId { kind: self.kind, name: self.key.model_name()? };
        let mut conditions = Vec::new();
        let refs = self.refs();
        let parents = refs.parents(services, &mut conditions);
        if self.hostnames > 0 {
            conditions.push(Condition::noted(
                ConditionType::Accepted,
                "HostnamesIgnored",
                "spec.hostnames",
                "hostnames have no effect on routes of a Service (GEP-1294)",
            ));
        }
        let own = own_backend(&parents, services);
        let mut rules = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            rules.push(self.rule(rule, own.as_ref(), services, &mut conditions));
        }
        let resource = (!parents.is_empty()).then(|| id.to_string());
        reports.object(self.key, self.origin, resource);
        for condition in conditions {
            reports.say(self.key, condition);
        }
        let created = created(self.metadata);
        let origin = self.origin.to_string();
        (!parents.is_empty()).then(|| Arc::new(Route { id, parents, rules, created, origin }))
    }

    fn refs(&self) -> Refs<'_> {
        Refs { key: self.key, parents: self.parents }
    }

    fn rule(
        &self,
        rule: &LoweredRule,
        own: Option<&Backend>,
        services: &Services,
        conditions: &mut Vec<Condition>,
    ) -> Rule {
        let (mut filters, mut backends) = (Vec::new(), Vec::new());
        if let Some(first) = rule.findings.unsupported.first() {
            for fault in &rule.findings.unsupported {
                let message = format!("{}; requests of this rule get 500", fault.message);
                conditions.push(Condition::failed(
                    ConditionType::Accepted,
                    "UnsupportedValue",
                    fault.field.clone(),
                    message,
                ));
            }
            let target =
                BackendTarget::Invalid { reference: first.field.clone(), reason: first.message.clone() };
            backends.push(Backend { target, weight: 1, filters: Vec::new(), takes: Vec::new() });
        } else {
            filters = self.filters(&rule.filters, services, conditions);
            for backend in &rule.backends {
                backends.push(self.backend(backend, services, conditions));
            }
            if backends.is_empty() && !rule.filters.iter().any(LoweredFilter::redirects) {
                backends.extend(own.cloned());
            }
        }
        Rule {
            name: rule.name.clone(),
            matches: rule.matches.clone(),
            filters,
            backends,
            timeouts: rule.timeouts,
            retry: rule.retry.clone(),
            session: rule.session.clone(),
        }
    }

    fn filters(
        &self,
        filters: &[LoweredFilter],
        services: &Services,
        conditions: &mut Vec<Condition>,
    ) -> Vec<Filter> {
        let one = |filter: &LoweredFilter| match filter {
            LoweredFilter::Ready(filter) => filter.clone(),
            LoweredFilter::Mirror { reference, share } => {
                let target = self.refs().target(reference, services).unwrap_or_else(|invalid| {
                    self.refs().invalid(reference, invalid, "nothing is copied there", conditions)
                });
                Filter::Mirror(Mirror { target, share: *share, compare: None })
            }
            LoweredFilter::ExternalAuth(auth) => {
                let target = self.refs().target(&auth.reference, services).unwrap_or_else(|invalid| {
                    self.refs().invalid(
                        &auth.reference,
                        invalid,
                        "requests of the rule are refused",
                        conditions,
                    )
                });
                Filter::ExternalAuth(auth.resolved(target))
            }
        };
        filters.iter().map(one).collect()
    }

    fn backend(
        &self,
        backend: &LoweredBackend,
        services: &Services,
        conditions: &mut Vec<Condition>,
    ) -> Backend {
        let reference = &backend.reference;
        let target = supported(backend).and_then(|()| self.refs().target(reference, services));
        let target = target.unwrap_or_else(|invalid| {
            self.refs().invalid(reference, invalid, "its share of requests gets 500", conditions)
        });
        let filters = match &target {
            BackendTarget::Service { .. } => self.filters(&backend.filters, services, conditions),
            BackendTarget::Invalid { .. } => Vec::new(),
        };
        Backend { target, weight: backend.weight, filters, takes: Vec::new() }
    }
}

/// Whether a parent is a Gateway.
fn is_gateway(parent: &gateway::ParentRef) -> bool {
    let group = parent.group.as_deref().unwrap_or("gateway.networking.k8s.io");
    group == "gateway.networking.k8s.io" && parent.kind.as_deref().is_none_or(|kind| kind == "Gateway")
}

/// What a route object refers to.
pub(super) struct Refs<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) parents: &'a [gateway::ParentRef],
}

impl Refs<'_> {
    pub(super) fn parents(&self, services: &Services, conditions: &mut Vec<Condition>) -> Vec<ParentRef> {
        self.say_others(conditions);
        let mut parents = Vec::new();
        let mut refuse = |reason: &'static str, field: String, message: String| {
            conditions.push(Condition::failed(ConditionType::Accepted, reason, field, message));
        };
        if self.parents.is_empty() {
            refuse(
                "NoMatchingParent",
                "spec.parentRefs".into(),
                "is empty, so the route has no effect; name a Service".into(),
            );
        }
        let ours = self.parents.iter().enumerate().filter(|(_, parent)| !is_gateway(parent));
        for (index, parent) in ours {
            let field = format!("spec.parentRefs[{index}]");
            let group = parent.group.as_deref().unwrap_or("gateway.networking.k8s.io");
            let kind = parent.kind.as_deref().unwrap_or("Gateway");
            if kind == "Service" && !matches!(group, "" | "core") {
                refuse(
                    "InvalidKind",
                    format!("{field}.group"),
                    "a Service parent needs `group: \"\"` (left out, it means the Gateway API's group)"
                        .into(),
                );
                continue;
            }
            if kind != "Service" {
                refuse(
                    "InvalidKind",
                    format!("{field}.kind"),
                    format!("a parent of kind {kind} is not supported; only Service is"),
                );
                continue;
            }
            let namespace = parent.namespace.as_deref().unwrap_or(&self.key.namespace);
            let Ok(service) = ServiceName::new(namespace, &parent.name) else {
                refuse(
                    "NoMatchingParent",
                    format!("{field}.name"),
                    format!("`{}` is not a name that a Service can have", parent.name),
                );
                continue;
            };
            let found = services.get(&service).map(|(service, _)| service);
            let mut port = parent.port;
            match (found, &parent.section_name) {
                (None, _) => refuse(
                    "NoMatchingParent",
                    format!("{field}.name"),
                    format!("there is no Service {service}; the route takes effect once there is"),
                ),
                (Some(found), Some(section)) => match found.ports.iter().find(|p| p.name == *section) {
                    Some(named) => port = Some(named.port),
                    None => {
                        refuse(
                            "NoMatchingParent",
                            format!("{field}.sectionName"),
                            format!("Service {service} has no port named `{section}`"),
                        );
                        continue;
                    }
                },
                (Some(found), None) => {
                    if let Some(port) = port.filter(|port| found.port(*port).is_none()) {
                        refuse(
                            "NoMatchingParent",
                            format!("{field}.port"),
                            format!("Service {service} has no port {port}"),
                        );
                    }
                }
            }
            let parent = ParentRef { service, port };
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        parents
    }

    /// Says of which parents other controllers take care.
    fn say_others(&self, conditions: &mut Vec<Condition>) {
        for (index, _) in self.parents.iter().enumerate().filter(|(_, parent)| is_gateway(parent)) {
            let message =
                "a Gateway is served by its own controller; the mesh serves parents of kind Service";
            let field = format!("spec.parentRefs[{index}].kind");
            conditions.push(Condition::noted(ConditionType::Accepted, OTHERS, field, message));
        }
    }

    /// Says that a reference leads nowhere and what that means, and gives what takes its place.
    pub(super) fn invalid(
        &self,
        reference: &Reference,
        invalid: Invalid,
        meaning: &str,
        conditions: &mut Vec<Condition>,
    ) -> BackendTarget {
        let message = format!("{}; {meaning}", invalid.message);
        conditions.push(Condition::failed(invalid.condition, invalid.reason, invalid.field, message));
        let port = reference.port.map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("{} {}/{}{port}", reference.kind, self.namespace(reference), reference.name);
        let reason = format!("{}: {}", invalid.reason, invalid.message);
        BackendTarget::Invalid { reference: shown, reason }
    }

    fn namespace<'a>(&'a self, reference: &'a Reference) -> &'a str {
        reference.namespace.as_deref().unwrap_or(&self.key.namespace)
    }

    pub(super) fn target(
        &self,
        reference: &Reference,
        services: &Services,
    ) -> Result<BackendTarget, Invalid> {
        let refs = |reason, part: &str, message: String| {
            let field = format!("{}.{part}", reference.field);
            Invalid { condition: ConditionType::ResolvedRefs, reason, field, message }
        };
        if !matches!(reference.group.as_str(), "" | "core") || reference.kind != "Service" {
            let group =
                if reference.group.is_empty() { String::new() } else { format!("{}/", reference.group) };
            return Err(refs(
                "InvalidKind",
                "kind",
                format!("a backend of kind {group}{} is not supported; only Service is", reference.kind),
            ));
        }
        let Some(port) = reference.port else {
            return Err(refs(
                "BackendNotFound",
                "port",
                "the reference has no port, which a Service needs".to_owned(),
            ));
        };
        let name = ServiceName::new(self.namespace(reference), &reference.name)
            .map_err(|error| refs("BackendNotFound", "name", error.to_string()))?;
        match services.get(&name) {
            None => Err(refs("BackendNotFound", "name", format!("there is no Service {name}"))),
            Some((service, _)) if service.port(port).is_none() => {
                Err(refs("BackendNotFound", "port", format!("Service {name} has no port {port}")))
            }
            Some(_) => Ok(BackendTarget::Service { service: name, port }),
        }
    }
}

/// Fails where a backend has filters that the mesh does not do.
pub(super) fn supported(backend: &LoweredBackend) -> Result<(), Invalid> {
    let Some(fault) = backend.unsupported.first() else { return Ok(()) };
    let (field, message) = (fault.field.clone(), fault.message.clone());
    Err(Invalid { condition: ConditionType::Accepted, reason: "UnsupportedValue", field, message })
}

/// When an object was made, Unix seconds; 0 where nobody says.
pub(super) fn created(metadata: &ObjectMeta) -> u64 {
    let time = metadata.creation_timestamp.as_ref();
    time.map_or(0, |time| u64::try_from(time.0.as_second()).unwrap_or(0))
}

/// A reference that leads nowhere.
pub(super) struct Invalid {
    condition: ConditionType,
    reason: &'static str,
    field: String,
    message: String,
}

/// The parent itself as backend, where all parents are the same port of one Service.
fn own_backend(parents: &[ParentRef], services: &Services) -> Option<Backend> {
    let [parent] = parents else { return None };
    let (service, _) = services.get(&parent.service)?;
    let port = match (parent.port, service.ports.as_slice()) {
        (Some(port), _) => port,
        (None, [only]) => only.port,
        (None, _) => return None,
    };
    let target = BackendTarget::Service { service: parent.service.clone(), port };
    Some(Backend { target, weight: 1, filters: Vec::new(), takes: Vec::new() })
}
