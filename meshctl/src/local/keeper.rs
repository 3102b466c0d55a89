//! Keeps the programs of a file running, each with its sidecar: in the order of what they depend on, again when one ends,
//! until all are told to end. It must not know who asks about them.

use std::time::Duration;

use mesh_lifecycle::backoff::Backoff;
use mesh_lifecycle::tasks::Tasks;
use rustix::process::Signal;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::composition::Task;
use super::control::Said;
use super::control_plane::START_DEADLINE;
use super::member::Place;
use super::paths::MeshPaths;
use super::process;
use super::process_ref::ProcessRef;
use super::program::{Event, Output, Prepared, Program, Running};
use super::registration::Registration;
use super::roster::{Board, State, Traffic};
use super::state::MeshState;
use super::supervisor::Supervisor;

/// A program that lived this long before it ended is started again without delay.
const STEADY: Duration = Duration::from_secs(10);

/// What all programs of a file share.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    pub(crate) mesh: MeshState,
    pub(crate) paths: MeshPaths,
    pub(crate) board: Board,
    pub(crate) tasks: Tasks,
    /// Told to end.
    pub(crate) stop: CancellationToken,
    /// The first address for them.
    pub(crate) first_host: u8,
}

/// How one start of a program came out.
enum Round {
    Stopped,
    /// With that code.
    Ended(Option<u8>, String),
    Impossible(String),
}

impl Keeper {
    /// Keeps the program with that number on the board until all are told to end.
    pub(crate) async fn keep(&self, number: usize, task: &Task) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            () = self.dependencies(number, task) => {}
        }
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));
        loop {
            let began = Instant::now();
            self.board.state(number, State::Starting);
            let round = self.round(number, task).await;
            self.board.change(number, |entry| (entry.watcher, entry.sidecar) = (None, None));
            let why = match round {
                Round::Stopped => return,
                Round::Ended(Some(0), _) if task.job => return self.board.state(number, State::Done),
                Round::Ended(_, why) if task.job => {
                    return self.board.state(number, State::Failed { why });
                }
                Round::Ended(_, why) | Round::Impossible(why) => why,
            };
            self.board.change(number, |entry| {
                entry.restarts += 1;
                entry.state = State::Failing { why };
            });
            if began.elapsed() > STEADY {
                backoff.reset();
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Waits until all that it depends on is there.
    async fn dependencies(&self, number: usize, task: &Task) {
        let mut changes = self.board.changes();
        loop {
            changes.mark_unchanged();
            let entries = self.board.entries();
            let missing = task.depends_on.iter().find(|name| {
                entries.iter().filter(|entry| entry.is_called(name)).any(|entry| !entry.state.serves())
            });
            let Some(missing) = missing else { return };
            let state = State::Waiting { on: missing.clone() };
            if entries.get(number).is_some_and(|entry| entry.state != state) {
                self.board.state(number, state);
                continue;
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// From the start of its surroundings to the end of its sidecar.
    async fn round(&self, number: usize, task: &Task) -> Round {
        let impossible = |error: &dyn std::error::Error| Round::Impossible(with_causes(error));
        let program = self.program(number, task);
        if let Err(error) = program.ports_are_free() {
            return impossible(&error);
        }
        let registration = match Registration::take(&task.spec, &self.mesh, &self.paths, self.first_host) {
            Ok(registration) => registration,
            Err(error) => return impossible(&error),
        };
        let prepared = match program.prepare(&self.mesh, &task.spec, registration.address()).await {
            Ok(prepared) => prepared,
            Err(error) => return impossible(&error),
        };
        self.board.change(number, |entry| {
            entry.address = Some(registration.address());
            entry.without.clone_from(&prepared.without);
            entry.traffic = Some(match prepared.place() {
                Place::Host => Traffic::Explicit,
                Place::Namespace { .. } => Traffic::Captured,
            });
        });
        let member = task.spec.member(registration.address(), prepared.place());
        let supervisor = Supervisor::new(&self.tasks);
        supervisor.start(member.sidecar(&self.mesh, &self.paths));
        let name = member.sidecar_name();
        let ready = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            ready = supervisor.ready(&name, START_DEADLINE) => Some(ready),
        };
        let sidecar = supervisor.snapshot().first().and_then(|child| child.pid).and_then(ProcessRef::of);
        self.board.change(number, |entry| entry.sidecar = sidecar);
        let round = match ready {
            None => Round::Stopped,
            Some(Ok(())) => self.live(number, task, prepared, &registration).await,
            Some(Err(error)) => impossible(&error),
        };
        registration.withdraw();
        supervisor.stop().await;
        round
    }

    fn program(&self, number: usize, task: &Task) -> Program {
        let log = self.board.entries().get(number).map(|entry| entry.log.clone()).unwrap_or_default();
        Program {
            command: task.command.clone(),
            environment: task.environment.clone(),
            folder: Some(task.folder.clone()),
            output: Output::Log(log),
            openness: task.openness.clone(),
            mode: task.mode,
            port_option: "targetPort",
        }
    }

    async fn live(
        &self,
        number: usize,
        task: &Task,
        prepared: Prepared,
        registration: &Registration,
    ) -> Round {
        let mut running = match prepared.go() {
            Ok(running) => running,
            Err(error) => return Round::Impossible(with_causes(&error)),
        };
        let watcher = running.pid().and_then(ProcessRef::of);
        self.board.change(number, |entry| {
            entry.watcher = watcher;
            entry.state = State::Opening { why: None };
        });
        let mut stopping = false;
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.end(number, &running, registration);
                    continue;
                }
                event = running.next() => event,
            };
            match event {
                Ok(Event::Said(Said::Open)) if !stopping => {
                    if let Err(error) = registration.publish(&task.spec.workload(registration.address())) {
                        tracing::warn!(%error, "a program cannot be told to the mesh");
                    }
                    self.board.state(number, if task.job { State::Working } else { State::Ready });
                }
                Ok(Event::Said(Said::Waiting(why))) => {
                    self.board.state(number, State::Opening { why: Some(why) });
                }
                Ok(Event::Said(_)) => {}
                Ok(Event::Ended(_)) if stopping => return Round::Stopped,
                Ok(Event::Ended(status)) => {
                    let code = status.code().and_then(|code| u8::try_from(code).ok());
                    return Round::Ended(code, format!("it ended with {}", process::describe(status)));
                }
                Err(error) => return Round::Impossible(format!("it cannot be watched: {error}")),
            }
        }
    }

    /// Nobody is to call it any more, and then it is told.
    fn end(&self, number: usize, running: &Running, registration: &Registration) {
        self.board.state(number, State::Ending);
        registration.withdraw();
        running.signal(Signal::TERM);
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
