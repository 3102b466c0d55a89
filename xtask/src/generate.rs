//! Writes the Rust code of the protobuf contracts into `mesh-proto/src/generated`, without `protoc`.

use std::path::Path;

use anyhow::{Context, Result};

const PROTOS: [&str; 4] = [
    "mesh/ca/v1/ca.proto",
    "mesh/config/v1/config.proto",
    "mesh/report/v1/report.proto",
    "mesh/inspect/v1/inspect.proto",
];

pub fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    let include = root.join("mesh-proto/proto");
    let descriptors = protox::compile(PROTOS, [&include]).context("compile the .proto files")?;
    let out = root.join("mesh-proto/src/generated");
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .bytes(".mesh.report.v1.Span")
        .out_dir(&out)
        .compile_fds(descriptors)
        .context("generate Rust code")?;
    Ok(())
}
