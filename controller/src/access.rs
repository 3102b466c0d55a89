//! Who may call what: pure decisions from the peer's SPIFFE id, and who is signed in to the dashboard ([`sessions`]). It must not know
//! streams.

pub mod sessions;

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_identity::well_known;
use mesh_model::name::WorkloadName;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use tokio::sync::watch;

use crate::api::{Kind, ObjectKey, Workload};
use crate::index::Index;
use crate::shared::SharedMap;

/// Which service account each workload has. A copy is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    named: SharedMap<(Arc<str>, Arc<str>), Arc<str>>,
    others: Others,
}

/// What is known of a workload that no object names.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Its service account has its own name: in a folder a workload needs no object.
    #[default]
    ByName,
    /// Nothing: in a cluster every workload is a pod or has an object.
    Unknown,
}

impl Accounts {
    /// As pods and Workloads say.
    pub fn of(index: &Index, others: Others) -> Self {
        let key = |key: &ObjectKey| (Arc::clone(&key.namespace), Arc::clone(&key.name));
        // Many have the same.
        let mut accounts: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut shared = |account: &str| match accounts.get(account) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = account.into();
                accounts.insert(Arc::clone(&new));
                new
            }
        };
        let mut named = Vec::with_capacity(index.workloads.store.len() + index.pods.store.len());
        for (object, entry) in index.workloads.store.iter() {
            named.extend(
                of_workload(object, &entry.object, others).map(|account| (key(object), shared(account))),
            );
        }
        // A pod is who the cluster says; a Workload of the same name cannot take its place.
        named.extend(
            index.pods.store.iter().map(|(object, entry)| (key(object), Arc::clone(entry.object.account()))),
        );
        Self { named: named.into_iter().collect(), others }
    }

    /// After a pod has come, gone or changed.
    pub fn follow(&mut self, index: &Index, pod: &WorkloadName) {
        let workload = ObjectKey::of(Kind::Workload, &pod.0);
        let pod = index.pods.find(pod).map(|entry| Arc::clone(entry.object.account()));
        let other = || of_workload(&workload, &index.workloads.store.find(&workload)?.object, self.others);
        let key = (Arc::clone(&workload.namespace), Arc::clone(&workload.name));
        let now: Option<Arc<str>> = pod.or_else(|| other().map(Arc::from));
        match now {
            Some(account) if self.named.get(&key) == Some(&account) => {}
            Some(account) => {
                self.named.insert(key, account);
            }
            None => {
                self.named.remove(&key);
            }
        }
    }

    /// The service account of a workload, if it is known.
    pub fn account<'a>(&'a self, namespace: &str, workload: &'a str) -> Option<&'a str> {
        let named = self.named.get_by(|(ns, name)| (&**ns, &**name).cmp(&(namespace, workload)));
        match named {
            Some(account) => Some(account),
            None => (self.others == Others::ByName).then_some(workload),
        }
    }
}

/// The account that a Workload says, where that counts.
fn of_workload<'a>(key: &'a ObjectKey, workload: &'a Workload, others: Others) -> Option<&'a str> {
    let said = others == Others::Unknown || workload.spec.service_account.is_some();
    said.then(|| workload.spec.account(&key.name))
}

/// Why a call is refused; told to the caller, who is authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No certificate was shown.
    #[error("no certificate with a SPIFFE id was shown")]
    Anonymous,
    /// A workload that is not there (yet): a pod's proxy may connect before the pod was seen.
    #[error("there is no pod or Workload {0} yet; connect again")]
    Unknown(String),
    /// Someone else's certificate.
    #[error("the certificate is of {peer}, but {what} needs {needed}")]
    Other {
        /// Whose it is.
        peer: SpiffeId,
        /// What the caller wants.
        what: String,
        /// Whose it would have to be.
        needed: String,
    },
}

/// The decisions, with what they depend on.
#[derive(Debug, Clone)]
pub struct Access {
    trust_domain: TrustDomain,
    accounts: watch::Receiver<Arc<Accounts>>,
}

impl Access {
    /// For this trust domain and what Workloads say now and later.
    pub fn new(trust_domain: TrustDomain, accounts: watch::Receiver<Arc<Accounts>>) -> Self {
        Self { trust_domain, accounts }
    }

    /// Whether `peer` is the workload that it says it is.
    pub fn workload(
        &self,
        peer: Option<&SpiffeId>,
        namespace: &str,
        workload: &str,
    ) -> Result<SpiffeId, Denied> {
        let peer = peer.ok_or(Denied::Anonymous)?;
        let accounts = Arc::clone(&self.accounts.borrow());
        let cut = |text: &str| text.chars().take(80).collect::<String>();
        let Some(account) = accounts.account(namespace, workload) else {
            return Err(Denied::Unknown(format!("{}/{}", cut(namespace), cut(workload))));
        };
        let right = *peer.trust_domain() == self.trust_domain
            && peer.namespace() == namespace
            && peer.service_account() == account;
        if right {
            return Ok(peer.clone());
        }
        let needed = format!("spiffe://{}/ns/{}/sa/{}", self.trust_domain, cut(namespace), cut(account));
        Err(Denied::Other {
            peer: peer.clone(),
            what: format!("workload {}/{}", cut(namespace), cut(workload)),
            needed,
        })
    }

