//! The objects of a mesh of any size: namespaces with services, their endpoints, routes, and the workloads that the simulated proxies
//! are. Pure; the same size gives the same objects.

use std::fmt;

use serde_json::{Value, json};

/// Namespaces, whatever the size.
pub(super) const NAMESPACES: usize = 50;
/// Services that a proxy uses.
pub(super) const USED: usize = 20;
/// Whose identity all simulated proxies of a namespace have.
pub(super) const ACCOUNT: &str = "sim";

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) services: usize,
    /// Of each service.
    pub(crate) endpoints: usize,
    pub(crate) streams: usize,
    /// Whether endpoints are pods that are there as well.
    pub(crate) pods: bool,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = if self.pods { "with" } else { "without" };
        write!(f, "{} services x {} endpoints {pods} pods", self.services, self.endpoints)?;
        write!(f, ", {} streams", self.streams)
    }
}

impl Size {
    pub(super) fn json(self) -> Value {
        json!({
            "services": self.services, "endpoints": self.endpoints, "pods": self.pods, "streams": self.streams,
        })
    }

    /// Services of one namespace.
    pub(super) fn per_namespace(self) -> usize {
        self.services.div_ceil(NAMESPACES)
    }
}

/// One object with where the API server has it.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// The collection: `/api/v1/namespaces/ns-00/services`.
    pub(super) path: String,
    pub(super) name: String,
    pub(super) object: Value,
}

pub(super) fn namespace(service: usize) -> String {
    format!("ns-{:02}", service % NAMESPACES)
}

pub(super) fn service_name(service: usize) -> String {
    format!("svc-{service:05}")
}

/// A stream's workload: its namespace and its name.
pub(super) fn member(stream: usize) -> (String, String) {
    (namespace(stream), format!("pod-{}", stream / NAMESPACES))
}

/// Services that a stream uses: some of its own namespace.
pub(super) fn used(size: Size, stream: usize) -> impl Iterator<Item = usize> {
    let first = stream % NAMESPACES;
    (0..USED.min(size.per_namespace()))
        .map(move |at| at * NAMESPACES + first)
        .filter(move |at| *at < size.services)
}

/// Streams that use a service.
pub(super) fn users(size: Size, service: usize) -> usize {
    let of_namespace = (service % NAMESPACES..size.streams).step_by(NAMESPACES).count();
    if service / NAMESPACES < USED.min(size.per_namespace()) { of_namespace } else { 0 }
}

fn ip(namespace: usize, number: usize) -> String {
    format!("10.{namespace}.{}.{}", number / 250, number % 250 + 1)
}

/// What the addresses begin with by which changes are known again.
const MARK: &str = "198.18.";

/// The address by which a change is known again.
pub(super) fn mark(number: u32) -> String {
    format!("{MARK}{}.{}", number >> 8 & 0xff, number & 0xff)
}

/// The change of an address that [`mark`] made.
fn marked(address: &str) -> Option<u32> {
    let rest = address.strip_prefix(MARK)?;
    let (high, low) = rest.split_once('.')?;
    let low = low.split_once(':').map_or(low, |(low, _)| low);
    Some(high.parse::<u32>().ok()? << 8 | low.parse::<u32>().ok()?)
}

/// All marks in the bytes of a resource, which is not decoded: thousands of streams read it.
pub(super) fn marks(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let begins = move |at: &usize| bytes.get(*at..).is_some_and(|rest| rest.starts_with(MARK.as_bytes()));
    let text = move |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        let end =
            rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b':')).unwrap_or(rest.len());
        rest.get(..end).and_then(|text| std::str::from_utf8(text).ok())
    };
    let first = MARK.as_bytes().first().copied().unwrap_or_default();
    let ones = bytes.iter().enumerate().filter(move |(_, byte)| **byte == first).map(|(at, _)| at);
    ones.filter(begins).filter_map(text).filter_map(marked)
}

pub(super) fn namespaces() -> Vec<Placed> {
    let all = (0..NAMESPACES).map(namespace).chain(["amime-system".to_owned()]);
    all.map(|name| Placed {
        path: "/api/v1/namespaces".to_owned(),
        object: json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { "amime.io/inject": "enabled" } },
        }),
        name,
    })
    .collect()
}

