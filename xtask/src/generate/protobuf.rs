//! Rust code of the protobuf contracts, without `protoc`.

use std::path::Path;

use anyhow::{Context as _, Result};

const PROTOS: [&str; 9] = [
    "mesh/ca/v1/ca.proto",
    "mesh/ca/upstream/v1/upstream.proto",
    "mesh/config/v1/config.proto",
    "mesh/report/v1/report.proto",
    "mesh/inspect/v1/inspect.proto",
    "spiffe/workload/workload.proto",
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/service/ratelimit/v3/rls.proto",
    "opentelemetry/otlp.proto",
];

/// Writes one file a protobuf package into `out`.
pub(super) fn generate(include: &Path, out: &Path) -> Result<()> {
    let descriptors = protox::compile(PROTOS, [include]).context("compile the .proto files")?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .bytes(".mesh.report.v1.Span")
        .out_dir(out)
        .compile_fds(descriptors)
        .context("generate Rust code")
}
