//! Who belongs to the mesh, as far as statistics are put together by it: which pods are of which Deployment, and which members have a
//! proxy. Data only; it must not know where it comes from.

use std::collections::{BTreeMap, HashSet};

use mesh_proto::inspect::v1::Reporter;

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// The Deployment, StatefulSet or the like; outside Kubernetes the workload itself.
    pub owner: String,
    /// As whom it runs; how callees' proxies name it.
    pub account: String,
    /// Whether it is to have a proxy.
    pub sidecar: bool,
}

/// All workloads that objects name, by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    all: BTreeMap<(String, String), Member>,
}

impl Members {
    /// Adds one.
    pub fn add(&mut self, namespace: &str, workload: &str, member: Member) {
        self.all.insert((namespace.to_owned(), workload.to_owned()), member);
    }

    /// One of them.
    pub fn find(&self, namespace: &str, workload: &str) -> Option<&Member> {
        self.all.get(&(namespace.to_owned(), workload.to_owned()))
    }

    /// What a workload belongs to: itself where nothing is known.
    pub fn owner<'a>(&'a self, namespace: &str, workload: &'a str) -> &'a str {
        self.find(namespace, workload).map_or(workload, |member| member.owner.as_str())
    }

    /// Namespace, name and what is known, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Member)> {
        self.all.iter().map(|((namespace, workload), member)| (namespace.as_str(), workload.as_str(), member))
    }
}

/// Who reports: workloads by name, and, as callees' proxies name their callers, by service account.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    workloads: HashSet<(String, String)>,
    accounts: HashSet<(String, String)>,
}

impl Callers {
    /// Of any number of replicas.
    pub fn of<'a>(reporters: impl IntoIterator<Item = &'a Reporter>) -> Self {
        let mut callers = Self::default();
        for one in reporters {
            callers.workloads.insert((one.namespace.clone(), one.workload.clone()));
            if !one.service_account.is_empty() {
                callers.accounts.insert((one.namespace.clone(), one.service_account.clone()));
            }
        }
        callers
    }

    /// Whether that workload's own proxy tells of its calls.
    pub fn report(&self, namespace: &str, name: &str) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        self.workloads.contains(&key) || self.accounts.contains(&key)
    }

    /// The workloads.
    pub fn workloads(&self) -> impl Iterator<Item = (&str, &str)> {
        self.workloads.iter().map(|(namespace, workload)| (namespace.as_str(), workload.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_known_by_its_workload_and_by_its_account() {
        let one =
            Reporter { namespace: "shop".into(), workload: "web-1".into(), service_account: "web".into() };
        let callers = Callers::of([&one]);
        assert!(callers.report("shop", "web-1") && callers.report("shop", "web"));
        assert!(!callers.report("bank", "web") && !callers.report("shop", "cart"));
    }
}
