//! Lookups of the index.

use std::collections::BTreeMap;

use mesh_model::name::ServiceName;

use super::*;
use crate::sources::state::{Contents, DirState};

fn index(yaml: &str) -> Index {
    let mut index = Index::default();
    index.apply(DirState::default().apply("f.yaml", Contents::Bytes(yaml.as_bytes().to_vec())), 5);
    index
}

const SLICE: &str = "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, namespace: shop, \
    labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: []}";

#[test]
fn a_slice_is_found_by_its_service_and_moves_with_its_label() {
    let mut index = index(SLICE);
    let web = ServiceName::new("shop", "web").unwrap();
    let api = ServiceName::new("shop", "api").unwrap();
    assert_eq!((index.slices.of_service(&web).count(), index.slices.of_service(&api).count()), (1, 0));
    let moved = SLICE.replace("name: web", "name: api");
    index.apply(DirState::default().apply("f.yaml", Contents::Bytes(moved.into_bytes())), 6);
    assert_eq!((index.slices.of_service(&web).count(), index.slices.of_service(&api).count()), (0, 1));
    let (key, ..) = index.slices.iter().next().map(|(key, ..)| (key.clone(), ())).unwrap();
    index.apply([Change::Delete { key }], 7);
    assert_eq!(index.slices.of_service(&api).count(), 0);
    assert_eq!((index.revision(), index.time_ms()), (3, 7));
}

#[test]
fn workloads_are_selected_by_all_labels_in_their_namespace_and_never_by_none() {
    let workload = |ns: &str, name: &str, labels: &str| {
        format!(
            "---\n{{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {{name: {name}, namespace: {ns}, labels: {labels}}}, spec: {{address: 127.0.0.1}}}}\n"
        )
    };
    let yaml = workload("a", "one", "{app: x, v: '1'}")
        + &workload("a", "two", "{app: x}")
        + &workload("b", "three", "{app: x, v: '1'}");
    let index = index(&yaml);
    let names = |selector: &[(&str, &str)]| {
        let selector: BTreeMap<String, String> =
            selector.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        index.workloads.selected("a", &selector).map(|(name, _)| name.0.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[("app", "x")]), ["one", "two"]);
    assert_eq!(names(&[("app", "x"), ("v", "1")]), ["one"]);
    assert_eq!(names(&[]), Vec::<String>::new());
}
