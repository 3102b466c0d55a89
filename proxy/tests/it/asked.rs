//! Services that are asked about requests: one that decides whether they may go on, by a rule of the caller and by a policy of the called,
//! and one that counts them. The services follow a script and speak Envoy's messages.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_model::asking::{AuthProtocol, Entry, ExternalAuth, GlobalRate, Part, Unanswered};
use mesh_model::name::{Name, ServiceName};
use mesh_model::policy::{Action, AuthorizationPolicy, CallLists, Calls, PathRule, Rule, Scope};
use mesh_model::route::{BackendTarget, Filter};
use mesh_model::service::Protocol;
use mesh_proto::convert::ModelResource;
use mesh_proto::envoy::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue as Value,
    HeaderValueOption, HttpStatus, OkHttpResponse, Status, check_response::HttpResponse,
};
use mesh_proto::envoy::rate::v3 as rls;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;
use crate::policies::*;

/// What a call of gRPC is answered with.
enum Said {
    Message(Vec<u8>),
    Status(&'static str),
    Nothing,
}

/// A service of gRPC whose one method has unary calls.
async fn unary<F>(mesh: &Mesh, method: &'static str, answer: F) -> SocketAddr
where
    F: Fn(Bytes) -> Said + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    peer(&mesh.tasks, move |stream| {
        let answer = Arc::clone(&answer);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = Arc::clone(&answer);
                async move {
                    assert_eq!(request.uri().path(), method);
                    let bytes = request.into_body().collect().await.unwrap().to_bytes();
                    let (message, status) = match answer(bytes.slice(5..)) {
                        Said::Message(message) => (message, "0"),
                        Said::Status(status) => (vec![], status),
                        Said::Nothing => std::future::pending().await,
                    };
                    let mut frame = BytesMut::new();
                    frame.put_u8(0);
                    frame.put_u32(u32::try_from(message.len()).unwrap());
                    frame.extend_from_slice(&message);
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static(status));
                    let frames = [Frame::data(frame.freeze()), Frame::trailers(trailers)];
                    let body = StreamBody::new(futures_util::stream::iter(
                        frames.map(Ok::<_, std::convert::Infallible>),
                    ));
                    let answer = Response::builder().header("content-type", "application/grpc").body(body);
                    Ok::<_, std::convert::Infallible>(answer.unwrap())
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

type Seen = Arc<Mutex<Vec<AttributeContext>>>;

fn option(key: &str, value: &str) -> HeaderValueOption {
    let header = Value { key: key.to_owned(), value: value.to_owned(), raw_value: vec![] };
    HeaderValueOption { header: Some(header), append: None, append_action: 2 }
}

/// What the service says of a request: by its header `x-ask`.
fn decide(ask: &str) -> Said {
    let status = |code| Some(Status { code, message: String::new() });
    let answer = match ask {
        "allow" => CheckResponse {
            status: status(0),
            http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
                headers: vec![
                    option("x-user", "ann"),
                    option("content-length", "9"),
                    option("x-mesh-failure", "lie"),
                ],
                headers_to_remove: vec!["x-secret".to_owned()],
                response_headers_to_add: vec![option("x-checked", "yes")],
                ..OkHttpResponse::default()
            })),
        },
        "deny" => CheckResponse {
            status: status(16),
            http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
                status: Some(HttpStatus { code: 401 }),
                headers: vec![option("location", "/login")],
                body: "who are you".to_owned(),
            })),
        },
        "garbage" => return Said::Message(b"\xff\xff".to_vec()),
        "failed" => return Said::Status("2"),
        "large" => return Said::Message(vec![0; 100_000]),
        "slow" => return Said::Nothing,
        _ => CheckResponse { status: status(7), http_response: None },
    };
    Said::Message(answer.encode_to_vec())
}

async fn authorizer(mesh: &Mesh, seen: &Seen) -> SocketAddr {
    let seen = Arc::clone(seen);
    unary(mesh, "/envoy.service.auth.v3.Authorization/Check", move |message| {
        let context = CheckRequest::decode(message).unwrap().attributes.unwrap();
        let http = context.request.clone().unwrap().http.unwrap();
        seen.lock().unwrap().push(context);
        decide(http.headers.get("x-ask").map(String::as_str).unwrap_or_default())
    })
    .await
}

fn target(name: &str) -> BackendTarget {
    BackendTarget::Service { service: ServiceName::new("shop", name).unwrap(), port: 80 }
}

