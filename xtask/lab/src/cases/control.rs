//! T46: what happens to the controller happens to no request. It is killed, stopped, cut off by a network that drops, made slow, and resets its
//! connections, one after the other, while a captured client calls a service that it knows; meanwhile the objects change, the client's
//! proxy says how old its knowledge is, and when it is over the change arrives.

mod load;
mod relay;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_lab::wait_until;

use self::load::{Load, get};
use self::relay::{Relay, Way};
use super::support::serving;
use crate::mesh::{Member, Mesh, Port};
use crate::run::note;
use crate::tools::Tools;

const WEB: Port = Port::undeclared(80);
/// For a proxy to notice, or to have caught up: detection of a connection that is dead takes twenty seconds by itself.
const PATIENCE: Duration = Duration::from_mins(1);
const STALENESS: &str = "mesh_config_staleness_seconds";
/// Between watermarks it is less.
const FRESH: f64 = 3.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Stopped,
    CutOff,
    Slow,
    Resets,
}

const FAULTS: [Fault; 5] = [Fault::Killed, Fault::Stopped, Fault::CutOff, Fault::Slow, Fault::Resets];

pub(super) fn faults(tools: &Tools) -> Result<()> {
    under_load(tools, 100, Duration::from_secs(4))
}

pub(super) fn faults_for_long(tools: &Tools) -> Result<()> {
    under_load(tools, 500, Duration::from_mins(2))
}

fn under_load(tools: &Tools, rate: u32, each: Duration) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let relay = Relay::start(&mesh)?;
    mesh.controller_is_at(relay.at());
    let server = mesh.member("server", &[WEB])?;
    let _serving = serving(server.program(&tools.go).args(["serve", "[::]:80"]), &server, 80)?;
    let client = mesh.member("client", &[])?;
    client.pod.inside(|| get("server"))?;
    let load = Load::start(&client, "server", rate);
    for fault in FAULTS {
        one(&mut mesh, &relay, &client, &load, (fault, each)).with_context(|| format!("{fault:?}"))?;
    }
    let seen = load.stop()?;
    note(&format!("{} requests, {} failed", seen.answered + seen.failed.len(), seen.failed.len()));
    ensure!(seen.failed.is_empty(), "requests of a known route failed: {:?}", seen.failed);
    ensure!(seen.answered > 100, "{} requests are no load", seen.answered);
    Ok(())
}

fn one(
    mesh: &mut Mesh,
    relay: &Relay,
    client: &Member,
    load: &Load,
    (fault, each): (Fault, Duration),
) -> Result<()> {
    let began = Instant::now();
    begin(mesh, relay, client, fault)?;
    let name = format!("after-{fault:?}").to_lowercase();
    mesh.service_of(&name, "server", &[WEB])?;
    let before = load.answered();
    // Traffic goes on, for as long as the fault is to last, and until the proxy has said that what it knows is old.
    wait_until("the proxy says that its knowledge is old", PATIENCE.max(each * 2), || {
        let tells = fault == Fault::Slow || staleness(client)? > FRESH;
        Ok(began.elapsed() > each && load.answered() > before && tells)
    })?;
    end(mesh, relay, client, fault)?;
    let over = Instant::now();
    wait_until("what changed meanwhile is there", PATIENCE, || {
        Ok(client.pod.inside(|| get(&name)).is_ok() && staleness(client)? < FRESH)
    })?;
    note(&format!(
        "{fault:?}: for {:.1} s, caught up {:.1} s later",
        (over - began).as_secs_f32(),
        over.elapsed().as_secs_f32()
    ));
    Ok(())
}

fn begin(mesh: &mut Mesh, relay: &Relay, client: &Member, fault: Fault) -> Result<()> {
    match fault {
        Fault::Killed => mesh.kill_controller(),
        Fault::Stopped => signal(mesh, rustix::process::Signal::STOP),
        Fault::CutOff => client.pod.cut(relay.at().port()),
        Fault::Slow => relay.set(Way::Slow),
        Fault::Resets => relay.set(Way::Resets),
    }
}

fn end(mesh: &mut Mesh, relay: &Relay, client: &Member, fault: Fault) -> Result<()> {
    match fault {
        Fault::Killed => mesh.start_controller(),
        Fault::Stopped => signal(mesh, rustix::process::Signal::CONT),
        Fault::CutOff => client.pod.mend(),
        Fault::Slow | Fault::Resets => relay.set(Way::Open),
    }
}

fn signal(mesh: &Mesh, signal: rustix::process::Signal) -> Result<()> {
    let pid = mesh.controller_pid().context("the controller runs")?;
    let pid = rustix::process::Pid::from_raw(pid.try_into()?).context("a process id")?;
    rustix::process::kill_process(pid, signal).context("signal the controller")
}

/// The largest that the proxy tells.
fn staleness(client: &Member) -> Result<f64> {
    let samples = client.counted()?;
    ensure!(samples.iter().any(|sample| sample.name == STALENESS), "no {STALENESS}");
    let all = samples.iter().filter(|sample| sample.name == STALENESS);
    Ok(all.map(|sample| sample.value).fold(0.0, f64::max))
}