pub(super) fn settings(trust_domain: &str) -> Placed {
    Placed {
        path: "/apis/amime.io/v1alpha1/meshconfigs".to_owned(),
        name: "default".to_owned(),
        object: json!({
            "apiVersion": "amime.io/v1alpha1", "kind": "MeshConfig", "metadata": { "name": "default" },
            "spec": { "trustDomain": trust_domain },
        }),
    }
}

pub(super) fn accounts() -> Vec<Placed> {
    let all = (0..NAMESPACES).map(namespace);
    all.map(|namespace| Placed {
        path: format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
        name: ACCOUNT.to_owned(),
        object: json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": ACCOUNT, "namespace": namespace },
        }),
    })
    .collect()
}

/// `label` is what an edit without meaning changes.
pub(super) fn service(service: usize, label: &str) -> Placed {
    let (namespace, name) = (namespace(service), service_name(service));
    Placed {
        path: format!("/api/v1/namespaces/{namespace}/services"),
        object: json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "namespace": namespace, "labels": { "team": label } },
            "spec": {
                "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "appProtocol": "http" }],
            },
        }),
        name,
    }
}

/// The endpoints of a service; with a mark there is one more.
pub(super) fn slice(size: Size, service: usize, number: Option<u32>) -> Placed {
    let (namespace, name) = (namespace(service), service_name(service));
    let at = service % NAMESPACES;
    let mut endpoints: Vec<Value> = (0..size.endpoints)
        .map(|endpoint| {
            let pod = service / NAMESPACES * size.endpoints + endpoint;
            let target = json!({ "kind": "Pod", "name": format!("pod-{pod}"), "namespace": namespace });
            let target = if size.pods { target } else { Value::Null };
            json!({ "addresses": [ip(at, pod)], "conditions": { "ready": true }, "targetRef": target })
        })
        .collect();
    endpoints.extend(number.map(|number| json!({ "addresses": [mark(number)] })));
    slice_of(&namespace, &name, &name, &endpoints)
}

/// An endpoint beside those of a service, which carries a mark: in a folder it has a file of its own.
pub(super) fn marker(service: usize, number: u32) -> Placed {
    let (namespace, name) = (namespace(service), service_name(service));
    slice_of(&namespace, &format!("{name}-mark"), &name, &[json!({ "addresses": [mark(number)] })])
}

fn slice_of(namespace: &str, name: &str, service: &str, endpoints: &[Value]) -> Placed {
    Placed {
        path: format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"),
        name: name.to_owned(),
        object: json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": name, "namespace": namespace,
                "labels": { "kubernetes.io/service-name": service },
            },
            "ports": [{ "name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http" }],
            "endpoints": endpoints,
        }),
    }
}

/// Every second service has a route; `timeout` is in seconds.
pub(super) fn route(service: usize, timeout: u32) -> Option<Placed> {
    let (namespace, name) = (namespace(service), service_name(service));
    let backend = json!([{ "name": name, "port": 80 }]);
    (service / NAMESPACES).is_multiple_of(2).then(|| Placed {
        path: format!("/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes"),
        object: json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "parentRefs": [{ "group": "", "kind": "Service", "name": name }],
                "rules": [
                    {
                        "matches": [{
                            "path": { "type": "PathPrefix", "value": "/api" },
                            "headers": [{ "name": "version", "value": "2" }],
                        }],
                        "filters": [{
                            "type": "RequestHeaderModifier",
                            "requestHeaderModifier": { "set": [{ "name": "seen", "value": "yes" }] },
                        }],
                        "timeouts": { "request": format!("{timeout}s") },
                        "backendRefs": backend,
                    },
                    { "backendRefs": backend },
                ],
            },
        }),
        name,
    })
}

