//! Folders as they are found.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a: b").unwrap();
    }
    root
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.files.keys().map(|path| &**path).collect()
}

#[test]
fn yaml_files_are_found_in_folders_and_droppings_of_editors_are_not() {
    let root = folder(&[
        "a.yaml",
        "sub/b.yml",
        "sub/C.YAML",
        "d.txt",
        ".hidden.yaml",
        "#e.yaml#",
        "f.yaml~",
        ".git/g.yaml",
        ".a.yaml.swp",
    ]);
    let listing = list(root.path());
    assert_eq!(names(&listing), ["a.yaml", "sub/C.YAML", "sub/b.yml"]);
    assert_eq!(listing.problems, []);
}

#[test]
fn links_are_followed_and_loops_end() {
    let root = folder(&["real/a.yaml"]);
    symlink(root.path().join("real/a.yaml"), root.path().join("link.yaml")).unwrap();
    symlink(root.path(), root.path().join("real/loop")).unwrap();
    symlink("nowhere.yaml", root.path().join("dangling.yaml")).unwrap();
    assert_eq!(names(&list(root.path())), ["link.yaml", "real/a.yaml"]);
}

#[test]
fn too_deep_folders_are_told() {
    let root = folder(&["1/2/3/4/5/6/7/8/ok.yaml", "1/2/3/4/5/6/7/8/9/deep.yaml"]);
    let listing = list(root.path());
    assert_eq!(names(&listing), ["1/2/3/4/5/6/7/8/ok.yaml"]);
    assert_eq!(listing.problems[0].1.reason, Reason::TooMany);
}

#[test]
fn too_many_files_are_told() {
    let root = tempfile::tempdir().unwrap();
    for n in 0..=MAX_FILES {
        fs::write(root.path().join(format!("{n:05}.yaml")), "").unwrap();
    }
    let listing = list(root.path());
    assert_eq!(listing.files.len(), MAX_FILES);
    assert_eq!(listing.problems.len(), 1);
    assert!(listing.problems[0].1.fault.message.contains("10000.yaml"), "{:?}", listing.problems);
}

#[test]
fn a_folder_that_is_not_there_hides_everything() {
    let listing = list(Path::new("/nonexistent/folder"));
    assert_eq!(listing.hidden, [""]);
    assert_eq!(listing.problems[0].1.reason, Reason::Unreadable);
}

#[test]
fn a_large_file_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("large.yaml");
    fs::File::create(&path).unwrap().set_len(10 << 20).unwrap();
    assert_eq!(read(&path), Contents::TooLarge(10 << 20));
}

#[test]
fn what_cannot_be_read_is_told() {
    let root = folder(&["a.yaml"]);
    let path = root.path().join("a.yaml");
    // Reading a folder fails whoever asks; permissions do not stop root, who runs many test machines.
    assert!(matches!(read(root.path()), Contents::Unreadable(_)));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    assert!(matches!(read(&path), Contents::Unreadable(_) | Contents::Bytes(_)));
    assert_eq!(read(&root.path().join("gone.yaml")), Contents::Gone);
}
