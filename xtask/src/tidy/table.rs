//! The architecture as data: the order of modules in each package, the doors, and the files that may be long.
//!
//! `docs/ARCHITECTURE.md` draws the same picture for people; whoever changes one changes the other.

/// The order of a package's modules, highest first. A module may use what is in a lower layer, and nothing else.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) path: &'static str,
    pub(super) layers: &'static [&'static [&'static str]],
    /// Single arrows beside the order: from, to, reason.
    pub(super) also: &'static [(&'static str, &'static str, &'static str)],
}

impl Package {
    pub(super) fn layer(&self, module: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.contains(&module))
    }

    pub(super) fn allows(&self, from: &str, to: &str) -> bool {
        self.also.iter().any(|(a, b, reason)| *a == from && *b == to && !reason.is_empty())
    }

    pub(super) fn shown(&self) -> String {
        self.layers.iter().map(|layer| layer.join(",")).collect::<Vec<_>>().join(" → ")
    }
}

/// Foreign paths that only some modules of a package may name.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) package: &'static str,
    /// Beginnings of paths: `prost`, `std::env`.
    pub(super) guarded: &'static [&'static str],
    /// Modules that may, with everything inside them.
    pub(super) open: &'static [&'static str],
    pub(super) why: &'static str,
}

impl Door {
    pub(super) fn is_open_to(&self, module: &str) -> bool {
        self.open.iter().any(|open| {
            module.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    }

    pub(super) fn guards(&self, segments: &[String]) -> bool {
        self.guarded.iter().any(|guarded| {
            let mut parts = guarded.split("::");
            let mut named = segments.iter();
            parts.all(|part| named.next().is_some_and(|segment| segment == part))
        })
    }

    pub(super) fn shown(&self) -> String {
        if self.open.is_empty() { "there is none in this package".to_owned() } else { self.open.join(", ") }
    }
}

pub(super) const PACKAGES: &[Package] = &[
    Package {
        path: "proxy",
        layers: &[
            &["main"],
            &["cli"],
            &["app"],
            &["inbound", "outbound", "admin"],
            &["ask"],
            &["worker"],
            &["dns", "workload_api", "export"],
            &["xds", "http", "tcp"],
            &["tls"],
            &["telemetry"],
            &["net", "state"],
            &["detect", "trace"],
            &["config"],
            &["probes"],
        ],
        also: &[],
    },
    Package {
        path: "meshctl/migrate",
        layers: &[
            &["app_mesh", "argo", "flagger", "linkerd", "plain"],
            &["istio", "release", "gateway_api"],
            &["routes"],
            &["parts"],
            &["matches", "report"],
            &["yaml"],
            &["out", "world", "ledger"],
            &["documents"],
            &["aws"],
        ],
        also: &[],
    },
    Package {
        path: "proxy/capture",
        layers: &[
            &["apply"],
            &["nft", "iptables", "text", "plan", "route"],
            &["kernel", "ruleset", "error"],
            &["options", "wire"],
            &["range", "number"],
        ],
        also: &[],
    },
    Package {
        path: "proxy/codec",
        layers: &[
            &["fuzz"],
            &["scan"],
            &["response"],
            &["request"],
            &["chunked", "encode"],
            &["connection", "framing", "line"],
            &["fields"],
            &["message"],
            &["canonical"],
            &["known", "refusal"],
            &["bytes"],
        ],
        also: &[],
    },
    Package {
        path: "proxy/http2",
        layers: &[
            &["connection"],
            &["out", "settings"],
            &["stream"],
            &["block", "bucket"],
            &["frame", "hpack"],
        ],
        also: &[],
    },
    Package {
        path: "proxy/dns",
        layers: &[
            &["cache"],
            &[
                "budget",
                "eyeballs",
                "hosts",
                "names",
                "resolv_conf",
                "upstreams",
                "virtual_addresses",
                "wire",
            ],
        ],
        also: &[],
    },
    Package {
        path: "proxy/traffic",
        layers: &[
            &["balance", "cohort"],
            &["health", "outlier"],
            &["hedge", "fault"],
            &["breaker", "concurrency", "deadline", "hash", "rate", "retry", "session"],
        ],
        also: &[],
    },
    Package {
        path: "proxy/compare",
        layers: &[&["tally", "verdict"], &["difference"], &["answer"]],
        also: &[],
    },
    Package {
        path: "mesh-proto/cel",
        layers: &[
            &["readings"],
            &["check", "evaluate"],
            &["code"],
            &["parse"],
            &["lex", "variable"],
            &["ended"],
            &["value"],
        ],
        also: &[],
    },
    Package {
        path: "xtask/cluster",
        layers: &[
            &["main"],
            &["cli", "show"],
            &["smoke"],
            &["cluster"],
            &["node", "kind"],
            &["images"],
            &["artifacts"],
            &["folders", "oci"],
            &["tar", "program", "screen"],
        ],
        also: &[],
    },
    Package {
        path: "controller",
        layers: &[
            &["main"],
            &["cli"],
            &["app"],
            &["dashboard"],
            &["announce", "canary"],
            &["inspect"],
            &["serve", "observe"],
            &["compile"],
            &["status", "admit"],
            &["sources", "access", "keys"],
            &["index"],
            &["api", "clock", "cluster", "shared"],
        ],
        also: &[],
    },
    Package {
        path: "controller/release",
        layers: &[
            &["simulate"],
            &["machine"],
            &["check"],
            &["state", "observation"],
            &["plan", "evidence"],
            &["window"],
        ],
        also: &[],
    },
    Package { path: "proxy/cni", layers: &[&["main"], &["plugin", "install"], &["conf"]], also: &[] },
    Package {
        path: "controller/inject",
        layers: &[
            &["eject"],
            &["patch"],
            &["workload_api"],
            &["decide", "lifecycle", "workload"],
            &["containers", "scrape"],
            &["probes", "annotations"],
            &["settings", "editor"],
            &["quantity"],
        ],
        also: &[(
            "patch",
            "eject",
            "what injection changed is written down in the form in which it is taken back",
        )],
    },
];

const WIRE: &[&str] = &["prost", "prost_types", "tonic", "tonic_prost", "mesh_proto"];
const ENVIRONMENT: &[&str] = &[
    "std::env::var",
    "std::env::var_os",
    "std::env::vars",
    "std::env::vars_os",
    "env::var",
    "env::var_os",
    "env::vars",
];
const WIRE_WHY: &str =
    "INV-1: wire types live at the doors; inside there is the model, which no change of a message breaks";
const ENVIRONMENT_WHY: &str = "INV-3: what the environment says is read once and travels as configuration";

/// What performs I/O or runs tasks, and what stands for a wire format.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "tokio_stream",
    "hyper",
    "hyper_util",
    "h2",
    "rustls",
    "tokio_rustls",
    "rustix",
    "socket2",
    "prost",
    "tonic",
    "mesh_proto",
    "kube",
    "k8s_openapi",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::fs",
];
const PURE_WHY: &str = "bytes in, decisions out: time, randomness and sockets are the caller's, so that every case is a test without any of them";

pub(super) const DOORS: &[Door] = &[
    Door { package: "proxy/codec", guarded: IMPURE, open: &[], why: PURE_WHY },
    Door { package: "proxy/codec", guarded: &["mesh_model"], open: &[], why: PURE_WHY },
    Door { package: "proxy/http2", guarded: IMPURE, open: &[], why: PURE_WHY },
    Door { package: "proxy/http2", guarded: &["mesh_model"], open: &[], why: PURE_WHY },
    Door {
        package: "proxy/capture",
        guarded: &["rustix", "std::process", "std::fs"],
        open: &["apply", "kernel", "route", "error", "iptables::run"],
        why: "rules are decided and written as bytes or text without asking the system; few modules act on it",
    },
    Door {
        package: "controller/inject",
        guarded: &["tokio", "kube", "rustls", "std::fs", "std::env::var", "tonic", "prost"],
        open: &[],
        why: "a pod in, a patch out: every case is a test without an API server",
    },
    Door { package: "controller/release", guarded: IMPURE, open: &[], why: PURE_WHY },
    Door { package: "controller/release", guarded: &["mesh_model"], open: &[], why: PURE_WHY },
    Door { package: "meshctl/migrate", guarded: IMPURE, open: &[], why: PURE_WHY },
    Door { package: "proxy/dns", guarded: IMPURE, open: &[], why: PURE_WHY },
    Door { package: "proxy/compare", guarded: IMPURE, open: &[], why: PURE_WHY },
    Door { package: "proxy/traffic", guarded: IMPURE, open: &[], why: PURE_WHY },
    Door { package: "proxy/traffic", guarded: &["mesh_http1", "http"], open: &[], why: PURE_WHY },
    Door { package: "mesh-proto/cel", guarded: IMPURE, open: &[], why: PURE_WHY },
    Door { package: "mesh-proto/cel", guarded: &["mesh_model"], open: &[], why: PURE_WHY },
    Door {
        package: "mesh-proto/model",
        guarded: &["prost", "tonic", "mesh_proto", "tokio", "kube", "k8s_openapi", "serde"],
        open: &[],
        why: "INV-1: the model performs no I/O and knows no wire format",
    },
    Door {
        package: "proxy",
        guarded: WIRE,
        open: &["xds", "telemetry", "state", "app", "probes::grpc", "workload_api", "ask", "export"],
        why: WIRE_WHY,
    },
    Door {
        package: "controller",
        guarded: WIRE,
        open: &["serve", "observe", "inspect", "dashboard", "app"],
        why: WIRE_WHY,
    },
    Door {
        package: "mesh-ca",
        guarded: WIRE,
        open: &["serve", "refusal", "admin_client", "upstream"],
        why: WIRE_WHY,
    },
    Door {
        package: "meshctl",
        guarded: &["prost", "tonic", "tonic_prost"],
        open: &["client", "shop"],
        why: WIRE_WHY,
    },
    // What `meshctl` prints is what the controller answered, so its commands may read the answers.
    Door {
        package: "meshctl",
        guarded: &["mesh_proto"],
        open: &["client", "shop", "commands"],
        why: WIRE_WHY,
    },
    Door {
        package: "controller",
        guarded: &["kube", "k8s_openapi"],
        open: &["api", "cluster", "sources", "index", "status", "compile"],
        why: "Kubernetes' types stay with the objects; what is served is the model",
    },
    Door { package: "proxy", guarded: ENVIRONMENT, open: &["config", "cli", "main"], why: ENVIRONMENT_WHY },
    Door {
        package: "controller",
        guarded: ENVIRONMENT,
        open: &["config", "cli", "main"],
        why: ENVIRONMENT_WHY,
    },
    Door { package: "mesh-ca", guarded: ENVIRONMENT, open: &["config", "cli", "main"], why: ENVIRONMENT_WHY },
    Door {
        package: "meshctl",
        guarded: ENVIRONMENT,
        open: &["cli", "main", "local::paths", "local::orphan", "output"],
        why: ENVIRONMENT_WHY,
    },
    Door { package: "xtask", guarded: ENVIRONMENT, open: &["config"], why: ENVIRONMENT_WHY },
];

/// Files that may be longer than the limit, each with its reason.
pub(super) const LONG_FILES: &[(&str, &str)] = &[];
