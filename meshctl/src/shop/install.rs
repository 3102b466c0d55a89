//! The shop in a mesh on this machine: its objects are written, its services and their sidecars are started. It must
//! not know what the visitor does.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::local::control_plane::{self, ControlPlane, START_DEADLINE, StartError};
use crate::local::member::{MESH_PORT, Member, Outbound, Place};
use crate::local::process::Launch;
use crate::local::subnet::Subnet;
use crate::local::supervisor::{ChildSpec, Kind};

use super::objects::{self, Weights};
use super::{
    APP_PORT, CART_OUTBOUND_PORT, CART_PORT, NAMESPACE, Role, VISITOR, VISITOR_HOST, WORKLOADS, Workload,
};

/// How long connections of the shop get to end. Its visitor has left before.
const DRAIN: Duration = Duration::from_secs(1);
const APP_GRACE: Duration = Duration::from_secs(2);

/// Where the weights are.
pub(crate) fn route_file(plane: &ControlPlane) -> PathBuf {
    plane.paths().objects().join("reviews-route.yaml")
}

/// Puts these weights in force.
pub(crate) fn write_weights(plane: &ControlPlane, weights: Weights) -> Result<(), StartError> {
    control_plane::write(route_file(plane), &objects::reviews_route(weights))
}

/// Starts the shop and waits until every part of it is ready. `progress` is told the name of each part as it becomes so.
pub(crate) async fn start(plane: &ControlPlane, progress: impl Fn(&str)) -> Result<Member, StartError> {
    let subnet = plane.subnet();
    write_weights(plane, objects::OPENING_WEIGHTS)?;
    control_plane::write(plane.paths().objects().join("shop.yaml"), &objects::members(subnet))?;
    let members = members(subnet);
    plane.publish(members.iter().map(Member::state).collect(), false)?;
    let supervisor = plane.supervisor();
    for workload in &WORKLOADS {
        supervisor.start(app(plane, subnet, workload));
    }
    for member in &members {
        supervisor.start(member.sidecar(&plane.state(), plane.paths()));
    }
    for member in &members {
        supervisor.ready(&member.sidecar_name(), START_DEADLINE).await?;
        progress(&member.name);
    }
    Ok(visitor(subnet))
}

/// All members of the shop.
pub(crate) fn members(subnet: Subnet) -> Vec<Member> {
    WORKLOADS.iter().map(|workload| member(subnet, workload)).chain([visitor(subnet)]).collect()
}

fn visitor(subnet: Subnet) -> Member {
    Member {
        namespace: NAMESPACE.to_owned(),
        name: VISITOR.to_owned(),
        account: VISITOR.to_owned(),
        address: subnet.host(VISITOR_HOST),
        inbound: Vec::new(),
        outbound: Vec::new(),
        zone: None,
        workload_api: false,
        application_metrics: None,
        drain: DRAIN,
        place: Place::Host,
    }
}

fn member(subnet: Subnet, workload: &Workload) -> Member {
    let address = subnet.host(workload.host);
    let cart = Outbound {
        listen: SocketAddr::from((address, CART_OUTBOUND_PORT)),
        service: "cart".to_owned(),
        port: CART_PORT,
    };
    Member {
        namespace: NAMESPACE.to_owned(),
        name: workload.name.to_owned(),
        account: workload.name.to_owned(),
        address,
        inbound: vec![(MESH_PORT, listen(subnet, workload))],
        outbound: if workload.role == Role::Web { vec![cart] } else { Vec::new() },
        zone: None,
        workload_api: false,
        application_metrics: None,
        drain: DRAIN,
        place: Place::Host,
    }
}

fn listen(subnet: Subnet, workload: &Workload) -> SocketAddr {
    let port = if workload.role == Role::Cart { CART_PORT } else { APP_PORT };
    SocketAddr::from((subnet.host(workload.host), port))
}

fn app(plane: &ControlPlane, subnet: Subnet, workload: &Workload) -> ChildSpec {
    let member = member(subnet, workload);
    let role = clap::ValueEnum::to_possible_value(&workload.role).map(|value| value.get_name().to_owned());
    let mut args: Vec<OsString> = vec!["__shop".into(), role.unwrap_or_default().into()];
    let mut option = |name: &str, value: String| args.extend([name.into(), value.into()]);
    option("--version", workload.version.to_owned());
    option("--listen", listen(subnet, workload).to_string());
    option("--proxy", member.outbound_proxy().to_string());
    if let Some(cart) = member.outbound.first() {
        option("--cart", cart.listen.to_string());
    }
    let launch = Launch { args, log: plane.paths().logs().join(format!("{}.log", workload.name)) };
    ChildSpec {
        name: workload.name.to_owned(),
        kind: Kind::App,
        launch,
        ready: None,
        token: None,
        grace: APP_GRACE,
    }
}
