//! Files of assertions against a folder of objects, with snapshots of every report. They must not start a mesh.

use std::path::Path;

use super::*;

const OBJECTS: &str = include_str!("tests/objects.yaml");

fn objects(text: &str) -> Objects {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("objects.yaml");
    std::fs::write(&file, text).unwrap();
    let objects = Objects::load(&[Place::Path(file.clone())]).unwrap();
    let objects = with_stand_ins(objects).unwrap();
    // Where it was read is another folder at every run.
    let text = objects.texts().find(|(name, _)| Path::new(&***name) == file).unwrap().1.clone();
    Objects::of(
        mesh_controller::sources::state::DirState::default(),
        vec![("objects.yaml".into(), mesh_controller::sources::state::Contents::Bytes(text.into_bytes()))],
        "objects.yaml".to_owned(),
    )
    .and_then(|objects| {
        let more = stand_ins::text(&objects);
        objects.with(stand_ins::FILE, more)
    })
    .unwrap()
}

fn results(tests: &str) -> Vec<SuiteResult> {
    let suite = file::read("tests.yaml", tests).unwrap().unwrap();
    vec![judged(&objects(OBJECTS), suite)]
}

/// A case as one line of YAML.
fn one(case: &str) -> CaseResult {
    let text = format!("apiVersion: amime.io/v1alpha1\nkind: MeshTest\ntests:\n- {case}\n");
    let mut suites = results(&text);
    suites.remove(0).cases.remove(0)
}

fn broken(case: &str) -> String {
    let text = format!("apiVersion: amime.io/v1alpha1\nkind: MeshTest\ntests:\n- {case}\n");
    file::read("tests.yaml", &text).unwrap_err().to_string()
}

#[test]
fn every_case_of_the_table_passes() {
    let results = results(include_str!("tests/good.yaml"));
    assert_eq!(report::failed(&results), 0, "{}", report::text(&results, Paint::Plain));
}

#[test]
fn a_failure_says_what_was_expected_what_came_and_which_field_decided() {
    let results = results(include_str!("tests/bad.yaml"));
    assert_eq!(report::failed(&results), results[0].cases.len(), "every one of them is wrong");
    insta::assert_snapshot!("table", report::text(&results, Paint::Plain));
    insta::assert_json_snapshot!("json", report::json(&results, "objects.yaml"));
    insta::assert_snapshot!("junit", report::junit(&results));
}

#[test]
fn whatever_stands_in_a_name_the_junit_report_is_well_formed() {
    let name = r#""a <b> & 'c' \" \u0001 \n ]]> é""#;
    let result = one(&format!(
        "{{name: {name}, from: {{serviceAccount: shop/web}}, to: {{service: shop/orders}}, expect: {{verdict: allow}}}}"
    ));
    let report = report::junit(&[SuiteResult { file: "a&b.yaml".into(), cases: vec![result] }]);
    assert!(
        report.contains("name=\"a &lt;b&gt; &amp; &apos;c&apos; &quot; \u{fffd} &#10; ]]&gt; é\""),
        "{report}"
    );
    assert!(
        report.contains("testsuite name=\"a&amp;b.yaml\" tests=\"1\" failures=\"1\" errors=\"0\""),
        "{report}"
    );
    // Every `<` begins a tag of ours, every `&` an entity.
    let tags = ["?xml", "testsuites", "testsuite", "testcase", "failure"];
    for rest in report.split('<').skip(1) {
        assert!(tags.iter().any(|tag| rest.trim_start_matches('/').starts_with(tag)), "{rest}");
    }
    for rest in report.split('&').skip(1) {
        assert!(rest.split_once(';').is_some_and(|(name, _)| name.len() <= 5), "{rest}");
    }
}

