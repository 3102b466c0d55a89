//! What routes, releases and policies of traffic make of Services: all that follows from such objects and from no endpoint. It must not know
//! what was compiled before.

use std::sync::Arc;

use mesh_model::route::Route;
use mesh_model::stream::StreamRoute;
use mesh_model::traffic::TrafficPolicy;

use super::canary::Release;
use super::services::Services;
use super::{Reports, affinity, canary, policies, routes, streams};
use crate::api::Kind;
use crate::index::Index;

/// The kinds that count here, and of which something is said here and nowhere else.
pub const KINDS: [Kind; 8] = [
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TcpRoute,
    Kind::TlsRoute,
    Kind::UdpRoute,
    Kind::TrafficPolicy,
    Kind::XBackendTrafficPolicy,
    Kind::Canary,
];

/// What was found.
#[derive(Debug)]
pub struct Rules {
    /// Routes, ordered by id.
    pub routes: Vec<Arc<Route>>,
    /// Releases, ordered by name; what follows from them lies over `routes`.
    pub canaries: Vec<Release>,
    /// Parts of Services that releases make.
    pub versions: Services,
    /// Routes of connections, ordered by id.
    pub streams: Vec<Arc<StreamRoute>>,
    /// Policies that count somewhere, ordered by name.
    pub policies: Vec<Arc<TrafficPolicy>>,
    /// What policies promise where they count.
    pub promises: Vec<policies::Promise>,
}

/// Compiles all of them. `services` are those that are written, without parts.
pub fn compile(index: &Index, services: &Services, reports: &mut Reports) -> Rules {
    let mut routes = routes::compile(index, services, reports);
    let releases = canary::compile(index, services, &mut routes, reports);
    let streams = streams::compile(index, services, &routes, reports);
    let (mut policies, promises) = policies::compile(index, services, reports);
    policies.extend(affinity::compile(index, services));
    canary::cover(&releases.all, &mut policies);
    policies.sort_by(|one, other| one.name.cmp(&other.name));
    Rules { routes, canaries: releases.all, versions: releases.versions, streams, policies, promises }
}
