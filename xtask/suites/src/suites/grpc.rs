//! The interop cases of gRPC, by the client and the server of grpc-go, through two sidecars.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::lab::Lab;
use crate::cli::Suites;
use crate::report::{Outcome, Report, wanted};

/// The ORCA cases look at what a balancing policy of the client was told.
const ORCA: &str =
    r#"--service_config_json={"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}"#;
/// The case that wants a server with a name.
const NAMED: &str = "pick_first_unary";
const LIMIT: Duration = Duration::from_mins(1);

/// All of the client's cases that need no credentials of a cloud.
const CASES: [&str; 17] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "pick_first_unary",
    "orca_per_rpc",
    "orca_oob",
];

pub(super) async fn run(lab: &Lab, args: &Suites, report: &mut Report) -> Result<()> {
    let program = args.grpc_client.as_ref().context("the interop client was not given (--grpc-client)")?;
    let at = lab.grpc.context("the interop server was not given (--grpc-server)")?;
    for case in CASES.iter().filter(|case| wanted(&args.row, case)) {
        let at = if **case == *NAMED {
            lab.grpc_named.context("no server with a name (--grpc-named)")?
        } else {
            at
        };
        let mut command = Command::new(program);
        command.args(["--use_tls=false", "--server_host=127.0.0.1"]);
        if case.starts_with("orca") {
            command.arg(ORCA);
        }
        command.arg(format!("--server_port={}", at.port())).arg(format!("--test_case={case}"));
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        let outcome = match tokio::time::timeout(LIMIT, command.output()).await {
            Err(_) => Outcome::failed(format!("does not end within {} s", LIMIT.as_secs())),
            Ok(Err(error)) => Outcome::failed(format!("cannot be started: {error}")),
            Ok(Ok(output)) if output.status.success() => Outcome::passed("passed"),
            Ok(Ok(output)) => {
                let printed = String::from_utf8_lossy(&output.stderr).into_owned();
                Outcome::failed(printed.lines().last().unwrap_or("it says nothing").to_owned())
            }
        };
        report.row("grpc", case, case, "as grpc-go's interop client checks", &outcome);
    }
    Ok(())
}
