//! What a flood does to others: a bystander's requests and the proxy's memory while it lasts.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;

use crate::bystander::{Bystander, Saw};
use crate::process::resident;
use crate::way::Way;

const LOOK: Duration = Duration::from_millis(20);

/// The most that a row may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes that the proxy's resident memory may grow.
    pub(crate) memory: u64,
    /// Requests that may reach the upstream.
    pub(crate) upstream: usize,
}

impl Bounds {
    pub(crate) fn shown(self) -> String {
        format!(
            "memory grows by at most {} MiB, at most {} requests reach the upstream, the bystander is served",
            self.memory >> 20,
            self.upstream
        )
    }
}

/// A running watch.
#[derive(Debug)]
pub(crate) struct Watch {
    bystander: Bystander,
    before: Option<u64>,
    most: Rc<Cell<u64>>,
    tasks: Tasks,
}

/// What it saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    bystander: Saw,
    /// Bytes; None when the process is not known or gone.
    grown: Option<u64>,
}

impl Watch {
    pub(crate) fn start(way: &Way) -> Self {
        let tasks = Tasks::new();
        let before = way.pid.and_then(resident);
        let most = Rc::new(Cell::new(before.unwrap_or_default()));
        if let Some(pid) = way.pid {
            let (most, stop) = (Rc::clone(&most), tasks.token());
            tasks.spawn_local("memory watch", async move {
                while !stop.is_cancelled() {
                    most.set(most.get().max(resident(pid).unwrap_or_default()));
                    tokio::time::sleep(LOOK).await;
                }
            });
        }
        Self { bystander: Bystander::start(way), before, most, tasks }
    }

    pub(crate) async fn stop(self) -> Seen {
        let bystander = self.bystander.stop().await;
        self.tasks.shutdown(Duration::from_secs(5)).await;
        let grown = self.before.map(|before| self.most.get().saturating_sub(before));
        Seen { bystander, grown }
    }
}

impl Seen {
    /// What is wrong, of the bystander, memory and the upstream.
    pub(crate) fn complaints(&self, bounds: Bounds, reached: usize) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(self.bystander.complaint());
        if self.grown.is_some_and(|grown| grown > bounds.memory) {
            found.push("memory grew too much".to_owned());
        }
        if reached > bounds.upstream {
            found.push("too much reached the upstream".to_owned());
        }
        found
    }

    pub(crate) fn shown(&self) -> String {
        let memory = self.grown.map_or_else(
            || "memory unknown (no --pid)".to_owned(),
            |grown| format!("memory +{:.1} MiB", (grown as f64) / f64::from(1 << 20)),
        );
        let bystander = &self.bystander;
        format!(
            "{memory}; bystander {} requests, p99 {:.1} ms",
            bystander.asked,
            bystander.p99.as_secs_f64() * 1e3
        )
    }
}
