//! Keeps what was compiled, and brings it to what it is after a change: what depends on the change is computed anew, by the functions that
//! compile everything, and where the meaning is the same as before the rest is left alone. Pure. It must not know streams.
//!
//! Decisions ([0027](../../../docs/adr/0027-incremental-compile.md)):
//! - The result is what [`compile`](super::compile) gives, always; a test compares the two after each of thousands of random changes.
//! - Changes of EndpointSlices and pods, which are nearly all that happens in a mesh, are followed to what they concern. Of a change of a
//!   route, a policy of traffic, an AuthorizationPolicy or a release, its stage is compiled ([`rules`], [`authorization`]): it is as large
//!   as there are such objects, whatever the number of endpoints. Every other change, and every case that is not worth a rule of its own,
//!   compiles everything.
//! - What is told of a change may be more than what has changed, never less.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::service::OwnPort;
use mesh_model::spiffe::TrustDomain;

use super::addresses::{self, Resident, Residents};
use super::authentication::Authentications;
use super::{
    Compiled, Reports, Trust, authentication, authorization, canary, endpoints, own, rules, services, whole,
};
use crate::api::{Kind, ObjectKey};
use crate::index::Index;
use crate::index::dirty::{Dirty, Others, Stage};
use crate::index::keys::FetchedKeys;

/// What was compiled, and what is needed to follow changes.
#[derive(Debug)]
pub struct Compiler {
    trust_domain: TrustDomain,
    compiled: Compiled,
    residents: Residents,
    outside: Outside,
    /// States of releases, of which no object says anything either.
    releases: Option<Arc<BTreeMap<ObjectKey, mesh_release::state::State>>>,
    /// Whether the next change is followed; otherwise everything is compiled.
    whole: bool,
}

/// What the index has that no object of it says.
#[derive(Debug, Clone, Default, PartialEq)]
struct Outside {
    refused: BTreeSet<ObjectKey>,
    keys: Arc<FetchedKeys>,
}

impl Outside {
    fn of(index: &Index) -> Self {
        Self { refused: index.refused.clone(), keys: Arc::clone(&index.keys) }
    }
}

/// What following a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// Everything was compiled; anything may be different.
    Whole,
    /// This is different, and nothing else.
    Part(Changes),
}

/// What is different, or may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Services with other endpoints.
    pub endpoints: BTreeSet<ServiceName>,
    /// Workloads that serve something else.
    pub own: BTreeSet<WorkloadName>,
    /// Addresses that mean something else.
    pub addresses: BTreeSet<IpAddr>,
    /// What is different that is more than one service, workload or address.
    pub wide: BTreeSet<Wide>,
    /// Pods that were touched.
    pub pods: BTreeSet<WorkloadName>,
    /// Objects of which something else is said.
    pub objects: BTreeSet<ObjectKey>,
}

/// What is not of one service, workload or address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wide {
    /// Whom some workload lets in.
    Authentication,
    /// Who may call some workload.
    Authorization,
    /// Routes, policies of traffic, or releases.
    Rules,
    /// What host names stand for.
    Names,
}

/// The change cannot be followed.
struct Lost;

impl Compiler {
    /// Nothing is compiled yet but what there is without objects.
    pub fn new(trust_domain: TrustDomain) -> Self {
        let (compiled, residents) = whole(&Index::default(), &trust_domain);
        Self { trust_domain, compiled, residents, outside: Outside::default(), releases: None, whole: true }
    }

    /// What was compiled last.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// What was followed may not be whole, so the next time everything is compiled.
    pub fn distrust(&mut self) {
        self.whole = true;
    }

