//! A user's life with the mesh: installed, used while everything around it changes, upgraded, taken away. The scenarios follow one
//! another on one cluster; each says in its first line what it proves.

mod application;
mod control_plane;
mod dashboard;
mod life;
mod load;
mod observe;
mod policy;
mod release;
mod rollout;
mod security;
mod world;

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::cli::{ScenariosArgs, UserArgs};
use crate::report::Report;
use crate::screen;

use self::world::World;

/// One thing that is proved.
struct Scenario {
    name: &'static str,
    about: &'static str,
    /// The others need it.
    always: bool,
    run: fn(&mut World) -> Result<()>,
}

/// Of certificates: several are renewed in every scenario, and a whole rotation fits into one.
const LIFETIME: &str = "60s";

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "install",
        about: "meshctl install makes a mesh that meshctl check finds nothing wrong with",
        always: true,
        run: life::install,
    },
    Scenario {
        name: "options",
        about: "the API server takes every object that values turn on: policies, autoscaler, monitors, rules, dashboards, CNI",
        always: false,
        run: life::options,
    },
    Scenario {
        name: "inject",
        about: "pods of a labelled namespace get a sidecar, and are ready with their probes",
        always: true,
        run: application::inject,
    },
    Scenario {
        name: "traffic",
        about: "HTTP/1.1, HTTP/2 and gRPC streams between pods: none fails, all over mTLS, seen by meshctl stat",
        always: false,
        run: application::traffic,
    },
    Scenario {
        name: "seen",
        about: "top, stat by kind, edges, routes, protocols, tap, trace, certs and proxy endpoints show the traffic, hop by hop, and who everybody is",
        always: false,
        run: observe::seen,
    },
    Scenario {
        name: "dashboard",
        about: "meshctl dashboard leads to a page that tells what meshctl tells, to whoever has a ticket or the right",
        always: false,
        run: dashboard::dashboard,
    },
    Scenario {
        name: "init-container",
        about: "an init container of a pod has network, and reaches services of the mesh",
        always: false,
        run: application::init_container,
    },
    Scenario { name: "job", about: "a Job with a sidecar completes", always: false, run: application::job },
    Scenario {
        name: "strict",
        about: "with strict mTLS probes go on, members go on, and who is no member is refused",
        always: false,
        run: policy::strict,
    },
    Scenario {
        name: "split",
        about: "an HTTPRoute sends one request of ten to a new version, then all",
        always: false,
        run: policy::split,
    },
    Scenario {
        name: "quiet",
        about: "an edit of labels and annotations sends nothing to any proxy",
        always: false,
        run: control_plane::quiet,
    },
    Scenario {
        name: "on-demand",
        about: "a proxy holds the services that its workload uses, however many there are",
        always: false,
        run: control_plane::on_demand,
    },
    Scenario {
        name: "rolling-updates",
        about: "five rolling updates of three replicas under load lose no request",
        always: false,
        run: rollout::rolling_updates,
    },
    Scenario {
        name: "control-plane-restarts",
        about: "controller and authority restart under load, and no request is lost; a sidecar restarts without a controller, and goes on",
        always: false,
        run: rollout::restarts,
    },
    Scenario {
        name: "released",
        about: "a good version is promoted, one that fails, one that is slow and one that crashes are taken back, with the controller killed at each step",
        always: false,
        run: release::released,
    },
    Scenario {
        name: "authorized",
        about: "a namespace closed by default serves the caller that a policy names, refuses another member, and meshctl explain says why",
        always: false,
        run: security::authorized,
    },
    Scenario {
        name: "rotation",
        about: "the root is replaced under load, the authority dies in between, and no request is lost",
        always: false,
        run: security::rotation,
    },
    Scenario {
        name: "upgrade",
        about: "meshctl upgrade under load loses no request",
        always: false,
        run: life::upgrade,
    },
    Scenario {
        name: "uninstall",
        about: "meshctl uninstall leaves nothing, and the application goes on without",
        always: false,
        run: life::uninstall,
    },
    Scenario {
        name: "helm",
        about: "helm install makes the same mesh, and helm uninstall leaves what Helm leaves by its rules",
        always: false,
        run: life::helm,
    },
];

/// Names them.
pub(crate) fn list() {
    for scenario in SCENARIOS {
        screen::line(&format!("{:28} {}", scenario.name, scenario.about));
    }
}

/// Only the mesh itself, for those who test something else with it.
pub(crate) fn install(args: &UserArgs) -> Result<()> {
    life::install(&mut World::new(args, 1, None)?)
}

/// False when one failed.
pub(crate) fn run(args: &ScenariosArgs) -> Result<bool> {
    for name in &args.user.only {
        ensure!(
            SCENARIOS.iter().any(|scenario| scenario.name == name),
            "there is no scenario `{name}`; `list` names them"
        );
    }
    let mut world = World::new(&args.user, args.rate, Some(LIFETIME))?;
    let mut report = Report::default();
    for scenario in SCENARIOS {
        if !args.user.only.is_empty()
            && !scenario.always
            && !args.user.only.iter().any(|name| name == scenario.name)
        {
            continue;
        }
        if args.user.keep && matches!(scenario.name, "uninstall" | "helm") {
            continue;
        }
        screen::line(&format!("runs     {}: {}", scenario.name, scenario.about));
        let began = Instant::now();
        match (scenario.run)(&mut world) {
            Ok(()) => report.passed(&format!("{} ({} s)", scenario.name, began.elapsed().as_secs())),
            Err(error) => {
                report.failed(scenario.name, &format!("{error:#}"));
                world.describe();
                if scenario.always {
                    screen::line("the others need it: they are not run");
                    break;
                }
            }
        }
    }
    report.end(args.user.output)
}
