//! T51: the clock of one process of a mesh is set, forwards and backwards, while the others' stay. What may go on does, what may not is refused,
//! nothing spins, and all is well again when the clock is. libfaketime (Debian's `faketime`) moves the wall clock of a process while it runs and
//! leaves the steady one alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh_lifecycle::tasks::Tasks;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Issuer, LOOK, RECOVERY};
use crate::cli::Rotation;
use crate::mesh::{Authority, Proof};
use crate::process::cpu;
use crate::report::{Outcome, Report};
use crate::screen;
use crate::soak::lab::Lab;
use crate::soak::load;

/// Where Debian puts it, by architecture.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];
/// Certificates live so long here: longer than ±45 s matter to, shorter than ten minutes.
const LIFE: &str = "--svid-ttl 540s";
/// A process is watched for so long after its clock was set.
const WATCH: Duration = Duration::from_secs(4);
/// The most of it that it may spend on a processor: a loop without a pause takes all of it.
const MOST: Duration = Duration::from_millis(1200);

/// Seconds that a clock is off, and whether a sidecar whose clock it is may still reach others anew.
const JUMPS: [(&str, i64, Reach); 5] = [
    ("45 s ahead", 45, Reach::Goes),
    ("45 s behind", -45, Reach::Goes),
    ("10 min ahead", 600, Reach::Closed),
    ("10 min behind", -600, Reach::Resumes),
    ("400 days ahead", 400 * 86_400, Reach::Closed),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Everybody.
    Goes,
    /// Nobody: what is shown has ended.
    Closed,
    /// Whom it knew: a certificate that was verified has not ended, so its session is resumed. A full handshake is refused, as certificates that
    /// do not hold yet are (T25); it says so in the log, and when it happens depends on tickets.
    Resumes,
}

/// What a process needs in its environment so that its clock can be set by writing `file`.
pub(crate) fn environment(library: &Path, file: &Path) -> Result<Vec<(&'static str, String)>> {
    set(file, 0)?;
    Ok(vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

fn set(file: &Path, seconds: i64) -> Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, format!("{seconds:+}\n"))
        .with_context(|| format!("write {}", beside.display()))?;
    std::fs::rename(&beside, file).with_context(|| format!("write {}", file.display()))
}

/// Where the library is.
pub(crate) fn library() -> Result<PathBuf> {
    let found = LIBRARIES.iter().map(PathBuf::from).find(|path| path.is_file());
    let Some(found) = found else {
        bail!("the part `clock` needs libfaketime: on Debian `sudo apt-get install faketime`");
    };
    Ok(found)
}

/// Sets the clock of each kind of process.
pub(super) async fn run(args: &Rotation, report: &mut Report) -> Result<Value> {
    let (tasks, library, proof) = (Tasks::new(), library()?, Proof::Issued(Issuer::new()?));
    let authority = Authority { options: LIFE, proof: &proof, clocks: Some(&library) };
    let mut lab = Lab::start(&args.meshctl, authority, &tasks).await?;
    let mut facts = serde_json::Map::new();
    for process in ["caller", "web-a", "bytes", "mesh-controller", "mesh-ca"] {
        let pid = pid(&lab, process)?;
        let clock =
            if process.starts_with("mesh-") { process.to_owned() } else { format!("sidecar-{process}") };
        let clock = lab.mesh.clock(&clock);
        // Of the sidecars the one that calls, and the one that is called by connections that are made anew.
        let judged = ["caller", "bytes"].contains(&process);
        for (name, seconds, reach) in JUMPS {
            if !judged && ![-600, 400 * 86_400].contains(&seconds) {
                continue;
            }
            let reach = if judged { reach } else { Reach::Goes };
            set(&clock, seconds)?;
            screen::line(&format!("   the clock of {process} is {name}"));
            let before = cpu(pid).context("the process is gone")?;
            let got = reached(&lab, reach).await;
            let spent = cpu(pid).context("the process is gone")?.saturating_sub(before);
            let said = format!("{:.2} s of a processor in {} s", spent.as_secs_f64(), WATCH.as_secs());
            let outcome = if spent <= MOST { Outcome::passed(&said) } else { Outcome::failed(&said) };
            report.row(
                "clock",
                &format!("{process} does not spin"),
                name,
                "at most 30 % of a processor",
                &outcome,
            );
            let wanted =
                if reach == Reach::Goes { "connections go on" } else { "new connections are refused" };
            report.row("clock", &format!("{process}: {wanted}"), name, wanted, &got);
            set(&clock, 0)?;
            let took = recovery(&lab).await;
            let text = format!("{:.1} s after the clock was right", took.as_secs_f64());
            let outcome = if took <= RECOVERY { Outcome::passed(&text) } else { Outcome::failed(&text) };
            report.row(
                "clock",
                &format!("{process} recovers"),
                name,
                "all kinds of requests within 30 s",
                &outcome,
            );
            facts.insert(
                format!("{process} {name}"),
                json!({ "cpu": spent.as_secs_f64(), "recovery": took.as_secs_f64() }),
            );
        }
        lab.alive()?;
    }
    signs_again(report, &mut lab, &tasks).await?;
    Ok(Value::Object(facts))
}

fn pid(lab: &Lab, name: &str) -> Result<u32> {
    let found = lab.processes().into_iter().find(|(process, _)| process == name);
    found.map(|(_, pid)| pid).with_context(|| format!("no process is called {name}"))
}

/// Makes connections for a while, each anew.
async fn reached(lab: &Lab, reach: Reach) -> Outcome {
    let (begin, mut answered, mut refused) = (Instant::now(), 0_u32, 0_u32);
    while begin.elapsed() < WATCH {
        if load::opens(&lab.ways).await {
            answered += 1;
        } else {
            refused += 1;
        }
        sleep(LOOK).await;
    }
    let got = format!("{answered} got through, {refused} did not");
    let fine = match reach {
        Reach::Goes => refused == 0 && answered > 0,
        Reach::Closed => answered == 0 && refused > 0,
        Reach::Resumes => answered > 0,
    };
    if fine { Outcome::passed(got) } else { Outcome::failed(got) }
}

async fn recovery(lab: &Lab) -> Duration {
    let begin = Instant::now();
    while !load::answers(&lab.ways).await && begin.elapsed() <= RECOVERY {
        sleep(LOOK).await;
    }
    begin.elapsed()
}

/// An authority that has signed at a time that is still to come signs nothing until somebody says that its clock is right.
async fn signs_again(report: &mut Report, lab: &mut Lab, tasks: &Tasks) -> Result<()> {
    let first = lab.mesh.member("late", tasks).await.map(|_| ());
    let got = match first {
        Ok(()) => "a certificate, since none was signed ahead of time".to_owned(),
        Err(error) => {
            let why = format!("{error:#}");
            lab.mesh.kill_authority();
            lab.mesh.start_authority_with("--accept-clock").await?;
            lab.mesh
                .member("late", tasks)
                .await
                .map(|_| format!("refused ({why}), and signed after --accept-clock"))?
        }
    };
    report.row(
        "clock",
        "the authority signs again",
        "its clock was 400 days ahead",
        "a certificate",
        &Outcome::passed(got),
    );
    Ok(())
}
