//! The controller on a cluster: what an API server says becomes what proxies are told, and what is found becomes status; also when the API
//! server goes, forgets, or does not know a kind.

use std::time::Duration;

use mesh_controller::announce::Place;
use mesh_controller::api::Kind;
use mesh_controller::app::{self, Config, ObjectsFrom, Running};
use mesh_controller::canary::AskConfig;
use mesh_controller::dashboard::review::AUDIENCE;
use mesh_controller::index::Change;
use mesh_controller::sources::kube::{KubeSource, Timing};
use mesh_identity::testing::TestCa;
use mesh_identity::{ExpectedServer, channel};
use mesh_lifecycle::Tasks;
use mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient;
use serde_json::{Value as Json, json};
use tonic::transport::Channel;

use super::api::Api;
use super::dashboard::{Session, ticket_of};
use super::world::{DEADLINE, Proxy, keys, names};

const SERVICES: &str = "/api/v1/services";
const PODS: &str = "/api/v1/pods";
const NAMESPACES: &str = "/api/v1/namespaces";
const CONFIG_MAPS: &str = "/api/v1/configmaps";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const HTTP_ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/httproutes";
const MESHES: &str = "/apis/gateway.networking.x-k8s.io/v1alpha1/xmeshes";

fn service(name: &str) -> Json {
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}})
}

fn pod(name: &str, account: &str, ip: &str) -> Json {
    json!({"metadata": {"name": name, "namespace": "shop", "labels": {"amime.io/injected": "true"}},
        "spec": {"serviceAccountName": account}, "status": {"phase": "Running", "podIP": ip}})
}

fn slice(pods: &[(&str, &str)]) -> Json {
    let endpoint = |(name, ip): &(&str, &str)| {
        json!({"addresses": [ip], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": name}})
    };
    json!({"metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": pods.iter().map(endpoint).collect::<Json>()})
}

fn route(backend: &str) -> Json {
    json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {
        "parentRefs": [{"group": "", "kind": "Service", "name": "web"}],
        "rules": [{"backendRefs": [{"name": backend, "port": 80}]}]}})
}

pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) ca: TestCa,
    /// Of the API server.
    tasks: Tasks,
}

impl World {
    pub(crate) async fn new() -> Self {
        let tasks = Tasks::new();
        let api = Api::start(&tasks).await;
        for namespace in ["amime-system", "default", "kube-system", "shop"] {
            api.put(NAMESPACES, json!({"metadata": {"name": namespace}}));
        }
        Self { api, ca: TestCa::new("mesh.test"), tasks }
    }

    /// A replica of the controller that has read everything.
    pub(crate) async fn controller(&self, pod: &str) -> Running {
        let any = "127.0.0.1:0".parse().unwrap();
        let place = Place { namespace: "amime-system".into(), pod: pod.into() };
        let objects = ObjectsFrom::Cluster(self.api.cluster(), place);
        let config = Config {
            objects,
            listen: any,
            metrics: any,
            max_proxies: 10,
            webhook: None,
            keys: keys(),
            dashboard: Some(any),
            releases: None,
            asks: AskConfig::default(),
        };
        let identity = self.ca.identity("amime-system", "mesh-controller");
        app::start(config, identity, Tasks::new()).await.unwrap()
    }

    fn channel(&self, controller: &Running, namespace: &str, account: &str) -> Channel {
        let expected = ExpectedServer::Exactly(self.ca.id("amime-system", "mesh-controller"));
        channel::connect(&self.ca.identity(namespace, account), controller.addr, expected)
    }

    pub(crate) async fn proxy(&self, controller: &Running, account: &str, pod: &str) -> Proxy {
        Proxy::open(self.channel(controller, "shop", account), "shop", pod, &["web"], vec![]).await
    }

