//! Requests that operators have proxies send: the workload's own proxy is asked, and nobody but an operator can have it asked.

use mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient;
use mesh_proto::inspect::v1::{SendTrialRequest, SendTrialResponse};
use mesh_proto::report::v1::{Trial, Tried, proxy_report, report_command};
use tonic::{Code, Status};

use crate::reports::Reporter;
use crate::world::{DEADLINE, SHOP, World};

fn asked(workload: &str) -> SendTrialRequest {
    let trial = Trial { method: "GET".into(), authority: "web.shop".into(), ..Trial::default() };
    SendTrialRequest {
        namespace: "shop".into(),
        workload: workload.into(),
        trial: Some(trial),
        local_only: false,
    }
}

async fn ask(world: &World, workload: &str) -> Result<SendTrialResponse, Status> {
    let mut operator = world.inspect();
    let answer = tokio::time::timeout(DEADLINE, operator.send_trial(asked(workload)));
    answer.await.expect("an answer in time").map(tonic::Response::into_inner)
}

async fn next(reporter: &mut Reporter) -> Trial {
    loop {
        if let report_command::Command::Trial(trial) = reporter.command().await {
            return trial;
        }
    }
}

#[tokio::test]
async fn the_workloads_own_proxy_is_asked_and_another_cannot_answer_for_it() {
    let world = World::new(SHOP).await;
    let mut client = Reporter::open(&world, "client", "client").await;
    let other = Reporter::open(&world, "web", "web-1").await;
    client.until_received(0).await;
    let answering = async {
        let trial = next(&mut client).await;
        assert_eq!((trial.method.as_str(), trial.authority.as_str()), ("GET", "web.shop"));
        let tried = |status| Tried { id: trial.id, status, ..Tried::default() };
        other.send(proxy_report::Message::Tried(tried(500))).await;
        client.send(proxy_report::Message::Tried(tried(204))).await;
    };
    let (answer, ()) = tokio::join!(ask(&world, "client"), answering);
    assert_eq!(answer.unwrap().tried.unwrap().status, 204);
}

#[tokio::test]
async fn no_workload_can_have_another_ones_proxy_asked_and_nobody_is_asked_who_is_not_there() {
    let world = World::new(SHOP).await;
    let mut client = Reporter::open(&world, "client", "client").await;
    client.until_received(0).await;
    for account in ["web", "client"] {
        let mut workload = InspectServiceClient::new(world.channel("shop", account));
        let refused = workload.send_trial(asked("client")).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{account}: {refused}");
    }
    let nobody = ask(&world, "somebody").await.unwrap_err();
    assert!(nobody.code() == Code::NotFound && nobody.message().contains("somebody.shop"), "{nobody}");
    let nothing = SendTrialRequest { trial: None, ..asked("client") };
    assert_eq!(world.inspect().send_trial(nothing).await.unwrap_err().code(), Code::InvalidArgument);
}
