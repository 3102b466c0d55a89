//! Routes of requests, connections and datagrams. It must not know what they are attached to.

use super::store::Store;
use crate::api::{GrpcRoute, HttpRoute, StreamRoute};

/// Routes by name.
#[derive(Debug, Default)]
pub struct Routes {
    /// HTTPRoutes.
    pub http: Store<HttpRoute>,
    /// GRPCRoutes.
    pub grpc: Store<GrpcRoute>,
    /// TCPRoutes.
    pub tcp: Store<StreamRoute>,
    /// TLSRoutes.
    pub tls: Store<StreamRoute>,
    /// UDPRoutes.
    pub udp: Store<StreamRoute>,
}
