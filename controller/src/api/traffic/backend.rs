//! Settings about a backend: balancing, bounds, outliers, probes. They must not know requests.

use kube::core::Rule;
use serde::{Deserialize, Serialize};

use crate::api::scalars::DurationText;

/// Which endpoint is picked.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.hashOn) == (self.type in ['RingHash', 'Maglev'])").message("hashOn is for RingHash and Maglev, which need it"),
    Rule::new("!has(self.choices) || self.type == 'LeastRequest'").message("choices is for LeastRequest"),
    Rule::new("!has(self.ringSize) || self.type == 'RingHash'").message("ringSize is for RingHash"),
    Rule::new("!has(self.tableSize) || self.type == 'Maglev'").message("tableSize is for Maglev"),
    Rule::new("!has(self.boundedLoad) || self.type in ['RingHash', 'Maglev']").message("boundedLoad is for RingHash and Maglev")
]))]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// How an endpoint is picked.
    #[serde(rename = "type")]
    pub kind: LoadBalancerType,
    /// For `LeastRequest`: of how many random endpoints the least loaded one is taken. Absent: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 16))]
    pub choices: Option<u32>,
    /// For `RingHash` and `Maglev`: what of a request is hashed. A request without it gets a random endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_on: Option<HashOn>,
    /// For `RingHash`: points on the ring. Absent: 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 64, max = 1_048_576))]
    pub ring_size: Option<u32>,
    /// For `Maglev`: entries of the table, a prime. Absent: 65537.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 11, max = 5_000_011))]
    pub table_size: Option<u32>,
    /// For `RingHash` and `Maglev`: the most load of an endpoint in percent of the mean; beyond it the next one is taken. Absent:
    /// no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 101, max = 10_000))]
    pub bounded_load: Option<f64>,
    /// New endpoints get their share bit by bit. Absent: within 10s, from 10 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStart>,
    /// Whether near endpoints are preferred.
    pub locality: LocalityMode,
    /// Below this percentage of usable endpoints, health is not looked at, since too few would get all the load. 0: always
    /// looked at.
    #[schemars(range(min = 0, max = 100))]
    pub panic_threshold: f64,
    /// The most requests under way at one endpoint. Absent: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests_per_endpoint: Option<u32>,
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            kind: LoadBalancerType::default(),
            choices: None,
            hash_on: None,
            ring_size: None,
            table_size: None,
            bounded_load: None,
            slow_start: None,
            locality: LocalityMode::default(),
            panic_threshold: 50.0,
            max_requests_per_endpoint: None,
        }
    }
}

/// How an endpoint is picked.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadBalancerType {
    /// The better of two random ones by latency and requests under way.
    #[default]
    #[serde(rename = "PeakEWMA")]
    PeakEwma,
    /// The one of a few random ones with the fewest requests under way.
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// At random.
    Random,
    /// By hash of the request on a ring: a change of endpoints moves few keys.
    RingHash,
    /// By hash of the request in a Maglev table: more even than a ring, moves a few more keys.
    Maglev,
}

/// What is hashed: one of them.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("[has(self.header), has(self.cookie), has(self.sourceAddress)].filter(x, x).size() == 1").message("needs exactly one of header, cookie and sourceAddress"),
    Rule::new("!has(self.sourceAddress) || self.sourceAddress").message("sourceAddress is true or absent")
]))]
#[serde(rename_all = "camelCase", default)]
pub struct HashOn {
    /// The value of the header of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub header: Option<String>,
    /// The value of a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<HashCookie>,
    /// `true`: the client's address without port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<bool>,
}

/// A cookie that is hashed.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashCookie {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// A client without the cookie is given one that lives this long, 1s to 8760h. Absent: it is given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationText>,
}

/// New endpoints get their share bit by bit.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlowStart {
    /// Until the full share, at most 1h. `0s`: the full share at once.
    pub window: DurationText,
    /// The percentage of its share that an endpoint begins with.
    #[schemars(range(min = 1, max = 100))]
    pub min_percent: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: "10s".into(), min_percent: 10.0 }
    }
}

/// Whether near endpoints are preferred.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalityMode {
    /// The own zone first; what it cannot take spills over.
    #[default]
    PreferZone,
    /// Zones are not looked at.
    Ignore,
}

/// How much may be under way to a Service, per proxy. What is beyond is answered 503. Absent fields: the proxy's own bounds.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CircuitBreaker {
    /// Open connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_pending_requests: Option<u32>,
    /// Requests under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: Option<u32>,
    /// Streams on one HTTP/2 connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_streams_per_connection: Option<u32>,
    /// Retries under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_retries: Option<u32>,
}

/// The share of retries among requests, with a floor for quiet Services.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// Retries per hundred requests.
    #[schemars(range(min = 0, max = 100))]
    pub percent: f64,
    /// Retries a second that are always allowed.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_per_second: u32,
    /// Over this time, 1s to 1h.
    pub window: DurationText,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20.0, min_per_second: 10, window: "10s".into() }
    }
}