#[test]
fn a_file_that_says_too_little_or_too_much_is_broken_and_the_field_is_named() {
    let rest = "to: {service: shop/orders}, expect: {verdict: allow}";
    for (case, wanted) in [
        (format!("{{name: a, from: {{}}, {rest}}}"), "tests[0].from: write one of"),
        (
            format!("{{name: a, from: {{plaintext: true, workload: a/b}}, {rest}}}"),
            "tests[0].from: write one of",
        ),
        (format!("{{name: a, from: {{identity: web}}, {rest}}}"), "tests[0].from.identity"),
        (format!("{{name: ' ', from: {{plaintext: true}}, {rest}}}"), "tests[0].name"),
        (
            format!("{{name: a, from: {{plaintext: true}}, tcp: true, request: {{}}, {rest}}}"),
            "tests[0].request",
        ),
        (
            "{name: a, from: {plaintext: true}, to: {service: orders}, expect: {verdict: allow}}".into(),
            "tests[0].to.service: write NAMESPACE/NAME",
        ),
        (
            "{name: a, from: {plaintext: true}, to: {service: shop/orders}, expect: {}}".into(),
            "tests[0].expect: says nothing",
        ),
        (
            "{name: a, from: {plaintext: true}, to: {service: shop/orders}, expect: {route: shop/a}}".into(),
            "tests[0].expect.route",
        ),
        (
            "{name: a, from: {plaintext: true}, to: {service: shop/orders}, expect: {verdict: alow}}".into(),
            "alow",
        ),
        (format!("{{name: a, from: {{plaintext: true}}, reqest: {{}}, {rest}}}"), "reqest"),
    ] {
        let said = broken(&case);
        assert!(said.starts_with("tests.yaml: ") && said.contains(wanted), "{case}: {said}");
    }
    assert!(
        file::read("a.yaml", "kind: MeshTest\napiVersion: v1\ntests: []\n")
            .unwrap_err()
            .to_string()
            .contains("write amime.io/v1alpha1")
    );
    let none = "kind: MeshTest\napiVersion: amime.io/v1alpha1\ntests: []\n";
    assert!(file::read("a.yaml", none).unwrap_err().to_string().contains("passes whatever happens"));
    assert_eq!(file::read("a.yaml", "kind: Service\n---\na: 1\n").unwrap(), None);
}

#[test]
fn documents_of_other_kinds_stand_beside_and_errors_name_the_line() {
    let text = "apiVersion: v1\nkind: Service\n---\napiVersion: amime.io/v1alpha1\nkind: MeshTest\ntests:\n- {name: a, wrong: 1}\n";
    let said = file::read("a.yaml", text).unwrap_err().to_string();
    assert!(said.contains("line 7"), "{said}");
}

#[test]
fn what_is_not_there_is_an_error_of_the_case() {
    for (case, wanted) in [
        (
            "{name: a, from: {plaintext: true}, to: {service: shop/nothing}, expect: {verdict: allow}}",
            "there is no Service shop/nothing",
        ),
        (
            "{name: a, from: {workload: shop/nobody}, to: {service: shop/orders}, expect: {verdict: allow}}",
            "there is no workload shop/nobody",
        ),
        (
            "{name: a, from: {plaintext: true}, to: {service: shop/orders, port: 81}, expect: {verdict: allow}}",
            "has no port 81; it has 80",
        ),
        (
            "{name: a, from: {plaintext: true}, to: {service: shop/two}, expect: {verdict: allow}}",
            "several ports (80, 81)",
        ),
    ] {
        let result = one(case);
        let said = result.got.clone().unwrap_err();
        assert!(!result.passes() && said.contains(wanted), "{case}: {said}");
    }
}

#[test]
fn a_service_without_members_is_judged_at_the_template_of_its_pods() {
    let objects = objects(OBJECTS);
    let names: Vec<String> = objects
        .index
        .workloads
        .store
        .iter()
        .map(|(key, entry)| format!("{}:{:?}", key.name, entry.object.spec.service_account))
        .collect();
    assert!(names.contains(&"billing:Some(\"bill\")".to_owned()), "{names:?}");
    // By the account of the template.
    let result =
        one("{name: a, from: {workload: shop/billing}, to: {service: shop/orders}, expect: {verdict: deny}}");
    assert!(result.passes(), "{result:?}");
}
