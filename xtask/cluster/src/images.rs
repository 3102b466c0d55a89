//! The images that a cluster of ours brings along, and the image of one static program. Their bytes depend on their content alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::artifacts::Programs;
use crate::folders::{Folders, write};
use crate::oci::Image;
use crate::program::{Program, find};
use crate::tar::Entry;

/// What every pod of the node is held open by.
pub(crate) const PAUSE: &str = "lab.local/pause:1";
const COREDNS: &str = "lab.local/coredns:1";
/// busybox, curl, and `tools echo`.
const TOOLS: &str = "lab.local/tools:1";
/// Nobody's, as distroless images have it.
const USER: &str = "65532:65532";

/// The archives that a node needs before its first pod: pause, CoreDNS, tools.
pub(crate) fn of_a_node(folders: &Folders, programs: &Programs) -> Result<Vec<PathBuf>> {
    let coredns = single(COREDNS, &programs.coredns, "coredns")?;
    Ok(vec![
        keep(folders, "pause", single(PAUSE, &programs.tools, "pause")?)?,
        keep(folders, "coredns", coredns)?,
        tools(folders, &programs.tools)?,
    ])
}

/// `lab.local/tools:1`, for the pods of tests.
pub(crate) fn tools(folders: &Folders, program: &Path) -> Result<PathBuf> {
    let mut entries = vec![
        Entry::folder("tmp", 0o1777),
        Entry::folder("root", 0o700),
        Entry::file(
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n".to_vec(),
        ),
        Entry::file("bin/tools", 0o755, read(program)?),
    ];
    let busybox = find("busybox").context("busybox is not installed (Debian: busybox-static)")?;
    entries.push(Entry::file("bin/busybox", 0o755, read(&busybox)?));
    let listed = Program::new(&busybox).arg("--list").output()?;
    entries.extend(
        listed
            .lines()
            .filter(|applet| *applet != "busybox")
            .map(|applet| Entry::link(format!("bin/{applet}"), "busybox")),
    );
    let curl = find("curl").context("curl is not installed")?;
    entries.push(Entry::file("usr/bin/curl", 0o755, read(&curl)?));
    let linked = Program::new("ldd").arg(&curl).output()?;
    for library in libraries(&linked) {
        entries.push(Entry::file(library.trim_start_matches('/'), 0o755, read(Path::new(&library))?));
    }
    let image = Image {
        name: TOOLS.to_owned(),
        entries: with_folders(entries),
        entrypoint: Vec::new(),
        user: String::new(),
        labels: BTreeMap::new(),
    };
    keep(folders, "tools", image)
}

/// The paths in what `ldd` prints: `libc.so.6 => /lib/… (0x…)` and the loader's line, which has no arrow.
fn libraries(printed: &str) -> Vec<String> {
    let paths: BTreeSet<&str> = printed
        .lines()
        .filter_map(|line| {
            let path = line.split_once("=>").map_or(line, |(_, path)| path);
            path.split_ascii_whitespace().next().filter(|path| path.starts_with('/'))
        })
        .collect();
    paths.into_iter().map(str::to_owned).collect()
}

/// Every folder above the entries is an entry too.
fn with_folders(mut entries: Vec<Entry>) -> Vec<Entry> {
    let there: BTreeSet<String> = entries.iter().map(|entry| entry.path.clone()).collect();
    let mut folders = BTreeSet::new();
    for path in &there {
        let parents = Path::new(path).ancestors().skip(1).map(|parent| parent.to_string_lossy().into_owned());
        folders.extend(parents.filter(|parent| !parent.is_empty() && !there.contains(parent)));
    }
    entries.extend(folders.into_iter().map(|folder| Entry::folder(folder, 0o755)));
    entries
}

/// The image of one static program, which is its entrypoint.
fn single(name: &str, program: &Path, word: &str) -> Result<Image> {
    Ok(Image {
        name: name.to_owned(),
        entries: vec![Entry::file(word, 0o755, read(program)?)],
        entrypoint: vec![format!("/{word}")],
        ..Image::default()
    })
}

