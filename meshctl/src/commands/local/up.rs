//! `meshctl local up`: starts the programs of a file and keeps them until Ctrl-C, or in the background.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use mesh_lifecycle::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::super::Outcome;
use crate::local::composition::{self, Composition};
use crate::local::control_plane::{self, ControlPlane, MEMBER_PREFIX, Options};
use crate::local::keeper::Keeper;
use crate::local::paths::MeshPaths;
use crate::local::probe::PACE;
use crate::local::process;
use crate::local::process_ref::ProcessRef;
use crate::local::roster::{Board, Entry, Roster, State, Traffic};
use crate::local::spec::WorkloadSpec;
use crate::output::{self, Paint, Tone};
use crate::shop;

/// Arguments of `meshctl local up`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The file with the programs
    #[arg(short, long)]
    file: PathBuf,
    /// Come back once all programs are ready, and leave them running
    #[arg(short, long)]
    detach: bool,
    /// Set for the process in the background
    #[arg(long, hide = true, conflicts_with = "detach")]
    in_background: bool,
}

/// Longer than any of its parts may take to end.
const WIND_UP: Duration = Duration::from_secs(30);

/// Runs until Ctrl-C or SIGTERM, or until all is ready.
pub(crate) async fn run(args: &Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let file =
        fs::canonicalize(&args.file).with_context(|| format!("cannot find `{}`", args.file.display()))?;
    let composition = read(&file)?;
    if args.detach {
        return detached(&file, mesh).await;
    }
    if args.in_background {
        // Whoever closes the terminal does not mean us. It can fail only for a leader of a group, which we are not.
        rustix::process::setsid().context("cannot leave the terminal")?;
    }
    in_foreground(&file, &composition, mesh, tasks).await
}

