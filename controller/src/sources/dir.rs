//! Watches a folder: the thin shell around [`scan`], [`events`] and [`DirState`]. Events only say where to look; what has changed is
//! found by looking, and now and then the whole folder is looked at, so that a lost or strange event costs time and never a change. It must not know what objects mean.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Batch;
use super::barrier::Barrier;
use super::events::{self, Known, Stands, Where};
use super::scan::{self, Links, Stamp};
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

/// Events that wait to be looked at; of more, the whole folder is looked at.
const MAX_EVENTS: usize = 1_024;

/// A folder that is watched.
#[derive(Debug)]
pub struct DirSource {
    root: PathBuf,
    /// As events name it.
    named: PathBuf,
    heard: Arc<Heard>,
    watcher: Option<RecommendedWatcher>,
    /// Which folder the watcher watches: a new one of the same name has another number.
    watched: Option<(u64, u64)>,
    barrier: Barrier,
    wishes: watch::Receiver<u64>,
    /// When something was found last, and when the whole folder was looked at.
    told: Instant,
    rescanned: Instant,
    /// `None` only while a look runs.
    core: Option<Core>,
}

/// What the watcher said.
#[derive(Debug, Default)]
struct Heard {
    wake: Notify,
    events: Mutex<Vec<Event>>,
}

impl Heard {
    fn say(&self, event: notify::Result<Event>) {
        let event = event.unwrap_or_else(|_| Event::new(EventKind::Other));
        if events::is_reading(&event.kind) {
            return;
        }
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() < MAX_EVENTS {
            events.push(event);
        } else {
            *events = vec![Event::new(EventKind::Other)];
        }
        drop(events);
        self.wake.notify_one();
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug, Default)]
struct Core {
    state: DirState,
    stamps: BTreeMap<Arc<str>, Stamp>,
    reports: Vec<Report>,
    looked: bool,
    /// Files that are too young for their stamps to be trusted, with what was in them.
    racy: BTreeMap<Arc<str>, Option<u64>>,
    folders: BTreeSet<Arc<str>>,
    links: Links,
    /// Some folder cannot be listed.
    hides: bool,
}

impl DirSource {
    /// Watches `root`. A folder that is not there yet is waited for.
    pub fn new(root: PathBuf) -> Self {
        let barrier = Barrier::default();
        Self {
            named: std::path::absolute(&root).unwrap_or_else(|_| root.clone()),
            root,
            heard: Arc::default(),
            watcher: None,
            watched: None,
            wishes: barrier.wishes(),
            barrier,
            told: Instant::now(),
            rescanned: Instant::now(),
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
            let place = self.wait().await;
            let looked_for = match place {
                Where::Anywhere => self.barrier.begin(),
                Where::Files(_) => 0,
            };
            let Some(mut found) = self.look(place).await else { continue };
            // What moves to another file has not gone: that it is there may be said a moment later.
            if found.iter().flatten().any(|change| matches!(change, Change::Delete { .. })) && looked_for == 0
            {
                tokio::time::sleep(COALESCE).await;
                let Some(more) = self.look(Where::Anywhere).await else { continue };
                found = Some(found.into_iter().flatten().chain(more.into_iter().flatten()).collect());
            }
            if let Some(changes) = found {
                self.told = Instant::now();
                let reports = self.core.as_ref().map(|core| core.reports.clone()).unwrap_or_default();
                let (time_ms, generations) = (now_ms(), Vec::new());
                return Batch { changes, reports, time_ms, generations, looked: looked_for };
            }
            // Everything that was found before is published: the next look is asked for after that.
            self.barrier.reached(looked_for);
        }
    }

    /// Until there is something to look at. What is whole is looked at at once, unless something was found a moment ago.
    async fn wait(&mut self) -> Where {
        let Some(core) = self.core.as_ref().filter(|core| core.looked) else { return Where::Anywhere };
        let racy = (!core.racy.is_empty()).then(|| Instant::now() + RACY);
        let rescan = self.rescanned + RESCAN;
        loop {
            tokio::select! {
                () = self.heard.wake.notified() => {
                    let mut place = core.look_after(&self.named, self.heard.take());
                    if place.is_nowhere() {
                        continue;
                    }
                    let until = match place {
                        Where::Anywhere => Instant::now() + COALESCE,
                        Where::Files(_) => self.told + COALESCE,
                    };
                    tokio::time::sleep_until(until).await;
                    place.and(core.look_after(&self.named, self.heard.take()));
                    return place;
                }
                // Whoever wants to know waits for nothing else.
                Ok(()) = self.wishes.changed() => return Where::Anywhere,
                // As good as an event.
                () = tokio::time::sleep_until(rescan) => return Where::Anywhere,
                () = until(racy) => return Where::nowhere(),
            }
        }
    }

