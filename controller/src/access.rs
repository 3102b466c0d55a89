//! Who may call what: pure decisions from the peer's SPIFFE id. It must not know streams.

use std::collections::HashMap;
use std::sync::Arc;

use mesh_identity::well_known;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use tokio::sync::watch;

use crate::index::Index;

/// Which service account each Workload has, where it is not its own name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    named: HashMap<(Arc<str>, Arc<str>), String>,
}

impl Accounts {
    /// As the Workloads say.
    pub fn of(index: &Index) -> Self {
        let named = index.workloads.store.iter().filter_map(|(key, entry)| {
            let account = entry.object.spec.service_account.clone()?;
            Some(((Arc::clone(&key.namespace), Arc::clone(&key.name)), account))
        });
        Self { named: named.collect() }
    }

    /// The service account of a workload; its name, unless a Workload object says otherwise.
    pub fn account<'a>(&'a self, namespace: &str, workload: &'a str) -> &'a str {
        let key = (Arc::from(namespace), Arc::from(workload));
        self.named.get(&key).map_or(workload, String::as_str)
    }
}

/// Why a call is refused; told to the caller, who is authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No certificate was shown.
    #[error("no certificate with a SPIFFE id was shown")]
    Anonymous,
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
        let account = accounts.account(namespace, workload);
        let right = *peer.trust_domain() == self.trust_domain
            && peer.namespace() == namespace
            && peer.service_account() == account;
        if right {
            return Ok(peer.clone());
        }
        let cut = |text: &str| text.chars().take(80).collect::<String>();
        let needed = format!("spiffe://{}/ns/{}/sa/{}", self.trust_domain, cut(namespace), cut(account));
        Err(Denied::Other {
            peer: peer.clone(),
            what: format!("workload {}/{}", cut(namespace), cut(workload)),
            needed,
        })
    }

    /// Whether `peer` is the command line tool.
    pub fn tool(&self, peer: Option<&SpiffeId>) -> Result<(), Denied> {
        let peer = peer.ok_or(Denied::Anonymous)?;
        let needed = well_known::meshctl(&self.trust_domain);
        if *peer == needed {
            return Ok(());
        }
        Err(Denied::Other { peer: peer.clone(), what: "inspection".to_owned(), needed: needed.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(named: &[(&str, &str, &str)]) -> Access {
        let named = named
            .iter()
            .map(|(ns, name, sa)| ((Arc::from(*ns), Arc::from(*name)), (*sa).to_owned()))
            .collect();
        let (_, accounts) = watch::channel(Arc::new(Accounts { named }));
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
    fn a_refusal_says_who_is_there_and_who_is_needed() {
        let denied =
            access(&[]).workload(Some(&id("spiffe://mesh.test/ns/shop/sa/web")), "shop", "cart").unwrap_err();
        assert_eq!(
            denied.to_string(),
            "the certificate is of spiffe://mesh.test/ns/shop/sa/web, but workload shop/cart needs spiffe://mesh.test/ns/shop/sa/cart"
        );
    }

    #[test]
    fn only_the_tool_may_inspect() {
        let access = access(&[]);
        assert!(access.tool(Some(&id("spiffe://mesh.test/ns/amime-system/sa/meshctl"))).is_ok());
        assert!(access.tool(Some(&id("spiffe://mesh.test/ns/shop/sa/meshctl"))).is_err());
    }
}
