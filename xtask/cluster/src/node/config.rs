//! What the programs of a node are told: their files and arguments. Decides; touches nothing. Paths are those inside the node.

use serde_json::{Value, json};

use crate::images::PAUSE;

use super::plan::{API_PORT, DNS, Node, PODS, SERVICES, Spec};

/// The cluster's state, as its nodes see it.
pub(super) const STATE: &str = "/run/amime/state";
/// What was built once.
pub(super) const BUILT: &str = "/run/amime/built";
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";
pub(super) const ADMIN: &str = "/run/amime/state/kubeconfig";
const PKI: &str = "/run/amime/state/pki";
const ETCD: &str = "http://127.0.0.1:2379";
/// What the kubelet wants machine-wide. A node gives it files of its own that say so already, and the machine's values stay.
pub(super) const KERNEL: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// A program of a node with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) program: &'static str,
    pub(super) args: Vec<String>,
}

fn command(program: &'static str, args: impl IntoIterator<Item = String>) -> Command {
    Command { program, args: args.into_iter().collect() }
}

fn pki(file: &str) -> String {
    format!("{PKI}/{file}")
}

/// Runs containers.
pub(super) fn containerd() -> Command {
    command("containerd", ["--config".to_owned(), "/etc/amime/containerd.toml".to_owned()])
}

/// What the first node has before the API server answers.
pub(super) fn api(node: &Node) -> Vec<Command> {
    let etcd = [
        "--name=n1".to_owned(),
        format!("--data-dir={STATE}/{}/etcd", node.name),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--initial-cluster=n1=http://127.0.0.1:2380".to_owned(),
        // Nobody wants this cluster back after the machine failed.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    let server = [
        format!("--etcd-servers={ETCD}"),
        format!("--secure-port={API_PORT}"),
        format!("--advertise-address={}", node.address),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--kubelet-client-certificate={}", pki("apiserver-kubelet.crt")),
        format!("--kubelet-client-key={}", pki("apiserver-kubelet.key")),
        format!("--kubelet-certificate-authority={}", pki("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
    ];
    vec![command("etcd", etcd), command("kube-apiserver", server)]
}

/// What the first node has once the API server answers: they give up on one that does not.
pub(super) fn control_plane() -> Vec<Command> {
    let client = |name: &str| {
        let file = pki(&format!("{name}.kubeconfig"));
        ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
            .map(|option| format!("--{option}={file}"))
            .into_iter()
            .chain(["--leader-elect=false".to_owned(), "--bind-address=127.0.0.1".to_owned()])
            .collect::<Vec<_>>()
    };
    let manager = [
        format!("--service-account-private-key-file={}", pki("sa.key")),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        "--use-service-account-credentials=true".to_owned(),
        "--allocate-node-cidrs=false".to_owned(),
    ];
    vec![
        command("kube-controller-manager", client("controller-manager").into_iter().chain(manager)),
        command("kube-scheduler", client("scheduler")),
    ]
}

/// What every node has once the API server answers.
pub(super) fn agents(node: &Node) -> Vec<Command> {
    let kubelet = [
        "--config=/etc/amime/kubelet.json".to_owned(),
        format!("--kubeconfig={}", pki(&format!("{}.kubeconfig", node.name))),
        format!("--hostname-override={}", node.name),
        format!("--node-ip={}", node.address),
        "--root-dir=/var/lib/kubelet".to_owned(),
        "--cert-dir=/var/lib/kubelet/pki".to_owned(),
    ];
    vec![
        command("kubelet", kubelet),
        command("kube-proxy", ["--config=/etc/amime/kube-proxy.json".to_owned()]),
    ]
}

/// Files below `/etc` of the node.
pub(super) fn files(spec: &Spec) -> Vec<(&'static str, String)> {
    vec![
        ("resolv.conf", format!("nameserver {DNS}\n")),
        ("cni/net.d/10-bridge.conflist", network(&spec.node).to_string()),
        ("amime/containerd.toml", containerd_file()),
        ("amime/kubelet.json", kubelet_file(&spec.node).to_string()),
        ("amime/kube-proxy.json", proxy_file(&spec.node).to_string()),
    ]
}

fn network(node: &Node) -> Value {
    json!({"cniVersion": "1.0.0", "name": "bridge", "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "hairpinMode": true,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni-ipam",
                "ranges": [[{"subnet": node.pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]})
}

/// `restrict_oom_score_adj`: root of a container or a sandbox may not make a process less likely to be killed than it is itself.
fn containerd_file() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#
    )
}

fn kubelet_file(node: &Node) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki(&format!("{}.crt", node.name)),
        "tlsPrivateKeyFile": pki(&format!("{}.key", node.name)),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", node.control_group),
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": [DNS.to_string()],
        "clusterDomain": "cluster.local",
        "resolvConf": "/etc/resolv.conf",
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        // A test's disk may be nearly full, and an image that was collected cannot be pulled again.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "2s",
    })
}

fn proxy_file(node: &Node) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": node.name,
        "clientConnection": {"kubeconfig": pki("proxy.kubeconfig")},
        // These are values of the machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "0s"},
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::nodes;
    use super::*;
    use crate::folders::Name;

    #[test]
    fn a_node_is_told_its_own_names() {
        let node = nodes(&Name::new("a").unwrap(), 2).remove(1);
        assert_eq!(kubelet_file(&node)["cgroupRoot"], "/amime-a/n2");
        assert_eq!(network(&node)["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.244.2.0/24");
        assert!(agents(&node)[0].args.contains(&"--node-ip=10.89.0.12".to_owned()));
        assert!(
            agents(&node)[0].args.contains(&"--kubeconfig=/run/amime/state/pki/n2.kubeconfig".to_owned())
        );
    }

    #[test]
    fn the_control_plane_signs_with_the_keys_that_the_api_server_checks() {
        let node = nodes(&Name::new("a").unwrap(), 1).remove(0);
        let signs = "=/run/amime/state/pki/sa.key";
        assert!(api(&node)[1].args.iter().any(|arg| arg.ends_with(signs)));
        assert!(control_plane()[0].args.iter().any(|arg| arg.ends_with(signs)));
    }
}
