//! Random objects of a small world, of every kind: so few names, addresses and labels that they meet all the time.

/// Numbers that a seed decides (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// In `of` of a hundred cases.
    fn percent(&mut self, of: usize) -> bool {
        self.below(100) < of
    }
}

const NAMESPACES: [&str; 2] = ["shop", "bank"];
const SERVICES: [&str; 4] = ["web", "api", "db", "cart"];
const APPS: [&str; 3] = ["web", "api", "db"];
const ADDRESSES: [&str; 10] = [
    "10.1.0.1",
    "10.1.0.2",
    "10.1.0.3",
    "10.1.0.4",
    "10.1.0.5",
    "10.1.0.6",
    "10.1.0.7",
    "10.0.0.1",
    "fd00::1",
    "'::ffff:10.1.0.1'",
];

/// Whether an edit is a good object on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Good,
    Bad,
    Gone,
}

/// What one file says from now on; every object has its own.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) form: Form,
}

/// One edit. Most are of what changes most in a mesh.
pub(crate) fn edit(dice: &mut Dice) -> Edit {
    let namespace = dice.one(&NAMESPACES);
    let (kind, number) = match dice.below(100) {
        0..45 => ("EndpointSlice", dice.below(6)),
        45..70 => ("Pod", dice.below(7)),
        _ => (dice.one(&OTHERS), dice.below(3)),
    };
    let (api, kind) = kind.split_once('|').map_or_else(
        || (if kind == "Pod" { "v1" } else { "discovery.k8s.io/v1" }, kind),
        |(api, kind)| (api, kind),
    );
    let cluster =
        matches!(kind, "Namespace" | "MeshConfig" | "FederatedTrustDomain" | "GatewayClass" | "XMesh");
    let name = match kind {
        "Service" => SERVICES[(number + dice.below(2)) % SERVICES.len()].to_owned(),
        "Namespace" => namespace.to_owned(),
        "MeshConfig" => "default".to_owned(),
        // A Workload may have a pod's name.
        "Pod" | "Workload" => format!("member-{number}"),
        _ => format!("{}-{number}", kind.to_lowercase()),
    };
    let file = if cluster { format!("{kind}/{name}") } else { format!("{kind}/{namespace}/{name}") };
    let gone = if kind == "Service" { 12 } else { 20 };
    if dice.percent(gone) {
        return Edit { file, text: String::new(), form: Form::Gone };
    }
    let place = if cluster { String::new() } else { format!(", namespace: {namespace}") };
    let (labels, rest) = body(kind, namespace, dice);
    let created = format!("creationTimestamp: '2026-01-0{}T00:00:00Z'", 1 + dice.below(3));
    let bad = kind.ends_with("Policy") && dice.percent(4);
    let wrong = if bad { ", nonsense: 1" } else { "" };
    let text = format!(
        "{{apiVersion: {api}, kind: {kind}, metadata: {{name: {name}{place}, {created}, labels: {{{labels}}}}}, {rest}{wrong}}}"
    );
    Edit { file, text, form: if bad { Form::Bad } else { Form::Good } }
}

const OTHERS: [&str; 20] = [
    "v1|Service",
    "v1|Service",
    "v1|Namespace",
    "gateway.networking.k8s.io/v1|HTTPRoute",
    "gateway.networking.k8s.io/v1|GRPCRoute",
    "gateway.networking.k8s.io/v1|TCPRoute",
    "gateway.networking.k8s.io/v1|TLSRoute",
    "gateway.networking.k8s.io/v1|UDPRoute",
    "gateway.networking.k8s.io/v1|GatewayClass",
    "gateway.networking.x-k8s.io/v1alpha1|XMesh",
    "gateway.networking.x-k8s.io/v1alpha1|XBackendTrafficPolicy",
    "amime.io/v1alpha1|MeshConfig",
    "amime.io/v1alpha1|Workload",
    "amime.io/v1alpha1|Workload",
    "amime.io/v1alpha1|TrafficPolicy",
    "amime.io/v1alpha1|AuthorizationPolicy",
    "amime.io/v1alpha1|AuthenticationPolicy",
    "amime.io/v1alpha1|ExternalService",
    "amime.io/v1alpha1|FederatedTrustDomain",
    "amime.io/v1alpha1|Canary",
];

