//! What is true at which moment of virtual time: for each service the mark that its endpoints carry. It must not know who knows it.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

pub const SERVICES: usize = 4;

/// Of a service: marks and since when. 0: there is no such service.
type History = Vec<(u64, u32)>;

/// Handles of the same truth.
#[derive(Clone)]
pub struct Truth(Arc<Mutex<Inner>>);

struct Inner {
    /// Virtual milliseconds.
    now: u64,
    changes: u32,
    services: Vec<History>,
    violations: Vec<String>,
}

impl Truth {
    pub fn new() -> Self {
        let services = (0..SERVICES).map(|_| vec![(0, 1)]).collect();
        Self(Arc::new(Mutex::new(Inner { now: 0, changes: 1, services, violations: Vec::new() })))
    }

    pub fn at(&self, ms: u64) {
        self.0.lock().unwrap().now = ms;
    }

    pub fn now(&self) -> u64 {
        self.0.lock().unwrap().now
    }

    /// The service has other endpoints from now on, or is gone.
    pub fn change(&self, service: usize, gone: bool) {
        let mut inner = self.0.lock().unwrap();
        inner.changes += 1;
        let (now, mark) = (inner.now, if gone { 0 } else { inner.changes });
        inner.services[service].push((now, mark));
    }

    /// Number of the last change.
    pub fn changes(&self) -> u32 {
        self.0.lock().unwrap().changes
    }

    /// Since when it has been wrong to believe that mark; `None`: it is right.
    pub fn wrong_since(&self, service: usize, mark: Option<u32>) -> Option<u64> {
        let inner = self.0.lock().unwrap();
        let history = &inner.services[service];
        if mark == history.last().map(|(_, mark)| *mark) {
            return None;
        }
        // The last time that it was right; never: from the beginning.
        let right = mark.and_then(|mark| history.iter().rposition(|(_, one)| *one == mark));
        Some(right.map_or(0, |at| history[at + 1].0))
    }

    pub fn violation(&self, what: String) {
        self.0.lock().unwrap().violations.push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        self.0.lock().unwrap().violations.clone()
    }

    /// All of it, as a folder would have it.
    pub fn yaml(&self) -> String {
        let inner = self.0.lock().unwrap();
        let objects = inner.services.iter().enumerate().filter_map(|(service, history)| {
            let mark = history.last().map(|(_, mark)| *mark).filter(|mark| *mark > 0)?;
            let (name, address) = (name(service), address(mark));
            Some(format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop, labels: {{change: 'n{}'}}}}, spec: {{ports: [{{name: http, port: 80}}]}}}}
---
{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {{name: {name}-1, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}, ports: [{{name: http, port: 80}}], endpoints: [{{addresses: [{address}]}}]}}
---
",
                inner.changes
            ))
        });
        objects.collect()
    }
}

pub fn name(service: usize) -> String {
    format!("s{service}")
}

fn address(mark: u32) -> Ipv4Addr {
    let [_, b, c, d] = mark.to_be_bytes();
    Ipv4Addr::new(10, b, c, d)
}

/// The mark that an address carries.
pub fn mark(address: Ipv4Addr) -> u32 {
    let [_, b, c, d] = address.octets();
    u32::from_be_bytes([0, b, c, d])
}
