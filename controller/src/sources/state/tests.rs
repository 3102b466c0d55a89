//! Which form of an object is in force while files change, break and heal.

use proptest::prelude::*;

use super::*;

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{ports: [{{port: {port}}}]}}\n"
    )
}

fn bytes(text: &str) -> Contents {
    Contents::Bytes(text.as_bytes().to_vec())
}

/// `+name:port` and `-name`.
fn shown(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Apply { key, object: Object::Service(service), .. } => {
                format!("+{}:{}", key.name, port(service))
            }
            Change::Apply { key, .. } => format!("+{}", key.name),
            Change::Delete { key } => format!("-{}", key.name),
        })
        .collect()
}

fn port(service: &k8s_openapi::api::core::v1::Service) -> i32 {
    service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].port
}

fn in_force(state: &DirState) -> Vec<String> {
    state
        .objects()
        .map(|(key, object)| match object {
            Object::Service(service) => format!("{}:{}", key.name, port(service)),
            _ => key.name.to_string(),
        })
        .collect()
}

fn reports(state: &DirState) -> Vec<String> {
    state.reports().iter().map(ToString::to_string).collect()
}

#[test]
fn objects_come_change_and_go() {
    let mut state = DirState::default();
    let both = format!("{}---\n{}", service("a", 1), service("b", 1));
    assert_eq!(shown(&state.apply("f.yaml", bytes(&both))), ["+a:1", "+b:1"]);
    assert_eq!(
        shown(&state.apply("f.yaml", bytes(&both))),
        Vec::<String>::new(),
        "the same again is no change"
    );
    let edited = format!("{}---\n{}", service("a", 2), service("b", 1));
    assert_eq!(shown(&state.apply("f.yaml", bytes(&edited))), ["+a:2"]);
    assert_eq!(shown(&state.apply("f.yaml", bytes(&service("a", 2)))), ["-b"]);
    assert_eq!(shown(&state.apply("f.yaml", Contents::Gone)), ["-a"]);
    assert_eq!(reports(&state), Vec::<String>::new());
}

#[test]
fn of_a_bad_object_the_last_good_form_stays_and_the_others_change() {
    let mut state = DirState::default();
    state.apply("f.yaml", bytes(&format!("{}---\n{}", service("a", 1), service("b", 1))));
    let changes = state.apply(
        "f.yaml",
        bytes(&format!("{}---\n{}", service("a", 7).replace("port: 7", "port: 99999"), service("b", 2))),
    );
    assert_eq!(shown(&changes), ["+b:2"]);
    assert_eq!(in_force(&state), ["a:1", "b:2"]);
    assert_eq!(
        reports(&state),
        [
            "f.yaml:4: Service shop/a: spec.ports[0].port: 99999 is not a port; use 1 to 65535; the last good form stays in force"
        ]
    );
    assert_eq!(
        shown(&state.apply("f.yaml", bytes(&format!("{}---\n{}", service("a", 3), service("b", 2))))),
        ["+a:3"]
    );
    assert_eq!(reports(&state), Vec::<String>::new());
}

#[test]
fn a_bad_object_that_never_was_good_is_not_in_force() {
    let mut state = DirState::default();
    assert_eq!(shown(&state.apply("f.yaml", bytes(&service("a", 0)))), Vec::<String>::new());
    assert_eq!(
        reports(&state),
        ["f.yaml:4: Service shop/a: spec.ports[0].port: 0 is not a port; use 1 to 65535; not in force"]
    );
}

#[test]
fn each_way_a_whole_file_can_be_bad_keeps_all_its_objects() {
    let bad = [
        (
            Contents::Unreadable("permission denied".into()),
            "f.yaml: the file cannot be read: permission denied",
        ),
        (Contents::TooLarge(10 << 20), "f.yaml: the file has 10 MiB, at most 4 are read; split it"),
        (bytes(""), "f.yaml: the file is empty; delete it if its objects shall go"),
        (Contents::Bytes(b"\xff\xfe".to_vec()), "f.yaml:1: the file is not UTF-8 here; save it as UTF-8"),
        (bytes("apiVersion: v1\nkind: Gadget\n"), "f.yaml:2: kind: `Gadget` is not known"),
        (bytes("a: [\n"), "f.yaml:"),
    ];
    for (contents, begin) in bad {
        let mut state = DirState::default();
        state.apply("f.yaml", bytes(&service("a", 1)));
        assert_eq!(shown(&state.apply("f.yaml", contents)), Vec::<String>::new(), "{begin}");
        assert_eq!(in_force(&state), ["a:1"], "{begin}");
        let reports = reports(&state);
        assert!(reports[0].starts_with(begin), "{reports:?}");
        assert!(reports[0].ends_with("; the last good form stays in force"), "{reports:?}");
        assert_eq!(shown(&state.apply("f.yaml", Contents::Gone)), ["-a"], "deleting the file deletes");
    }
}

#[test]
fn a_syntax_error_in_one_document_keeps_what_it_may_have_been() {
    let mut state = DirState::default();
    state.apply("f.yaml", bytes(&format!("{}---\n{}", service("a", 1), service("b", 1))));
    let changes = state.apply("f.yaml", bytes(&format!("{}---\nkind: [", service("a", 2))));
    assert_eq!(shown(&changes), ["+a:2"]);
    assert_eq!(in_force(&state), ["a:2", "b:1"]);
}