/// When an endpoint that fails is left alone. Errors are 5xx, resets, timeouts and failed connects, and of gRPC UNAVAILABLE,
/// INTERNAL, UNKNOWN and DEADLINE_EXCEEDED.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("duration(self.baseEjectionTime) <= duration(self.maxEjectionTime)").message("baseEjectionTime is longer than maxEjectionTime")]))]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// So many errors in a row. 0: not counted.
    #[schemars(range(min = 0, max = 1_000))]
    pub consecutive_errors: u32,
    /// Between two looks at success rates and latencies, 100ms to 1h.
    pub interval: DurationText,
    /// The first time that an endpoint is left alone, 100ms to 24h; it grows by itself with each further one.
    pub base_ejection_time: DurationText,
    /// The longest time, at most 24h.
    pub max_ejection_time: DurationText,
    /// The percentage of endpoints that may be left alone at once; at least one always stays.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejection_percent: f64,
    /// Endpoints whose success rate is far below that of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<SuccessRate>,
    /// Endpoints whose latency is far above that of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyOutlier>,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_errors: 5,
            interval: "10s".into(),
            base_ejection_time: "10s".into(),
            max_ejection_time: "5m".into(),
            max_ejection_percent: 50.0,
            success_rate: None,
            latency: None,
        }
    }
}

/// Endpoints whose success rate is far below that of the others.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SuccessRate {
    /// Requests that an endpoint must have had in the interval.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: u32,
    /// Endpoints with so many requests that there must be.
    #[schemars(range(min = 2, max = 10_000))]
    pub min_endpoints: u32,
    /// Standard deviations below the mean.
    #[schemars(range(min = 0.1, max = 10.0))]
    pub deviations: f64,
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { min_requests: 100, min_endpoints: 5, deviations: 1.9 }
    }
}

/// Endpoints whose latency is far above that of the others.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LatencyOutlier {
    /// Requests that an endpoint must have had in the interval.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: u32,
    /// Times the median of the endpoints' means.
    #[schemars(range(min = 1.1, max = 100.0))]
    pub factor: f64,
}

impl Default for LatencyOutlier {
    fn default() -> Self {
        Self { min_requests: 100, factor: 3.0 }
    }
}

/// Probes of endpoints: one of `http`, `grpc` and `tcp`.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("[has(self.http), has(self.grpc), has(self.tcp)].filter(x, x).size() == 1").message("needs exactly one of http, grpc and tcp"),
    Rule::new("duration(self.timeout) <= duration(self.interval)").message("timeout is longer than interval")
]))]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// A GET that must be answered well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// A call of the gRPC health service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcProbe>,
    /// A connection that must come about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// Between two probes of an endpoint, 100ms to 1h.
    pub interval: DurationText,
    /// For an answer, 1ms to 1m.
    pub timeout: DurationText,
    /// Failed probes in a row after which an endpoint is not used.
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_threshold: u32,
    /// Good probes in a row after which it is used again.
    #[schemars(range(min = 1, max = 100))]
    pub healthy_threshold: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            http: None,
            grpc: None,
            tcp: None,
            interval: "10s".into(),
            timeout: "1s".into(),
            unhealthy_threshold: 3,
            healthy_threshold: 1,
        }
    }
}

/// A GET that must be answered well.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// Path, with query if need be.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/"))]
    pub path: String,
    /// The `Host` that is asked for. Absent: the Service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// The statuses of a healthy endpoint.
    #[serde(default)]
    pub expected_statuses: StatusRange,
}

/// Statuses, both ends included.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("self.min <= self.max").message("min is above max")]))]
pub struct StatusRange {
    /// The first one.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub min: u16,
    /// The last one.
    #[serde(default = "last_ok")]
    #[schemars(range(min = 100, max = 599))]
    pub max: u16,
}

fn ok() -> u16 {
    200
}

fn last_ok() -> u16 {
    299
}

impl Default for StatusRange {
    fn default() -> Self {
        Self { min: ok(), max: last_ok() }
    }
}

/// A call of `grpc.health.v1.Health/Check`.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrpcProbe {
    /// Of which service; empty: of the server as a whole.
    #[schemars(length(max = 256))]
    pub service: String,
}

/// A connection that must come about, with mTLS where the endpoint is a member of the mesh.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpProbe {}

/// A bound on what a workload works on at once that follows its latency.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("self.min <= self.max").message("min is above max")]))]
#[serde(rename_all = "camelCase", default)]
pub struct Concurrency {
    /// The bound never falls below.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min: u32,
    /// The bound never rises above.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
    /// Times the latency of an idle workload that is still taken as good.
    #[schemars(range(min = 1.1, max = 10.0))]
    pub tolerance: f64,
    /// Requests that may wait for their turn; what is beyond is answered 503.
    #[schemars(range(min = 0, max = 100_000))]
    pub queue: u32,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { min: 10, max: 1_000, tolerance: 1.5, queue: 100 }
    }
}
