//! What an event of a folder says about where to look. Pure but for asking what stands at a path. It must not know what is in files: an event
//! that is not understood means the whole folder.

use std::collections::BTreeSet;
use std::path::{Component, Path};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Event, EventKind};

use super::scan::{Links, is_hidden, is_yaml};

/// Files that are looked at one by one; of more, the whole folder is.
const MAX_FILES: usize = 256;

/// Where something may be different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Where {
    /// In these files, which are whole: their writers are done with them.
    Files(BTreeSet<Arc<str>>),
    /// Anywhere.
    #[default]
    Anywhere,
}

impl Where {
    /// Nowhere.
    pub fn nowhere() -> Self {
        Self::Files(BTreeSet::new())
    }

    /// Whether there is nothing to look at.
    pub fn is_nowhere(&self) -> bool {
        matches!(self, Self::Files(files) if files.is_empty())
    }

    /// There too.
    pub fn and(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Anywhere, _) => {}
            (_, Self::Anywhere) => *self = Self::Anywhere,
            (Self::Files(files), Self::Files(others)) => {
                files.extend(others);
                if files.len() > MAX_FILES {
                    *self = Self::Anywhere;
                }
            }
        }
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// A file, and no link to one.
    File,
    /// Nothing any more.
    Nothing,
    /// Something else: a folder, a link.
    Other,
}

/// What was found when the whole folder was looked at last.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The folder, as events name it.
    pub root: &'a Path,
    /// Folders in it.
    pub folders: &'a BTreeSet<Arc<str>>,
    /// Whether there are links, by which a file may be different that no event names.
    pub links: Links,
}

impl Known<'_> {
    /// Where to look after an event.
    pub fn look(&self, event: &Event, stands: impl Fn(&Path) -> Stands) -> Where {
        if is_reading(&event.kind) {
            return Where::nowhere();
        }
        if self.links == Links::Some || event.need_rescan() || event.paths.is_empty() {
            return Where::Anywhere;
        }
        let mut all = Where::nowhere();
        for (at, path) in event.paths.iter().enumerate() {
            let kind = match event.kind {
                EventKind::Modify(ModifyKind::Name(RenameMode::Both)) if at == 0 => name(RenameMode::From),
                EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => name(RenameMode::To),
                kind => kind,
            };
            all.and(self.look_at(kind, path, &stands));
        }
        all
    }

    fn look_at(&self, kind: EventKind, path: &Path, stands: impl Fn(&Path) -> Stands) -> Where {
        let Some(file) = path.strip_prefix(self.root).ok().and_then(Path::to_str) else {
            return Where::Anywhere;
        };
        let parts = || {
            Path::new(file).components().filter_map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
        };
        // Nothing below is read, and without links nothing that is read is there.
        if parts().any(is_hidden) {
            return Where::nowhere();
        }
        let yaml = parts().next_back().is_some_and(is_yaml);
        let concerns = yaml || file.is_empty() || self.folders.contains(file);
        let whole = || Where::Files(BTreeSet::from([Arc::from(file)]));
        let anywhere_if = |it: bool| if it { Where::Anywhere } else { Where::nowhere() };
        match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) if yaml => whole(),
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Where::nowhere(),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => match stands(path) {
                Stands::File if yaml => whole(),
                Stands::File => Where::nowhere(),
                Stands::Nothing => anywhere_if(concerns),
                Stands::Other => Where::Anywhere,
            },
            EventKind::Create(CreateKind::File) => match stands(path) {
                Stands::File | Stands::Nothing => anywhere_if(concerns),
                Stands::Other => Where::Anywhere,
            },
            EventKind::Modify(
                ModifyKind::Name(RenameMode::From) | ModifyKind::Data(_) | ModifyKind::Metadata(_),
            )
            | EventKind::Remove(RemoveKind::File) => anywhere_if(concerns),
            _ => Where::Anywhere,
        }
    }
}

fn name(mode: RenameMode) -> EventKind {
    EventKind::Modify(ModifyKind::Name(mode))
}