fn read(file: &Path) -> anyhow::Result<Composition> {
    let size = fs::metadata(file).with_context(|| format!("cannot read `{}`", file.display()))?.len();
    if size > composition::MAX_BYTES {
        bail!("`{}` has {size} bytes; at most {} are read", file.display(), composition::MAX_BYTES);
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let composition = composition::parse(file, &text)?;
    for task in &composition.tasks {
        if !task.folder.is_dir() {
            bail!(
                "{}: workdir of `{}`: `{}` is no folder",
                file.display(),
                task.spec.name,
                task.folder.display()
            );
        }
    }
    Ok(composition)
}

async fn in_foreground(
    file: &Path,
    composition: &Composition,
    mesh: &str,
    tasks: &Tasks,
) -> anyhow::Result<Outcome> {
    let end = mesh_lifecycle::signal::shutdown();
    tokio::pin!(end);
    let plane = tokio::select! {
        biased;
        () = &mut end => return Ok(Outcome::Fine),
        plane = ControlPlane::start(mesh, Options::default(), tasks) => plane?,
    };
    let result = keep(file, composition, &plane, tasks, end).await;
    plane.stop().await;
    fs::remove_file(plane.paths().roster()).ok();
    result.map(|()| Outcome::Fine)
}

async fn keep(
    file: &Path,
    composition: &Composition,
    plane: &ControlPlane,
    tasks: &Tasks,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let objects = plane.state().objects;
    write_objects(&objects, composition)?;
    plane.publish(Vec::new(), true)?;
    let entries = composition.tasks.iter().map(|task| Entry::new(task, plane.paths())).collect();
    let board = Board::new(entries);
    let keeper = Keeper {
        mesh: plane.state(),
        paths: plane.paths().clone(),
        board: board.clone(),
        tasks: tasks.clone(),
        stop: CancellationToken::new(),
        first_host: shop::FIRST_FREE_HOST,
    };
    let keepers = Tasks::new();
    for (number, task) in composition.tasks.iter().cloned().enumerate() {
        let keeper = keeper.clone();
        keepers.spawn("keep", async move { keeper.keep(number, &task).await });
    }
    let roster = Roster { file: file.to_owned(), keeper: ours()?, entries: Vec::new() };
    output::line(&format!(
        "meshctl: {} programs of {} in the mesh `{}`",
        composition.tasks.len(),
        file.display(),
        plane.state().name
    ));
    let told = tell(&board, roster, plane.paths());
    tokio::pin!(told);
    tokio::pin!(end);
    tokio::select! {
        () = &mut end => {}
        result = &mut told => result?,
    }
    output::note("meshctl: ending all programs");
    keeper.stop.cancel();
    tokio::select! {
        _ = keepers.shutdown(WIND_UP) => {}
        result = &mut told => result?,
    }
    Ok(())
}

fn ours() -> anyhow::Result<ProcessRef> {
    ProcessRef::ours().context("cannot read /proc")
}

/// Follows the board: the file that others read, and lines for whoever looks on. Ends only with an error.
async fn tell(board: &Board, mut roster: Roster, paths: &MeshPaths) -> anyhow::Result<()> {
    let mut changes = board.changes();
    let mut progress = Progress::default();
    loop {
        changes.mark_unchanged();
        roster.entries = board.entries();
        let path = paths.roster();
        roster.save(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
        progress.show(&roster.entries);
        if changes.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Services are there from the start, their programs when they are ready; and the user's objects.
fn write_objects(folder: &Path, composition: &Composition) -> anyhow::Result<()> {
    let mut services: Vec<&WorkloadSpec> = Vec::new();
    for task in &composition.tasks {
        let spec = &task.spec;
        if !services.iter().any(|other| other.service == spec.service && other.namespace == spec.namespace) {
            services.push(spec);
        }
    }
    let text: String = services.into_iter().filter_map(WorkloadSpec::service).collect();
    let write = |name: String, text: &str| control_plane::write(folder.join(name), text);
    write(format!("{MEMBER_PREFIX}services.yaml"), &text)?;
    if !composition.objects.is_empty() {
        write(format!("{MEMBER_PREFIX}file.yaml"), &composition.objects)?;
    }
    for (number, file) in object_files(&composition.more_objects)?.into_iter().enumerate() {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        write(format!("{MEMBER_PREFIX}objects-{number}-{name}.yaml"), &text)?;
    }
    Ok(())
}

fn object_files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let inside = entries.flatten().map(|entry| entry.path());
            files.extend(
                inside.filter(|file| file.extension().is_some_and(|end| end == "yaml" || end == "yml")),
            );
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    Ok(files)
}

/// Starts another process for it and waits until all is ready or something is wrong.
async fn detached(file: &Path, mesh: &str) -> anyhow::Result<Outcome> {
    let paths = MeshPaths::find(mesh)?;
    paths.create()?;
    if let Some(roster) = Roster::load(&paths).ok().flatten().filter(|roster| roster.keeper.lives()) {
        bail!(
            "the programs of {} run already in the mesh `{mesh}`; end them with `meshctl local down`, or choose another --mesh",
            roster.file.display()
        );
    }
    fs::remove_file(paths.roster()).ok();
    let log = fs::File::create(paths.keeper_log())
        .with_context(|| format!("cannot write `{}`", paths.keeper_log().display()))?;
    let errors = log.try_clone()?;
    let mut command = process::alone();
    command.args(["--mesh", mesh, "local", "up", "--in-background", "--file"]).arg(file);
    let mut child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?;
    let mut progress = Progress::default();
    loop {
        if let Some(status) = child.try_wait()? {
            let words = process::last_words(&paths.keeper_log(), 5);
            bail!("it ended with {}; its last words:{words}", process::describe(status));
        }
        if let Some(roster) = Roster::load(&paths).ok().flatten() {
            progress.show(&roster.entries);
            if is_settled(&roster.entries) {
                return Ok(summary(&roster));
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Whether nothing more is to be expected: what waits for something that went wrong waits for ever.
fn is_settled(entries: &[Entry]) -> bool {
    let waits = |entry: &Entry| matches!(entry.state, State::Waiting { .. });
    let moving = |entry: &&Entry| !entry.state.is_settled() && !waits(entry);
    !entries.is_empty()
        && entries.iter().find(moving).is_none()
        && (entries.iter().any(|entry| entry.state.is_bad()) || !entries.iter().any(waits))
}

fn summary(roster: &Roster) -> Outcome {
    let bad: Vec<String> =
        roster.entries.iter().filter(|entry| entry.state.is_bad()).map(Entry::full_name).collect();
    if bad.is_empty() {
        output::line("All is ready. `meshctl local ps` shows it, `meshctl local down` ends it.");
        return Outcome::Fine;
    }
    output::note(&format!(
        "meshctl: something is wrong with {}; `meshctl local logs NAME` shows what it wrote, `meshctl local down` ends all",
        bad.join(", ")
    ));
    Outcome::Finding
}

/// What has been shown of each program.
#[derive(Debug, Default)]
struct Progress {
    shown: Vec<Option<State>>,
    without_namespace: bool,
}

impl Progress {
    /// A line for every program whose state is another one than before.
    fn show(&mut self, entries: &[Entry]) {
        let paint = Paint::stdout();
        let width = entries.iter().map(|entry| entry.full_name().len()).max().unwrap_or_default();
        self.shown.resize(entries.len(), None);
        for (entry, shown) in entries.iter().zip(&mut self.shown) {
            if shown.as_ref() == Some(&entry.state) {
                continue;
            }
            *shown = Some(entry.state.clone());
            let detail = entry.state.detail().map(|detail| format!("  {detail}")).unwrap_or_default();
            let word = paint.tone(tone(&entry.state), &format!("{:8}", entry.state.word()));
            output::line(format!("  {:width$}  {word}{detail}", entry.full_name()).trim_end());
        }
        let explicit = |entry: &&Entry| entry.traffic == Some(Traffic::Explicit) && entry.without.is_some();
        if let Some(entry) = entries.iter().find(explicit).filter(|_| !self.without_namespace) {
            self.without_namespace = true;
            let reason = entry.without.as_deref().unwrap_or_default();
            output::note(&format!("meshctl: {}", super::super::run::without_namespace(&entry.name, reason)));
        }
    }
}

/// What a state means to whoever reads it.
pub(super) fn tone(state: &State) -> Tone {
    match state {
        State::Ready | State::Done => Tone::Good,
        State::Failing { .. } | State::Failed { .. } => Tone::Bad,
        State::Opening { why: Some(_) } => Tone::Warning,
        State::Waiting { .. }
        | State::Starting
        | State::Opening { why: None }
        | State::Working
        | State::Ending => Tone::Faint,
    }
}
