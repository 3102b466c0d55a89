//! Browsers that ask across origins.

use std::time::Duration;

use http::{HeaderMap, Request};
use http_body_util::Full;
use mesh_model::route::{Cors, Filter};

use crate::harness::*;
use crate::policies::*;

async fn setup(mesh: &mut Mesh, app: &Scripted) -> Sidecar {
    mesh.service("cart", 80, None, vec![plain(app.address)]);
    let cors = Filter::Cors(Cors {
        allow_origins: vec!["https://shop.example".into()],
        allow_credentials: true,
        allow_methods: vec!["PUT".into()],
        allow_headers: vec!["x-a".into()],
        expose_headers: vec!["x-b".into()],
        max_age: Duration::from_mins(10),
    });
    mesh.route("cart", vec![rule("/", vec![cors], vec![backend("cart", 1)])]);
    mesh.client(&[("cart", 80)])
}

fn from(origin: &str, method: &str, preflight: Option<&str>) -> Request<Full<bytes::Bytes>> {
    let mut request =
        Request::builder().method(method).uri("/").header("host", "cart").header("origin", origin);
    if let Some(wanted) = preflight {
        request = request.header("access-control-request-method", wanted);
    }
    request.body(Full::default()).unwrap()
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_preflight_is_answered_without_the_backend() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = setup(&mut mesh, &app).await;
    let ask = from("https://shop.example", "OPTIONS", Some("PUT"));
    let (status, headers, _) = exchange(&mesh, client.outbound(), ask).await;
    assert_eq!((status, app.hits()), (200, 0));
    assert_eq!(value(&headers, "access-control-allow-origin"), "https://shop.example");
    assert_eq!(value(&headers, "access-control-allow-methods"), "PUT");
    assert_eq!(value(&headers, "access-control-max-age"), "600");
    let ask = from("https://evil.example", "OPTIONS", Some("PUT"));
    let (_, headers, _) = exchange(&mesh, client.outbound(), ask).await;
    assert_eq!((value(&headers, "access-control-allow-origin"), app.hits()), ("", 0));
}

#[tokio::test]
async fn an_answer_says_what_the_route_allows_and_not_what_the_backend_would() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![with(200, "access-control-allow-origin", "*")]).await;
    let client = setup(&mut mesh, &app).await;
    let (_, headers, _) = exchange(&mesh, client.outbound(), from("https://shop.example", "GET", None)).await;
    assert_eq!(value(&headers, "access-control-allow-origin"), "https://shop.example");
    assert_eq!(value(&headers, "access-control-allow-credentials"), "true");
    assert_eq!(value(&headers, "access-control-expose-headers"), "x-b");
    let (_, headers, _) = exchange(&mesh, client.outbound(), from("https://evil.example", "GET", None)).await;
    assert_eq!(value(&headers, "access-control-allow-origin"), "");
    let (_, headers, _) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!(value(&headers, "access-control-allow-origin"), "*", "not across origins");
}
