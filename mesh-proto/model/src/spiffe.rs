//! SPIFFE ids: who a workload is. They must not know certificates; `mesh-identity` reads them out of those.
//!
//! Source: the SPIFFE-ID standard, sections 2.1 to 2.3.

use std::fmt;
use std::sync::Arc;

use crate::name::{Dots, InvalidName, Name, check};

/// The authority of a SPIFFE id: 1 to 255 characters of `a-z`, `0-9`, `.`, `-` and `_`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Checks the characters and the length.
    pub fn new(text: &str) -> Result<Self, InvalidSpiffeId> {
        let good = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'));
        if text.is_empty() || text.len() > 255 || !good {
            return Err(InvalidSpiffeId::TrustDomain(text.chars().take(80).collect()));
        }
        Ok(Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`: the one form of identity that the mesh issues.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    account: Name,
}

impl SpiffeId {
    /// From its parts; `account` is namespace and service account.
    pub fn new(
        trust_domain: TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, InvalidSpiffeId> {
        check("namespace", namespace, Dots::No)?;
        Ok(Self { trust_domain, account: Name::new(namespace, service_account)? })
    }

    /// From its parts, which are held together with who gives them.
    pub fn shared(
        trust_domain: TrustDomain,
        namespace: &Arc<str>,
        service_account: &Arc<str>,
    ) -> Result<Self, InvalidSpiffeId> {
        Ok(Self { trust_domain, account: Name::shared(namespace, service_account)? })
    }

    /// Parses the URI form. Anything but the mesh's own path shape is an error: an identity that cannot be
    /// understood is never a weaker one.
    pub fn parse(text: &str) -> Result<Self, InvalidSpiffeId> {
        let shape = || InvalidSpiffeId::Shape(text.chars().take(160).collect());
        let rest = text.strip_prefix("spiffe://").ok_or_else(shape)?;
        let mut parts = rest.split('/');
        let (Some(domain), Some("ns"), Some(namespace), Some("sa"), Some(account), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(shape());
        };
        Self::new(TrustDomain::new(domain)?, namespace, account)
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.account.namespace()
    }

    /// The service account; outside Kubernetes the name of the workload.
    pub fn service_account(&self) -> &str {
        self.account.name()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace(), self.service_account())
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no SPIFFE id of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpiffeId {
    /// The authority has a character or length that is not allowed.
    #[error("`{0}` is not a trust domain: 1 to 255 characters of a-z, 0-9, `.`, `-` and `_`")]
    TrustDomain(String),
    /// Not of the form that the mesh issues.
    #[error("`{0}` is not of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT")]
    Shape(String),
    /// A part is no valid name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

#[cfg(test)]
mod tests;
