//! Routes in force on the way out.

use http::Request;
use http_body_util::Full;
use mesh_model::route::{
    Backend, BackendTarget, Filter, GrpcMatch, HeaderEdit, Match, PathRewrite, Redirect, RouteKind, Target,
    TextMatch, UrlRewrite,
};
use mesh_model::service::Protocol;
use mesh_proto::convert::ModelResource;

use crate::harness::*;
use crate::policies::*;

/// Services `v1` and `v2`, which say their names, and `cart` with this route's rules.
async fn versions(mesh: &mut Mesh, rules: Vec<mesh_model::route::Rule>) -> (Sidecar, Vec<Sidecar>) {
    let mut servers = vec![];
    for name in ["v1", "v2"] {
        let app = says(&mesh.tasks, name).await;
        let server = mesh.server(name, app);
        let endpoint = mesh.member(server.inbound(), name);
        mesh.service(name, 80, None, vec![endpoint]);
        servers.push(server);
    }
    mesh.service("cart", 80, None, vec![]);
    mesh.route("cart", rules);
    (mesh.client(&[("cart", 80)]), servers)
}

#[tokio::test]
async fn weights_split_requests() {
    let mut mesh = Mesh::new();
    let rules = vec![rule("/", vec![], vec![backend("v1", 90), backend("v2", 10)])];
    let (client, _servers) = versions(&mut mesh, rules).await;
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    let mut second = 0;
    for _ in 0..2000 {
        sender.ready().await.unwrap();
        second += i32::from(text(soon(sender.send_request(get("cart", "/"))).await.unwrap()).await == "v2");
    }
    // 200 expected, standard deviation 13.4: five of them.
    assert!((133..=267).contains(&second), "{second} of 2000");
    client.counts(&["mesh_requests_total", "httproute/shop/cart#0", "200"], 2000.0).await;
}

#[tokio::test]
async fn a_changed_weight_is_in_force_at_once_and_fails_no_request() {
    let mut mesh = Mesh::new();
    let (mut client, _servers) =
        versions(&mut mesh, vec![rule("/", vec![], vec![backend("v1", 1), backend("v2", 0)])]).await;
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.2, "v1");
    mesh.services.pop();
    mesh.route("cart", vec![rule("/", vec![], vec![backend("v1", 0), backend("v2", 1)])]);
    client.control.replace(mesh.resources());
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.2, "v2");
}

#[tokio::test]
async fn filters_redirect_rewrite_and_edit_headers() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let server = mesh.server("echo", app);
    let endpoint = mesh.member(server.inbound(), "echo");
    mesh.service("echo", 80, None, vec![endpoint]);
    mesh.service("cart", 80, None, vec![]);
    let edit = |name: &str, value: &str| HeaderEdit {
        set: vec![(name.into(), value.into())],
        add: vec![("x-list".into(), "b".into())],
        remove: vec!["x-gone".into()],
    };
    let rewrite =
        UrlRewrite { hostname: Some("inner.example".into()), path: Some(PathRewrite::Prefix("/new".into())) };
    let redirect =
        Redirect { scheme: None, hostname: Some("else.example".into()), path: None, port: None, status: 302 };
    mesh.route(
        "cart",
        vec![
            rule("/old", vec![Filter::Rewrite(rewrite)], vec![backend("echo", 1)]),
            rule("/away", vec![Filter::Redirect(redirect)], vec![]),
            rule(
                "/edit",
                vec![Filter::RequestHeaders(edit("x-in", "1")), Filter::ResponseHeaders(edit("x-out", "2"))],
                vec![backend("echo", 1)],
            ),
        ],
    );
    let client = mesh.client(&[("cart", 80)]);
    let (status, _, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/old/a?b=c")).await;
    assert!(
        status == 200 && body.starts_with("GET /new/a?b=c\n") && body.contains("host: inner.example\n"),
        "{body}"
    );

    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    let response = soon(sender.send_request(get("cart", "/away/x"))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"http://else.example/away/x".parse().unwrap())
    );

    let request = Request::get("/edit")
        .header("host", "cart")
        .header("x-list", "a")
        .header("x-gone", "1")
        .body(Full::default());
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    let response = soon(sender.send_request(request.unwrap())).await.unwrap();
    assert_eq!(response.headers()["x-out"], "2");
    let body = text(response).await;
    assert!(
        body.contains("x-in: 1\n") && body.contains("x-list: a,b\n") && !body.contains("x-gone"),
        "{body}"
    );
}

#[tokio::test]
async fn what_fits_no_rule_is_404_and_an_invalid_backend_500_for_its_share() {
    let mut mesh = Mesh::new();
    let target = BackendTarget::Invalid {
        reference: "gone:80".into(),
        reason: "there is no Service shop/gone".into(),
    };
    let invalid = Backend { target, weight: 50, filters: vec![], takes: vec![] };
    let rules = vec![
        rule("/half", vec![], vec![backend("v1", 50), invalid]),
        rule("/zero", vec![], vec![backend("v1", 0)]),
    ];
    let (client, _servers) = versions(&mut mesh, rules).await;
    let (status, failure, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/other")).await;
    assert_eq!((status, failure.as_str()), (404, "no_route"), "{body}");
    let (status, failure, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/zero")).await;
    assert_eq!((status, failure.as_str()), (500, "no_backend"), "{body}");
    let mut failed = 0;
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    for _ in 0..400 {
        sender.ready().await.unwrap();
        let response = soon(sender.send_request(get("cart", "/half"))).await.unwrap();
        let status = response.status().as_u16();
        let body = text(response).await;
        assert!(
            status == 200 || (status == 500 && body.contains("there is no Service shop/gone")),
            "{status} {body}"
        );
        failed += i32::from(status == 500);
    }
    assert!((150..=250).contains(&failed), "{failed} of 400");
}

#[tokio::test]
async fn a_grpc_call_that_fits_no_rule_is_unimplemented() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![grpc(0, None)]).await;
    mesh.service("cart", 80, Some(Protocol::Grpc), vec![plain(app.address)]);
    let exact = |text: &str| Some(TextMatch::Exact(text.into()));
    let rule_for = |method: &str| {
        let target = Target::Grpc(GrpcMatch { service: exact("shop.Cart"), method: exact(method) });
        let mut rule = rule("/", vec![], vec![backend("cart", 1)]);
        rule.matches = vec![Match { target, headers: vec![] }];
        rule
    };
    for (method, want, hits) in [("Put", ("12", "no_route"), 0), ("Get", ("0", ""), 1)] {
        mesh.services.retain(|one| !matches!(one, ModelResource::Route(_)));
        mesh.services.push(ModelResource::Route(route(RouteKind::Grpc, "cart", vec![rule_for(method)])));
        let client = mesh.client(&[("cart", 80)]);
        let (status, headers) = call(&mesh, &client, None).await;
        assert_eq!((status.as_str(), failure(&headers)), want);
        assert_eq!(app.hits(), hits);
    }
}
