//! The load generator against the back end itself, without a proxy between: each finds the other correct.

use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;

use super::*;
use crate::backend;

const WINDOW: Duration = Duration::from_millis(50);

fn locally(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, run);
}

#[test]
fn a_grpc_message_has_its_frame_head() {
    let bytes = grpc_message(300);
    assert_eq!((&bytes[..5], bytes.len()), (&[0, 0, 0, 1, 44][..], 305));
}

#[test]
fn every_kind_of_load_is_answered() {
    let backend = backend::start().unwrap();
    let me = [std::process::id()];
    locally(async {
        for kind in [Kind::H1, Kind::Large, Kind::H2, Kind::Grpc] {
            let to = if matches!(kind, Kind::H1 | Kind::Large) { backend.h1 } else { backend.h2 };
            let round = Box::pin(closed::run(to, kind, "echo", &me, WINDOW)).await;
            let round = round.unwrap_or_else(|error| panic!("{kind:?}: {error:#}"));
            assert!(round.rate > 0.0 && round.cpu_us > 0.0, "{kind:?}: {round:?}");
        }
    });
}

#[test]
fn a_full_client_reads_what_the_lean_back_end_sends() {
    let backend = backend::start().unwrap();
    locally(async {
        let tasks = Tasks::new();
        for kind in [Kind::H2, Kind::Grpc] {
            let mut client = h2::connect(backend.h2, kind, "echo", &tasks).await.unwrap();
            // Twice: the second answer refers to headers of the first.
            client.ask().await.unwrap();
            client.ask().await.unwrap();
        }
        tasks.shutdown(Duration::from_secs(1)).await;
    });
}

#[test]
fn planned_requests_are_all_sent_and_their_percentiles_are_in_order() {
    let backend = backend::start().unwrap();
    locally(async {
        let found =
            Box::pin(open::run(backend.h1, "echo", &[std::process::id()], 500.0, WINDOW)).await.unwrap();
        assert!(found.p50 > 0.0 && found.p50 <= found.p99 && found.p99 <= found.p999, "{found:?}");
    });
}

#[test]
fn a_refused_connection_and_a_wrong_protocol_are_errors() {
    let backend = backend::start().unwrap();
    locally(async {
        let free = crate::process::free_address().unwrap();
        assert!(h1::connect(free, Kind::H1, "echo").await.is_err());
        let mut wrong = h1::connect(backend.h2, Kind::H1, "echo").await.unwrap();
        assert!(wrong.ask().await.is_err());
    });
}
