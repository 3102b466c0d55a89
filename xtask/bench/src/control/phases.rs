//! What is done to the controller, one phase after the other, and what each took.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::accounting;
use crate::screen;

use super::crowd::{self, Crowd, Kept, Opening};
use super::figures::{Figures, percentile};
use super::objects::{self, Size};
use super::plane::Plane;
use super::source::Source;

/// Streams without configuration at a time while all connect one after the other.
const OPENING: usize = 8;
/// For a phase to come to its end.
const LIMIT: Duration = Duration::from_mins(3);
/// For what a change sets off to be over.
const QUIET: Duration = Duration::from_secs(1);
/// A controller that uses less of a core has nothing to do.
const IDLE: f64 = 0.03;

/// How long the phases are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Single changes.
    changes: u32,
    /// Between them.
    gap: Duration,
    /// Of each churn.
    churn: Duration,
}

impl Pace {
    pub(crate) const QUICK: Self =
        Self { changes: 10, gap: Duration::from_millis(300), churn: Duration::from_secs(8) };
    pub(crate) const FULL: Self =
        Self { changes: 30, gap: Duration::from_millis(500), churn: Duration::from_secs(30) };
}

/// Every phase.
pub(super) async fn all(mut plane: Plane<'_>, source: &Source, size: Size, pace: Pace) -> Result<Figures> {
    let mut figures = Figures::default();
    start(&mut plane, &mut figures).await.context("start")?;
    let kept = crowd::nothing(size.streams);
    let crowd = connect(&plane, size, &kept, &mut figures).await.context("connect")?;
    let used = (0..size.services).filter(|service| objects::users(size, *service) > 0).collect();
    let mut bench = Bench { plane, source, size, pace, crowd, used, next: 1, figures };
    bench.single().await.context("single changes")?;
    bench.churn("churn of 10 a second", 10).await.context("churn of 10 a second")?;
    bench.churn("churn of 50 a second", 50).await.context("churn of 50 a second")?;
    bench.without_meaning().await.context("edits without meaning")?;
    bench.everybody().await.context("a service that all use")?;
    let Bench { mut plane, crowd, mut figures, .. } = bench;
    crowd.close().await;
    let crowd = herd(&plane, size, &kept, &mut figures).await.context("reconnect storm")?;
    restart(&mut plane, size, crowd, &mut figures).await.context("restart of the controller")?;
    Ok(figures)
}

/// The first start may have statuses to write; the second is measured.
async fn start(plane: &mut Plane<'_>, figures: &mut Figures) -> Result<()> {
    screen::line("start");
    plane.start_controller().await?;
    idle(plane).await?;
    plane.kill_controller();
    let started = plane.start_controller().await?;
    figures.add("start", "ready", started.after.as_secs_f64(), "s");
    figures.add("start", "CPU", started.cpu.as_secs_f64(), "s");
    idle(plane).await?;
    figures.add("start", "memory, no streams", mib(plane.memory()?.resident_kib), "MiB");
    Ok(())
}

async fn connect(plane: &Plane<'_>, size: Size, kept: &Kept, figures: &mut Figures) -> Result<Crowd> {
    screen::line("connect");
    let cpu = plane.cpu()?;
    let crowd = Crowd::open(plane, size, Opening::AtMost(OPENING), kept)?;
    let full = crowd.all_full(LIMIT).await?;
    let streams = size.streams as f64;
    let used = plane.cpu()?.saturating_sub(cpu).as_secs_f64();
    figures.add("connect", "all have their configuration after", percentile(&full, 100), "s");
    figures.add("connect", "CPU of a stream", used * 1000.0 / streams, "ms");
    figures.add("connect", "bytes of a stream", crowd.counts().bytes as f64 / streams, "B");
    idle(plane).await?;
    figures.add("connect", "memory", mib(plane.memory()?.resident_kib), "MiB");
    Ok(crowd)
}

/// All open anew in one moment, with what they hold.
async fn herd(plane: &Plane<'_>, size: Size, kept: &Kept, figures: &mut Figures) -> Result<Crowd> {
    screen::line("reconnect storm");
    idle(plane).await?;
    let cpu = plane.cpu()?;
    let crowd = Crowd::open(plane, size, Opening::AtOnce, kept)?;
    let full = crowd.all_full(LIMIT).await?;
    let streams = size.streams as f64;
    let counts = crowd.counts();
    figures.add("reconnect storm", "settled after", percentile(&full, 100), "s");
    figures.add("reconnect storm", "CPU", plane.cpu()?.saturating_sub(cpu).as_secs_f64(), "s");
    figures.add("reconnect storm", "bytes of a stream", counts.bytes as f64 / streams, "B");
    figures.add("reconnect storm", "resources sent", counts.resources as f64, "");
    figures.add("reconnect storm", "attempts", counts.attempts as f64, "");
    figures.add("reconnect storm", "most memory so far", mib(plane.peak_kib()?), "MiB");
    Ok(crowd)
}