/// Writes `OUT/PROGRAM.tar`, an image `FROM scratch`: one static program as nobody's entrypoint, labels that say what it is.
pub fn pack(name: &str, program: &Path, version: &str, out: &Path) -> Result<PathBuf> {
    let word = program.file_name().and_then(|name| name.to_str()).context("a program has a name")?;
    let path = out.join(format!("{word}.tar"));
    write(&path, published(name, word, read(program)?, version)?)?;
    Ok(path)
}

/// Writes the image of several files; programs among them are those that anybody may run on their own machine.
pub fn bundle(
    name: &str,
    files: &[(String, PathBuf)],
    entrypoint: &str,
    user: &str,
    out: &Path,
) -> Result<()> {
    let mut entries = Vec::new();
    for (path, file) in files {
        let mode = if fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o111 != 0) {
            0o755
        } else {
            0o644
        };
        entries.push(Entry::file(path.trim_start_matches('/'), mode, read(file)?));
    }
    let image = Image {
        name: name.to_owned(),
        entries: with_folders(entries),
        entrypoint: vec![entrypoint.to_owned()],
        user: user.to_owned(),
        labels: BTreeMap::new(),
    };
    write(out, image.archive()?)
}

fn published(name: &str, word: &str, program: Vec<u8>, version: &str) -> Result<Vec<u8>> {
    ensure!(is_static(&program), "{word} is linked dynamically: it would not start in an image of its own");
    let labels = [
        ("title", word),
        ("version", version),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("vendor", "Amime"),
    ];
    let image = Image {
        name: name.to_owned(),
        entries: vec![Entry::file(word, 0o755, program)],
        entrypoint: vec![format!("/{word}")],
        user: USER.to_owned(),
        labels: labels
            .iter()
            .map(|(key, value)| (format!("org.opencontainers.image.{key}"), (*value).to_owned()))
            .collect(),
    };
    image.archive()
}

/// Whether an ELF file of 64 bits asks for no loader (no `PT_INTERP` among its program headers).
fn is_static(elf: &[u8]) -> bool {
    const INTERP: u64 = 3;
    let number = |at: usize, width: usize| {
        let bytes = elf.get(at..at + width)?;
        Some(bytes.iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte)))
    };
    let headers = || {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).map(|n| number(usize::try_from(start + n * size).ok()?, 4)).collect::<Option<Vec<_>>>()
    };
    elf.starts_with(b"\x7fELF\x02\x01")
        && headers().is_some_and(|kinds| kinds.iter().all(|kind| *kind != INTERP))
}

fn keep(folders: &Folders, name: &str, image: Image) -> Result<PathBuf> {
    let path = folders.built().join("images").join(format!("{name}.tar"));
    let bytes = image.archive()?;
    if fs::read(&path).ok().as_ref() != Some(&bytes) {
        write(&path, bytes)?;
    }
    Ok(path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_prints_is_read() {
        let printed = "\tlinux-vdso.so.1 (0x1)\n\tlibz.so.1 => /lib/x/libz.so.1 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        assert_eq!(libraries(printed), ["/lib/x/libz.so.1", "/lib64/ld-linux-x86-64.so.2"]);
    }

    #[test]
    fn folders_are_entries_too() {
        let entries = with_folders(vec![Entry::file("a/b/c", 0o644, vec![]), Entry::folder("a", 0o700)]);
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a/b/c", "a", "a/b"]);
    }

    /// The least that counts as a static program: a header of ELF with one program header, which loads.
    fn program() -> Vec<u8> {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(120, 0);
        (elf[32], elf[54], elf[56], elf[64]) = (64, 56, 1, 1);
        elf
    }

    #[test]
    fn packing_twice_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mesh-x");
        fs::write(&file, program()).unwrap();
        let packed = |out: &str| {
            let path = pack("example.com/mesh-x:1", &file, "1", &folder.path().join(out)).unwrap();
            assert!(path.ends_with("mesh-x.tar"));
            fs::read(path).unwrap()
        };
        assert_eq!(packed("a"), packed("b"));
    }

    #[test]
    fn a_program_that_needs_a_loader_is_refused() {
        let mut elf = program();
        elf[64] = 3;
        assert!(published("a:1", "a", elf, "1").is_err());
    }

    #[test]
    fn this_test_is_linked_dynamically_and_text_is_no_program() {
        let me = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&me));
        assert!(!is_static(b"#!/bin/sh"));
    }
}
