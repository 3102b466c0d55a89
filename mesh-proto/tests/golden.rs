//! The bytes of every released version still decode to what they meant, and are still written the same.
//!
//! `golden/vX.Y.Z/` has one file a message type (`PACKAGE.TYPE.bin`) and one a further variant of a `oneof`
//! (`PACKAGE.TYPE-VARIANT.bin`). The values stand in `golden/vX_Y_Z/`, as that version had them.
//!
//! For a new release: copy the values' folder and its `mod` line below under the new version, extend the values by
//! what is new in the protos, add one line to `releases`, and run this test. It writes the files that are missing and
//! fails once, naming them; look at them and commit them. A file that exists is never written again: if an old one no longer
//! fits, the change to the .proto was not additive. Until a version is released its own files may be deleted and made anew.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test says plainly what it expects"
)]
#![allow(
    clippy::needless_update,
    reason = "a field that a later version adds must not change the values of this one"
)]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

#[path = "golden/v0_1_0/values.rs"]
mod v0_1_0;

/// Panics when the bytes are not what they were.
type Check = Box<dyn Fn(&[u8])>;

/// A message and what it must decode to.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    check: Check,
}

/// `name` is `PACKAGE.TYPE` or `PACKAGE.TYPE-VARIANT`.
fn case<M: Message + Default + PartialEq + Debug + 'static>(name: &'static str, value: M) -> Case {
    let bytes = value.encode_to_vec();
    let check = Box::new(move |bytes: &[u8]| {
        let read = M::decode(bytes).unwrap_or_else(|e| panic!("{name} no longer decodes: {e}"));
        assert_eq!(read, value, "{name} has another meaning than it had");
        assert_eq!(read.encode_to_vec(), bytes, "{name} is written in other bytes than it was");
    });
    Case { name, bytes, check }
}

/// Every release with its values, the newest last.
fn releases() -> Vec<(&'static str, Vec<Case>)> {
    vec![("v0.1.0", v0_1_0::cases())]
}

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

#[test]
fn bytes_of_every_release_decode_to_what_they_meant() {
    let mut written = Vec::new();
    for (version, cases) in releases() {
        let folder = folder(version);
        for case in cases {
            let path = folder.join(format!("{}.bin", case.name));
            if !path.exists() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &case.bytes).unwrap();
                written.push(case.name);
            }
            (case.check)(&fs::read(&path).unwrap());
        }
    }
    assert!(
        written.is_empty(),
        "these golden files were missing and have been written; look at them and commit them: {written:?}"
    );
}

#[test]
fn every_golden_file_has_a_value() {
    for (version, cases) in releases() {
        let known: BTreeSet<String> = cases.iter().map(|case| format!("{}.bin", case.name)).collect();
        assert_eq!(known.len(), cases.len(), "two values of {version} have one name");
        for entry in fs::read_dir(folder(version)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(known.contains(&name), "{version}/{name} is compared with nothing");
        }
    }
}

#[test]
fn every_message_type_has_a_golden_file_in_the_newest_release() {
    let (version, cases) = releases().pop().unwrap();
    let have: BTreeSet<&str> = cases.iter().map(|case| case.name.split('-').next().unwrap()).collect();
    let declared = declared_messages();
    assert!(declared.len() > 60, "the protos could not be read: {declared:?}");
    let missing: Vec<&String> = declared.iter().filter(|name| !have.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{version} has no golden value for {missing:?}");
}

/// `PACKAGE.TYPE` of every top-level message in the four protos.
fn declared_messages() -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for part in ["ca", "config", "report", "inspect"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("proto/mesh/{part}/v1/{part}.proto"));
        for line in fs::read_to_string(path).unwrap().lines() {
            if let Some(rest) = line.strip_prefix("message ") {
                out.insert(format!("mesh.{part}.v1.{}", rest.split([' ', '{']).next().unwrap()));
            }
        }
    }
    out
}