fn by_grpc(max_body: u64) -> ExternalAuth {
    ExternalAuth {
        target: target("authz"),
        protocol: AuthProtocol::Grpc { allowed_headers: vec![] },
        max_body,
        timeout: Duration::from_secs(2),
    }
}

/// `cart`, whose route has the service asked.
fn asked_by_route(mesh: &mut Mesh, app: SocketAddr, service: SocketAddr, auth: ExternalAuth) -> Sidecar {
    mesh.service("cart", 80, None, vec![plain(app)]);
    let protocol = matches!(auth.protocol, AuthProtocol::Grpc { .. }).then_some(Protocol::Grpc);
    mesh.service("authz", 80, protocol, vec![plain(service)]);
    mesh.route("cart", vec![rule("/", vec![Filter::ExternalAuth(auth)], vec![backend("cart", 1)])]);
    mesh.client(&[("cart", 80)])
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

fn asking(ask: &str, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "cart").header("x-ask", ask);
    request.header("x-secret", "s").body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn who_is_asked_decides_and_changes_request_and_answer() {
    let mut mesh = Mesh::new();
    let (app, seen) = (echo(&mesh.tasks).await, Seen::default());
    let service = authorizer(&mesh, &seen).await;
    let client = asked_by_route(&mut mesh, app, service, by_grpc(8));
    let (status, headers, body) = exchange(&mesh, client.outbound(), asking("allow", "/a?b=c", "pay")).await;
    assert_eq!((status, headers["x-checked"].to_str().unwrap()), (200, "yes"), "{body}");
    assert!(body.contains("x-user: ann") && !body.contains("x-secret") && body.ends_with("pay"), "{body}");
    assert!(!body.contains("x-mesh-failure") && body.contains("content-length: 3"), "{body}");
    let context = seen.lock().unwrap().pop().unwrap();
    let (source, http) = (context.source.unwrap(), context.request.unwrap().http.unwrap());
    assert_eq!(
        (source.service.as_str(), source.principal.as_str()),
        ("shop/web", "spiffe://test.mesh/ns/shop/sa/web")
    );
    assert_eq!(context.destination.unwrap().service, "shop/cart");
    assert!(context.context_extensions["route"].starts_with("httproute/shop/cart"));
    assert_eq!((http.method.as_str(), http.path.as_str(), http.host.as_str()), ("POST", "/a?b=c", "cart"));
    assert_eq!(
        (http.headers["x-secret"].as_str(), http.raw_body.as_slice(), http.size),
        ("s", b"pay" as &[u8], 3)
    );
    assert_eq!(http.headers[":path"], "/a?b=c");

    let (status, headers, body) = exchange(&mesh, client.outbound(), asking("deny", "/", "")).await;
    assert_eq!((status, body.as_str(), failure(&headers)), (401, "who are you", "authz_denied"));
    assert_eq!(headers["location"], "/login");
    let (status, headers, _) = exchange(&mesh, client.outbound(), asking("?", "/", "")).await;
    assert_eq!((status, failure(&headers)), (403, "authz_denied"));
    let (status, headers, _) = exchange(&mesh, client.outbound(), asking("allow", "/", "123456789")).await;
    assert_eq!((status, failure(&headers)), (413, "request_too_large"));
    client.counts(&["mesh_requests_total", "failure=\"authz_denied\""], 2.0).await;
}

// T47
#[tokio::test]
async fn without_an_answer_that_can_be_used_nothing_passes() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let service = authorizer(&mesh, &Seen::default()).await;
    let quick = ExternalAuth { timeout: Duration::from_millis(300), ..by_grpc(0) };
    let client = asked_by_route(&mut mesh, app.address, service, quick);
    for ask in ["garbage", "failed", "large", "slow"] {
        let (status, headers, body) = exchange(&mesh, client.outbound(), asking(ask, "/", "")).await;
        assert_eq!((status, failure(&headers)), (403, "authz_unavailable"), "{ask}: {body}");
    }
    client.counts(&["mesh_events_total", "event=\"authz_unavailable\""], 4.0).await;
    let invalid =
        BackendTarget::Invalid { reference: "shop/gone".to_owned(), reason: "is not there".to_owned() };
    for target in [invalid, target("nobody")] {
        let mut mesh = Mesh::new();
        let auth = ExternalAuth { target, ..by_grpc(0) };
        mesh.service("nobody", 80, None, vec![]);
        let client = asked_by_route(&mut mesh, app.address, service, auth);
        let (status, headers, body) = exchange(&mesh, client.outbound(), asking("allow", "/", "")).await;
        assert_eq!((status, failure(&headers)), (403, "authz_unavailable"), "{body}");
    }
    let mut mesh = Mesh::new();
    let client = asked_by_route(&mut mesh, app.address, nobody(), by_grpc(0));
    let (status, headers, _) = exchange(&mesh, client.outbound(), asking("allow", "/", "")).await;
    assert_eq!((status, failure(&headers)), (403, "authz_unavailable"));
    assert_eq!(app.hits(), 0, "nothing reached the application");
}

