//! Certificates that end, an authority that is away, roots that are rotated: under load, through sidecars, with processes that are killed.
//! T49 and T50 of the acceptance tests, with one authority and its folder, and with two that share an API server; T51 by clocks that are set.

mod clock;
mod issuer;
mod replicas;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_ca::admin_client::admin_channel;
use mesh_ca::audit::{Beginnings, verify};
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::ca::v1::ca_rotation_client::CaRotationClient;
use mesh_proto::ca::v1::rotate_request::What;
use mesh_proto::ca::v1::rotation_status::Step;
use mesh_proto::ca::v1::{RotateRequest, RotationStatus, RotationStatusRequest};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

pub(crate) use self::clock::environment as clock_environment;
pub(crate) use self::issuer::Issuer;
pub(crate) use self::replicas::Cluster;
use self::replicas::Replicas;
use crate::cli::{Part, Rotation};
use crate::mesh::{Authority, Proof};
use crate::report::{Outcome, Report};
use crate::screen;
use crate::soak::lab::Lab;
use crate::soak::load::{self, Counts, Kind};

/// A step is seen within that.
const LOOK: Duration = Duration::from_millis(200);
/// What a rotation takes beyond the lives of certificates: clocks' slack, a replica that may be gone, looks.
const EXTRA: Duration = Duration::from_mins(4);
/// Everybody is back within that after the authority is.
const RECOVERY: Duration = Duration::from_secs(30);
/// For so long nobody gets in once all certificates have ended.
const CLOSED: Duration = Duration::from_secs(8);
const END: Duration = Duration::from_secs(30);
/// The promise.
const RATE: u64 = 200;

/// Runs the parts that were asked for; each has a mesh of its own.
pub(crate) async fn run(args: &Rotation) -> Result<ExitCode> {
    let mut report = Report::new("rotation", args.output);
    let mut facts = serde_json::Map::new();
    for part in [Part::Outage, Part::Rotation, Part::Replicas, Part::Expiry, Part::Clock] {
        if !args.parts.is_empty() && !args.parts.contains(&part) {
            continue;
        }
        if part == Part::Clock {
            facts.insert(part.name().to_owned(), Box::pin(clock::run(args, &mut report)).await?);
            continue;
        }
        let mut run = Run::start(args, part).await?;
        let fact = match part {
            Part::Replicas => run.replicas(&mut report).await?,
            Part::Outage => run.outage(&mut report).await?,
            Part::Rotation => run.rotation(&mut report).await?,
            Part::Expiry => run.expiry(&mut report).await?,
            // It has a mesh of its own.
            Part::Clock => Value::Null,
        };
        facts.insert(part.name().to_owned(), fact);
        run.load.shutdown(END).await;
    }
    Ok(report.close(&json!({ "svid_ttl_seconds": args.svid_ttl_seconds, "parts": facts })))
}

/// A mesh under load.
struct Run {
    life: Duration,
    /// Before the first certificate.
    begin: Instant,
    lab: Lab,
    counts: Rc<Counts>,
    load: Tasks,
    /// When the load began.
    loaded: Instant,
    replicas: Option<Replicas>,
    _folder: tempfile::TempDir,
}

impl Run {
    async fn start(args: &Rotation, part: Part) -> Result<Self> {
        let begin = Instant::now();
        let life = Duration::from_secs(args.svid_ttl_seconds);
        let (tasks, folder) = (Tasks::new(), tempfile::Builder::new().prefix("mesh-suites").tempdir()?);
        let replicas = match part {
            Part::Replicas => {
                Some(Replicas::start(&args.meshctl, folder.path(), args.svid_ttl_seconds, &tasks).await?)
            }
            Part::Outage | Part::Rotation | Part::Expiry | Part::Clock => None,
        };
        let proof = match &replicas {
            Some(replicas) => Proof::Reviewed(replicas.cluster.clone()),
            None => Proof::Issued(Issuer::new()?),
        };
        let options = format!("--svid-ttl {}s", args.svid_ttl_seconds);
        let lab =
            Lab::start(&args.meshctl, Authority { options: &options, proof: &proof, clocks: None }, &tasks)
                .await?;
        let (counts, load) = (Rc::new(Counts::default()), Tasks::new());
        load::start(&lab.ways, &counts, &load);
        Ok(Self { life, begin, lab, counts, load, loaded: Instant::now(), replicas, _folder: folder })
    }

