//! Who may call the workload: verdicts over requests and connections, before the application sees anything, and again when policies change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use http_body_util::Full;
use mesh_model::name::Name;
use mesh_model::policy::{
    Action, AuthorizationPolicy, CallLists, CallerLists, Callers, Calls, Condition, PathRule, Rehearsed,
    Rule, Scope,
};
use mesh_model::service::Protocol;
use mesh_model::settings::MtlsMode;
use mesh_proto::convert::ModelResource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;
use crate::policies::*;

pub(crate) fn authz(name: &str, action: Action, rules: Vec<Rule>) -> AuthorizationPolicy {
    AuthorizationPolicy {
        name: Name::new("shop", name).unwrap(),
        action,
        rules,
        external: None,
        scope: Scope::All,
        refused: None,
        origin: "test.yaml:1".into(),
    }
}

fn from_account(name: &str) -> Vec<Callers> {
    let accounts = vec![Name::new("shop", name).unwrap()];
    vec![Callers { fits: CallerLists { accounts, ..CallerLists::default() }, ..Callers::default() }]
}

fn to_paths(paths: &[&str]) -> Vec<Calls> {
    let paths = paths.iter().map(|path| PathRule::parse(path).unwrap()).collect();
    vec![Calls { fits: CallLists { paths, ..CallLists::default() }, ..Calls::default() }]
}

/// Tells a sidecar who may call its workload, from now on.
pub(crate) fn protect(mesh: &Mesh, server: &mut Sidecar, policies: Vec<AuthorizationPolicy>) {
    let mut all = mesh.resources();
    all.extend(policies.into_iter().map(ModelResource::Authorization));
    server.control.replace(all);
}

/// An application that counts its connections and says "hello" on each at once, then echoes.
pub(crate) async fn greeter(mesh: &Mesh) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let address = peer(&mesh.tasks, move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            if stream.write_all(b"hello").await.is_ok() {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        }
    })
    .await;
    (address, seen)
}

#[tokio::test]
async fn a_request_is_allowed_by_who_calls_and_what_it_asks_for() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let (web, mut server) = mesh.pair(app.address, Some(Protocol::Http1));
    let other = mesh.client_as("other", &[("cart", 80)]);
    let rule = Rule { from: from_account("web"), to: to_paths(&["/public/*"]), when: vec![] };
    protect(&mesh, &mut server, vec![authz("web-only", Action::Allow, vec![rule])]);
    for (client, path, want) in [
        (&web, "/public/a", 200),
        (&web, "/public", 200),
        (&web, "/admin", 403),
        (&web, "/public/../admin", 403),
        (&other, "/public/a", 403),
    ] {
        let (status, headers, body) = exchange(&mesh, client.outbound(), get("cart", path)).await;
        assert_eq!(status, want, "{path}: {body}");
        assert_eq!(failure(&headers), if want == 403 { "policy_denied" } else { "" }, "{path}");
    }
    assert_eq!(app.hits(), 2, "what is refused never reaches the application");
    let decisions = |verdict| ["mesh_policy_decisions_total", "policy=\"shop/web-only\"", verdict];
    server.counts(&decisions("verdict=\"allow\""), 2.0).await;
    server.counts(&decisions("verdict=\"deny\""), 3.0).await;
    server.counts(&["mesh_requests_total", "failure=\"policy_denied\"", "status=\"403\""], 3.0).await;
}

#[tokio::test]
async fn what_denies_comes_before_what_allows_and_grpc_is_told_in_its_own_words() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![grpc(0, None)]).await;
    let (client, mut server) = mesh.pair(app.address, Some(Protocol::Grpc));
    assert_eq!(call(&mesh, &client, None).await.0, "0");
    let all = authz("all", Action::Allow, vec![Rule::default()]);
    let none = authz("none", Action::Deny, vec![Rule { from: from_account("web"), ..Rule::default() }]);
    protect(&mesh, &mut server, vec![all, none]);
    let (status, headers) = call(&mesh, &client, None).await;
    assert_eq!((status.as_str(), failure(&headers)), ("7", "policy_denied"));
    assert_eq!(app.hits(), 1);
}

#[tokio::test]
async fn a_policy_without_rules_closes_and_one_on_another_port_says_nothing() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let (client, mut server) = mesh.pair(app.address, None);
    let mut closed = authz("default", Action::Allow, vec![]);
    for (scope, want) in
        [(Scope::All, 403), (Scope::Ports(vec![1, app.address.port()]), 403), (Scope::Ports(vec![1]), 200)]
    {
        closed.scope = scope.clone();
        protect(&mesh, &mut server, vec![closed.clone()]);
        assert_eq!(status(&mesh, &client).await, want, "{scope:?}");
    }
}