    /// What is found there; `None` after a panic, which has been printed: begin anew from what the folder has.
    async fn look(&mut self, place: Where) -> Option<Option<Vec<Change>>> {
        if place == Where::Anywhere {
            self.rescanned = Instant::now();
        }
        let (root, mut core) = (self.root.clone(), self.core.take().unwrap_or_default());
        let looked = tokio::task::spawn_blocking(move || {
            let found = core.look(&root, place);
            (core, found)
        });
        let looked = looked.await.ok();
        let (core, found) =
            looked.map_or_else(|| (Core::default(), None), |(core, found)| (core, Some(found)));
        self.core = Some(core);
        found
    }

    /// Sets up events, again when the folder was not there before. Without events there is still the rescan.
    fn watch(&mut self) {
        let folder = std::fs::metadata(&self.root).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        if self.watcher.is_some() && self.watched == folder {
            return;
        }
        (self.watcher, self.watched) = (None, folder);
        let heard = Arc::clone(&self.heard);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| heard.say(event));
        match watcher
            .and_then(|mut watcher| watcher.watch(&self.named, RecursiveMode::Recursive).map(|()| watcher))
        {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::debug!(%error, folder = %self.root.display(), "no events, looking every {RESCAN:?}");
            }
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Core {
    /// Where to look after events.
    fn look_after(&self, root: &Path, events: Vec<Event>) -> Where {
        let known = Known { root, folders: &self.folders, links: self.links };
        let mut all = Where::nowhere();
        for event in events {
            all.and(known.look(&event, stands));
        }
        all
    }

    /// `None` if nothing has changed.
    fn look(&mut self, root: &Path, place: Where) -> Option<Vec<Change>> {
        let young = now_ns() - i128::try_from(RACY.as_nanos()).unwrap_or(0);
        let edits = match place {
            Where::Files(mut files) => {
                files.extend(self.racy.keys().cloned());
                self.edits_of(root, &files, young).unwrap_or_else(|| self.edits(root, young))
            }
            Where::Anywhere => self.edits(root, young),
        };
        let changes = self.state.apply_all(edits);
        let reports = self.state.reports();
        let news = !changes.is_empty() || reports != self.reports || !self.looked;
        self.reports = reports;
        self.looked = true;
        news.then_some(changes)
    }

    /// What is different anywhere.
    fn edits(&mut self, root: &Path, young: i128) -> Vec<(Arc<str>, Contents)> {
        let listing = scan::list(root);
        let mut edits = Vec::new();
        for path in self.state.paths() {
            let hidden = listing.hidden.iter().any(|folder| path.starts_with(folder.as_str()));
            if !listing.files.contains_key(path) && !hidden {
                edits.push((Arc::clone(path), Contents::Gone));
            }
        }
        let (stamps, racy) = (std::mem::take(&mut self.stamps), std::mem::take(&mut self.racy));
        for (path, stamp) in listing.files {
            let known = stamps.get(&path) == Some(&stamp);
            if known && stamp.changed < young {
                self.stamps.insert(path, stamp);
                continue;
            }
            edits.extend(self.edit(root, path, (stamp, young), &racy));
        }
        self.state.set_outside(listing.problems);
        (self.folders, self.links, self.hides) = (listing.folders, listing.links, !listing.hidden.is_empty());
        edits
    }

    /// What is different in these files; `None`: for that the whole folder has to be looked at.
    fn edits_of(
        &mut self,
        root: &Path,
        files: &BTreeSet<Arc<str>>,
        young: i128,
    ) -> Option<Vec<(Arc<str>, Contents)>> {
        let room = self.state.len() + files.len() <= scan::MAX_FILES;
        let folder =
            |path: &str| path.rsplit_once('/').is_none_or(|(folder, _)| self.folders.contains(folder));
        let known = |path: &Arc<str>| self.state.has(path) || (room && folder(path));
        if self.hides || !files.iter().all(known) {
            return None;
        }
        let stamps: Option<Vec<Stamp>> =
            files.iter().map(|path| scan::stamp_of(&root.join(&**path))).collect();
        let mut edits = Vec::new();
        let racy = std::mem::take(&mut self.racy);
        for (path, stamp) in files.iter().zip(stamps?) {
            if self.stamps.get(path) != Some(&stamp) {
                edits.extend(self.edit(root, Arc::clone(path), (stamp, young), &racy));
            }
        }
        Some(edits)
    }

    /// Reads a file. `None` if it has what it had when it was too young to be trusted.
    fn edit(
        &mut self,
        root: &Path,
        path: Arc<str>,
        (stamp, young): (Stamp, i128),
        racy: &BTreeMap<Arc<str>, Option<u64>>,
    ) -> Option<(Arc<str>, Contents)> {
        let contents = scan::read(&root.join(&*path));
        let print = contents.print();
        let same = print.is_some() && racy.get(&path) == Some(&print);
        if stamp.changed >= young {
            self.stamps.remove(&path);
            self.racy.insert(Arc::clone(&path), print);
        } else {
            self.stamps.insert(Arc::clone(&path), stamp);
        }
        (!same).then_some((path, contents))
    }
}

fn stands(path: &Path) -> Stands {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Stands::File,
        Ok(_) => Stands::Other,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Stands::Nothing,
        Err(_) => Stands::Other,
    }
}

fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(0))
}