#[tokio::test]
async fn a_question_too_many_is_refused_at_once() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let seen = Seen::default();
    let service = authorizer(&mesh, &seen).await;
    let auth = ExternalAuth { timeout: Duration::from_mins(1), ..by_grpc(0) };
    asked_by_route(&mut mesh, app.address, service, auth);
    let client = mesh.client_with(&[("cart", 80)], |config| {
        config.limits.questions = 2;
        config.workers = 1;
    });
    for n in 1..=2 {
        let mut sender = http1(&mesh.tasks, client.outbound()).await;
        mesh.tasks.spawn("held", async move { drop(sender.send_request(asking("slow", "/", "")).await) });
        until(|| async { seen.lock().unwrap().len() == n }).await;
    }
    let (status, headers, body) = exchange(&mesh, client.outbound(), asking("allow", "/", "")).await;
    assert_eq!((status, failure(&headers)), (403, "authz_unavailable"), "{body}");
    assert!(body.contains("too many questions"), "{body}");
    client.counts(&["mesh_events_total", "event=\"questions_full\""], 1.0).await;
    assert_eq!((seen.lock().unwrap().len(), app.hits()), (2, 0));
}

#[tokio::test]
async fn a_plain_service_allows_by_200_and_its_headers_go_on() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let service = origin(&mesh.tasks, |request| async move {
        let answer = Response::builder().header("x-seen", request.uri().path()).header("x-user", "ann");
        let extra = request.headers().contains_key("x-secret");
        match request.headers().get("authorization").map(HeaderValue::as_bytes) {
            Some(b"yes") if !extra => answer.body(Full::default()).unwrap(),
            Some(b"other") => answer.status(204).body(Full::default()).unwrap(),
            _ => answer.status(302).header("location", "/login").body(Full::from("log in")).unwrap(),
        }
    })
    .await;
    let protocol = AuthProtocol::Http {
        path: "/check".to_owned(),
        allowed_headers: vec![],
        allowed_response_headers: vec!["x-user".to_owned()],
    };
    let client = asked_by_route(&mut mesh, app, service, ExternalAuth { protocol, ..by_grpc(0) });
    let ask = |who: &'static str| {
        let mut request = asking("", "/a", "pay");
        request.headers_mut().insert("authorization", HeaderValue::from_static(who));
        request
    };
    let (status, _, body) = exchange(&mesh, client.outbound(), ask("yes")).await;
    assert!(status == 200 && body.contains("x-user: ann") && !body.contains("x-seen"), "{status} {body}");
    assert!(body.ends_with("pay"), "{body}");
    let (status, headers, body) = exchange(&mesh, client.outbound(), ask("no")).await;
    assert_eq!((status, body.as_str(), failure(&headers)), (302, "log in", "authz_denied"));
    assert_eq!([text_of(&headers, "location"), text_of(&headers, "x-seen")], ["/login", "/check/a"]);
    let (status, headers, _) = exchange(&mesh, client.outbound(), ask("other")).await;
    assert_eq!((status, failure(&headers)), (403, "authz_denied"), "another success is no 200");
}

/// A policy of `cart`'s workload by which a service is asked about paths below `/asked`.
fn external(auth: ExternalAuth) -> ModelResource {
    let paths = vec![PathRule::parse("/asked/*").unwrap()];
    let to = vec![Calls { fits: CallLists { paths, ..CallLists::default() }, ..Calls::default() }];
    ModelResource::Authorization(AuthorizationPolicy {
        name: Name::new("shop", "external").unwrap(),
        action: Action::External,
        rules: vec![Rule { to, ..Rule::default() }],
        external: Some(auth),
        scope: Scope::All,
        refused: None,
        origin: "test.yaml:1".into(),
    })
}

