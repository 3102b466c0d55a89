//! Expressions in policies: what holds, what has no answer, what bytes cannot answer, and what open connections make of a change.

use std::sync::atomic::Ordering;

use mesh_cel::Program;
use mesh_model::policy::{Action, Condition, Rule};
use mesh_model::service::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::authorization::{authz, greeter, protect};
use crate::harness::*;
use crate::policies::*;

fn when(expression: &str) -> Vec<Rule> {
    vec![Rule { when: vec![Condition::Cel(Program::compile(expression).unwrap())], ..Rule::default() }]
}

/// The status, and the code of the failure.
async fn asked(client: &Sidecar, path: &str, lines: &str) -> (String, String) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n{lines}\r\n");
    let answer = String::from_utf8_lossy(&ask(client.outbound(), head.as_bytes()).await).into_owned();
    let failure = answer.lines().find_map(|line| line.strip_prefix("x-mesh-failure: ")).unwrap_or_default();
    (answer.split(' ').nth(1).unwrap_or_default().to_owned(), failure.trim().to_owned())
}

#[tokio::test]
async fn an_expression_allows_what_it_holds_for_and_denies_what_it_has_no_answer_for() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let (web, mut server) = mesh.pair(app.address, Some(Protocol::Http1));
    let other = mesh.client_as("other", &[("cart", 80)]);
    let text = "source.serviceAccount == 'web' && request.path.startsWith('/v2/') && request.headers['x-tier'] in ['gold', 'silver']";
    let allow = authz("gold", Action::Allow, when(text));
    let deny = authz("gold", Action::Deny, when(&format!("!({text})")));
    for policy in [allow, deny] {
        protect(&mesh, &mut server, vec![policy]);
        for (client, path, lines, want) in [
            (&web, "/v2/a", "x-tier: gold\r\n", "200"),
            (&web, "/v2/a", "x-tier: gold\r\nx-tier: silver\r\n", "403"),
            (&web, "/v2/a", "x-tier: gold, tin\r\n", "403"),
            (&web, "/v2/a", "x-tier: tin\r\n", "403"),
            (&web, "/v2/a", "", "403"),
            (&web, "/v1/a", "x-tier: gold\r\n", "403"),
            (&web, "/v2/%2e%2e/v1", "x-tier: gold\r\n", "403"),
            (&web, "/v2;x/a", "x-tier: gold\r\n", "403"),
            (&other, "/v2/a", "x-tier: gold\r\n", "403"),
        ] {
            let (status, failure) = asked(client, path, lines).await;
            assert_eq!(status, want, "{path} {lines:?}");
            assert_eq!(failure, if want == "403" { "policy_denied" } else { "" }, "{path} {lines:?}");
        }
    }
    assert_eq!(app.hits(), 2, "what is refused never reaches the application");
    server.counts(&["mesh_events_total", "event=\"expression_unanswered\""], 2.0).await;
}

#[tokio::test]
async fn bytes_are_refused_where_an_expression_asks_for_a_request_and_judged_where_it_does_not() {
    let mut mesh = Mesh::new();
    let (app, seen) = greeter(&mesh).await;
    let (client, mut server) = mesh.pair(app, Some(Protocol::Tcp));
    for (action, expression) in [
        (Action::Deny, "request.method == 'DELETE'"),
        (Action::Allow, "source.serviceAccount == 'web' && request.method == 'GET'"),
        (Action::Allow, "has(jwt.claims)"),
    ] {
        protect(&mesh, &mut server, vec![authz("requests", action, when(expression))]);
        let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
        stream.write_all(b"\x00\x01\x02 no http\r\n\r\n").await.unwrap();
        let mut got = vec![];
        let _ = soon(stream.read_to_end(&mut got)).await;
        assert_eq!((got.len(), seen.load(Ordering::SeqCst)), (0, 0), "{expression}");
    }
    server.counts(&["mesh_policy_decisions_total", "verdict=\"undecided\""], 3.0).await;
    server.counts(&["mesh_requests_total", "failure=\"policy_undecided\""], 3.0).await;
    protect(&mesh, &mut server, vec![authz("web", Action::Allow, when("source.serviceAccount == 'web'"))]);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    let mut hello = [0; 5];
    soon(stream.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"hello");
}

#[tokio::test]
async fn an_open_connection_is_judged_again_by_a_new_expression() {
    let mut mesh = Mesh::new();
    let (app, _) = greeter(&mesh).await;
    let (client, mut server) = mesh.pair(app, Some(Protocol::Tcp));
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    let mut hello = [0; 5];
    soon(stream.read_exact(&mut hello)).await.unwrap();
    let policy = |expression: &str| vec![authz("callers", Action::Allow, when(expression))];
    protect(&mesh, &mut server, policy("connection.mtls && source.namespace == 'shop'"));
    stream.write_all(b"again").await.unwrap();
    soon(stream.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"again", "what is still allowed goes on");
    protect(&mesh, &mut server, policy("connection.mtls && source.namespace == 'bank'"));
    let mut rest = vec![];
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
    server.counts(&["mesh_requests_total", "protocol=\"tcp\"", "failure=\"policy_denied\""], 1.0).await;
}