#[tokio::test]
async fn who_shows_no_certificate_has_no_identity() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let (client, mut server) = mesh.pair(app.address, None);
    let not_evil = CallerLists { namespaces: vec!["evil".into()], ..CallerLists::default() };
    let not_evil = vec![Callers { not: not_evil, ..Callers::default() }];
    let rule = Rule { from: not_evil, ..Rule::default() };
    protect(&mesh, &mut server, vec![authz("members", Action::Allow, vec![rule])]);
    assert_eq!(status(&mesh, &client).await, 200);
    let mut request = get("cart", "/");
    request
        .headers_mut()
        .insert("x-forwarded-client-cert", "URI=spiffe://test.mesh/ns/shop/sa/web".parse().unwrap());
    assert_eq!(
        fetch(&mesh.tasks, server.inbound(), request).await.0,
        403,
        "who cannot be known could be evil"
    );
}

#[tokio::test]
async fn an_audit_policy_refuses_nothing_and_is_counted() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let (client, mut server) = mesh.pair(app.address, None);
    let rule = Rule { from: from_account("other"), ..Rule::default() };
    protect(&mesh, &mut server, vec![authz("trial", Action::Audit(Rehearsed::Allow), vec![rule])]);
    assert_eq!(status(&mesh, &client).await, 200);
    server.counts(&["mesh_policy_decisions_total", "policy=\"shop/trial\"", "verdict=\"audit\""], 1.0).await;
}

#[tokio::test]
async fn a_connection_is_refused_before_the_application_sees_it() {
    let mut mesh = Mesh::new();
    let (app, seen) = greeter(&mesh).await;
    let (web, mut server) = mesh.pair(app, Some(Protocol::Tcp));
    let other = mesh.client_as("other", &[("cart", 80)]);
    protect(
        &mesh,
        &mut server,
        vec![authz("web", Action::Allow, vec![Rule { from: from_account("web"), ..Rule::default() }])],
    );
    let mut stream = TcpStream::connect(other.outbound()).await.unwrap();
    let mut got = vec![];
    let end = soon(stream.read_to_end(&mut got)).await;
    assert!(end.is_err() || got.is_empty(), "{got:?}");
    assert_eq!((got.len(), seen.load(Ordering::SeqCst)), (0, 0));
    let mut stream = TcpStream::connect(web.outbound()).await.unwrap();
    let mut hello = [0; 5];
    soon(stream.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"hello");
    server.counts(&["mesh_requests_total", "protocol=\"tcp\"", "failure=\"policy_denied\""], 1.0).await;
}

#[tokio::test]
async fn bytes_that_are_no_http_are_refused_where_a_policy_asks_for_requests() {
    let mut mesh = Mesh::new();
    let (app, seen) = greeter(&mesh).await;
    let (client, mut server) = mesh.pair(app, Some(Protocol::Tcp));
    let deny = authz("no-admin", Action::Deny, vec![Rule { to: to_paths(&["/admin/*"]), ..Rule::default() }]);
    protect(&mesh, &mut server, vec![deny]);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"\x00\x01\x02 no http\r\n\r\n").await.unwrap();
    let mut got = vec![];
    let _ = soon(stream.read_to_end(&mut got)).await;
    assert_eq!((got.len(), seen.load(Ordering::SeqCst)), (0, 0));
    server
        .counts(&["mesh_policy_decisions_total", "policy=\"shop/no-admin\"", "verdict=\"undecided\""], 1.0)
        .await;
    server.counts(&["mesh_requests_total", "failure=\"policy_undecided\""], 1.0).await;
}

#[tokio::test]
async fn a_member_that_calls_http_bytes_is_judged_by_request() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let (client, mut server) = mesh.pair(app.address, Some(Protocol::Tcp));
    let deny = authz("no-admin", Action::Deny, vec![Rule { to: to_paths(&["/admin/*"]), ..Rule::default() }]);
    protect(&mesh, &mut server, vec![deny]);
    for (path, want) in [("/", 200), ("/admin", 403)] {
        assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", path)).await.0, want, "{path}");
    }
    assert_eq!(app.hits(), 1);
}