#[tokio::test]
async fn a_policy_of_the_called_has_a_service_asked_who_calls_by_its_certificate() {
    let mut mesh = Mesh::new();
    let (app, seen) = (echo(&mesh.tasks).await, Seen::default());
    let service = authorizer(&mesh, &seen).await;
    // The service is a member itself: it is asked with mutual TLS.
    let guard = mesh.server("authz", service);
    let (client, mut server) = mesh.pair(app, None);
    let endpoint = mesh.member(guard.inbound(), "authz");
    mesh.service("authz", 80, Some(Protocol::Grpc), vec![endpoint]);
    let mut all = mesh.resources();
    all.push(external(by_grpc(0)));
    server.control.replace(all);
    let go = |ask: &str, path: &str| exchange(&mesh, client.outbound(), asking(ask, path, "pay"));
    let (status, headers, body) = go("allow", "/asked/a").await;
    assert_eq!((status, headers["x-checked"].to_str().unwrap()), (200, "yes"), "{body}");
    assert!(body.contains("x-user: ann") && !body.contains("x-secret") && body.ends_with("pay"), "{body}");
    let context = seen.lock().unwrap().pop().unwrap();
    let (source, destination) = (context.source.unwrap(), context.destination.unwrap());
    assert_eq!(source.principal, "spiffe://test.mesh/ns/shop/sa/web");
    assert_eq!(destination.principal, "spiffe://test.mesh/ns/shop/sa/cart");
    assert_eq!(context.context_extensions["policy"], "authorizationpolicy/shop/external");
    assert_eq!(go("", "/free").await.0, 200, "no rule fits, nobody is asked");
    assert_eq!(seen.lock().unwrap().len(), 0);
    let (status, headers, body) = go("deny", "/asked").await;
    assert_eq!((status, body.as_str(), failure(&headers)), (401, "who are you", "authz_denied"));
    let (status, headers, body) = go("failed", "/asked").await;
    assert_eq!((status, failure(&headers)), (403, "authz_unavailable"));
    assert!(!body.contains("external"), "which policy it is, is nothing to tell a caller: {body}");
    let decisions = |verdict| ["mesh_policy_decisions_total", "policy=\"shop/external\"", verdict];
    server.counts(&decisions("verdict=\"allow\""), 1.0).await;
    server.counts(&decisions("verdict=\"deny\""), 2.0).await;
    guard.counts(&["mesh_requests_total", "side=\"inbound\"", "security=\"mtls\""], 3.0).await;
}

#[tokio::test]
async fn bytes_that_nobody_can_be_asked_about_are_refused() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, mut server) = mesh.pair(app, Some(Protocol::Tcp));
    let mut all = mesh.resources();
    let mut policy = external(by_grpc(0));
    if let ModelResource::Authorization(policy) = &mut policy {
        policy.rules = vec![Rule::default()];
    }
    all.push(policy);
    server.control.replace(all);
    let mut stream = tokio::net::TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"\x00\x01 no http").await.unwrap();
    let mut got = vec![];
    let _ = soon(stream.read_to_end(&mut got)).await;
    assert_eq!(got.len(), 0);
    server.counts(&["mesh_requests_total", "failure=\"policy_undecided\""], 1.0).await;
}

/// A service that counts: it allows two requests of each descriptor.
async fn counter(mesh: &Mesh, seen: &Arc<Mutex<Vec<rls::RateLimitRequest>>>) -> SocketAddr {
    let seen = Arc::clone(seen);
    unary(mesh, "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit", move |message| {
        let asked = rls::RateLimitRequest::decode(message).unwrap();
        let mut seen = seen.lock().unwrap();
        seen.push(asked.clone());
        let user = &asked.descriptors[0].entries[1].value;
        if user == "broken" {
            return Said::Status("14");
        }
        let before = seen.iter().filter(|one| one.descriptors == asked.descriptors).count();
        let code = if before > 2 { rls::Code::OverLimit } else { rls::Code::Ok };
        let limit =
            rls::RateLimit { requests_per_unit: 2, unit: rls::Unit::Minute.into(), name: "users".into() };
        let status = rls::DescriptorStatus {
            code: code.into(),
            current_limit: Some(limit),
            limit_remaining: u32::try_from(2_usize.saturating_sub(before)).unwrap(),
            duration_until_reset: Some(rls::Duration { seconds: 30, nanos: 0 }),
        };
        let header = |key: &str| rls::HeaderValue { key: key.into(), value: "yes".into(), raw_value: vec![] };
        let answer = rls::RateLimitResponse {
            overall_code: code.into(),
            statuses: vec![status],
            response_headers_to_add: vec![header("x-counted")],
            request_headers_to_add: vec![header("x-counted"), header("x-mesh-failure")],
        };
        Said::Message(answer.encode_to_vec())
    })
    .await
}