/// The pods behind all endpoints; the first of them are the streams.
pub(super) fn pods(size: Size) -> Vec<Placed> {
    let of_namespace = size.streams.div_ceil(NAMESPACES);
    let of_namespace =
        if size.pods { of_namespace.max(size.per_namespace() * size.endpoints) } else { of_namespace };
    let numbered = |at| (0..of_namespace).map(move |number| pod(at, number));
    (0..NAMESPACES).flat_map(numbered).collect()
}

fn pod(at: usize, number: usize) -> Placed {
    let (namespace, name) = (namespace(at), format!("pod-{number}"));
    let address = ip(at, number);
    Placed {
        path: format!("/api/v1/namespaces/{namespace}/pods"),
        object: json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": namespace,
                "labels": { "app": format!("app-{}", number / 10), "amime.io/injected": "true" },
                "annotations": { "bench.amime.io/note": "what an injected pod has beside what is read" },
            },
            "spec": {
                "nodeName": format!("node-{}", number % 30),
                "serviceAccountName": ACCOUNT,
                "automountServiceAccountToken": false,
                "containers": [
                    { "name": "app", "image": "bench.local/app:1", "ports": [{ "name": "http", "containerPort": 8080 }] },
                    { "name": "mesh-proxy", "image": "bench.local/proxy:1" },
                ],
            },
            "status": {
                "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }),
        name,
    }
}

/// What a stream is where there are no pods.
pub(super) fn workload(stream: usize) -> Placed {
    let (namespace, name) = member(stream);
    Placed {
        path: format!("/apis/amime.io/v1alpha1/namespaces/{namespace}/workloads"),
        object: json!({
            "apiVersion": "amime.io/v1alpha1", "kind": "Workload",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "address": format!("172.{}.{}.{}", 16 + stream % NAMESPACES / 25, stream % NAMESPACES % 25 * 10 + stream / NAMESPACES / 250, stream / NAMESPACES % 250 + 1),
                "serviceAccount": ACCOUNT,
            },
        }),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { services: 1000, endpoints: 10, streams: 1000, pods: true };

    #[test]
    fn a_mark_is_known_again() {
        for number in [0, 1, 255, 256, 65_535] {
            assert_eq!(marked(&mark(number)), Some(number));
            assert_eq!(marked(&format!("{}:8080", mark(number))), Some(number));
        }
        assert_eq!(marked("10.0.0.1:80"), None);
        let bytes = format!("\u{1}198.18.1.2:80\u{0}198.51.0.1 {} 198.18.", mark(7));
        assert_eq!(marks(bytes.as_bytes()).collect::<Vec<_>>(), [258, 7]);
    }

    #[test]
    fn every_stream_uses_twenty_services_of_its_own_namespace() {
        for stream in [0, 49, 50, 999] {
            let used: Vec<usize> = used(SIZE, stream).collect();
            assert_eq!(used.len(), USED);
            assert!(used.iter().all(|service| namespace(*service) == member(stream).0));
        }
        for service in [0, 1, 49, 50, 998, 999] {
            let counted = (0..SIZE.streams).filter(|stream| used(SIZE, *stream).any(|used| used == service));
            assert_eq!(users(SIZE, service), counted.count());
        }
    }

    #[test]
    fn addresses_and_names_are_nobody_elses() {
        let pods = pods(SIZE);
        assert_eq!(pods.len(), 10_000);
        let mut seen: Vec<String> =
            pods.iter().map(|pod| pod.object["status"]["podIP"].as_str().unwrap().to_owned()).collect();
        let workloads = (0..10_000).map(|stream| workload(stream).object["spec"]["address"].to_string());
        seen.extend(workloads);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 20_000);
    }

    #[test]
    fn endpoints_name_pods_that_are_there() {
        let names: std::collections::BTreeSet<(String, String)> =
            pods(SIZE).into_iter().map(|pod| (pod.path, pod.name)).collect();
        for service in [0, 51, 999] {
            let slice = slice(SIZE, service, None);
            for endpoint in slice.object["endpoints"].as_array().unwrap() {
                let name = endpoint["targetRef"]["name"].as_str().unwrap().to_owned();
                let path = format!("/api/v1/namespaces/{}/pods", namespace(service));
                assert!(names.contains(&(path, name)));
            }
        }
    }
}