    /// Whether `peer` is the command line tool, or another replica of the controller.
    pub fn tool(&self, peer: Option<&SpiffeId>) -> Result<(), Denied> {
        let peer = peer.ok_or(Denied::Anonymous)?;
        let needed = well_known::meshctl(&self.trust_domain);
        if *peer == needed || *peer == well_known::controller(&self.trust_domain) {
            return Ok(());
        }
        Err(Denied::Other { peer: peer.clone(), what: "inspection".to_owned(), needed: needed.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::state::{Contents, DirState};

    fn access(named: &[(&str, &str, &str)]) -> Access {
        let named =
            named.iter().map(|(ns, name, sa)| ((Arc::from(*ns), Arc::from(*name)), Arc::from(*sa))).collect();
        let (_, accounts) = watch::channel(Arc::new(Accounts { named, others: Others::ByName }));
        Access::new(TrustDomain::new("mesh.test").unwrap(), accounts)
    }

    fn id(text: &str) -> SpiffeId {
        SpiffeId::parse(text).unwrap()
    }

    #[test]
    fn a_workload_is_who_its_certificate_says() {
        let access = access(&[("shop", "web", "frontend")]);
        let web = id("spiffe://mesh.test/ns/shop/sa/web");
        let frontend = id("spiffe://mesh.test/ns/shop/sa/frontend");
        assert!(
            access.workload(Some(&web), "shop", "web").is_err(),
            "a Workload with an account of its own needs that"
        );
        assert!(access.workload(Some(&frontend), "shop", "web").is_ok());
        assert!(access.workload(Some(&web), "bank", "web").is_err(), "another namespace");
        assert!(
            access.workload(Some(&id("spiffe://other/ns/shop/sa/cart")), "shop", "cart").is_err(),
            "another trust domain"
        );
        assert!(
            access.workload(Some(&id("spiffe://mesh.test/ns/shop/sa/cart")), "shop", "cart").is_ok(),
            "without Workload its name"
        );
        assert_eq!(access.workload(None, "shop", "cart"), Err(Denied::Anonymous));
    }

    #[test]
    fn in_a_cluster_a_pod_is_who_its_service_account_says_and_nobody_else_is_known() {
        let mut index = Index::default();
        let objects = "{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop}, spec: {serviceAccountName: web}}
---
{apiVersion: v1, kind: Pod, metadata: {name: job-1, namespace: shop}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: vm, namespace: shop}, spec: {address: 10.9.0.1}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: web-1, namespace: shop}, spec: {address: 10.9.0.2, serviceAccount: evil}}
";
        let contents = Contents::Bytes(objects.as_bytes().to_vec());
        index.apply(DirState::default().apply("f.yaml", contents), 1);
        let (_, accounts) = watch::channel(Arc::new(Accounts::of(&index, Others::Unknown)));
        let access = Access::new(TrustDomain::new("mesh.test").unwrap(), accounts);
        let id = |account: &str| id(&format!("spiffe://mesh.test/ns/shop/sa/{account}"));
        for (account, workload, right) in [
            ("web", "web-1", true),
            ("default", "job-1", true),
            ("vm", "vm", true),
            ("evil", "web-1", false),
            ("web", "job-1", false),
        ] {
            let said = access.workload(Some(&id(account)), "shop", workload);
            assert_eq!(said.is_ok(), right, "{account} as {workload}: {said:?}");
        }
        let unknown = access.workload(Some(&id("cart-1")), "shop", "cart-1").unwrap_err();
        assert_eq!(unknown.to_string(), "there is no pod or Workload shop/cart-1 yet; connect again");
    }

    #[test]
    fn a_refusal_says_who_is_there_and_who_is_needed() {
        let denied =
            access(&[]).workload(Some(&id("spiffe://mesh.test/ns/shop/sa/web")), "shop", "cart").unwrap_err();
        assert_eq!(
            denied.to_string(),
            "the certificate is of spiffe://mesh.test/ns/shop/sa/web, but workload shop/cart needs spiffe://mesh.test/ns/shop/sa/cart"
        );
    }

    #[test]
    fn only_the_tool_and_replicas_may_inspect() {
        let access = access(&[]);
        assert!(access.tool(Some(&id("spiffe://mesh.test/ns/amime-system/sa/meshctl"))).is_ok());
        assert!(
            access.tool(Some(&id("spiffe://mesh.test/ns/amime-system/sa/mesh-controller"))).is_ok(),
            "a replica"
        );
        assert!(access.tool(Some(&id("spiffe://mesh.test/ns/shop/sa/meshctl"))).is_err());
        assert!(access.tool(Some(&id("spiffe://mesh.test/ns/shop/sa/mesh-controller"))).is_err());
    }
}
