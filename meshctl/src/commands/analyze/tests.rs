//! Findings of files and of a cluster's objects, and what keeps them back.

use super::*;
use mesh_controller::sources::state::{Contents, DirState};

const OBJECTS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop, annotations: {ANNOTATION: x}}
spec:
  parentRefs: [{kind: Service, group: '', name: web}]
  rules:
    - backendRefs: [{name: nowhere, port: 80}]
---
apiVersion: amime.io/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec: {mtls: {mode: Strict}, typo: 1}
";

fn found(text: String) -> Vec<Finding> {
    let files = vec![("a.yaml".into(), Contents::Bytes(text.into_bytes()))];
    findings(&Objects::of(DirState::default(), files, String::new()).unwrap())
}

#[test]
fn what_is_wrong_is_told_with_code_object_field_and_line() {
    let text = text(&found(OBJECTS.to_owned()), Paint::Plain);
    insta::assert_snapshot!(text);
}

#[test]
fn codes_are_kept_back_by_annotation_and_by_flag() {
    let all = found(OBJECTS.to_owned());
    let codes = |found: &[Finding]| found.iter().map(|finding| finding.code.clone()).collect::<Vec<_>>();
    assert_eq!(codes(&all), ["BackendNotFound", "UnknownField"]);
    let annotated =
        found(OBJECTS.replace("ANNOTATION: x", "amime.io/analyze-suppress: 'Other, BackendNotFound'"));
    assert_eq!(codes(&annotated), ["UnknownField"]);
    let by = |rule: &str| codes(&suppressed(all.clone(), &[rule.to_owned()]).unwrap());
    assert_eq!(by("BackendNotFound"), ["UnknownField"]);
    assert_eq!(by("BackendNotFound=HTTPRoute/shop/web"), ["UnknownField"]);
    assert_eq!(by("BackendNotFound=HTTPRoute/shop/other").len(), 2);
    assert!(suppressed(Vec::new(), &["=x".to_owned()]).is_err());
}

#[test]
fn files_take_the_place_of_their_namesakes() {
    let live = |text: &str| {
        let object: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        object.to_string().into_bytes()
    };
    let mut files = live::Files::new();
    files.insert("Service/shop/web".into(), live("{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}"));
    let route = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: shop}, spec: {parentRefs: [{kind: Service, group: '', name: web}], rules: [{backendRefs: [{name: BACK, port: 80}]}]}}";
    files.insert("HTTPRoute/shop/web".into(), live(&route.replace("BACK", "gone")));
    assert_eq!(findings(&objects(files.clone(), &[]).unwrap()).len(), 1);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("route.yaml"), route.replace("BACK", "web")).unwrap();
    let fixed = objects(files, &[Place::parse(dir.path())]).unwrap();
    assert_eq!(findings(&fixed), []);
}