/// It is killed and starts anew: proxies come back by themselves.
async fn restart(plane: &mut Plane<'_>, size: Size, crowd: Crowd, figures: &mut Figures) -> Result<()> {
    screen::line("restart of the controller");
    let before = crowd.counts();
    plane.kill_controller();
    let started = plane.start_controller().await?;
    let ready = Instant::now();
    crowd.all_full(LIMIT).await?;
    let counts = crowd.counts();
    figures.add("restart", "ready", started.after.as_secs_f64(), "s");
    figures.add("restart", "settled after it was ready", ready.elapsed().as_secs_f64(), "s");
    figures.add("restart", "resources sent", (counts.resources - before.resources) as f64, "");
    let bytes = (counts.bytes - before.bytes) as f64;
    figures.add("restart", "bytes of a stream", bytes / size.streams as f64, "B");
    figures.add("restart", "attempts", (counts.attempts - before.attempts) as f64, "");
    idle(plane).await?;
    let (rest, most) = (mib(plane.memory()?.resident_kib), mib(plane.peak_kib()?));
    figures.add("restart", "memory", rest, "MiB");
    figures.add("restart", "most memory", most, "MiB");
    figures.add("restart", "most memory, of that at rest", most / rest.max(1.0), "times");
    Ok(())
}

struct Bench<'a> {
    plane: Plane<'a>,
    source: &'a Source,
    size: Size,
    pace: Pace,
    crowd: Crowd,
    /// Services that some stream uses.
    used: Vec<usize>,
    /// Number of the next change.
    next: u32,
    figures: Figures,
}

/// Time on CPUs up to a moment: what simulates shares the machine with what is measured.
#[derive(Debug, Clone, Copy)]
struct Spent {
    controller: Duration,
    simulation: Duration,
}

/// In seconds.
#[derive(Debug, Clone, Copy)]
struct Used {
    controller: f64,
    simulation: f64,
}

impl Spent {
    fn now(plane: &Plane<'_>) -> Result<Self> {
        let simulation = accounting::cpu_nanos(&[std::process::id()]).map(Duration::from_nanos)?;
        Ok(Self { controller: plane.cpu()?, simulation })
    }

    fn until_now(self, plane: &Plane<'_>) -> Result<Used> {
        let now = Self::now(plane)?;
        Ok(Used {
            controller: now.controller.saturating_sub(self.controller).as_secs_f64(),
            simulation: now.simulation.saturating_sub(self.simulation).as_secs_f64(),
        })
    }
}

/// A change that was made.
struct Made {
    acknowledged: Instant,
    /// Streams that are concerned.
    users: usize,
}