/// Labels and what follows the metadata.
fn body(kind: &str, namespace: &str, dice: &mut Dice) -> (String, String) {
    let app = format!("app: {}", dice.one(&APPS));
    match kind {
        "EndpointSlice" => slice(dice),
        "Pod" => pod(&app, dice),
        "Service" => (String::new(), service(dice)),
        "Workload" => (app, workload(dice)),
        "Canary" => {
            let what = if dice.percent(50) {
                format!("stable: web, canary: {}", dice.one(&SERVICES[1..]))
            } else {
                let new = dice.one(&APPS);
                format!("target: {{service: {}, canary: {{labels: {{app: {new}}}}}}}", dice.one(&SERVICES))
            };
            (String::new(), format!("spec: {{{what}, version: '1', steps: [{{weight: 5}}, {{weight: 50}}]}}"))
        }
        "AuthorizationPolicy" | "AuthenticationPolicy" => (String::new(), security(kind, dice)),
        "TrafficPolicy" | "XBackendTrafficPolicy" => (String::new(), traffic(kind, dice)),
        "Namespace" => {
            (format!("amime.io/inject: {}", dice.one(&["enabled", "disabled"])), "spec: {}".to_owned())
        }
        "MeshConfig" => (
            String::new(),
            format!("spec: {{mtls: {{mode: {}}}}}", dice.one(&["Strict", "Permissive", "Disabled"])),
        ),
        "ExternalService" => {
            let host = dice.one(&["a.example.com", "b.example.com", "'*.example.com'"]);
            (String::new(), format!("spec: {{hosts: [{host}], ports: [{{port: 443, protocol: TLS}}]}}"))
        }
        "FederatedTrustDomain" => {
            let domain = dice.one(&["bank.example", "mesh.test"]);
            let endpoint = "bundleEndpoint: {url: 'https://bank.example/', profile: HttpsWeb}";
            (String::new(), format!("spec: {{trustDomain: {domain}, {endpoint}}}"))
        }
        "GatewayClass" | "XMesh" => {
            (String::new(), format!("spec: {{controllerName: example.com/{}}}", dice.one(&["a", "b"])))
        }
        _ => (String::new(), route(kind, namespace, dice)),
    }
}

fn slice(dice: &mut Dice) -> (String, String) {
    let labels = if dice.percent(95) {
        format!("kubernetes.io/service-name: {}", dice.one(&SERVICES))
    } else {
        String::new()
    };
    let endpoints: Vec<String> = (0..dice.below(5)).map(|_| endpoint(dice)).collect();
    let ports = dice.one(&[
        "{name: http, port: 8080}",
        "{name: http, port: 8080}, {name: admin, port: 9090}",
        "{name: http, port: 81}, {name: admin, port: 8080}",
    ]);
    (labels, format!("addressType: IPv4, ports: [{ports}], endpoints: [{}]", endpoints.join(", ")))
}

fn endpoint(dice: &mut Dice) -> String {
    let address = dice.one(&ADDRESSES);
    let conditions = dice.one(&[
        "",
        "",
        ", conditions: {ready: true}",
        ", conditions: {ready: false}",
        ", conditions: {ready: false, serving: true, terminating: true}",
    ]);
    let place =
        if dice.percent(8) { format!(", namespace: {}", dice.one(&NAMESPACES)) } else { String::new() };
    let target = match dice.below(10) {
        0..6 => format!(", targetRef: {{kind: Pod, name: member-{}{place}}}", dice.below(7)),
        6..8 => format!(", targetRef: {{kind: Workload, name: member-{}{place}}}", dice.below(3)),
        _ => String::new(),
    };
    let hostname =
        if dice.percent(15) { format!(", hostname: host-{}", dice.below(2)) } else { String::new() };
    let zone = if dice.percent(30) { format!(", zone: {}", dice.one(&["a", "b"])) } else { String::new() };
    format!("{{addresses: [{address}]{conditions}{target}{hostname}{zone}}}")
}

fn pod(app: &str, dice: &mut Dice) -> (String, String) {
    let injected = dice.one(&["'true'", "'true'", "'false'"]);
    let account = dice.one(&["", "serviceAccountName: one", "serviceAccountName: two", "hostNetwork: true"]);
    let phase = dice.one(&["Running", "Running", "Running", "Pending", "Succeeded"]);
    let address = dice.one(&ADDRESSES);
    let labels = format!("{app}, amime.io/injected: {injected}");
    (
        labels,
        format!(
            "spec: {{{account}}}, status: {{phase: {phase}, podIP: {address}, podIPs: [{{ip: {address}}}]}}"
        ),
    )
}