#[test]
fn of_an_object_in_two_files_the_first_path_counts_whatever_came_first() {
    for order in [["a.yaml", "b.yaml"], ["b.yaml", "a.yaml"]] {
        let mut state = DirState::default();
        for file in order {
            state.apply(file, bytes(&service("x", if file == "a.yaml" { 1 } else { 2 })));
        }
        assert_eq!(in_force(&state), ["x:1"]);
        assert_eq!(
            reports(&state),
            [
                "b.yaml:1: Service shop/x: metadata.name: the same object is in a.yaml:1, which counts; remove one of them; not in force"
            ]
        );
        assert_eq!(shown(&state.apply("a.yaml", Contents::Gone)), ["+x:2"]);
        assert_eq!(reports(&state), Vec::<String>::new());
    }
}

#[test]
fn of_an_object_twice_in_a_file_the_first_counts() {
    let mut state = DirState::default();
    state.apply("f.yaml", bytes(&format!("{}---\n{}", service("x", 1), service("x", 2))));
    assert_eq!(in_force(&state), ["x:1"]);
    assert!(
        reports(&state)[0]
            .starts_with("f.yaml:6: Service shop/x: metadata.name: the same object is at line 1"),
        "{:?}",
        reports(&state)
    );
}

#[test]
fn an_object_that_moves_between_files_is_never_gone() {
    let mut state = DirState::default();
    state.apply("a.yaml", bytes(&service("x", 1)));
    let changes =
        state.apply_all([("a.yaml".into(), Contents::Gone), ("b.yaml".into(), bytes(&service("x", 1)))]);
    assert_eq!(shown(&changes), ["+x:1"], "its origin has changed");
}

#[test]
fn what_a_file_says_now_counts_before_what_another_one_said_once() {
    let mut state = DirState::default();
    state.apply("a.yaml", bytes(&service("x", 1)));
    state.apply("a.yaml", bytes("kind: ["));
    assert_eq!(shown(&state.apply("b.yaml", bytes(&service("x", 2)))), ["+x:2"]);
}

/// What a file may be made to have.
#[derive(Debug, Clone)]
enum Edit {
    /// These objects with these ports.
    Write(usize, Vec<(u8, u16)>),
    Delete(usize),
    Break(usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let objects = prop::collection::vec((0_u8..6, 1_u16..5), 0..5);
    let edit = prop_oneof![
        4 => (0_usize..4, objects).prop_map(|(file, objects)| Edit::Write(file, objects)),
        1 => (0_usize..4).prop_map(Edit::Delete),
        1 => (0_usize..4).prop_map(Edit::Break),
    ];
    prop::collection::vec(edit, 0..30)
}

fn text(objects: &[(u8, u16)]) -> String {
    // A comment, so that a file without objects is not an empty one.
    objects.iter().fold("# objects\n".to_owned(), |text, (name, port)| {
        format!("{text}---\n{}", service(&format!("s{name}"), *port))
    })
}

proptest! {
    /// Whatever happened on the way: when every file is good in the end, the state is that of a fresh read.
    #[test]
    fn good_files_in_the_end_are_as_if_read_afresh(edits in edits()) {
        let mut state = DirState::default();
        let mut files: BTreeMap<usize, Vec<(u8, u16)>> = BTreeMap::new();
        let mut mirror: BTreeMap<ObjectKey, Object> = BTreeMap::new();
        let mut all = edits;
        // The end: what is broken is written again.
        let mut last: BTreeMap<usize, Vec<(u8, u16)>> = BTreeMap::new();
        for edit in &all {
            match edit {
                Edit::Write(file, objects) => { last.insert(*file, objects.clone()); }
                Edit::Delete(file) => { last.remove(file); }
                Edit::Break(file) => { last.entry(*file).or_default(); }
            }
        }
        all.extend(last.into_iter().map(|(file, objects)| Edit::Write(file, objects)));
        for edit in all {
            let (file, contents) = match edit {
                Edit::Write(file, objects) => {
                    let contents = bytes(&text(&objects));
                    files.insert(file, objects);
                    (file, contents)
                }
                Edit::Delete(file) => { files.remove(&file); (file, Contents::Gone) }
                Edit::Break(file) => (file, bytes("a: [")),
            };
            for change in state.apply(&format!("f{file}.yaml"), contents) {
                match change {
                    Change::Apply { key, object, .. } => { mirror.insert(key, object); }
                    Change::Delete { key } => { mirror.remove(&key); }
                }
            }
        }
        let mut fresh = DirState::default();
        for (file, objects) in &files {
            fresh.apply(&format!("f{file}.yaml"), bytes(&text(objects)));
        }
        prop_assert_eq!(in_force(&state), in_force(&fresh));
        prop_assert_eq!(reports(&state), reports(&fresh));
        // The changes told the same story as the state.
        let mirrored: Vec<&ObjectKey> = mirror.keys().collect();
        let forced: Vec<&ObjectKey> = state.objects().map(|(key, _)| key).collect();
        prop_assert_eq!(mirrored, forced);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_documents(&bytes);
    }
}
