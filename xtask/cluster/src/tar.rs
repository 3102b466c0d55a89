//! Writes tar archives (POSIX ustar with GNU long names) whose bytes depend on nothing but names, modes and contents: no time, no user, no
//! order of a folder.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

const BLOCK: usize = 512;
const NAME: usize = 100;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File(Vec<u8>),
    Folder,
    /// To where it points.
    Link(String),
}

/// An entry of an archive: a path without a slash at its head, and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) kind: Kind,
}

impl Entry {
    pub(crate) fn file(path: impl Into<String>, mode: u32, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), mode, kind: Kind::File(bytes) }
    }

    pub(crate) fn folder(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), mode, kind: Kind::Folder }
    }

    pub(crate) fn link(path: impl Into<String>, to: impl Into<String>) -> Self {
        Self { path: path.into(), mode: 0o777, kind: Kind::Link(to.into()) }
    }
}

/// The archive of these entries, sorted by path.
pub(crate) fn archive(mut entries: Vec<Entry>) -> Result<Vec<u8>> {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut out = Vec::new();
    for entry in &entries {
        write_entry(&mut out, entry).with_context(|| format!("put {} into an archive", entry.path))?;
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Ok(out)
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry) -> Result<()> {
    let (kind, path, link, bytes): (u8, _, _, &[u8]) = match &entry.kind {
        Kind::File(bytes) => (b'0', entry.path.clone(), "", bytes),
        Kind::Folder => (b'5', format!("{}/", entry.path), "", &[]),
        Kind::Link(to) => (b'2', entry.path.clone(), to.as_str(), &[]),
    };
    for (kind, name) in [(b'L', path.as_str()), (b'K', link)] {
        if name.len() > NAME {
            let mut long = name.as_bytes().to_vec();
            long.push(0);
            header(out, kind, 0, "././@LongLink", "", long.len())?;
            padded(out, &long);
        }
    }
    header(out, kind, entry.mode, &path, link, bytes.len())?;
    padded(out, bytes);
    Ok(())
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn header(out: &mut Vec<u8>, kind: u8, mode: u32, path: &str, link: &str, size: usize) -> Result<()> {
    let mut head = Vec::with_capacity(BLOCK);
    field(&mut head, path, NAME);
    field(&mut head, &octal(mode.into(), 7)?, 8);
    field(&mut head, &octal(0, 7)?, 8);
    field(&mut head, &octal(0, 7)?, 8);
    field(&mut head, &octal(size.try_into()?, 11)?, 12);
    field(&mut head, &octal(0, 11)?, 12);
    let checksum_at = head.len();
    head.extend_from_slice(b"        ");
    head.push(kind);
    field(&mut head, link, NAME);
    head.extend_from_slice(b"ustar  \0");
    head.resize(BLOCK, 0);
    let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
    let mut text = String::new();
    write!(text, "{sum:06o}\0 ")?;
    if let Some(place) = head.get_mut(checksum_at..checksum_at + 8) {
        place.copy_from_slice(text.as_bytes());
    }
    out.extend_from_slice(&head);
    Ok(())
}

/// Cut or filled with zeros to its width.
fn field(head: &mut Vec<u8>, text: &str, width: usize) {
    let end = head.len() + width;
    head.extend(text.bytes().take(width));
    head.resize(end, 0);
}

fn octal(value: u64, digits: usize) -> Result<String> {
    let text = format!("{value:0digits$o}");
    anyhow::ensure!(text.len() == digits, "{value} does not fit into {digits} octal digits");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::file("b/file", 0o644, b"hello\n".to_vec()),
            Entry::folder("b", 0o755),
            Entry::link("a", "b/file"),
            Entry::file(format!("b/{}", "n".repeat(140)), 0o755, vec![7; 513]),
        ]
    }

    #[test]
    fn tar_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.tar");
        std::fs::write(&file, archive(entries()).unwrap()).unwrap();
        let out = Command::new("tar").arg("-tvf").arg(&file).stderr(Stdio::inherit()).output().unwrap();
        assert!(out.status.success());
        let listed = String::from_utf8(out.stdout).unwrap();
        let lines: Vec<&str> = listed.lines().collect();
        assert_eq!(lines.len(), 4, "{listed}");
        assert!(lines[0].starts_with("lrwxrwxrwx 0/0") && lines[0].ends_with("a -> b/file"), "{listed}");
        assert!(lines[1].starts_with("drwxr-xr-x 0/0") && lines[1].ends_with(" b/"), "{listed}");
        assert!(lines[2].ends_with(" 1970-01-01 00:00 b/file") || lines[2].ends_with("b/file"), "{listed}");
        assert!(lines[3].ends_with(&"n".repeat(140)), "{listed}");
    }

    #[test]
    fn order_does_not_matter() {
        let mut turned = entries();
        turned.reverse();
        assert_eq!(archive(turned).unwrap(), archive(entries()).unwrap());
    }

    #[test]
    fn a_mode_that_does_not_fit_is_refused() {
        assert!(octal(8, 1).is_err());
    }
}
