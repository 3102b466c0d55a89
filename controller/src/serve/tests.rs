//! Whoever is not woken has nothing to be told: over random edits of random objects, whatever a stream asked for.

use std::collections::{BTreeMap, BTreeSet};

use mesh_model::spiffe::{SpiffeId, TrustDomain};
use mesh_proto::config::v1::{Destination, Hello};
use proptest::prelude::*;

use super::interests::Interests;
use super::session::{Now, Proxy, Session};
use super::snapshot::Snapshot;
use crate::compile::compile;
use crate::index::Index;
use crate::sources::state::{Contents, DirState};

const SERVICES: [&str; 3] = ["a", "b", "c"];

/// An object in one of its forms.
fn object(which: usize, form: usize) -> String {
    let (name, other) = (SERVICES[which % 3], SERVICES[form % 3]);
    match which / 3 {
        0 => {
            let ip = ["10.0.0.1", "10.0.0.2", "None"][form % 3];
            format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{clusterIP: '{ip}', selector: {{app: {other}}}, ports: [{{name: http, port: 80}}]}}}}"
            )
        }
        1 => format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {{name: {name}-1, namespace: shop, labels: {{kubernetes.io/service-name: {other}}}}}, ports: [{{name: http, port: 80}}], endpoints: [{{addresses: [10.1.0.{form}]}}]}}"
        ),
        2 => {
            let namespace = ["shop", "bank"][which % 2];
            format!(
                "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r{which}, namespace: {namespace}}}, spec: {{parentRefs: [{{group: '', kind: Service, name: {name}, namespace: shop}}], rules: [{{backendRefs: [{{name: {other}, namespace: shop, port: 80}}]}}]}}}}"
            )
        }
        3 => {
            let target = match which % 3 {
                0 => format!("group: '', kind: Service, name: {other}"),
                _ => format!("group: gateway.networking.k8s.io, kind: HTTPRoute, name: r{}", 6 + form % 3),
            };
            format!(
                "{{apiVersion: amime.io/v1alpha1, kind: TrafficPolicy, metadata: {{name: p{which}, namespace: shop}}, spec: {{targetRefs: [{{{target}}}], timeouts: {{request: {}s}}}}}}",
                form + 1
            )
        }
        4 => format!(
            "{{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {{name: {name}, namespace: shop, labels: {{app: {other}}}}}, spec: {{address: 10.1.0.{form}, ports: [{{name: http, port: 80}}]}}}}"
        ),
        5 => {
            let selector = if form.is_multiple_of(2) {
                String::new()
            } else {
                format!("selector: {{matchLabels: {{app: {name}}}}}, ")
            };
            format!(
                "{{apiVersion: amime.io/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: z{which}, namespace: shop}}, spec: {{{selector}action: Allow, rules: [{{from: [{{namespaces: [n{form}]}}]}}]}}}}"
            )
        }
        6 => format!(
            "{{apiVersion: amime.io/v1alpha1, kind: AuthenticationPolicy, metadata: {{name: m{which}, namespace: shop}}, spec: {{mtls: {{mode: {}}}}}}}",
            ["Strict", "Permissive", "Disabled"][form % 3]
        ),
        7 => format!(
            "{{apiVersion: amime.io/v1alpha1, kind: ExternalService, metadata: {{name: e{which}, namespace: shop}}, spec: {{hosts: [{name}{form}.example.com], ports: [{{port: 443, protocol: TLS}}]}}}}"
        ),
        _ => format!(
            "{{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {{name: default}}, spec: {{mtls: {{mode: {}}}}}}}",
            ["Strict", "Permissive"][form % 2]
        ),
    }
}

/// Objects, their forms, and that they are gone.
fn edits() -> impl Strategy<Value = Vec<(usize, Option<usize>)>> {
    let form = proptest::option::weighted(0.75, 0_usize..6);
    proptest::collection::vec((0_usize..25, form), 1..40)
}

fn sessions() -> Vec<Session> {
    let wanted: [(&str, &str, &[&str], &[&str]); 4] = [
        ("shop", "a", &["a"], &[]),
        ("bank", "client", &["a", "c", "nobody"], &["b.shop", "10.1.0.1"]),
        ("shop", "b", &[], &["10.0.0.1", "a1.example.com", "c.shop.svc.cluster.local"]),
        ("shop", "c", &[], &[]),
    ];
    let session = |(namespace, workload, services, sought): (&str, &str, &[&str], &[&str])| {
        let proxy = Proxy {
            namespace: namespace.into(),
            workload: workload.into(),
            instance: "1".into(),
            version: "test".into(),
            spiffe_id: SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/client").unwrap(),
        };
        let destination = |name: &&str| Destination { namespace: "shop".into(), name: (*name).into() };
        let destinations = services.iter().map(destination).collect();
        let sought = sought.iter().map(ToString::to_string).collect();
        Session::new(proxy, Hello { destinations, sought, ..Hello::default() }).unwrap()
    };
    wanted.into_iter().map(session).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whoever_is_not_woken_has_nothing_to_be_told(edits in edits()) {
        let domain = TrustDomain::new("mesh.test").unwrap();
        let (mut state, mut index) = (DirState::default(), Index::default());
        let (mut snapshot, _) = Snapshot::build(&compile(&index, &domain), 0, 0, None);
        let mut interests = Interests::default();
        let mut streams: BTreeMap<u64, Session> = (0..).zip(sessions()).collect();
        for (stream, session) in &mut streams {
            interests.enter(*stream, session.workload().cloned());
            session.next_update(&snapshot, Now::default());
            interests.set(*stream, session.interest().unwrap());
        }
        for (which, form) in edits {
            let contents = form.map_or(Contents::Gone, |form| Contents::Bytes(object(which, form).into_bytes()));
            index.apply(state.apply(&format!("{which}.yaml"), contents), 1);
            prop_assert!(state.reports().is_empty(), "{:?}", state.reports());
            let compiled = compile(&index, &domain);
            let (now, touched) = Snapshot::build(&compiled, index.revision(), 0, Some(&snapshot));
            snapshot = now;
            let mut concerned = BTreeSet::new();
            interests.concerned(&touched, |stream, _| {
                concerned.insert(stream);
            });
            for (stream, session) in &mut streams {
                let woken = concerned.contains(stream);
                let update = session.next_update(&snapshot, Now::default());
                prop_assert!(woken || update.is_none(), "stream {stream} sleeps through {touched:?}: {update:?}");
                if let Some(interest) = session.interest() {
                    prop_assert!(woken, "what concerns stream {stream} has changed in its sleep");
                    interests.set(*stream, interest);
                }
            }
        }
    }
}
