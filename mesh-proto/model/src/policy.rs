//! Who may call what: AuthorizationPolicies as values, and the verdict over a connection or a request. The proxy, `meshctl explain`,
//! `meshctl authz` and `meshctl test` call the same functions, so that none of them can say something else than the others.
//!
//! Names are literals: no pattern in a name (CVE-2026-39350). Expressions are conditions
//! of their own, with bounds and types; one without an answer denies. Where a part can be read in several ways, a rule that denies fits if
//! any reading fits, and one that allows only if every reading does: several values of a header (CVE-2026-26308, CVE-2021-32777),
//! parameters in a path (CVE-2026-73511, CVE-2026-73551), a name in another trust domain. It must not know where a policy was written.

pub mod cidr;
pub mod claims;
mod expression;
mod fit;
mod judge;
mod paths;
#[cfg(test)]
mod tests;
mod words;

use std::net::IpAddr;

use mesh_cel::Program;

use crate::asking::ExternalAuth;
use crate::head::HeadView;
use crate::host::Host;
use crate::name::Name;
use crate::spiffe::{SpiffeId, TrustDomain};

pub use cidr::Cidr;
pub use claims::Claims;
pub use fit::{CallList, CallerList, Fit, Looked, Negation, Place};
pub use judge::{Applied, By, Decision, Unanswered, Verdict};
pub use paths::PathRule;

/// A policy as it protects one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    /// Namespace and name of the object.
    pub name: Name,
    /// What becomes of a call that fits.
    pub action: Action,
    /// One that fits is enough.
    pub rules: Vec<Rule>,
    /// Who is asked, of [`Action::External`]; of any other nobody.
    pub external: Option<ExternalAuth>,
    /// The workload's ports that it protects.
    pub scope: Scope,
    /// Why the object cannot be read. Such a policy denies every call in its scope.
    pub refused: Option<String>,
    /// Where it was read, `PATH:LINE`.
    pub origin: String,
}

impl AuthorizationPolicy {
    /// `authorizationpolicy/NS/NAME`.
    pub fn resource_name(&self) -> String {
        resource_name(&self.name)
    }

    /// Whether it says something of that port.
    pub fn protects(&self, port: u16) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Ports(ports) => ports.contains(&port),
        }
    }

    /// What cannot be read denies everything. INV-7.
    pub fn closed(name: Name, why: String) -> Self {
        Self {
            name,
            action: Action::Deny,
            rules: Vec::new(),
            external: None,
            scope: Scope::All,
            refused: Some(why),
            origin: String::new(),
        }
    }
}

/// The name of a policy's resource.
pub fn resource_name(name: &Name) -> String {
    format!("authorizationpolicy/{name}")
}

/// What becomes of a call that fits a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is allowed. As soon as one such policy protects a port, some such policy must allow a call.
    Allow,
    /// It is refused, whatever others allow.
    Deny,
    /// A service is asked, after all that refuses by itself; unless it says yes the call is refused.
    External,
    /// Nothing, but it is recorded what would have come of it if the policy did that.
    Audit(Rehearsed),
}

/// What an audit policy rehearses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rehearsed {
    /// A policy that allows: what no rule fits is recorded.
    Allow,
    /// A policy that denies: what a rule fits is recorded.
    Deny,
}

/// Which of the workload's ports a policy protects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All.
    All,
    /// These: ports of the application.
    Ports(Vec<u16>),
}

/// A rule fits when some of `from`, some of `to` and all of `when` fit; an empty list fits everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Who calls.
    pub from: Vec<Callers>,
    /// What is called.
    pub to: Vec<Calls>,
    /// What else must hold.
    pub when: Vec<Condition>,
}

/// Callers: those that each list of `fits` has, and no list of `not`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Callers {
    /// An empty list fits everybody.
    pub fits: CallerLists,
    /// An empty list excludes nobody.
    pub not: CallerLists,
}

/// What callers are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallerLists {
    /// Whole identities.
    pub identities: Vec<SpiffeId>,
    /// Namespaces of the mesh's own trust domain, or of those in `trust_domains`.
    pub namespaces: Vec<String>,
    /// Service accounts, likewise.
    pub accounts: Vec<Name>,
    /// Trust domains.
    pub trust_domains: Vec<TrustDomain>,
    /// Where the connection comes from.
    pub cidrs: Vec<Cidr>,
}

