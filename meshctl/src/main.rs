//! The binary `meshctl`: it chooses the allocator and hands over to the library. It must not know any command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    meshctl::cli::main()
}