    /// Brings what was compiled to what the index says now.
    pub fn follow(&mut self, index: &mut Index) -> Followed {
        let mut dirty = index.take_dirty();
        let outside = Outside::of(index);
        if self.releases != index.releases {
            self.releases.clone_from(&index.releases);
            dirty.stages.insert(Stage::Rules);
        }
        let same = !self.whole && dirty.others == Others::Same && self.outside == outside;
        // While this is changed in place, a panic would leave something between two states.
        self.whole = true;
        self.outside = outside;
        let followed = match same.then(|| Step { compiler: self, index }.part(dirty)) {
            Some(Ok(changes)) => Followed::Part(changes),
            Some(Err(Lost)) | None => {
                let (compiled, residents) = whole(index, &self.trust_domain);
                let before = &self.compiled;
                self.compiled = Compiled {
                    services: compiled.services.adopting(&before.services),
                    own: compiled.own.adopting(&before.own),
                    addresses: compiled.addresses.adopting(&before.addresses),
                    ..compiled
                };
                self.residents = residents;
                Followed::Whole
            }
        };
        self.whole = false;
        followed
    }
}

/// One change as it is followed.
struct Step<'a> {
    compiler: &'a mut Compiler,
    index: &'a Index,
}

impl Step<'_> {
    fn part(mut self, dirty: Dirty) -> Result<Changes, Lost> {
        let Dirty { slices, mut services, pods: moved, stages, others: _ } = dirty;
        let pods: BTreeSet<WorkloadName> = moved.keys().cloned().collect();
        let mut ips: BTreeSet<IpAddr> = moved.values().flatten().copied().collect();
        let mut changes = Changes::default();
        self.slices(&slices, &mut changes);
        let spoken = self.authentication(&slices, &pods, &mut changes)?;
        for workload in &spoken {
            services.extend(self.served(workload)?.iter().map(|port| port.service.clone()));
            ips.extend(self.addresses_of(workload));
        }
        // A Workload of the same name is taken for the pod where it is, while that is there.
        for pod in &pods {
            ips.extend(self.served(pod)?.iter().map(|port| port.address.ip().to_canonical()));
            ips.extend(self.addresses_of(pod));
        }
        self.residents(&moved);
        let before = self.compiler.compiled.services.clone();
        self.endpoints(&services, &mut ips, &mut changes);
        let compiled = &mut self.compiler.compiled;
        for service in &services {
            if Arc::make_mut(&mut compiled.names).follow(self.index, &compiled.services, service) {
                changes.wide.insert(Wide::Names);
            }
        }
        if !canary::same_readiness(&compiled.canaries, &compiled.services) {
            return Err(Lost);
        }
        self.authorization(&pods, &mut changes);
        self.versions(&services, &pods)?;
        let compiled = &mut self.compiler.compiled;
        let both = (&before, &compiled.services);
        changes.own =
            own::follow(&mut compiled.own, &changes.endpoints, both).map_err(|own::TooMany| Lost)?;
        self.versions(&services, &pods)?;
        let compiled = &mut self.compiler.compiled;
        let trust = Trust { domain: &compiled.mesh.trust_domain, authentication: &compiled.authentication };
        let residents = &self.compiler.residents;
        changes.addresses =
            addresses::follow(&mut compiled.addresses, residents, self.index, trust, &compiled.services, ips);
        changes.pods = pods;
        if stages.contains(&Stage::Authorization) {
            self.authorize(&mut changes);
        }
        if stages.contains(&Stage::Rules) {
            self.rules(&mut changes)?;
        }
        Ok(changes)
    }

    /// What routes, policies and releases say.
    fn rules(&mut self, changes: &mut Changes) -> Result<(), Lost> {
        let (mut reports, written) = (Reports::default(), self.compiler.compiled.services.as_written());
        let now = rules::compile(self.index, &written, &mut reports);
        // What all else is made of, or something is said of what is not asked about here.
        let parts = self.compiler.compiled.services.iter().filter(|(name, _)| canary::is_version(name));
        if !parts.eq(&now.versions) || reports.objects.keys().any(|key| !rules::KINDS.contains(&key.kind)) {
            return Err(Lost);
        }
        let mut keys: BTreeSet<ObjectKey> = reports.objects.keys().cloned().collect();
        keys.extend(rules::KINDS.into_iter().flat_map(|kind| self.of_kind(kind)));
        self.say(keys, reports, changes);
        let compiled = &mut self.compiler.compiled;
        compiled.routes = now.routes;
        compiled.canaries = now.canaries;
        compiled.streams = now.streams;
        compiled.policies = now.policies;
        compiled.promises = now.promises;
        changes.wide.insert(Wide::Rules);
        Ok(())
    }

    /// What is said of slices.
    fn slices(&mut self, slices: &BTreeSet<ObjectKey>, changes: &mut Changes) {
        let mut reports = Reports::default();
        for key in slices {
            if let Some((entry, service)) = self.index.slices.find(key) {
                services::say_of_slice(self.index, key, entry, service, &mut reports);
            }
        }
        self.say(slices.clone(), reports, changes);
    }

    /// Of these objects is said what is in the reports, and nothing else.
    fn say(&mut self, keys: BTreeSet<ObjectKey>, mut reports: Reports, changes: &mut Changes) {
        let objects = &mut self.compiler.compiled.objects;
        for key in keys {
            let now = reports.objects.remove(&key);
            if now.as_ref() == objects.get(&key) {
                continue;
            }
            match now {
                Some(report) => objects.insert(key.clone(), report),
                None => objects.remove(&key),
            };
            changes.objects.insert(key);
        }
    }

    /// Keys of the objects of one kind of which something is said.
    fn of_kind(&self, kind: Kind) -> BTreeSet<ObjectKey> {
        let all = self.compiler.compiled.objects.from(&ObjectKey::new(kind, "", ""));
        all.take_while(|(key, _)| key.kind == kind).map(|(key, _)| key.clone()).collect()
    }

    /// Whom policies name follows labels of pods and what slices say of a Service. Gives the workloads to which something else applies.
    fn authentication(
        &mut self,
        slices: &BTreeSet<ObjectKey>,
        pods: &BTreeSet<WorkloadName>,
        changes: &mut Changes,
    ) -> Result<BTreeSet<WorkloadName>, Lost> {
        let namespaces = slices.iter().map(|key| &*key.namespace);
        let namespaces: BTreeSet<&str> = namespaces.chain(pods.iter().map(|pod| pod.0.namespace())).collect();
        let policies = &self.index.policies.authentication;
        let asks = |namespace: &str| {
            let mut here = policies.of_namespace(Kind::AuthenticationPolicy, namespace);
            here.any(|(_, entry)| {
                entry.object.spec.selector.is_some() || entry.object.spec.target_refs.is_some()
            })
        };
        if !namespaces.into_iter().any(asks) {
            return Ok(BTreeSet::new());
        }
        let mut reports = Reports::default();
        let now = authentication::compile(self.index, &self.compiler.compiled.mesh, &mut reports);
        let mut keys = self.of_kind(Kind::AuthenticationPolicy);
        keys.extend(reports.objects.keys().cloned());
        self.say(keys, reports, changes);
        let compiled = &mut self.compiler.compiled;
        if *compiled.authentication == now {
            return Ok(BTreeSet::new());
        }
        let unlike = unlike(&compiled.authentication, &now).ok_or(Lost)?;
        compiled.authentication = Arc::new(now);
        changes.wide.insert(Wide::Authentication);
        Ok(unlike)
    }

    /// What a workload serves, if that is known whole.
    fn served(&self, workload: &WorkloadName) -> Result<&[OwnPort], Lost> {
        let own = self.compiler.compiled.own.get(workload);
        let ports = own.map(|own| own.ports.as_slice()).unwrap_or_default();
        if ports.len() < own::MAX_OWN { Ok(ports) } else { Err(Lost) }
    }

    /// Where a workload is by its own object.
    fn addresses_of(&self, workload: &WorkloadName) -> Vec<IpAddr> {
        let pod = self.index.pods.find(workload).map(|entry| entry.object.addresses()).unwrap_or_default();
        let pod = pod.iter().copied();
        let other = self.index.workloads.find(workload).map(|entry| entry.object.spec.address);
        pod.chain(other).map(|ip| ip.to_canonical()).collect()
    }

    /// Pods are at other addresses.
    fn residents(&mut self, moved: &BTreeMap<WorkloadName, BTreeSet<IpAddr>>) {
        let residents = &mut self.compiler.residents;
        for (name, ips) in moved {
            let resident = Resident::Pod(name.clone());
            for ip in ips {
                residents.leave(*ip, &resident);
            }
            let now = self.index.pods.find(name).map(|entry| entry.object.addresses()).unwrap_or_default();
            for ip in now {
                residents.enter(ip.to_canonical(), resident.clone());
            }
        }
    }

    /// Endpoints of some services. `ips` become those of which something may be different too.
    fn endpoints(
        &mut self,
        services: &BTreeSet<ServiceName>,
        ips: &mut BTreeSet<IpAddr>,
        changes: &mut Changes,
    ) {
        let compiled = &mut self.compiler.compiled;
        let trust = Trust { domain: &compiled.mesh.trust_domain, authentication: &compiled.authentication };
        for name in services {
            let Some((service, known)) = compiled.services.get(name) else { continue };
            let Some(entry) = self.index.services.find(name) else { continue };
            let now = endpoints::compile(self.index, trust, service, &entry.object).endpoints;
            ips.extend(addresses::ips(known));
            ips.extend(addresses::ips(&now));
            if *known == now {
                continue;
            }
            let residents = &mut self.compiler.residents;
            let resident = Resident::Service(name.clone());
            addresses::ips(known).for_each(|ip| residents.leave(ip, &resident));
            addresses::ips(&now).for_each(|ip| residents.enter(ip, resident.clone()));
            compiled.services.set_endpoints(name, now);
            changes.endpoints.insert(name.clone());
        }
    }

    /// The versions behind one Service are told apart by labels of its endpoints: where one of those may be different, everything is
    /// compiled.
    fn versions(&self, services: &BTreeSet<ServiceName>, pods: &BTreeSet<WorkloadName>) -> Result<(), Lost> {
        let targets: BTreeSet<&ServiceName> =
            self.compiler.compiled.canaries.iter().filter_map(|release| release.target.as_ref()).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let mut touched = services.iter().any(|service| targets.contains(service));
        for pod in pods {
            touched |= self.served(pod)?.iter().any(|port| targets.contains(&port.service));
        }
        if touched { Err(Lost) } else { Ok(()) }
    }

    /// Whom policies protect follows labels of pods and the endpoints of Services.
    fn authorization(&mut self, pods: &BTreeSet<WorkloadName>, changes: &mut Changes) {
        let namespaces = changes.endpoints.iter().map(|service| service.0.namespace());
        let namespaces: BTreeSet<&str> = namespaces.chain(pods.iter().map(|pod| pod.0.namespace())).collect();
        let policies = &self.index.policies.authorization;
        let asks = |namespace: &str| {
            let mut here = policies.of_namespace(Kind::AuthorizationPolicy, namespace);
            here.any(|(_, entry)| {
                entry.object.spec.selector.is_some() || entry.object.spec.target_refs.is_some()
            })
        };
        if namespaces.into_iter().any(asks) {
            self.authorize(changes);
        }
    }

    fn authorize(&mut self, changes: &mut Changes) {
        let mut reports = Reports::default();
        // Nobody's policy means the parts of a Service that a release makes.
        let services = self.compiler.compiled.services.as_written();
        let now = authorization::compile(self.index, &services, &mut reports);
        let mut keys = self.of_kind(Kind::AuthorizationPolicy);
        keys.extend(reports.objects.keys().cloned());
        self.say(keys, reports, changes);
        let compiled = &mut self.compiler.compiled;
        if *compiled.authorization != now {
            compiled.authorization = Arc::new(now);
            changes.wide.insert(Wide::Authorization);
        }
    }
}

/// The workloads of which two say something else; `None`: they differ for others too.
fn unlike(before: &Authentications, now: &Authentications) -> Option<BTreeSet<WorkloadName>> {
    if before.mesh() != now.mesh() || !before.namespaces().eq(now.namespaces()) {
        return None;
    }
    let named =
        |all: &Authentications| all.workloads().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
    let all = named(before).into_iter().chain(named(now));
    Some(all.filter(|name| before.of_workload(name) != now.of_workload(name)).collect())
}
