//! `TrafficPolicy` as the model has it: balancing, resilience and limits of services, routes and rules. Types are here;
//! [`effective`] says which of them are in force for a request and for a backend. They must not know sockets, endpoints or objects.
//!
//! Shares are parts per million and factors are per mille, so that values are equal exactly when their meaning is.
//!
//! Source: GEP-713 (policy attachment), GEP-1731 (retries), GEP-1619 (session persistence), GEP-3388 (retry budgets).

pub mod effective;
mod endpoint_policy;
mod request_policy;

pub use effective::default_retries;
pub use endpoint_policy::*;
pub use request_policy::*;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::asking::GlobalRate;
use crate::compare::Compare;
use crate::name::{Name, ServiceName};
use crate::route::RouteId;
use crate::service::Protocol;

/// What a policy is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PolicyTarget {
    /// A service, or one port of it.
    Service {
        /// The service.
        service: ServiceName,
        /// `None`: every port.
        port: Option<u16>,
    },
    /// A route, or one named rule of it.
    Route {
        /// The route.
        route: RouteId,
        /// The rule's name; `None`: every rule.
        rule: Option<String>,
    },
}

/// A policy with its settings. What is `None` is left to the next wider policy, and then to the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// Namespace and name; displays as `trafficpolicy/NS/NAME` where it is a resource.
    pub name: Name,
    /// What it is attached to.
    pub targets: Vec<PolicyTarget>,
    /// Creation time, Unix seconds; of two policies on one target the older one counts, then the smaller name.
    pub created: u64,
    /// Where the object was read, for messages: `PATH:LINE`.
    pub origin: String,
    /// What it says.
    pub settings: TrafficSettings,
}

/// What the name of a policy begins with that users wrote as XBackendTrafficPolicy (Gateway API): so it is another one than the
/// TrafficPolicy of the same name.
pub const BACKEND_POLICY_PREFIX: &str = "xbackendtrafficpolicy.";

/// What the name of a policy begins with that stands for what a Service itself says (`sessionAffinity`): it is below every policy that
/// users wrote.
pub const SERVICE_PREFIX: &str = "service.";

impl TrafficPolicy {
    /// Whether it stands for what a Service itself says.
    pub fn is_of_service(&self) -> bool {
        self.name.name().starts_with(SERVICE_PREFIX)
    }

    /// The object that users wrote, as resources are named.
    fn object(&self) -> String {
        match self.name.name().strip_prefix(SERVICE_PREFIX) {
            Some(service) => format!("service/{}/{service}", self.name.namespace()),
            None => self.resource_name(),
        }
    }

    /// The name of its resource: `trafficpolicy/NS/NAME`.
    pub fn resource_name(&self) -> String {
        resource_name(&self.name)
    }

    /// Where the object says what TrafficPolicy says in this field of its spec.
    fn field(&self, field: &str) -> String {
        let field = match field {
            "loadBalancer" if self.is_of_service() => "sessionAffinity",
            "retryBudget" if self.name.name().starts_with(BACKEND_POLICY_PREFIX) => "retryConstraint",
            field => field,
        };
        format!("spec.{field}")
    }
}

/// The name of a policy's resource: `trafficpolicy/NS/NAME`.
pub fn resource_name(name: &Name) -> String {
    format!("trafficpolicy/{name}")
}

/// What a policy says. The first group is about a request and is looked up by rule, route and called service; the second one is
/// about a backend and is looked up by the service that the request goes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrafficSettings {
    /// How long things may take.
    pub timeouts: Option<RequestTimeouts>,
    /// When a request is sent again.
    pub retries: Option<Retries>,
    /// A second attempt before the first has failed.
    pub hedging: Option<Hedging>,
    /// Faults on purpose.
    pub fault: Option<Fault>,
    /// An answer without a backend.
    pub direct_response: Option<DirectResponse>,
    /// Bounds on bodies.
    pub bodies: Option<BodyLimits>,
    /// Keeps a client on one endpoint.
    pub session: Option<SessionPersistence>,
    /// Bounds on requests per time, in force at the called workload.
    pub rate_limits: Option<Vec<RateLimit>>,
    /// A bound that a service counts for all proxies together, asked by the called workload's.
    pub global_rate: Option<GlobalRate>,
    /// What of a request decides to which backend of a split it goes. Without: chance.
    pub split: Option<HashKey>,
    /// How answers to copies that mirrors get are compared with those of the backend. Without: they are thrown away.
    pub compare: Option<Arc<Compare>>,

    /// Which endpoint is picked.
    pub balancing: Option<Balancing>,
    /// How much may be under way.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The share of retries among requests.
    pub retry_budget: Option<RetryBudget>,
    /// When an endpoint that fails is left alone.
    pub outlier: Option<OutlierDetection>,
    /// Probes of endpoints.
    pub health_check: Option<HealthCheck>,
    /// How long a connect may take.
    pub connect_timeout: Option<Duration>,
    /// What is spoken to the backend.
    pub protocol: Option<Protocol>,
    /// A bound on what the workload works on at once, found by measuring; in force at the called workload.
    pub concurrency: Option<AdaptiveConcurrency>,
}

/// Where a setting in force comes from; displays as `trafficpolicy/NS/NAME spec.retries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody wrote it.
    Default,
    /// A field of an object: `trafficpolicy/NS/NAME`, `httproute/NS/NAME#RULE`.
    Object {
        /// Kind, namespace and name.
        object: String,
        /// The field, as `spec.retries`.
        field: String,
    },
    /// Two objects say parts of it: the fields of a rule lie over those of a policy.
    Over {
        /// What counts where it says anything.
        upper: Box<Self>,
        /// What counts for the rest.
        lower: Box<Self>,
    },
}

impl Origin {
    /// This origin for what `upper` leaves open. Defaults need no mention.
    pub(crate) fn under(self, upper: Self) -> Self {
        match self {
            Self::Default => upper,
            lower => Self::Over { upper: Box::new(upper), lower: Box::new(lower) },
        }
    }

    /// The objects and fields that it names, what counts first in front. None for a default.
    pub fn parts(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Default => Vec::new(),
            Self::Object { object, field } => vec![(object, field)],
            Self::Over { upper, lower } => [upper.parts(), lower.parts()].concat(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Object { object, field } => write!(f, "{object} {field}"),
            Self::Over { upper, lower } => write!(f, "{upper}, else {lower}"),
        }
    }
}

/// A setting in force and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The setting.
    pub value: T,
    /// Who says so.
    pub origin: Origin,
}