    /// T50: two replicas; the root is rotated twice, and the replica that was asked is killed in between.
    async fn replicas(&mut self, report: &mut Report) -> Result<Value> {
        let mut replicas = self.replicas.take().context("the replicas")?;
        let first = self.status_at(&replicas.socket(0)).await?;
        let mut took = Vec::new();
        for (asked, kill_at) in [(0, Step::RootPublished), (1, Step::IssuerMoved)] {
            let (begin, other) = (Instant::now(), replicas.socket(1 - asked));
            let before = self.rotate_at(&replicas.socket(asked)).await?;
            self.reach_at(&other, kill_at, before.generation).await?;
            replicas.kill(asked);
            screen::line(&format!("   the replica that was asked is killed while it was at {kill_at:?}"));
            sleep(self.life / 4).await;
            replicas.run(asked).await?;
            for index in 0..2 {
                self.reach_at(&replicas.socket(index), Step::Steady, before.generation + 2).await?;
            }
            took.push(begin.elapsed().as_secs());
            screen::line(&format!(
                "   root rotated in {} s; {}",
                begin.elapsed().as_secs(),
                self.counts.shown()
            ));
        }
        sleep(self.life).await;
        self.lab.alive()?;
        for index in 0..2 {
            let last = self.status_at(&replicas.socket(index)).await?;
            old_roots_are_gone(report, "replicas", &first, &last);
        }
        let pinned = replicas.published();
        let outcome = if pinned == 1 { Outcome::passed("1") } else { Outcome::failed(pinned.to_string()) };
        report.row(
            "replicas",
            "old roots are not pinned",
            "ConfigMap amime-ca-roots",
            "1 certificate",
            &outcome,
        );
        let serials = serials(report, "replicas", &[replicas.audit(0), replicas.audit(1)])?;
        let load = self.all_answered(report, "replicas", "2 rotations of the root, a replica killed at each");
        Ok(json!({ "load": load, "seconds": took, "certificates": serials }))
    }

    /// T49: the authority is away from a third of a certificate's life to five sixths of it.
    async fn outage(&mut self, report: &mut Report) -> Result<Value> {
        let (away, back) = (self.begin + self.life / 3, self.begin + self.life * 5 / 6);
        ensure!(Instant::now() < away, "the mesh took longer to start than certificates are young");
        sleep_until(away).await;
        self.lab.mesh.kill_authority();
        screen::line(&format!(
            "   authority stopped {} s after the first certificate",
            self.begin.elapsed().as_secs()
        ));
        sleep_until(back).await;
        self.lab.mesh.start_authority().await?;
        screen::line(&format!("   authority back {} s after it", self.begin.elapsed().as_secs()));
        sleep_until(self.begin + self.life * 4 / 3).await;
        self.lab.alive()?;
        Ok(self.all_answered(report, "outage", "the authority is away for half of a certificate's life"))
    }

