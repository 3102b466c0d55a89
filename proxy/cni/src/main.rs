//! The binary of the CNI plugin.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_cni::run()
}