fn global(unanswered: Unanswered) -> GlobalRate {
    let entry = |key: &str, value| Entry { key: key.to_owned(), value };
    let user = Part::Header("x-user".to_owned());
    GlobalRate {
        target: target("limiter"),
        domain: "shop".to_owned(),
        descriptors: vec![vec![entry("client", Part::ClientWorkload), entry("user", user)]],
        timeout: Duration::from_secs(2),
        unanswered,
    }
}

/// `cart`, whose requests are counted by the called side's sidecar.
fn counted(mesh: &mut Mesh, app: SocketAddr, limiter: SocketAddr, rate: GlobalRate) -> (Sidecar, Sidecar) {
    let mut server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    mesh.service("limiter", 80, Some(Protocol::Grpc), vec![plain(limiter)]);
    mesh.services.push(policy("cart", |s| s.global_rate = Some(rate)));
    tell_own(mesh, &mut server);
    (mesh.client(&[("cart", 80)]), server)
}

fn of_user(user: &str) -> Request<Full<Bytes>> {
    let mut request = get("cart", "/");
    if !user.is_empty() {
        request.headers_mut().insert("x-user", user.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_service_counts_and_the_limit_is_told_in_standard_headers() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let seen = Arc::default();
    let limiter = counter(&mesh, &seen).await;
    let (client, server) = counted(&mut mesh, app, limiter, global(Unanswered::Pass));
    for remaining in [1, 0] {
        let (status, headers, body) = exchange(&mesh, client.outbound(), of_user("ann")).await;
        assert_eq!((status, text_of(&headers, "ratelimit-policy")), (200, "\"users\";q=2;w=60"), "{body}");
        assert_eq!(headers["ratelimit"], format!("\"users\";r={remaining};t=30"));
        assert!(headers["x-counted"] == "yes" && body.contains("x-counted: yes"), "{body}");
        assert!(!headers.contains_key("retry-after") && !body.contains("x-mesh-failure"), "{body}");
    }
    let (status, headers, body) = exchange(&mesh, client.outbound(), of_user("ann")).await;
    assert_eq!((status, failure(&headers), text_of(&headers, "retry-after")), (429, "rate_limited", "30"));
    assert!(body.contains("trafficpolicy/shop/cart spec.globalRateLimit"), "{body}");
    assert_eq!(
        exchange(&mesh, client.outbound(), of_user("bob")).await.0,
        200,
        "others have their own count"
    );
    let asked = seen.lock().unwrap()[0].clone();
    let entries: Vec<_> = asked.descriptors[0].entries.iter().map(|e| (&*e.key, &*e.value)).collect();
    assert_eq!((asked.domain.as_str(), asked.hits_addend), ("shop", 1));
    assert_eq!(entries, [("client", "shop/web"), ("user", "ann")]);
    let before = seen.lock().unwrap().len();
    assert_eq!(exchange(&mesh, client.outbound(), of_user("")).await.0, 200);
    assert_eq!(seen.lock().unwrap().len(), before, "without its header there is nothing to count");
    server.counts(&["mesh_requests_total", "failure=\"rate_limited\"", "status=\"429\""], 1.0).await;
}

#[tokio::test]
async fn while_nobody_counts_requests_pass_unless_the_policy_refuses_them() {
    for (unanswered, want) in
        [(Unanswered::Pass, (200, "")), (Unanswered::Refuse, (503, "rate_limit_unavailable"))]
    {
        let mut mesh = Mesh::new();
        let app = scripted(&mesh.tasks, vec![line(200)]).await;
        let seen = Arc::default();
        let limiter = counter(&mesh, &seen).await;
        let (client, server) = counted(&mut mesh, app.address, limiter, global(unanswered));
        let (status, headers, body) = exchange(&mesh, client.outbound(), of_user("broken")).await;
        assert_eq!((status, failure(&headers)), want, "{body}");
        server.counts(&["mesh_events_total", "event=\"rate_limit_unavailable\""], 1.0).await;
        assert_eq!(app.hits(), usize::from(unanswered == Unanswered::Pass));
    }
}
