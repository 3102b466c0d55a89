//! Settings about a backend: balancing, bounds, outliers, health. They must not know requests.

use std::time::Duration;

use super::Ppm;

/// Which endpoint is picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancing {
    /// How.
    pub algorithm: Algorithm,
    /// New endpoints get their share bit by bit.
    pub slow_start: Option<SlowStart>,
    /// Whether near endpoints are preferred.
    pub locality: Locality,
    /// Below this share of usable endpoints health is not looked at: too few would get all the load. Default 500,000 (50 %).
    pub panic_threshold: Ppm,
    /// The most requests under way at one endpoint. `None`: no bound.
    pub max_requests_per_endpoint: Option<u32>,
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::PeakEwma,
            slow_start: Some(SlowStart { window: Duration::from_secs(10), floor: Ppm(100_000) }),
            locality: Locality::default(),
            panic_threshold: Ppm(500_000),
            max_requests_per_endpoint: None,
        }
    }
}

/// How an endpoint is picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Algorithm {
    /// The better of two random ones by peak EWMA of latency times requests under way.
    PeakEwma,
    /// The one of `choices` random ones with the fewest requests under way for its weight.
    LeastRequest {
        /// At least 2.
        choices: u32,
    },
    /// In turn, by weight.
    RoundRobin,
    /// Evenly by weight.
    Random,
    /// By hash of the request on a ring: a change of the set moves few keys.
    RingHash {
        /// What is hashed.
        key: HashKey,
        /// Points on the ring, at most 1,048,576.
        ring_size: u32,
        /// The most load of an endpoint, as a share of the mean, per mille, above 1000. `None`: unbounded.
        bounded_load: Option<u32>,
    },
    /// By hash of the request in a Maglev table: even, fast, moves a few more keys than a ring.
    Maglev {
        /// What is hashed.
        key: HashKey,
        /// Entries, a prime, at most 5,000,011.
        table_size: u32,
        /// As for the ring.
        bounded_load: Option<u32>,
    },
}

/// What is hashed. A request without it gets a random endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HashKey {
    /// The value of this header (lower case name).
    Header(String),
    /// The value of a cookie; where there is none and `ttl` is given, one is set.
    Cookie {
        /// Its name.
        name: String,
        /// Life of the cookie that is set.
        ttl: Option<Duration>,
    },
    /// The client's address without port.
    SourceAddress,
}

/// New endpoints get their share bit by bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlowStart {
    /// Until the full share.
    pub window: Duration,
    /// The share that it begins with.
    pub floor: Ppm,
}

/// Whether near endpoints are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Locality {
    /// The own zone first; what it cannot take (its usable endpoints, for its share of the load, are too few) spills over.
    #[default]
    PreferZone,
    /// Zones are not looked at.
    Off,
}

/// How much may be under way to a backend, per proxy. `None`: the proxy's own bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CircuitBreaker {
    /// Open connections.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending: Option<u32>,
    /// Requests under way.
    pub requests: Option<u32>,
    /// Streams on one HTTP/2 connection.
    pub streams: Option<u32>,
    /// Retries under way.
    pub retries: Option<u32>,
}

/// The share of retries among requests, with a floor for quiet services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryBudget {
    /// Retries per request.
    pub share: Ppm,
    /// Retries per second that are always allowed.
    pub min_per_second: u32,
    /// Over this time.
    pub window: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { share: Ppm(200_000), min_per_second: 10, window: Duration::from_secs(10) }
    }
}

/// When an endpoint that fails is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutlierDetection {
    /// Errors (5xx, resets, timeouts, failed connects; gRPC UNAVAILABLE, INTERNAL, UNKNOWN, DEADLINE_EXCEEDED) in a row. `None`: not counted.
    pub consecutive_errors: Option<u32>,
    /// Between two looks at success rates and latencies.
    pub interval: Duration,
    /// The first time that an endpoint is left alone; it grows by itself with each further one.
    pub base_ejection: Duration,
    /// The longest one.
    pub max_ejection: Duration,
    /// The most endpoints that are left alone at once; at least one always stays.
    pub max_ejected: Ppm,
    /// By success rate: those far below the mean of the others.
    pub success_rate: Option<SuccessRate>,
    /// By latency: those far above the median of the others.
    pub latency: Option<LatencyOutlier>,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_errors: Some(5),
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(10),
            max_ejection: Duration::from_mins(5),
            max_ejected: Ppm(500_000),
            success_rate: None,
            latency: None,
        }
    }
}

/// Ejection by success rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SuccessRate {
    /// Requests that an endpoint must have had in the interval.
    pub min_requests: u32,
    /// Endpoints with so many that there must be.
    pub min_endpoints: u32,
    /// Standard deviations below the mean, per mille (1900 is 1.9).
    pub deviations: u32,
}

/// Ejection by latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LatencyOutlier {
    /// Requests that an endpoint must have had in the interval.
    pub min_requests: u32,
    /// Times the median of the endpoints' means, per mille (3000 is three times).
    pub factor: u32,
}

/// Probes of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Between two probes of an endpoint, with jitter.
    pub interval: Duration,
    /// For an answer.
    pub timeout: Duration,
    /// Failed probes in a row after which it is unhealthy.
    pub unhealthy_after: u32,
    /// Good probes in a row after which it is healthy again.
    pub healthy_after: u32,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `GET path`; healthy within these statuses, both ends included.
    Http {
        /// Path and query.
        path: String,
        /// `Host`; `None`: the service's.
        host: Option<String>,
        /// The statuses.
        statuses: (u16, u16),
    },
    /// `grpc.health.v1.Health/Check` of this service (empty: the server as a whole).
    Grpc {
        /// The service.
        service: String,
    },
    /// A connection that comes about (mTLS included where the endpoint is a member).
    Tcp,
}

/// A bound on requests under way at a workload that follows its latency (gradient).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdaptiveConcurrency {
    /// The bound never falls below.
    pub min: u32,
    /// The bound never rises above.
    pub max: u32,
    /// Latency above the unloaded one that is still taken as good, per mille (1500 is one and a half times).
    pub tolerance: u32,
    /// Requests that may wait for their turn.
    pub queue: u32,
}
