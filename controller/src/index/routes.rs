//! HTTPRoutes and GRPCRoutes. It must not know what they are attached to.

use super::store::Store;
use crate::api::{GrpcRoute, HttpRoute};

/// Routes by name.
#[derive(Debug, Default)]
pub struct Routes {
    /// HTTPRoutes.
    pub http: Store<HttpRoute>,
    /// GRPCRoutes.
    pub grpc: Store<GrpcRoute>,
}
