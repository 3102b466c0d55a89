//! Where lines are written: standard output and error, and files. Everything here may block, so only the writer's own thread may call it. It must
//! not know what lines are.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A place for whole lines.
#[derive(Debug)]
pub(super) struct Sink {
    place: Place,
    file: Option<File>,
    /// The last line was written in part.
    torn: bool,
}

#[derive(Debug)]
enum Place {
    /// An open file, shared with whoever else writes there: the lock of `std::io::stderr` is not taken, behind which others would wait.
    Given,
    /// A file by its name.
    Named(PathBuf),
}

impl Sink {
    pub(super) fn stdout() -> io::Result<Self> {
        Ok(Self::given(io::stdout().as_fd().try_clone_to_owned()?.into()))
    }

    pub(super) fn stderr() -> io::Result<Self> {
        Ok(Self::given(io::stderr().as_fd().try_clone_to_owned()?.into()))
    }

    pub(super) fn named(path: &str) -> Self {
        Self { place: Place::Named(path.into()), file: None, torn: false }
    }

    fn given(file: File) -> Self {
        Self { place: Place::Given, file: Some(file), torn: false }
    }

    /// Writes whole lines. After an error some of them may be written; the next ones begin a line of their own.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Place::Named(path) = &self.place
            && !self.file.as_ref().is_some_and(|file| is_still(file, path))
        {
            // It was renamed, removed, or is not open yet.
            self.file = None;
            self.file = Some(open(path)?);
            self.torn = false;
        }
        let Some(file) = &mut self.file else { return Err(ErrorKind::NotFound.into()) };
        if self.torn {
            all(file, b"\n").map_err(|(error, _)| error)?;
            self.torn = false;
        }
        all(file, lines).map_err(|(error, written)| {
            self.torn = written > 0 && lines.get(written - 1) != Some(&b'\n');
            error
        })
    }
}

/// Only its own may read what callers asked for.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Whether that name still means this file.
fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// All bytes, or how many were written before the error.
fn all(file: &mut File, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err((ErrorKind::WriteZero.into(), written)),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err((error, written)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_appended_to_and_opened_anew_when_it_was_renamed_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        fs::write(&path, "before\n").unwrap();
        let mut sink = Sink::named(path.to_str().unwrap());
        sink.write(b"one\n").unwrap();
        let rotated = folder.path().join("access.log.1");
        fs::rename(&path, &rotated).unwrap();
        sink.write(b"two\n").unwrap();
        fs::remove_file(&path).unwrap();
        sink.write(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&rotated).unwrap(), "before\none\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(path.metadata().unwrap().mode() & 0o7, 0, "nobody else may read it");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_tried_again_with_the_next_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/access.log");
        let mut sink = Sink::named(path.to_str().unwrap());
        assert_eq!(sink.write(b"one\n").unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir(path.parent().unwrap()).unwrap();
        sink.write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut sink = Sink::named("/dev/full");
        assert_eq!(sink.write(b"one\n").unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