fn service(dice: &mut Dice) -> String {
    if dice.percent(6) {
        return format!(
            "spec: {{type: ExternalName, externalName: {}}}",
            dice.one(&["x.example.com", "y.example.com"])
        );
    }
    let ip = dice.one(&["", "clusterIP: 10.0.0.1, ", "clusterIP: 10.0.0.2, ", "clusterIP: None, "]);
    let selector =
        if dice.percent(60) { format!("selector: {{app: {}}}, ", dice.one(&APPS)) } else { String::new() };
    let affinity = if dice.percent(20) { "sessionAffinity: ClientIP, " } else { "" };
    let target = dice.one(&["8080", "http", "80"]);
    let second = if dice.percent(50) { ", {name: admin, port: 90}" } else { "" };
    format!(
        "spec: {{{ip}{selector}{affinity}ports: [{{name: http, port: 80, targetPort: {target}}}{second}]}}"
    )
}

fn workload(dice: &mut Dice) -> String {
    let mesh_port = if dice.percent(40) { ", meshPort: 15006" } else { "" };
    let account = if dice.percent(50) { ", serviceAccount: one" } else { "" };
    let mesh = if dice.percent(20) { ", mesh: false" } else { "" };
    let zone = if dice.percent(30) { ", zone: a" } else { "" };
    let name = dice.one(&["http", "other"]);
    let port = dice.one(&["8080", "80"]);
    let address = dice.one(&ADDRESSES[..7]);
    format!(
        "spec: {{address: {address}{account}{mesh}{zone}, weight: {}, ports: [{{name: {name}, port: {port}{mesh_port}}}]}}",
        1 + dice.below(2)
    )
}

fn route(kind: &str, namespace: &str, dice: &mut Dice) -> String {
    let of = dice.one(&NAMESPACES);
    let parent = format!("{{group: '', kind: Service, name: {}, namespace: {of}}}", dice.one(&SERVICES));
    let backend = |dice: &mut Dice| {
        format!(
            "{{name: {}, namespace: {namespace}, port: {}, weight: {}}}",
            dice.one(&SERVICES),
            dice.one(&["80", "90"]),
            dice.below(3)
        )
    };
    let (one, other) = (backend(dice), backend(dice));
    let hosts = if kind == "TLSRoute" { "hostnames: [a.example.com], " } else { "" };
    let named = if kind == "HTTPRoute" && dice.percent(30) { "name: first, " } else { "" };
    format!("spec: {{parentRefs: [{parent}], {hosts}rules: [{{{named}backendRefs: [{one}, {other}]}}]}}")
}

fn security(kind: &str, dice: &mut Dice) -> String {
    let targets = match dice.below(5) {
        0 => String::new(),
        1 | 2 => format!("selector: {{matchLabels: {{app: {}}}}}, ", dice.one(&APPS)),
        3 => format!("targetRefs: [{{kind: Workload, name: member-{}}}], ", dice.below(3)),
        _ if kind == "AuthorizationPolicy" => {
            let port = dice.one(&["", ", port: 80", ", sectionName: admin"]);
            format!("targetRefs: [{{kind: Service, name: {}{port}}}], ", dice.one(&SERVICES))
        }
        _ => format!("targetRefs: [{{kind: Service, name: {}}}], ", dice.one(&SERVICES)),
    };
    if kind == "AuthenticationPolicy" {
        let (mode, other) = (dice.one(&MODES), dice.one(&MODES));
        let ports = if dice.percent(40) && !targets.is_empty() {
            format!(", ports: [{{port: 8080, mode: {other}}}]")
        } else {
            String::new()
        };
        return format!("spec: {{{targets}mtls: {{mode: {mode}{ports}}}}}");
    }
    if dice.percent(15) {
        let external =
            format!("external: {{protocol: GRPC, backendRef: {{name: {}, port: 80}}}}", dice.one(&SERVICES));
        return format!(
            "spec: {{{targets}action: External, rules: [{{to: [{{paths: [/a]}}]}}], {external}}}"
        );
    }
    let action = dice.one(&["Allow", "Deny"]);
    format!(
        "spec: {{{targets}action: {action}, rules: [{{from: [{{namespaces: [{}]}}]}}]}}",
        dice.one(&NAMESPACES)
    )
}

const MODES: [&str; 3] = ["Strict", "Permissive", "Disabled"];

fn traffic(kind: &str, dice: &mut Dice) -> String {
    let service = format!("{{group: '', kind: Service, name: {}}}", dice.one(&SERVICES));
    if kind == "XBackendTrafficPolicy" {
        let budget = "budget: {percent: 30, interval: 20s}, minRetryRate: {count: 5, interval: 2s}";
        return format!("spec: {{targetRefs: [{service}], retryConstraint: {{{budget}}}}}");
    }
    let route =
        format!("{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: httproute-{}}}", dice.below(3));
    let target = if dice.percent(60) { service } else { route };
    format!("spec: {{targetRefs: [{target}], timeouts: {{request: {}s}}}}", 1 + dice.below(3))
}
