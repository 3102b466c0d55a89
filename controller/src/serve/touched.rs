//! What one snapshot says differently from the one before, as far as it tells whom that concerns. It must not know streams.
//!
//! The unit is the service: what belongs to it (endpoints, routes, policies) is told to whoever uses it. Of what is a proxy's own there
//! is the workload; what is the mesh's concerns everybody.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::name::WorkloadName;

/// Services that are looked at one by one; of more, everything is.
const MAX_NAMED: usize = 64;

/// What is different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Whom else than those below.
    pub others: Others,
    /// Services, by the names of their resources, of which something is different.
    pub services: BTreeSet<Arc<str>>,
    /// Services of which nothing is different but what they and their endpoints say: what belongs to them is what did before.
    pub endpoints: BTreeSet<Arc<str>>,
    /// Workloads that serve something else, or to which another policy applies.
    pub workloads: BTreeSet<WorkloadName>,
    /// Addresses that mean something else.
    pub addresses: BTreeSet<IpAddr>,
}

/// Whom a change concerns that is not of single services, workloads or addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Others {
    /// Nobody.
    #[default]
    Nobody,
    /// Whoever asks what hosts stand for.
    AskingForHosts,
    /// Every proxy.
    All,
}

impl Touched {
    /// Whether the two snapshots say the same.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// It concerns these workloads too; `None`: everybody.
    pub(super) fn these(&mut self, workloads: Option<BTreeSet<WorkloadName>>) {
        match workloads {
            Some(workloads) => self.workloads.extend(workloads),
            None => self.also(Others::All),
        }
    }

    /// It concerns these too.
    pub(super) fn also(&mut self, others: Others) {
        self.others = self.others.max(others);
    }
}

/// What of a change concerns a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// The endpoints of this service, by the name of its resource.
    Endpoints(&'a Arc<str>),
    /// More than that.
    Anything,
}

/// What a stream has not looked at yet. However much happens meanwhile, it is no more than names of what it uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Unseen {
    /// Nothing.
    #[default]
    Nothing,
    /// What these services and their endpoints say, and nothing else.
    Endpoints(BTreeSet<Arc<str>>),
    /// Whatever it uses.
    Anything,
}

impl Unseen {
    /// This too.
    pub(super) fn add(&mut self, about: About<'_>) {
        match (&mut *self, about) {
            (Self::Anything, _) => {}
            (_, About::Anything) => *self = Self::Anything,
            (Self::Nothing, About::Endpoints(service)) => {
                *self = Self::Endpoints(BTreeSet::from([Arc::clone(service)]));
            }
            (Self::Endpoints(services), About::Endpoints(service)) => {
                services.insert(Arc::clone(service));
                if services.len() > MAX_NAMED {
                    *self = Self::Anything;
                }
            }
        }
    }
}

/// What concerns one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest {
    /// Services that it was told about or asked for, by the names of their resources.
    pub services: BTreeSet<Arc<str>>,
    /// Addresses that it asked about.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether it asked what hosts stand for.
    pub hosts: Hosts,
}

/// Whether a stream asked what hosts stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hosts {
    /// It did.
    Asked,
    /// It did not.
    #[default]
    NotAsked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_looked_at_is_bounded_however_much_happens() {
        let names: Vec<Arc<str>> =
            (0..=MAX_NAMED).map(|at| Arc::from(format!("service/shop/{at}"))).collect();
        let mut unseen = Unseen::default();
        for _ in 0..2 {
            names.iter().take(MAX_NAMED).for_each(|name| unseen.add(About::Endpoints(name)));
        }
        assert_eq!(unseen, Unseen::Endpoints(names.iter().take(MAX_NAMED).cloned().collect()));
        unseen.add(About::Endpoints(&names[MAX_NAMED]));
        assert_eq!(unseen, Unseen::Anything);
        unseen.add(About::Endpoints(&names[0]));
        assert_eq!(unseen, Unseen::Anything, "what has to be looked at does not become less");
    }
}