#[tokio::test]
async fn an_open_connection_is_cut_when_it_is_allowed_no_longer() {
    let mut mesh = Mesh::new();
    let (app, _) = greeter(&mesh).await;
    let (client, mut server) = mesh.pair(app, Some(Protocol::Tcp));
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    let mut hello = [0; 5];
    soon(stream.read_exact(&mut hello)).await.unwrap();
    protect(
        &mesh,
        &mut server,
        vec![authz("still", Action::Allow, vec![Rule { from: from_account("web"), ..Rule::default() }])],
    );
    stream.write_all(b"again").await.unwrap();
    soon(stream.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"again", "what is still allowed goes on");
    protect(&mesh, &mut server, vec![authz("nobody", Action::Allow, vec![])]);
    let mut rest = vec![];
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
    server.counts(&["mesh_requests_total", "protocol=\"tcp\"", "failure=\"policy_denied\""], 1.0).await;
}

/// Answers with a head and the beginning of a body that never ends.
async fn endless(mesh: &Mesh) -> std::net::SocketAddr {
    peer(&mesh.tasks, |mut stream| async move {
        let mut head = vec![0; 4096];
        let _ = stream.read(&mut head).await;
        let upgrade = String::from_utf8_lossy(&head).contains("/socket");
        let answer: &[u8] = if upgrade {
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello"
        } else {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
        };
        let _ = stream.write_all(answer).await;
        let _ = stream.read(&mut head).await;
    })
    .await
}

#[tokio::test]
async fn streams_and_upgraded_connections_are_cut_too() {
    for (request, protocol) in [
        ("GET /stream HTTP/1.1\r\nhost: cart\r\n\r\n", None),
        (
            "GET /socket HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
            None,
        ),
    ] {
        let mut mesh = Mesh::new();
        let app = endless(&mesh).await;
        let (client, mut server) = mesh.pair(app, protocol);
        let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut got = vec![];
        while !String::from_utf8_lossy(&got).contains("hello") {
            let mut more = [0; 1024];
            let n = soon(stream.read(&mut more)).await.unwrap();
            assert!(n > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&more[..n]);
        }
        protect(&mesh, &mut server, vec![authz("nobody", Action::Allow, vec![])]);
        let _ = soon(stream.read_to_end(&mut got)).await;
        server.counts(&["mesh_requests_total", "failure=\"policy_denied\""], 1.0).await;
    }
}

// T20
#[tokio::test]
async fn of_several_values_any_denies_and_every_one_must_allow() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let (client, mut server) = mesh.pair(app.address, None);
    let role = |values: &[&str]| Condition::Header {
        name: "x-role".into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let rule = |values: &[&str]| vec![Rule { when: vec![role(values)], ..Rule::default() }];
    let deny = authz("no-admins", Action::Deny, rule(&["admin"]));
    let allow = authz("users", Action::Allow, rule(&["user", "guest"]));
    for (headers, denied, allowed) in [
        ("x-role: user\r\n", 200, 200),
        ("x-role: user\r\nx-role: guest\r\n", 200, 200),
        ("x-role: user\r\nx-role: admin\r\n", 403, 403),
        ("x-role: admin\r\nx-role: user\r\n", 403, 403),
        ("x-role: user, admin\r\n", 403, 403),
        ("X-ROLE: admin\r\n", 403, 403),
        ("x-role: user\r\nX-Role: admin\r\n", 403, 403),
        ("x-role: user\r\nx-role: \u{ff}\r\n", 403, 403),
        ("x-role: Admin\r\n", 200, 403),
        ("", 200, 403),
    ] {
        for (policy, want) in [(&deny, denied), (&allow, allowed)] {
            protect(&mesh, &mut server, vec![policy.clone()]);
            let head = format!("GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n{headers}\r\n");
            // The one character beyond ASCII stands for a byte that is no UTF-8.
            let bytes: Vec<u8> = head.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
            let answer = String::from_utf8_lossy(&ask(client.outbound(), &bytes).await).into_owned();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {want}")),
                "{headers:?} under {}: {answer}",
                policy.name
            );
        }
    }
}

