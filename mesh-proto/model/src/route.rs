//! Routes: HTTPRoute and GRPCRoute as one model, and the decision which rule a request takes.
//!
//! They must not know sockets, endpoints or objects. Types are here; [`matching`] says whether a request fits a match,
//! [`table`] orders the rules of all routes of a service port and decides, [`edit`] applies filters, [`split`] picks a
//! backend by weight.
//!
//! Source: Gateway API v1.6 (HTTPRoute, GRPCRoute), GEP-1294 (Service as parent), GEP-2257 (durations).

pub mod cors;
pub mod edit;
pub mod matching;
mod precedence;
pub mod split;
pub mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::asking::ExternalAuth;
use crate::compare::Compare;
use crate::name::{Name, ServiceName};
use crate::traffic::{Ppm, SessionPersistence};

/// Which kind of object a route came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
}

/// A route's identity; displays as `httproute/NS/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId {
    /// The kind.
    pub kind: RouteKind,
    /// Namespace and name.
    pub name: Name,
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RouteKind::Http => "httproute",
            RouteKind::Grpc => "grpcroute",
        };
        write!(f, "{kind}/{}", self.name)
    }
}

/// A route, attached to services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Kind, namespace and name.
    pub id: RouteId,
    /// What it is attached to.
    pub parents: Vec<ParentRef>,
    /// In the object's order. A rule with `invalid` backends is still a rule.
    pub rules: Vec<Rule>,
    /// Creation time, Unix seconds; 0 if the source knows none. Older wins among equals.
    pub created: u64,
    /// Where the object was read, for messages: `PATH:LINE`.
    pub origin: String,
}

impl Route {
    /// Where copies of its requests go, with repetitions.
    pub fn mirrors(&self) -> impl Iterator<Item = &BackendTarget> {
        self.filters().filter_map(|filter| match filter {
            Filter::Mirror(mirror) => Some(&mirror.target),
            Filter::RequestHeaders(_)
            | Filter::ResponseHeaders(_)
            | Filter::Redirect(_)
            | Filter::Rewrite(_)
            | Filter::Cors(_)
            | Filter::ExternalAuth(_) => None,
        })
    }

    /// Who is asked whether its requests may go on, with repetitions.
    pub fn asked(&self) -> impl Iterator<Item = &BackendTarget> {
        self.filters().filter_map(|filter| match filter {
            Filter::ExternalAuth(auth) => Some(&auth.target),
            Filter::RequestHeaders(_)
            | Filter::ResponseHeaders(_)
            | Filter::Redirect(_)
            | Filter::Rewrite(_)
            | Filter::Cors(_)
            | Filter::Mirror(_) => None,
        })
    }

    fn filters(&self) -> impl Iterator<Item = &Filter> {
        let of_rules = self.rules.iter().flat_map(|rule| &rule.filters);
        let backends = self.rules.iter().flat_map(|rule| &rule.backends);
        of_rules.chain(backends.flat_map(|backend| &backend.filters))
    }
}

/// What a route is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParentRef {
    /// The service.
    pub service: ServiceName,
    /// `None`: all its ports.
    pub port: Option<u16>,
}

/// One rule of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The rule's own name, if it has one.
    pub name: Option<String>,
    /// Any of them suffices; never empty (an object without matches has one that fits everything).
    pub matches: Vec<Match>,
    /// Applied in order.
    pub filters: Vec<Filter>,
    /// Where its requests go. Empty (or all of weight 0): 500, unless a redirect answers.
    pub backends: Vec<Backend>,
    /// Limits.
    pub timeouts: Timeouts,
    /// When requests of this rule are sent again (HTTPRouteRetry). `None`: what a policy says.
    pub retry: Option<RuleRetry>,
    /// Keeps clients of this rule on one endpoint. `None`: what a policy says.
    pub session: Option<SessionPersistence>,
}

/// Retries as a route writes them. Source: GEP-1731.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRetry {
    /// HTTP statuses that are retried.
    pub statuses: Vec<u16>,
    /// Attempts after the first one. `None`: the default.
    pub attempts: Option<u32>,
    /// The least pause between attempts. `None`: the default.
    pub backoff: Option<Duration>,
}

/// Limits of a rule. `None`: what a policy says. Zero: no limit, whatever a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// From the request's last head byte to the end of the response.
    pub request: Option<Duration>,
    /// The same for one attempt at a backend.
    pub backend_request: Option<Duration>,
}

/// One match: every part must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Method, path, query, or gRPC service and method.
    pub target: Target,
    /// All must fit. Names are lower case; of two with the same name the first one counts.
    pub headers: Vec<ValueMatch>,
}

/// The part of a match that depends on the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// HTTPRoute.
    Http {
        /// How the path must look.
        path: PathMatch,
        /// `None`: every method.
        method: Option<String>,
        /// All must fit; names are case sensitive.
        query: Vec<ValueMatch>,
    },
    /// GRPCRoute.
    Grpc(GrpcMatch),
}

