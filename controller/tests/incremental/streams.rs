//! Streams of proxies that look only at what a change is said to concern. What they are told is all that there is to be told.

use mesh_controller::serve::registry::Place;
use mesh_controller::serve::session::{Now, Proxy, Session};
use mesh_controller::serve::touched::Others;
use mesh_controller::serve::{Registry, Snapshot, Touched, Unseen};
use mesh_model::spiffe::SpiffeId;
use mesh_proto::config::v1::{Destination, Hello};

/// Several streams, and how they found out what they were told.
#[derive(Debug)]
pub(crate) struct Streams {
    registry: Registry,
    places: Vec<Place>,
    /// Looks at endpoints alone that found something, and comparisons of everything.
    pub(crate) narrow: usize,
    pub(crate) wide: usize,
}

/// Namespace and workload, services, and addresses and hosts.
const STREAMS: [(&str, &str, &[&str], &[&str]); 4] = [
    ("shop", "member-0", &["shop/web", "shop/api", "bank/db"], &[]),
    ("bank", "member-1", &["shop/cart", "bank/web", "bank/nobody"], &["10.1.0.1", "10.0.0.1", "fd00::1"]),
    ("shop", "other", &["shop/db", "bank/api", "bank/cart"], &["web.shop", "member-2.api.shop", "10.1.0.3"]),
    ("bank", "idle", &[], &[]),
];

impl Streams {
    pub(crate) fn new() -> Self {
        let registry = Registry::new(STREAMS.len());
        let places = STREAMS.into_iter().map(|(namespace, workload, services, sought)| {
            let proxy = Proxy {
                namespace: namespace.into(),
                workload: workload.into(),
                instance: "1".into(),
                version: "test".into(),
                spiffe_id: SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/client").unwrap(),
            };
            let destination = |service: &&str| {
                let (namespace, name) = service.split_once('/').unwrap();
                Destination { namespace: namespace.into(), name: name.into() }
            };
            let destinations = services.iter().map(destination).collect();
            let sought = sought.iter().map(ToString::to_string).collect();
            let hello = Hello { destinations, sought, ..Hello::default() };
            registry.enter(Session::new(proxy, hello).unwrap(), 0).unwrap()
        });
        let places = places.collect();
        // Each has asked, and nothing was said yet.
        registry.wake(&Touched { others: Others::All, ..Touched::default() }, 0);
        Self { places, registry, narrow: 0, wide: 0 }
    }

    /// A change. Says what a stream would not have been told.
    pub(crate) fn told(&mut self, snapshot: &Snapshot, touched: &Touched) -> Result<(), String> {
        self.registry.wake(touched, snapshot.revision);
        for (place, stream) in self.places.iter().zip(STREAMS) {
            let unseen = place.looks();
            let (update, missed, interest) = place.session(|session| {
                let update = match &unseen {
                    Unseen::Nothing => None,
                    Unseen::Endpoints(services) => session.next_of(services, snapshot, Now::default()),
                    Unseen::Anything => session.next_update(snapshot, Now::default()),
                };
                let interest = session.interest();
                (update, session.next_update(snapshot, Now::default()), interest)
            });
            match unseen {
                Unseen::Endpoints(_) => self.narrow += usize::from(update.is_some()),
                Unseen::Anything => self.wide += 1,
                Unseen::Nothing => {}
            }
            if let Some(missed) = missed {
                return Err(format!(
                    "{stream:?}, after a look at {unseen:?}\nis not told {missed:?}\nof {touched:?}"
                ));
            }
            if let Some(interest) = interest {
                place.concerned_by(interest, snapshot.revision);
            }
        }
        Ok(())
    }
}
