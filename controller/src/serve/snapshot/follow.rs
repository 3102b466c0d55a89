//! Makes of a snapshot the one after a change of which it is known what is different. It must not know streams.

use std::sync::Arc;

use super::super::guards::Guards;
use super::super::mine::AllMine;
use super::super::touched::{Others, Touched};
use super::build::asked_by;
use super::compare::resource_name;
use super::lazy::{Lazy, LazyService};
use super::{Entry, Snapshot};
use crate::compile::Compiled;
use crate::compile::incremental::{Changes, Wide};

impl Snapshot {
    /// The next one. What `changes` does not name is taken from this one.
    pub fn follow(
        &self,
        compiled: &Compiled,
        changes: &Changes,
        revision: u64,
        time_ms: u64,
    ) -> (Self, Touched) {
        let mut next = Self { revision, time_ms, ..self.clone() };
        let mut touched = Touched::default();
        for name in &changes.endpoints {
            let (Some(known), Some(now)) = (self.services.get(name), compiled.services.shared(name)) else {
                continue;
            };
            let service = LazyService::new(now, Some(&known.service));
            next.services.insert(name.clone(), Arc::new(Entry { service, ..Entry::clone(known) }));
            touched.endpoints.insert(resource_name(name));
        }
        if changes.wide.contains(&Wide::Rules) {
            touched.services.extend(next.take_rules(compiled).iter().map(resource_name));
        }
        for workload in &changes.own {
            let known = next.own.get(workload).cloned();
            match compiled.own.get(workload) {
                Some(own) => next.own.insert(workload.clone(), Lazy::new(own, known.as_ref())),
                None => next.own.remove(workload),
            };
            touched.workloads.insert(workload.clone());
        }
        for ip in &changes.addresses {
            let known = next.addresses.get(ip).cloned();
            match compiled.addresses.get(ip) {
                Some(address) => next.addresses.insert(*ip, Lazy::new(address, known.as_ref())),
                None => next.addresses.remove(ip),
            };
            touched.addresses.insert(*ip);
        }
        if changes.wide.contains(&Wide::Authentication) {
            let mine = AllMine::build(&compiled.authentication, Some(&*self.authentication));
            touched.these(mine.unlike(&self.authentication));
            next.authentication = Arc::new(mine);
        }
        if changes.wide.contains(&Wide::Authorization) {
            let guards = Guards::build(&compiled.authorization, Some(&*self.guards));
            touched.these(guards.unlike(&self.guards));
            next.guards = Arc::new(guards);
            let asked = asked_by(&compiled.authorization);
            if asked != *self.asked_by {
                touched.also(Others::All);
                next.asked_by = Arc::new(asked);
            }
        }
        if changes.wide.contains(&Wide::Names) {
            touched.also(Others::AskingForHosts);
            next.names = Arc::clone(&compiled.names);
        }
        (next, touched)
    }
}