/// How a path must look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// The very same.
    Exact(String),
    /// By whole segments: `/v2` fits `/v2` and `/v2/x`, not `/v2x`. `/` fits everything. Without trailing `/`.
    Prefix(String),
    /// The expression fits the whole path.
    Regex(Pattern),
}

/// gRPC service and method. `None` on both: every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcMatch {
    /// The full service name, as in `package.Service`.
    pub service: Option<TextMatch>,
    /// The method name.
    pub method: Option<TextMatch>,
}

/// A text, or an expression for the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// The very same.
    Exact(String),
    /// The expression fits the whole text.
    Regex(Pattern),
}

/// A named value (header or query parameter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueMatch {
    /// The name.
    pub name: String,
    /// How the value must look.
    pub value: TextMatch,
}

/// A compiled regular expression that must fit a whole text. Equal when the source text is.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    regex: regex::Regex,
}

impl Pattern {
    /// Compiles; fails with a sentence when the expression is bad or larger than 64 KiB compiled.
    pub fn new(source: &str) -> Result<Self, String> {
        let compile = |text: &str| {
            regex::RegexBuilder::new(text).size_limit(64 * 1024).build().map_err(|error| match error {
                regex::Error::CompiledTooBig(limit) => format!("it needs more than {limit} bytes compiled"),
                // The parser's message shows the place over several lines; its last line says what is wrong.
                other => other
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or("it is malformed")
                    .trim_start_matches("error: ")
                    .to_owned(),
            })
        };
        // Alone first: `a)|(b` is malformed, but would be well-formed between the brackets below and fit parts of texts.
        compile(source)?;
        compile(&format!("^(?:{source})$")).map(|regex| Self { source: source.to_owned(), regex })
    }

    /// The source of an expression that fits this text alone.
    pub fn literal(text: &str) -> String {
        regex::escape(text)
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it fits the whole text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

/// What a rule does to a request or response on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Changes headers of the request.
    RequestHeaders(HeaderEdit),
    /// Changes headers of the response.
    ResponseHeaders(HeaderEdit),
    /// Answers with a redirect; no backend is called.
    Redirect(Redirect),
    /// Changes path or host of the request.
    Rewrite(UrlRewrite),
    /// Sends a copy of a share of the requests elsewhere; what comes back is thrown away.
    Mirror(Mirror),
    /// Answers and marks cross-origin requests.
    Cors(Cors),
    /// Asks a service whether a request may go on.
    ExternalAuth(ExternalAuth),
}

/// A copy of a share of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Where the copies go. An invalid one is skipped and told in the route's status.
    pub target: BackendTarget,
    /// The share that is copied.
    pub share: Ppm,
    /// How its answers are compared with those of the backend. `None`: as the settings of the request say.
    pub compare: Option<Arc<Compare>>,
}

/// Cross-origin rules of a route. Source: GEP-1767, the Fetch standard ("CORS protocol").
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    /// Origins that may read; `*` is all, `https://*.example.com` is every subdomain.
    pub allow_origins: Vec<String>,
    /// Whether requests with credentials may.
    pub allow_credentials: bool,
    /// Methods beyond the safelisted; `*` is all.
    pub allow_methods: Vec<String>,
    /// Request headers beyond the safelisted; `*` is all.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// How long a preflight's answer may be kept.
    pub max_age: Duration,
}

/// Header changes: `set` replaces, `add` appends, `remove` takes away; in this order. Names are lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdit {
    /// Replaced or created.
    pub set: Vec<(String, String)>,
    /// Appended to what is there, joined with `,`.
    pub add: Vec<(String, String)>,
    /// Taken away.
    pub remove: Vec<String>,
}

/// A redirect. What is `None` stays as the request had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host without port.
    pub hostname: Option<String>,
    /// The new path.
    pub path: Option<PathRewrite>,
    /// The new port.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// A rewrite of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlRewrite {
    /// The new authority.
    pub hostname: Option<String>,
    /// The new path.
    pub path: Option<PathRewrite>,
}

/// How a path changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// The whole path.
    Full(String),
    /// The part that the match's prefix covered; only with a prefix match.
    Prefix(String),
}

/// Where a share of a rule's requests goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The service, or why there is none.
    pub target: BackendTarget,
    /// 0 to 1,000,000, relative to the others of the rule.
    pub weight: u32,
    /// Filters for this backend alone.
    pub filters: Vec<Filter>,
    /// Requests with one of these headers go here, whatever the weights.
    pub takes: Vec<ValueMatch>,
}

/// A backend's service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendTarget {
    /// A service and its port.
    Service {
        /// The service.
        service: ServiceName,
        /// Its port.
        port: u16,
    },
    /// The reference could not be resolved: its share gets 500 (gRPC: UNAVAILABLE).
    Invalid {
        /// As the object names it.
        reference: String,
        /// Why not.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