    /// Waits until `look` finds what it looks for.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Api) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = look(&self.api) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

/// The answer to one question in the status of route `web`.
fn answer(api: &Api, question: &str) -> Option<String> {
    let route = api.get(HTTP_ROUTES, "shop", "web")?;
    let conditions = route["status"]["parents"].as_array()?.iter().filter_map(|p| p["conditions"].as_array());
    let condition = conditions.flatten().find(|condition| condition["type"] == question)?.clone();
    Some(format!("{} {}", condition["status"].as_str()?, condition["reason"].as_str()?))
}

#[tokio::test]
async fn pods_are_told_of_and_edits_without_meaning_send_nothing() {
    let world = World::new().await;
    world.api.put(SERVICES, service("web"));
    world.api.put(SERVICES, service("v2"));
    world.api.put(PODS, pod("web-1", "web", "10.1.0.1"));
    world.api.put(SLICES, slice(&[("web-1", "10.1.0.1")]));
    world.api.put(HTTP_ROUTES, route("web"));
    let controller = world.controller("c-1").await;
    let mut proxy = world.proxy(&controller, "web", "web-1").await;
    let update = proxy.update().await;
    let told = names(&update.resources);
    for name in ["endpoints/shop/web", "service/shop/web"] {
        assert!(told.contains(&name), "{name} in {told:?}");
    }
    assert!(told.iter().any(|name| name.starts_with("httproute/")), "{told:?}");
    proxy.ack(update.nonce, vec![]).await;

    // Labels, annotations, heartbeats, and statuses of the controller itself.
    let mut edited = service("web");
    edited["metadata"]["labels"] = json!({"team": "a"});
    edited["metadata"]["annotations"] = json!({"note": "b"});
    world.api.put(SERVICES, edited);
    let mut edited = route("web");
    edited["metadata"]["annotations"] = json!({"note": "b"});
    world.api.put(HTTP_ROUTES, edited);
    let mut beats = pod("web-1", "web", "10.1.0.1");
    beats["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    world.api.put(PODS, beats);
    let mut edited = slice(&[("web-1", "10.1.0.1")]);
    edited["metadata"]["annotations"] = json!({"endpoints.kubernetes.io/last-change-trigger-time": "now"});
    world.api.put(SLICES, edited);
    world.until("its status", |api| answer(api, "Programmed")).await;
    // What is sent next is the next change of meaning, and that alone.
    world.api.put(PODS, pod("web-2", "web", "10.1.0.2"));
    world.api.put(SLICES, slice(&[("web-1", "10.1.0.1"), ("web-2", "10.1.0.2")]));
    let update = proxy.update().await;
    assert_eq!(names(&update.resources), ["endpoints/shop/web"]);
    controller.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_proxy_whose_pod_is_not_seen_yet_is_told_to_come_again() {
    let world = World::new().await;
    world.api.put(PODS, pod("other", "web", "10.1.0.1"));
    let controller = world.controller("c-1").await;
    let refused = world.proxy(&controller, "web", "web-1").await.end().await;
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    assert_eq!(refused.message(), "there is no pod or Workload shop/web-1 yet; connect again");
    let other = world.proxy(&controller, "cart", "other").await.end().await;
    assert_eq!(other.code(), tonic::Code::PermissionDenied, "{other}");
    controller.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn one_of_two_replicas_writes_status_and_roots_and_the_other_takes_over() {
    let world = World::new().await;
    world.api.put(SERVICES, service("web"));
    let theirs =
        json!({"parentRef": {"name": "front"}, "controllerName": "example.com/gateway", "conditions": []});
    let mut first = route("nowhere");
    first["status"] = json!({"parents": [theirs]});
    world.api.put(HTTP_ROUTES, first);
    world
        .api
        .put(MESHES, json!({"metadata": {"name": "amime"}, "spec": {"controllerName": "amime.io/mesh"}}));
    world.api.put(CONFIG_MAPS, json!({"metadata": {"name": "amime-ca-roots", "namespace": "default"}, "data": {"roots.pem": "mine"}}));
    world.api.refuse_writes(2);
    let one = world.controller("c-1").await;
    world
        .until("backend is missing", |api| {
            (answer(api, "ResolvedRefs")? == "False BackendNotFound").then_some(())
        })
        .await;
    let two = world.controller("c-2").await;
    let route_now = world.api.get(HTTP_ROUTES, "shop", "web").unwrap();
    assert_eq!(route_now["status"]["parents"][0], theirs, "entries of others stay");
    assert_eq!(route_now["status"]["parents"][1]["controllerName"], "amime.io/mesh");
    let mesh = world
        .until("XMesh", |api| api.get(MESHES, "", "amime").filter(|mesh| !mesh["status"].is_null()))
        .await;
    assert_eq!(mesh["status"]["supportedFeatures"][0]["name"], "GRPCRoute");

    // Roots: in every namespace but our own, kube-* and one whose ConfigMap is somebody else's.
    let copy = world.until("roots", |api| api.get(CONFIG_MAPS, "shop", "amime-ca-roots")).await;
    assert_eq!(copy["data"]["roots.pem"], world.ca.roots_pem());
    assert_eq!(world.api.get(CONFIG_MAPS, "default", "amime-ca-roots").unwrap()["data"]["roots.pem"], "mine");
    for namespace in ["amime-system", "kube-system"] {
        assert_eq!(world.api.get(CONFIG_MAPS, namespace, "amime-ca-roots"), None, "{namespace}");
    }
    world.api.put(NAMESPACES, json!({"metadata": {"name": "new"}}));
    world.until("roots in a new namespace", |api| api.get(CONFIG_MAPS, "new", "amime-ca-roots")).await;

    // All is said: nothing is written but the Lease.
    let statuses = |api: &Api| api.writes().iter().filter(|write| write.ends_with("/status")).count();
    let before = statuses(&world.api);
    one.tasks.shutdown(Duration::from_secs(5)).await;
    world.api.put(SERVICES, service("nowhere"));
    world
        .until("the other one leads", |api| {
            (answer(api, "ResolvedRefs")? == "True ResolvedRefs").then_some(())
        })
        .await;
    assert_eq!(statuses(&world.api), before + 1, "{:?}", world.api.writes());
    two.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_api_server_that_goes_takes_nothing_with_it_and_what_went_meanwhile_goes_when_it_is_back() {
    let world = World::new().await;
    world.api.put(SERVICES, service("web"));
    world.api.put(PODS, pod("web-1", "web", "10.1.0.1"));
    world.api.put(PODS, pod("web-2", "web", "10.1.0.2"));
    world.api.put(SLICES, slice(&[("web-1", "10.1.0.1"), ("web-2", "10.1.0.2")]));
    let controller = world.controller("c-1").await;
    let mut proxy = world.proxy(&controller, "web", "web-1").await;
    let update = proxy.update().await;
    proxy.ack(update.nonce, vec![]).await;
    world.api.go_down();
    // Its state is served on, also to those who come now.
    let mut late = world.proxy(&controller, "web", "web-2").await;
    let held = late.update().await;
    assert_eq!(held.resources.len(), update.resources.len());
    world.api.delete(PODS, "shop", "web-2");
    world.api.put(SLICES, slice(&[("web-1", "10.1.0.1")]));
    world.api.come_back();
    let update = proxy.update().await;
    assert_eq!(names(&update.resources), ["endpoints/shop/web"]);
    controller.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn programmed_and_the_dashboard_count_the_proxies_of_every_replica() {
    let world = World::new().await;
    world.api.put(SERVICES, service("web"));
    world.api.put(HTTP_ROUTES, route("web"));
    world.api.put(PODS, pod("web-1", "web", "10.1.0.1"));
    world.api.put(PODS, pod("web-2", "web", "10.1.0.2"));
    let (one, two) = (world.controller("c-1").await, world.controller("c-2").await);
    for (name, replica) in [("c-1", &one), ("c-2", &two)] {
        let mut it = pod(name, "mesh-controller", "127.0.0.1");
        it["metadata"] = json!({"name": name, "namespace": "amime-system"});
        world.api.put(PODS, it);
        let endpoint = json!({"addresses": ["127.0.0.1"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "namespace": "amime-system", "name": name}});
        let labels = json!({"kubernetes.io/service-name": "mesh-controller"});
        world.api.put(SLICES, json!({"metadata": {"name": name, "namespace": "amime-system", "labels": labels},
            "addressType": "IPv4", "ports": [{"name": "grpc", "port": replica.addr.port()}], "endpoints": [endpoint]}));
    }
    world.api.put(
        SERVICES,
        json!({"metadata": {"name": "mesh-controller", "namespace": "amime-system"},
        "spec": {"clusterIP": "10.96.0.2", "ports": [{"name": "grpc", "port": 15010}]}}),
    );
    let (mut here, mut there) =
        (world.proxy(&one, "web", "web-1").await, world.proxy(&two, "web", "web-2").await);
    for proxy in [&mut here, &mut there] {
        let update = proxy.update().await;
        proxy.ack(update.nonce, vec![]).await;
    }
    world
        .until("both proxies", |api| {
            let route = api.get(HTTP_ROUTES, "shop", "web")?;
            route.to_string().contains("in force on 2 of 2 proxies").then_some(())
        })
        .await;
    world.api.user("good", "ann", AUDIENCE);
    world.api.allow("ann");
    let client = InspectServiceClient::new(world.channel(&one, "amime-system", "meshctl"));
    let (dashboard, _) = ticket_of(client).await;
    let session = Session::by(dashboard, &json!({ "token": "good" })).await;
    assert_eq!(session.get("/api/session").await.json()["viewer"], "ann");
    let sync = session.get("/api/sync").await.json();
    let proxies = sync["proxies"].as_array().unwrap().iter().map(|proxy| proxy["workload"].as_str().unwrap());
    assert_eq!(proxies.collect::<Vec<_>>(), ["web-1", "web-2"], "{sync}");
    assert_eq!(sync["unanswered"], json!([]));
    one.tasks.shutdown(Duration::from_secs(5)).await;
    two.tasks.shutdown(Duration::from_secs(5)).await;
}

/// Everything that a source says until `done`.
async fn changes(source: &mut KubeSource, done: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut said = Vec::new();
    while !done(&said) {
        let batch =
            tokio::time::timeout(DEADLINE, source.next()).await.unwrap_or_else(|_| panic!("only {said:?}"));
        said.extend(batch.changes.iter().map(|change| match change {
            Change::Apply { key, .. } => format!("+ {key}"),
            Change::Delete { key } => format!("- {key}"),
        }));
    }
    said
}

#[tokio::test]
async fn kinds_that_are_not_known_are_no_error_and_are_found_later() {
    let tasks = Tasks::new();
    let api = Api::start(&tasks).await;
    api.known(HTTP_ROUTES, false);
    api.known(MESHES, false);
    for n in 0..1_203 {
        api.put(SERVICES, service(&format!("s{n}")));
    }
    let timing = Timing { absent: Duration::from_millis(20), ..Timing::default() };
    let mut source = KubeSource::tuned(&api.cluster(), &tasks, timing);
    // Pages of a long list, all at once and before anything else is said.
    let first = source.next().await;
    assert_eq!(first.changes.len(), 1_203);
    assert_eq!(source.absent(), [Kind::HttpRoute, Kind::XMesh]);
    api.known(HTTP_ROUTES, true);
    api.put(HTTP_ROUTES, route("web"));
    assert_eq!(changes(&mut source, |said| !said.is_empty()).await, ["+ HTTPRoute shop/web"]);
    // The CRD goes, and its objects with it.
    api.known(HTTP_ROUTES, false);
    assert_eq!(changes(&mut source, |said| !said.is_empty()).await, ["- HTTPRoute shop/web"]);
    tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_happened_while_nobody_watched_is_seen_also_when_the_server_has_forgotten_it() {
    let tasks = Tasks::new();
    let api = Api::start(&tasks).await;
    for name in ["a", "b", "c"] {
        api.put(SERVICES, service(name));
    }
    let mut source = KubeSource::tuned(&api.cluster(), &tasks, Timing::default());
    assert_eq!(source.next().await.changes.len(), 3);
    api.go_down();
    api.delete(SERVICES, "shop", "b");
    api.put(SERVICES, service("d"));
    api.come_back();
    assert_eq!(changes(&mut source, |said| said.len() == 2).await, ["- Service shop/b", "+ Service shop/d"]);
    tasks.shutdown(Duration::from_secs(5)).await;
}