/// Calls: those that each list of `fits` has, and no list of `not`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calls {
    /// An empty list fits everything.
    pub fits: CallLists,
    /// An empty list excludes nothing.
    pub not: CallLists,
}

/// What calls are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallLists {
    /// Ports of the application.
    pub ports: Vec<u16>,
    /// Methods, as sent.
    pub methods: Vec<String>,
    /// Canonical paths.
    pub paths: Vec<PathRule>,
    /// Hosts, without ports.
    pub hosts: Vec<HostRule>,
    /// Calls of gRPC.
    pub grpc: Vec<GrpcCall>,
    /// The name that a client asks for in its own TLS.
    pub sni: Vec<HostRule>,
}

/// Hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostRule {
    /// That one: a host name or an IP address, in lower case, without brackets.
    Exact(String),
    /// `*.HOST`: every one under it, and not it.
    Under(Host),
}

impl HostRule {
    /// `None` if it is neither a host name, nor an IP address, nor `*.` and a host name.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(suffix) = text.strip_prefix("*.") {
            return Host::parse(suffix).map(Self::Under);
        }
        if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(Self::Exact(ip.to_string()));
        }
        Host::parse(text).map(|host| Self::Exact(host.as_str().to_owned()))
    }

    /// `host` is in lower case.
    fn fits(&self, host: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == host,
            Self::Under(suffix) => host
                .strip_suffix(suffix.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }
}

impl std::fmt::Display for HostRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Under(host) => write!(f, "*.{host}"),
        }
    }
}

/// A method of a gRPC service, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrpcCall {
    /// With its package, as `shop.Cart`.
    pub service: String,
    /// `None`: every one.
    pub method: Option<String>,
}

impl GrpcCall {
    /// From `SERVICE/METHOD`, or `SERVICE/*` for every method.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (service, method) = text.split_once('/').ok_or("is not SERVICE/METHOD, nor SERVICE/*")?;
        let name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if !name(service) || !(method == "*" || name(method)) {
            return Err("has a name that is not letters, digits, `.`, `_` and `-`; names are literals");
        }
        Ok(Self { service: service.to_owned(), method: (method != "*").then(|| method.to_owned()) })
    }
}

impl std::fmt::Display for GrpcCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.service, self.method.as_deref().unwrap_or("*"))
    }
}

/// What else must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A header has one of these values.
    Header {
        /// In lower case.
        name: String,
        /// Literals.
        values: Vec<String>,
    },
    /// A header is there, or is not.
    HeaderPresent {
        /// In lower case.
        name: String,
        /// Whether it is.
        present: bool,
    },
    /// A claim of the caller's token has one of these values; of a list, some entry.
    Claim {
        /// The name of a claim, or from `/` on a pointer into it (RFC 6901).
        path: String,
        /// Literals.
        values: Vec<String>,
    },
    /// An expression holds.
    Cel(Program),
}

/// What a verdict is about: a connection, or with `request` a request on it.
#[derive(Debug)]
pub struct Attributes<'a, H: ?Sized> {
    /// Who calls, by its certificate. `None`: nobody that could be known.
    pub peer: Option<&'a SpiffeId>,
    /// The mesh's own trust domain.
    pub trust_domain: &'a TrustDomain,
    /// Where the connection comes from.
    pub source: IpAddr,
    /// The application's port.
    pub port: u16,
    /// The name that a client asks for in TLS of its own.
    pub sni: Option<&'a str>,
    /// The request, as it will be forwarded.
    pub request: Option<&'a H>,
    /// Claims of a token that was verified.
    pub claims: Option<&'a Claims>,
}

impl<H: ?Sized> Clone for Attributes<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: ?Sized> Copy for Attributes<'_, H> {}

/// The type of the request where there is none.
#[derive(Debug, Clone, Copy)]
pub enum NoRequest {}

impl HeadView for NoRequest {
    fn method(&self) -> &str {
        match *self {}
    }

    fn path(&self) -> &str {
        match *self {}
    }

    fn query(&self) -> Option<&str> {
        match *self {}
    }

    fn authority(&self) -> &str {
        match *self {}
    }

    fn header_values(&self, _name: &str, _visit: &mut dyn FnMut(&[u8])) {
        match *self {}
    }
}