/// Reading a file is an event too, and we read when there is an event.
pub fn is_reading(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, Flag, MetadataKind};

    use super::*;

    fn look(kind: EventKind, path: &str, at: Stands) -> Where {
        let folders = BTreeSet::from(["sub".into()]);
        let known = Known { root: Path::new("/objects"), folders: &folders, links: Links::None };
        known.look(&Event::new(kind).add_path(path.into()), |_| at)
    }

    fn file(path: &str) -> Where {
        Where::Files(BTreeSet::from([path.into()]))
    }

    const WRITTEN: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const TO: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));
    const FROM: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::From));
    const CREATED: EventKind = EventKind::Create(CreateKind::File);
    const REMOVED: EventKind = EventKind::Remove(RemoveKind::File);
    const DATA: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const MODE: EventKind = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));

    #[test]
    fn a_file_that_is_whole_is_looked_at_alone() {
        assert_eq!(look(WRITTEN, "/objects/a.yaml", Stands::File), file("a.yaml"));
        assert_eq!(look(TO, "/objects/sub/a.yml", Stands::File), file("sub/a.yml"));
    }

    #[test]
    fn what_is_not_whole_or_not_understood_means_the_folder() {
        for kind in [CREATED, REMOVED, FROM, DATA, MODE] {
            assert_eq!(look(kind, "/objects/a.yaml", Stands::File), Where::Anywhere, "{kind:?}");
            assert_eq!(look(kind, "/objects/sub", Stands::Other), Where::Anywhere, "{kind:?}");
            assert_eq!(look(kind, "/objects", Stands::Other), Where::Anywhere, "{kind:?}");
        }
        for kind in [CREATED, TO] {
            assert_eq!(
                look(kind, "/objects/new", Stands::Other),
                Where::Anywhere,
                "a folder or a link: {kind:?}"
            );
        }
        for kind in [EventKind::Any, EventKind::Other, EventKind::Remove(RemoveKind::Folder)] {
            assert_eq!(look(kind, "/objects/gone", Stands::Nothing), Where::Anywhere);
        }
        assert_eq!(look(WRITTEN, "/elsewhere/a.yaml", Stands::File), Where::Anywhere);
        assert_eq!(look(TO, "/objects/a.yaml", Stands::Nothing), Where::Anywhere);
        let folders = BTreeSet::new();
        let known = Known { root: Path::new("/objects"), folders: &folders, links: Links::None };
        let lost = Event::new(WRITTEN).add_path("/objects/a.yaml".into()).set_flag(Flag::Rescan);
        assert_eq!(known.look(&lost, |_| Stands::File), Where::Anywhere, "events were lost");
        assert_eq!(known.look(&Event::new(WRITTEN), |_| Stands::File), Where::Anywhere);
    }

    #[test]
    fn files_that_are_not_read_wake_nobody() {
        for kind in [WRITTEN, TO, FROM, CREATED, REMOVED, DATA, MODE] {
            assert!(look(kind, "/objects/a.tmp", Stands::File).is_nowhere(), "{kind:?}");
            assert!(look(kind, "/objects/.a.yaml.swp", Stands::Other).is_nowhere(), "{kind:?}");
            assert!(look(kind, "/objects/.git/a.yaml", Stands::File).is_nowhere(), "{kind:?}");
        }
        assert!(look(CREATED, "/objects/a.tmp", Stands::Nothing).is_nowhere(), "it has its name by now");
        assert!(look(EventKind::Access(AccessKind::Read), "/objects/a.yaml", Stands::File).is_nowhere());
    }

    #[test]
    fn where_there_are_links_every_event_means_the_folder() {
        let folders = BTreeSet::new();
        let known = Known { root: Path::new("/objects"), folders: &folders, links: Links::Some };
        let event = Event::new(TO).add_path("/objects/..data".into());
        assert_eq!(known.look(&event, |_| Stands::Other), Where::Anywhere);
    }

    #[test]
    fn a_renamed_file_is_looked_at_at_both_names() {
        let folders = BTreeSet::new();
        let known = Known { root: Path::new("/objects"), folders: &folders, links: Links::None };
        let both = |from: &str| {
            let event = Event::new(EventKind::Modify(ModifyKind::Name(RenameMode::Both)));
            known.look(&event.add_path(from.into()).add_path("/objects/b.yaml".into()), |_| Stands::File)
        };
        assert_eq!(both("/objects/b.tmp"), file("b.yaml"));
        assert_eq!(both("/objects/a.yaml"), Where::Anywhere, "it is gone where it was");
    }

    #[test]
    fn very_many_files_are_the_folder() {
        let mut all = Where::nowhere();
        (0..=MAX_FILES).for_each(|number| all.and(file(&format!("{number}.yaml"))));
        assert_eq!(all, Where::Anywhere);
    }
}