impl Bench<'_> {
    /// The next change, of a service that no other change of the phase is of.
    async fn change(&mut self, service: usize, users: usize, made: &mut HashMap<u32, Made>) -> Result<()> {
        let number = self.next;
        self.next += 1;
        self.source.mark(self.size, service, number).await?;
        made.insert(number, Made { acknowledged: Instant::now(), users });
        Ok(())
    }

    /// Services that streams use, one after the other.
    fn service(&self) -> usize {
        self.used.get(self.next as usize % self.used.len().max(1)).copied().unwrap_or_default()
    }

    async fn single(&mut self) -> Result<()> {
        screen::line("single changes");
        let (cpu, bytes) = (Spent::now(&self.plane)?, self.crowd.counts().update_bytes);
        self.crowd.watch();
        let mut made = HashMap::new();
        for _ in 0..self.pace.changes {
            let service = self.service();
            self.change(service, objects::users(self.size, service), &mut made).await?;
            tokio::time::sleep(self.pace.gap).await;
        }
        self.changes("one change", &made, cpu, bytes).await
    }

    async fn everybody(&mut self) -> Result<()> {
        screen::line("a service that all use");
        let service = (objects::namespace(0), objects::service_name(0));
        self.crowd.also(service, self.size.streams, LIMIT).await?;
        idle(&self.plane).await?;
        let (cpu, bytes) = (Spent::now(&self.plane)?, self.crowd.counts().update_bytes);
        self.crowd.watch();
        let mut made = HashMap::new();
        for _ in 0..self.pace.changes {
            self.change(0, self.size.streams, &mut made).await?;
            tokio::time::sleep(self.pace.gap).await;
        }
        self.changes("one change, all concerned", &made, cpu, bytes).await
    }

    async fn churn(&mut self, phase: &'static str, rate: u32) -> Result<()> {
        screen::line(phase);
        let (cpu, bytes, began) =
            (Spent::now(&self.plane)?, self.crowd.counts().update_bytes, Instant::now());
        self.crowd.watch();
        let mut made = HashMap::new();
        let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
        while began.elapsed() < self.pace.churn {
            clock.tick().await;
            let service = self.service();
            self.change(service, objects::users(self.size, service), &mut made).await?;
        }
        let took = began.elapsed().as_secs_f64();
        self.figures.add(phase, "changes a second", made.len() as f64 / took, "");
        self.changes(phase, &made, cpu, bytes).await?;
        let (used, elapsed) = (cpu.until_now(&self.plane)?, began.elapsed().as_secs_f64());
        self.figures.add(phase, "CPU", used.controller / elapsed, "cores");
        self.figures.add(phase, "CPU of the simulated proxies", used.simulation / elapsed, "cores");
        Ok(())
    }

    /// Waits until all concerned streams know, and adds up how long that took.
    async fn changes(
        &mut self,
        phase: &'static str,
        made: &HashMap<u32, Made>,
        cpu: Spent,
        bytes: u64,
    ) -> Result<()> {
        let wanted: usize = made.values().map(|made| made.users).sum();
        self.crowd.until_marks(wanted, Duration::from_secs(20)).await;
        let used = cpu.until_now(&self.plane)?;
        let marks = self.crowd.marks();
        let (mut every, mut last, mut missing) = (Vec::new(), Vec::new(), 0);
        for (number, made) in made {
            let seen = marks.get(number).map(Vec::as_slice).unwrap_or_default();
            let after = |at: &Instant| at.saturating_duration_since(made.acknowledged).as_secs_f64() * 1000.0;
            every.extend(seen.iter().map(after));
            last.extend(seen.iter().max().map(after));
            missing += made.users.saturating_sub(seen.len());
        }
        ensure!(!every.is_empty(), "no change arrived anywhere");
        let changes = made.len() as f64;
        let bytes = (self.crowd.counts().update_bytes - bytes) as f64;
        self.figures.add(phase, "p50", percentile(&every, 50), "ms");
        self.figures.add(phase, "p99", percentile(&every, 99), "ms");
        self.figures.add(phase, "last stream, p50", percentile(&last, 50), "ms");
        self.figures.add(phase, "last stream, p99", percentile(&last, 99), "ms");
        self.figures.add(phase, "CPU of a change", used.controller * 1000.0 / changes, "ms");
        self.figures.add(phase, "of the simulated proxies", used.simulation * 1000.0 / changes, "ms");
        self.figures.add(phase, "bytes of a change and stream", bytes / wanted.max(1) as f64, "B");
        self.figures.add(phase, "not seen", missing as f64, "");
        Ok(())
    }

    async fn without_meaning(&mut self) -> Result<()> {
        screen::line("edits without meaning");
        idle(&self.plane).await?;
        let (cpu, before) = (self.plane.cpu()?, self.crowd.counts());
        for edit in 0..self.pace.changes {
            let service = self.service();
            self.next += 1;
            self.source.label(service, &format!("team-{edit}")).await?;
            tokio::time::sleep(self.pace.gap).await;
        }
        tokio::time::sleep(QUIET).await;
        let counts = self.crowd.counts();
        let used = self.plane.cpu()?.saturating_sub(cpu).as_secs_f64();
        let phase = "edit without meaning";
        self.figures.add(phase, "bytes of updates", (counts.update_bytes - before.update_bytes) as f64, "B");
        self.figures.add(phase, "CPU of an edit", used * 1000.0 / f64::from(self.pace.changes), "ms");
        Ok(())
    }
}

/// Until the controller has nothing to do: a second in which it used hardly anything.
async fn idle(plane: &Plane<'_>) -> Result<()> {
    let until = Instant::now() + LIMIT;
    loop {
        let before = plane.cpu()?;
        tokio::time::sleep(QUIET).await;
        let used = plane.cpu()?.saturating_sub(before);
        if used.as_secs_f64() < IDLE * QUIET.as_secs_f64() || Instant::now() > until {
            return Ok(());
        }
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
