//! How much a single resource may hold. A proxy refuses a resource beyond these, so that neither a broken controller nor
//! one huge object can take its memory. They must not know what the fields mean.
//!
//! The bounds of routes are a multiple of what Gateway API allows (16 rules, 64 matches, 16 filters, 16 backends, 16
//! headers); those of endpoints are above what one Service has in the largest clusters.

/// Parents of a route.
pub const PARENTS: usize = 256;
/// Rules of a route.
pub const RULES: usize = 256;
/// Matches of a rule.
pub const MATCHES: usize = 256;
/// Header or query conditions of a match.
pub const CONDITIONS: usize = 64;
/// Filters of a rule or of a backend.
pub const FILTERS: usize = 64;
/// Entries of one list of a header edit.
pub const EDITS: usize = 128;
/// Backends of a rule.
pub const BACKENDS: usize = 128;
/// Ports of a service.
pub const PORTS: usize = 1_024;
/// Addresses of a service.
pub const ADDRESSES: usize = 64;
/// Endpoints of a service, over all its ports.
pub const ENDPOINTS: usize = 50_000;
/// Bytes of a text: a path, an expression, a header's value.
pub const TEXT: usize = 8_192;
/// The largest weight. Source: Gateway API, BackendRef.weight.
pub const WEIGHT: u32 = 1_000_000;
/// Milliseconds of a timeout: the longest that a duration of GEP-2257 can say.
pub const TIMEOUT_MS: u64 = 4 * 99_999 * 3_600_000;
/// Parts in a million.
pub const PPM: u32 = 1_000_000;
/// The largest priority of an endpoint.
pub const PRIORITY: u32 = 127;
/// Addresses that a workload serves, each for one port of a service.
pub const OWN: usize = 1_024;
/// Ports that are known of one address.
pub const SERVED: usize = 4_096;
/// Bytes of certificates.
pub const PEM: usize = 64 * 1024;
/// Host names of a route.
pub const HOSTS: usize = 256;
/// Targets of a policy.
pub const TARGETS: usize = 256;
/// Entries of a list of statuses or kinds of failures.
pub const STATUSES: usize = 256;
/// Attempts after the first one.
pub const ATTEMPTS: u32 = 100;
/// Attempts beside the first one at the same time.
pub const HEDGES: u32 = 10;
/// Bytes of a request's body that are kept to send it again.
pub const REPLAY_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of the body of a direct response.
pub const DIRECT_BODY: usize = 64 * 1024;
/// Rate limits of a policy.
pub const RATE_LIMITS: usize = 64;
/// Parts of the key of a rate limit.
pub const RATE_KEYS: usize = 16;
/// Endpoints among which the least loaded one is picked.
pub const CHOICES: u32 = 64;
/// Points on a hash ring.
pub const RING: u32 = 1_048_576;
/// Entries of a Maglev table.
pub const MAGLEV: u32 = 5_000_011;
/// A factor in per mille: a thousand times.
pub const FACTOR: u32 = 1_000_000;
/// Origins, methods or headers of a CORS filter.
pub const CORS: usize = 64;
/// Rules of an authorization policy.
pub const AUTHORIZATION_RULES: usize = 256;
/// Entries of a list of a rule of an authorization policy.
pub const AUTHORIZATION_ENTRIES: usize = 256;
/// Values of a list of an entry.
pub const AUTHORIZATION_VALUES: usize = 1_024;
/// Headers for a collector.
pub const OTLP_HEADERS: usize = 32;
/// Headers and places that a comparison of answers names.
pub const COMPARED: usize = 64;
