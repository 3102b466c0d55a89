//! Watches a folder: the thin shell around [`scan`] and [`DirState`]. Events only wake it; what has changed is
//! found by looking, so that a lost or strange event costs time and never a change. It must not know what objects mean.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};

use super::Batch;
use super::barrier::Barrier;
use super::scan::{self, Stamp};
use super::state::{Contents, DirState, Report};
use crate::clock::now_ms;
use crate::index::Change;

/// Changes within this time are taken together: an editor writes a file in several steps.
const COALESCE: Duration = Duration::from_millis(15);
/// Looks without having been woken, in case that an event was lost or that there are no events (links, network folders).
const RESCAN: Duration = Duration::from_secs(2);
/// A file that was written this recently may be written again within the same tick of the file system's clock, so its stamp
/// does not tell; it is read again at the next look.
const RACY: Duration = Duration::from_millis(100);

/// A folder that is watched.
#[derive(Debug)]
pub struct DirSource {
    root: PathBuf,
    woken: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// Which folder the watcher watches: a new one of the same name has another number.
    watched: Option<(u64, u64)>,
    barrier: Barrier,
    wishes: watch::Receiver<u64>,
    /// `None` only while a look runs.
    core: Option<Core>,
}

#[derive(Debug, Default)]
struct Core {
    state: DirState,
    stamps: BTreeMap<Arc<str>, Stamp>,
    reports: Vec<Report>,
    looked: bool,
    /// Some file is too young for its stamp to be trusted.
    racy: bool,
}

impl DirSource {
    /// Watches `root`. A folder that is not there yet is waited for.
    pub fn new(root: PathBuf) -> Self {
        let barrier = Barrier::default();
        Self {
            root,
            woken: Arc::new(Notify::new()),
            watcher: None,
            watched: None,
            wishes: barrier.wishes(),
            barrier,
            core: Some(Core::default()),
        }
    }

    /// For who wants to know what it has by now.
    pub fn barrier(&self) -> Barrier {
        self.barrier.clone()
    }

    /// Waits until something has changed, and says what. The first call returns at once, with all that there is.
    ///
    /// Not safe to drop at an await: the look that runs would be lost. Drop the source with it.
    pub async fn next(&mut self) -> Batch {
        loop {
            self.watch();
            let mut core = self.core.take().unwrap_or_default();
            let first = !core.looked;
            if !first {
                let rescan = if core.racy { RACY } else { RESCAN };
                tokio::select! {
                    () = self.woken.notified() => tokio::time::sleep(COALESCE).await,
                    // Whoever wants to know waits for nothing else.
                    Ok(()) = self.wishes.changed() => {}
                    // As good as an event.
                    () = tokio::time::sleep(rescan) => {}
                }
            }
            let looked_for = self.barrier.begin();
            let root = self.root.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let found = core.look(&root);
                (core, found)
            });
            let Ok((core, found)) = looked.await else {
                // A panic in there has been printed; begin anew from what the folder has.
                self.core = Some(Core::default());
                continue;
            };
            let reports = core.reports.clone();
            self.core = Some(core);
            if let Some(changes) = found {
                return Batch {
                    changes,
                    reports,
                    time_ms: now_ms(),
                    generations: Vec::new(),
                    looked: looked_for,
                };
            }
            // Everything that was found before is published: the next look is asked for after that.
            self.barrier.reached(looked_for);
        }
    }

    /// Sets up events, again when the folder was not there before. Without events there is still the rescan.
    fn watch(&mut self) {
        let folder = std::fs::metadata(&self.root).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        if self.watcher.is_some() && self.watched == folder {
            return;
        }
        (self.watcher, self.watched) = (None, folder);
        let woken = Arc::clone(&self.woken);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and we read when there is an event.
            let reading = |kind: &EventKind| matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write));
            if !event.is_ok_and(|event| reading(&event.kind)) {
                woken.notify_one();
            }
        });
        match watcher
            .and_then(|mut watcher| watcher.watch(&self.root, RecursiveMode::Recursive).map(|()| watcher))
        {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::debug!(%error, folder = %self.root.display(), "no events, looking every {RESCAN:?}");
            }
        }
    }
}

impl Core {
    /// `None` if nothing has changed.
    fn look(&mut self, root: &Path) -> Option<Vec<Change>> {
        let young = now_ns() - i128::try_from(RACY.as_nanos()).unwrap_or(0);
        let listing = scan::list(root);
        let mut edits = Vec::new();
        for path in self.state.paths() {
            let hidden = listing.hidden.iter().any(|folder| path.starts_with(folder.as_str()));
            if !listing.files.contains_key(path) && !hidden {
                edits.push((Arc::clone(path), Contents::Gone));
            }
        }
        let mut stamps = BTreeMap::new();
        self.racy = false;
        for (path, stamp) in listing.files {
            if self.stamps.get(&path) != Some(&stamp) {
                edits.push((Arc::clone(&path), scan::read(&root.join(&*path))));
            }
            if stamp.changed >= young {
                self.racy = true;
            } else {
                stamps.insert(path, stamp);
            }
        }
        self.stamps = stamps;
        let changes = self.state.apply_all(edits);
        self.state.set_outside(listing.problems);
        let reports = self.state.reports();
        let news = !changes.is_empty() || reports != self.reports || !self.looked;
        self.reports = reports;
        self.looked = true;
        news.then_some(changes)
    }
}

fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(0))
}