// T18
#[tokio::test]
async fn no_spelling_of_a_path_gets_round_a_policy() {
    let mut mesh = Mesh::new();
    // The application sees the path as it comes, and cuts parameters before it looks, as some servers do.
    let app = origin(&mesh.tasks, |request| async move {
        let path = request.uri().path();
        let bare: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap()).collect();
        let is_admin = [path, &bare.join("/")].iter().any(|path| path.trim_end_matches('/') == "/admin");
        Response::new(Full::from(if is_admin {
            format!("the admin page at {path}")
        } else {
            format!("other {path}")
        }))
    })
    .await;
    let (client, mut server) = mesh.pair(app, None);
    let deny = authz("no-admin", Action::Deny, vec![Rule { to: to_paths(&["/admin/*"]), ..Rule::default() }]);
    let allow =
        authz("public", Action::Allow, vec![Rule { to: to_paths(&["/public/*", "/x"]), ..Rule::default() }]);
    let exact = authz("exact", Action::Deny, vec![Rule { to: to_paths(&["/admin"]), ..Rule::default() }]);
    let segments = [
        "admin",
        "%61dmin",
        "adm%69n",
        "admin;p",
        "admin;p=1/",
        "admin/",
        "admin//",
        "admin/.",
        "admin/x/..",
        "admin?x",
        "admin?x=/../public",
        "admin#f",
        "admin;/",
        "admin/;x",
        "admin%3Bp",
    ];
    let starts = [
        "/",
        "//",
        "///",
        "/./",
        "/x/../",
        "/public/../",
        "/public/%2e%2e/",
        "/%2e/",
        "/public//../",
        "/.//",
        "/public/..;/",
        "/;x/",
        "/.;/",
    ];
    let mut spellings: Vec<String> =
        starts.iter().flat_map(|start| segments.iter().map(move |end| format!("{start}{end}"))).collect();
    spellings.extend(
        [
            "/public%2f..%2fadmin",
            "/public\\..\\admin",
            "/public/..%5cadmin",
            "/%2561dmin",
            "/admin%00",
            "/%c0%af../admin",
            "/public/..%c0%afadmin",
            "/../admin",
            "/ADMIN",
            "/admin.",
            "/.admin",
            "/%2e%2e/admin",
            "http://cart/admin",
            "http://cart//admin",
            "HTTP://CART/%61dmin",
        ]
        .map(str::to_owned),
    );
    assert!(spellings.len() >= 60);
    let mut forwarded = 0;
    for policy in [deny, allow, exact] {
        let name = policy.name.to_string();
        protect(&mesh, &mut server, vec![policy]);
        for spelling in &spellings {
            let head = format!("GET {spelling} HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n");
            let answer = String::from_utf8_lossy(&ask(client.outbound(), head.as_bytes()).await).into_owned();
            assert!(!answer.contains("the admin page"), "{spelling} under {name}: {answer}");
            forwarded += usize::from(answer.starts_with("HTTP/1.1 200"));
        }
    }
    assert!(forwarded > 0, "some of them are other paths, and get through");
}

// T19
#[tokio::test]
async fn equivalent_hosts_have_the_same_verdict() {
    use mesh_model::policy::HostRule;
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let server_app = app.address;
    let mut server = mesh.server("cart", server_app);
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let hosts = vec![HostRule::parse("secret.com").unwrap()];
    let to = vec![Calls { fits: CallLists { hosts, ..CallLists::default() }, ..Calls::default() }];
    let deny = authz("no-secret", Action::Deny, vec![Rule { to, ..Rule::default() }]);
    protect(&mesh, &mut server, vec![deny]);
    for (host, want) in [
        ("secret.com", 403),
        ("Secret.com", 403),
        ("SECRET.COM", 403),
        ("secret.com:80", 403),
        ("secret.com:8080", 403),
        ("secret.com.", 403),
        ("secret.com.:80", 403),
        ("xn--secrt-dva.com", 200),
        ("secret.com.evil.com", 200),
        ("notsecret.com", 200),
    ] {
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&ask(server.inbound(), head.as_bytes()).await).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {want}")), "{host}: {answer}");
        let head = format!("GET http://{host}/ HTTP/1.1\r\nhost: other.com\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&ask(server.inbound(), head.as_bytes()).await).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {want}")) || answer.starts_with("HTTP/1.1 400"),
            "{host} as a URL: {answer}"
        );
    }
}

// T22
#[tokio::test]
async fn no_spelling_of_a_claimed_identity_reaches_the_application() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let app = echo(&mesh.tasks).await;
    let (client, server) = mesh.pair(app, Some(Protocol::Http1));
    let names = [
        "x-forwarded-client-cert",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
        "x-forwarded_client-cert",
        "l5d-client-id",
        "L5D_CLIENT_ID",
        "x-envoy-peer-metadata",
        "x-envoy-original-path",
        "X_Envoy_Internal",
        "x-mesh-failure",
        "x_mesh_failure",
    ];
    // From a member, and in plaintext from an address like a member's.
    for address in [client.outbound(), server.inbound()] {
        for name in names {
            let head = format!(
                "GET / HTTP/1.1\r\nhost: cart\r\n{name}: evil\r\nx-other: kept\r\nconnection: close\r\n\r\n"
            );
            let answer = String::from_utf8_lossy(&ask(address, head.as_bytes()).await).into_owned();
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.contains("x-other: kept"),
                "{name}: {answer}"
            );
            assert!(!answer.contains("evil"), "{name}: {answer}");
        }
    }
}