    /// T50: the root is rotated twice; the authority is killed while the next root is published, and while it signs.
    async fn rotation(&mut self, report: &mut Report) -> Result<Value> {
        let first = self.status().await?;
        let mut took = Vec::new();
        for kill_at in [Step::RootPublished, Step::IssuerMoved] {
            let begin = Instant::now();
            let asked = self.rotate().await?;
            self.reach(kill_at, asked.generation).await?;
            self.lab.mesh.kill_authority();
            screen::line(&format!("   authority killed while it was at {kill_at:?}"));
            self.lab.mesh.start_authority().await?;
            self.reach(Step::Steady, asked.generation + 2).await?;
            took.push(begin.elapsed().as_secs());
            screen::line(&format!(
                "   root rotated in {} s; {}",
                begin.elapsed().as_secs(),
                self.counts.shown()
            ));
        }
        // Renewed under the last root, all of them.
        sleep(self.life).await;
        self.lab.alive()?;
        let last = self.status().await?;
        old_roots_are_gone(report, "rotation", &first, &last);
        let pinned = std::fs::read_to_string(self.lab.mesh.roots())?.matches("BEGIN CERTIFICATE").count();
        let outcome = if pinned == 1 { Outcome::passed("1") } else { Outcome::failed(pinned.to_string()) };
        report.row("rotation", "old roots are not pinned", "root.pem", "1 certificate", &outcome);
        let serials = serials(report, "rotation", &[self.lab.mesh.folder().join("ca/audit.log")])?;
        let load = self.all_answered(report, "rotation", "2 rotations of the root, 2 kills of the authority");
        Ok(json!({ "load": load, "seconds": took, "certificates": serials }))
    }

    /// T49: every certificate ends while the authority is away: then nobody gets in, and everybody does soon after it is back.
    async fn expiry(&mut self, report: &mut Report) -> Result<Value> {
        self.lab.mesh.kill_authority();
        sleep(self.life + Duration::from_secs(2)).await;
        // Connections that are made anew each time; others were let in while their certificates were good.
        let before = self.counts.of(Kind::Tcp);
        sleep(CLOSED).await;
        let after = self.counts.of(Kind::Tcp);
        let got = format!("{} connections got in, {} did not", after.0 - before.0, after.1 - before.1);
        let fine = after.0 == before.0 && after.1 > before.1;
        let outcome = if fine { Outcome::passed(got) } else { Outcome::failed(got) };
        report.row(
            "expiry",
            "fails closed",
            "connections after every certificate has ended",
            "none gets in",
            &outcome,
        );
        self.lab.mesh.start_authority().await?;
        let begin = Instant::now();
        while !load::answers(&self.lab.ways).await {
            if begin.elapsed() > RECOVERY {
                break;
            }
            sleep(LOOK).await;
        }
        let took = begin.elapsed();
        let got = format!("{:.1} s after the authority was back", took.as_secs_f64());
        let outcome = if took <= RECOVERY { Outcome::passed(got) } else { Outcome::failed(got) };
        report.row("expiry", "recovers", "all kinds of requests", "answered within 30 s", &outcome);
        screen::line(&format!("        {}", outcome.got));
        self.lab.alive()?;
        Ok(json!({ "recovery_seconds": took.as_secs_f64(), "refused": after.1 - before.1 }))
    }

    /// A row for each kind of request, and one for how many there were.
    fn all_answered(&self, report: &mut Report, part: &str, sent: &str) -> Value {
        let seconds = self.loaded.elapsed().as_secs().max(1);
        let (mut fine, mut failed) = (0, 0);
        for kind in Kind::ALL {
            let (answered, lost) = self.counts.of(kind);
            (fine, failed) = (fine + answered, failed + lost);
            let got = format!("{answered} answered, {lost} failed");
            let outcome = if lost == 0 && answered > 0 { Outcome::passed(got) } else { Outcome::failed(got) };
            report.row(part, kind.name(), sent, "all answered", &outcome);
            screen::line(&format!("        {}", outcome.got));
        }
        let errors: Vec<_> =
            self.counts.errors().into_iter().map(|(text, count)| format!("{count} x {text}")).collect();
        for error in &errors {
            screen::line(&format!("        {error}"));
        }
        let got = format!("{} a second", fine / seconds);
        let outcome = if fine / seconds >= RATE { Outcome::passed(got) } else { Outcome::failed(got) };
        report.row(part, "load", sent, &format!("{RATE} a second"), &outcome);
        json!({ "answered": fine, "failed": failed, "a_second": fine / seconds, "errors": errors })
    }

