//! Memory of a controller that runs for long: what a change of the configuration leaves behind, and what a minute of reports does. The
//! allocator of this program counts what the test's own thread holds, so nothing can grow unseen.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use mesh_controller::compile::incremental::{Compiler, Followed};
use mesh_controller::index::Index;
use mesh_controller::observe::stats::{Reporter, Stats, When};
use mesh_controller::serve::Snapshot;
use mesh_controller::serve::codec::Outgoing;
use mesh_controller::serve::session::{Now, Proxy, Session};
use mesh_controller::sources::state::{Contents, DirState};
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use mesh_proto::config::v1::{Ack, Destination, Hello};
use mesh_proto::report::v1::{Histogram, Security, Series, SeriesKey, Side};

#[path = "support/held.rs"]
mod support;

use support::held;

const BASE: &str = r"
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, appProtocol: http }] }
---
apiVersion: amime.io/v1alpha1
kind: Workload
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { address: 127.0.0.1, ports: [{ name: http, port: 80 }] }
";

fn route(number: u32) -> String {
    format!(
        r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{ name: web, namespace: shop }}
spec:
  parentRefs: [{{ group: "", kind: Service, name: web, port: 80 }}]
  rules:
  - matches: [{{ headers: [{{ name: x-change, value: "{number:06}" }}] }}]
    backendRefs: [{{ name: web, port: 80 }}]
  - timeouts: {{ request: {}s }}
    backendRefs: [{{ name: web, port: 80 }}, {{ name: gone-{number:06}, port: 80, weight: 0 }}]
"#,
        20 + number % 10
    )
}

fn policy(number: u32) -> String {
    // Every other one is bad: its last good form stays, and what is wrong is said.
    let limit = if number.is_multiple_of(4) { -1 } else { i64::from(number) };
    format!(
        r"
apiVersion: amime.io/v1alpha1
kind: TrafficPolicy
metadata: {{ name: web, namespace: shop }}
spec:
  targetRefs: [{{ kind: Service, name: web }}]
  circuitBreaker: {{ maxConnections: {limit} }}
"
    )
}

/// Everything that a change goes through, without files and sockets.
struct World {
    folder: DirState,
    index: Index,
    compiler: Compiler,
    snapshot: Snapshot,
    session: Session,
    told: usize,
}

impl World {
    fn new() -> Self {
        let (index, trust) = (Index::default(), TrustDomain::new("mesh.test").unwrap());
        let proxy = Proxy {
            namespace: "shop".into(),
            workload: "caller".into(),
            instance: "1".into(),
            version: "1".into(),
            spiffe_id: SpiffeId::new(trust.clone(), "shop", "caller").unwrap(),
        };
        let destinations = vec![Destination { namespace: "shop".into(), name: "web".into() }];
        let hello = Hello { destinations, ..Hello::default() };
        let session = Session::new(proxy, hello).unwrap();
        let compiler = Compiler::new(trust);
        let (snapshot, _) = Snapshot::build(compiler.compiled(), 0, 0, None);
        Self { folder: DirState::default(), index, compiler, snapshot, session, told: 0 }
    }

    fn write(&mut self, file: &str, text: String) {
        let changes = self.folder.apply_all([(Arc::from(file), Contents::Bytes(text.into_bytes()))]);
        let now = self.index.revision() + 1;
        self.index.apply(changes, now);
        let followed = self.compiler.follow(&mut self.index);
        let compiled = self.compiler.compiled();
        (self.snapshot, _) = match followed {
            Followed::Whole => Snapshot::build(compiled, now, now, Some(&self.snapshot)),
            Followed::Part(changes) => self.snapshot.follow(compiled, &changes, now, now),
        };
        if let Some(Outgoing::Update { rest, .. }) = self.session.next_update(&self.snapshot, Now::default())
        {
            self.told += 1;
            self.session.ack(Ack { nonce: rest.nonce, ..Ack::default() });
        }
    }

    fn changes(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            if number.is_multiple_of(2) {
                self.write("policy.yaml", policy(number));
            } else {
                self.write("route.yaml", route(number));
            }
        }
    }
}

#[test]
fn a_change_leaves_nothing_behind() {
    let mut world = World::new();
    world.write("base.yaml", BASE.to_owned());
    world.changes(0..200);
    let (before, told) = (held(), world.told);
    world.changes(200..2_200);
    let grown = held() - before;
    assert!(world.told > told + 1_000, "the changes meant something: {}", world.told);
    assert!(grown < 4_096, "2,000 changes left {grown} bytes behind");
}

/// What a proxy says each second about one call of ten that it makes.
fn report(second: u64) -> Vec<Series> {
    let series = (0..10_u64).map(|destination| {
        // Latencies of half a millisecond to half a second, as on a machine that does other things too.
        let indices: Vec<u32> =
            (0..12).map(|n| 72 + u32::try_from((second * 7 + destination + n * 5) % 80).unwrap()).collect();
        let indices: std::collections::BTreeSet<u32> = indices.into_iter().collect();
        let counts = vec![2; indices.len()];
        let key = SeriesKey {
            side: Side::Outbound.into(),
            service_namespace: "shop".into(),
            service: format!("service-{destination}"),
            destination_namespace: "shop".into(),
            destination_workload: format!("service-{destination}"),
            route: "httproute/shop/web/0".into(),
            protocol: "http".into(),
            status: 200,
            security: Security::Mtls.into(),
            ..SeriesKey::default()
        };
        let requests = 2 * indices.len() as u64;
        let latency = Some(Histogram { indices: indices.into_iter().collect(), counts });
        Series { key: Some(key), requests, latency, ..Series::default() }
    });
    series.collect()
}

#[test]
fn an_hour_of_reports_takes_few_bytes_and_then_no_more() {
    let web = Reporter { namespace: "shop", workload: "web" };
    let mut stats = Stats::default();
    let mut minutes = |from: u64, to: u64| {
        for second in from * 60..to * 60 {
            stats.record(web, &report(second), When { now: second, late: 0 });
        }
        held()
    };
    let empty = held();
    let [five, thirty, hour, two_hours] = [minutes(0, 5), minutes(5, 30), minutes(30, 62), minutes(62, 122)];
    let a_minute = (thirty - five) / (25 * 10);
    // Six points of history of 16 bytes are in it, in a queue that doubles.
    assert!(a_minute < 256 + 2 * 6 * 16, "a minute of a series takes {a_minute} bytes");
    let a_series = (hour - empty) / 10;
    assert!(a_series < 32 * 1024, "an hour of a series takes {a_series} bytes");
    assert!(two_hours - hour < 4 * 1024, "what is older than an hour is kept: {} bytes", two_hours - hour);
}
