//! Names of things: namespaced names and the ids built from them. They must not know what they name.

use std::fmt;
use std::sync::Arc;

/// A DNS label as Kubernetes uses it for namespaces, services and workloads (RFC 1123): 1 to 63 characters of
/// `a-z`, `0-9` and `-`, neither first nor last a `-`. Object names may have dots between labels, 253 in all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {reason}")]
pub struct InvalidName {
    /// What it should have been.
    pub what: &'static str,
    /// The text as given, cut at 80 characters.
    pub text: String,
    /// Why not.
    pub reason: &'static str,
}

/// A name within a namespace: of a service, a workload or a route. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    namespace: Arc<str>,
    name: Arc<str>,
}

impl Name {
    /// Checks both parts.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidName> {
        check("namespace", namespace, Dots::No)?;
        check("name", name, Dots::Yes)?;
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }

    /// Checks both parts, and holds them together with who gives them.
    pub fn shared(namespace: &Arc<str>, name: &Arc<str>) -> Result<Self, InvalidName> {
        check("namespace", namespace, Dots::No)?;
        check("name", name, Dots::Yes)?;
        Ok(Self { namespace: Arc::clone(namespace), name: Arc::clone(name) })
    }

    /// The same, holding its namespace together with who gives it; itself if that is another one.
    #[must_use]
    pub fn within(&self, namespace: Arc<str>) -> Self {
        let namespace = if namespace == self.namespace { namespace } else { Arc::clone(&self.namespace) };
        Self { namespace, name: Arc::clone(&self.name) }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace, to be held.
    pub fn shared_namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    /// The name without its namespace, to be held.
    pub fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// The name without its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a Service: what routes attach to and requests are sent to.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ServiceName(pub Name);

impl ServiceName {
    /// Checks both parts.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidName> {
        Name::new(namespace, name).map(Self)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a workload: a pod's controller in Kubernetes, a `Workload` object elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WorkloadName(pub Name);

impl WorkloadName {
    /// Checks both parts.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidName> {
        Name::new(namespace, name).map(Self)
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a name may consist of several labels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dots {
    Yes,
    No,
}

/// Checks a Kubernetes name.
pub(crate) fn check(what: &'static str, text: &str, dots: Dots) -> Result<(), InvalidName> {
    let fail = |reason| Err(InvalidName { what, text: text.chars().take(80).collect(), reason });
    let limit = if dots == Dots::Yes { 253 } else { 63 };
    if text.is_empty() {
        return fail("it is empty");
    }
    if text.len() > limit {
        return fail(if dots == Dots::Yes {
            "it is longer than 253 characters"
        } else {
            "it is longer than 63 characters"
        });
    }
    let labels = |label: &str| {
        let bytes = label.as_bytes();
        !bytes.is_empty()
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
    };
    let good = if dots == Dots::Yes { text.split('.').all(labels) } else { labels(text) };
    if good { Ok(()) } else { fail("only a-z, 0-9 and `-` are allowed, and `-` neither first nor last") }
}