    async fn status(&self) -> Result<RotationStatus> {
        self.status_at(self.lab.mesh.admin_socket()).await
    }

    async fn rotate(&self) -> Result<RotationStatus> {
        self.rotate_at(self.lab.mesh.admin_socket()).await
    }

    async fn reach(&mut self, step: Step, least_generation: u64) -> Result<()> {
        let socket = self.lab.mesh.admin_socket().to_path_buf();
        self.reach_at(&socket, step, least_generation).await
    }

    async fn status_at(&self, socket: &Path) -> Result<RotationStatus> {
        let mut client = CaRotationClient::new(admin_channel(socket).await?);
        Ok(client.status(RotationStatusRequest {}).await?.into_inner())
    }

    async fn rotate_at(&self, socket: &Path) -> Result<RotationStatus> {
        let mut client = CaRotationClient::new(admin_channel(socket).await?);
        Ok(client.rotate(RotateRequest { what: i32::from(What::Root) }).await?.into_inner())
    }

    /// Waits until the rotation is there, or past it.
    async fn reach_at(&mut self, socket: &Path, step: Step, least_generation: u64) -> Result<()> {
        let (begin, limit) = (Instant::now(), self.life * 4 + EXTRA);
        loop {
            let status = self.status_at(socket).await?;
            let is_past = step == Step::RootPublished && status.step() == Step::IssuerMoved;
            let is_there = status.generation >= least_generation && (status.step() == step || is_past);
            if is_there && status.asked() == What::Unspecified {
                return Ok(());
            }
            if begin.elapsed() > limit {
                bail!("the rotation does not come to {step:?}: {status:?}");
            }
            self.lab.alive()?;
            sleep(LOOK).await;
        }
    }
}

fn old_roots_are_gone(report: &mut Report, part: &str, first: &RotationStatus, last: &RotationStatus) {
    let roots: BTreeSet<_> = first.roots.iter().chain(&last.roots).map(|root| &root.sha256).collect();
    let got = format!(
        "{} root in the bundle of generation {}, {} of {} members trust it, {} roots in all",
        last.roots.len(),
        last.generation,
        last.members_in_step,
        last.members,
        roots.len()
    );
    let all = last.members > 0 && last.members == last.members_in_step;
    let fine = last.roots.len() == 1 && roots.len() == 2 && all;
    let outcome = if fine { Outcome::passed(got) } else { Outcome::failed(got) };
    report.row(part, "old roots are gone", "2 rotations", "one root, trusted by everybody", &outcome);
    screen::line(&format!("        {}", outcome.got));
}

/// The audit logs hold, and no serial number is in them twice.
fn serials(report: &mut Report, part: &str, logs: &[PathBuf]) -> Result<usize> {
    let mut serials = Vec::new();
    for path in logs {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let held = verify(text.lines().map(|line| Ok(line.to_owned())), Beginnings::One);
        let outcome = match &held {
            Ok(held) => Outcome::passed(format!("{} issued, {} refused", held.issued, held.refused)),
            Err(why) => Outcome::failed(why.to_string()),
        };
        report.row(part, "audit log", "the chain, over a kill", "holds", &outcome);
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)?;
            serials.extend(line.get("serial").and_then(Value::as_str).map(str::to_owned));
        }
    }
    let distinct: BTreeSet<_> = serials.iter().collect();
    let got = format!("{} certificates, {} serial numbers", serials.len(), distinct.len());
    let fine = distinct.len() == serials.len() && !serials.is_empty();
    let outcome = if fine { Outcome::passed(got) } else { Outcome::failed(got) };
    report.row(part, "serial numbers", "the audit log", "none twice", &outcome);
    screen::line(&format!("        {}", outcome.got));
    Ok(serials.len())
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Rotation => "rotation",
            Self::Replicas => "replicas",
            Self::Expiry => "expiry",
            Self::Clock => "clock",
        }
    }
}
