//! Runs our own cases: applies what a case needs, and waits until everything that it says is so. It knows no case.

mod check;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cli::ConformanceArgs;
use crate::conformance::case::{Call, Case, From, Step, Want};
use crate::conformance::cases;
use crate::conformance::reply::{self, Reply};
use crate::kubectl::Kubectl;
use crate::report::Report;
use crate::screen;

const BASE: &str = include_str!("../../assets/base.yaml");
/// What a claim of conformance may take until a change is in force: the suite's `MaxTimeToConsistency`.
const CONSISTENT_WITHIN: Duration = Duration::from_secs(30);
/// In a row, as the suite asks for.
const TIMES: u32 = 3;
/// Between two looks at the same.
const LOOK: Duration = Duration::from_millis(300);
/// Requests while routes change, and the changes.
const STEADY: u32 = 1000;
const CHANGES: usize = 10;
const NAMESPACES: [&str; 3] = ["own-mesh", "own-consumer", "own-other"];

/// Whether a case is called so.
pub(super) fn is_case(name: &str) -> bool {
    cases::all().iter().any(|case| case.name == name)
}

/// Runs all, or those that are named.
pub(super) fn run(args: &ConformanceArgs, report: &mut Report) -> Result<()> {
    let only = &args.user.only;
    let mut cases = cases::all();
    cases.retain(|case| only.is_empty() || only.iter().any(|name| name == case.name));
    if cases.is_empty() {
        return Ok(());
    }
    let world = World { kubectl: Kubectl::new(args.user.kubectl.clone()) };
    let result = world.run(&cases, report);
    if !args.user.keep {
        screen::line("removes  the namespaces");
        world.kubectl.delete(BASE)?;
    }
    result
}

struct World {
    kubectl: Kubectl,
}

impl World {
    fn run(&self, cases: &[Case], report: &mut Report) -> Result<()> {
        screen::line("starts   the pods");
        self.kubectl.apply(BASE)?;
        for namespace in NAMESPACES {
            let ready = ["rollout", "status", "-n", namespace, "deployment", "--timeout=180s"];
            self.kubectl.run(&ready).context("pods do not become ready")?;
        }
        for case in cases {
            screen::line(&format!("runs     {}: {}", case.name, case.about));
            let outcome = self.case(case);
            self.kubectl.delete(case.objects).context("take the objects of a case away")?;
            match outcome {
                Ok(()) => report.passed(case.name),
                Err(error) => report.failed(case.name, &format!("{error:#}")),
            }
        }
        Ok(())
    }

    fn case(&self, case: &Case) -> Result<()> {
        self.kubectl.apply(case.objects)?;
        for (at, step) in case.steps.iter().enumerate() {
            self.step(step).with_context(|| format!("step {}", at + 1))?;
        }
        Ok(())
    }

    fn step(&self, step: &Step) -> Result<()> {
        match step {
            Step::Call(call) => consistent(|| {
                let (replies, printed) = self.call(call, 1)?;
                check::call(call, &replies, &printed)
            }),
            Step::Share { call, count, backend, percent } => consistent_once(|| {
                let (replies, printed) = self.call(call, *count)?;
                check::share(call, &replies, &printed, *count, backend, *percent)
            }),
            Step::Partly { call, count, code, percent } => consistent_once(|| {
                let (replies, _) = self.call(call, *count)?;
                check::partly(&replies, *count, code, *percent)
            }),
            Step::Condition { kind, namespace, name, condition, status, reason } => consistent(|| {
                let object = self.kubectl.json(&["get", kind, "-n", namespace, name])?;
                check::condition(&object, condition, status, reason)
            }),
            Step::Logged { call, count, deployment, percent } => {
                consistent_once(|| self.logged(call, *count, deployment, *percent))
            }
            Step::Steady { call, changes } => self.steady(call, changes),
        }
    }

    /// The copies of just these requests are told apart by a number of their own.
    fn logged(&self, call: &Call, count: u32, deployment: &str, percent: u32) -> Result<()> {
        let label = format!("copy-{}", now_nanos());
        let header = format!("x-copies: {label}");
        let (replies, printed) = self.call_with(call, count, &["-H", &header])?;
        check::all(call, &replies, &printed, count)?;
        let target = format!("deployment/{deployment}");
        let log = self.kubectl.run(&["logs", "-n", "own-mesh", "-c", "echo", "--since=60s", &target])?;
        let seen = log.lines().filter(|line| line.contains(" Request") && line.contains(&label)).count();
        check::near(u32::try_from(seen).unwrap_or(u32::MAX), count, percent, 15)
    }

    /// One long run of the client while the objects change.
    fn steady(&self, call: &Call, changes: &[&str; 2]) -> Result<()> {
        thread::scope(|scope| {
            let run = scope.spawn(|| self.call_with(call, STEADY, &["--qps=100", "--timeout=60s"]));
            for change in changes.iter().cycle().take(CHANGES) {
                self.kubectl.apply(change)?;
            }
            let (replies, printed) =
                run.join().map_err(|_| anyhow::anyhow!("the client's thread ended"))??;
            check::all(call, &replies, &printed, STEADY)
        })
    }

    fn call(&self, call: &Call, count: u32) -> Result<(Vec<Reply>, String)> {
        self.call_with(call, count, &[])
    }

    fn call_with(&self, call: &Call, count: u32, more: &[&str]) -> Result<(Vec<Reply>, String)> {
        let (namespace, app) = match call.from {
            From::Mesh => ("own-mesh", "app=echo,version=v1"),
            From::Consumer => ("own-consumer", "app=client"),
            From::Other => ("own-other", "app=client"),
        };
        let pod = self.kubectl.pod(namespace, app, "metadata.name")?;
        let mut url = call.url.to_owned();
        if url.contains("{POD:echo-v2}") {
            let address = self.kubectl.pod("own-mesh", "app=echo,version=v2", "status.podIP")?;
            url = url.replace("{POD:echo-v2}", &address);
        }
        let count = format!("--count={count}");
        let command = [&["client", url.as_str(), count.as_str()], call.args.as_slice(), more].concat();
        let ran = self.kubectl.exec(namespace, &pod, "echo", &command)?;
        let printed = ran.stdout + &ran.stderr;
        Ok((reply::read(&printed), printed))
    }
}

fn now_nanos() -> u128 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos())
}

/// Until it is so three times in a row, or the time to consistency is over: then what was wrong last.
fn consistent(look: impl FnMut() -> Result<()>) -> Result<()> {
    repeated(look, TIMES)
}

/// For counts of many requests, of which one is enough.
fn consistent_once(look: impl FnMut() -> Result<()>) -> Result<()> {
    repeated(look, 1)
}

fn repeated(mut look: impl FnMut() -> Result<()>, times: u32) -> Result<()> {
    let began = Instant::now();
    let mut in_a_row = 0;
    loop {
        match look() {
            Ok(()) => in_a_row += 1,
            Err(error) if began.elapsed() > CONSISTENT_WITHIN => bail!(error),
            Err(_) => in_a_row = 0,
        }
        if in_a_row == times {
            return Ok(());
        }
        thread::park_timeout(LOOK);
    }
}

/// Whether a call is one that is to fail.
fn fails(call: &Call) -> Option<&'static str> {
    call.want.iter().find_map(|want| if let Want::Fails(text) = want { Some(*text) } else { None })
}
