//! Changes of the configuration: weights, header edits, timeouts and policies of one service, none of which may cost a request. What
//! the n-th change says is pure.

use std::time::Duration;

use anyhow::Result;

use super::lab::file;
use crate::mesh::Mesh;
use crate::mesh::objects::NAMESPACE;

/// How far the changes are.
#[derive(Debug)]
pub(super) struct Churn {
    per_second: u32,
    pub(super) made: u64,
}

impl Churn {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, made: 0 }
    }

    /// Makes what is due by now, at most one: a loop that is late must not make up for it at once.
    pub(super) fn due(&mut self, now: Duration, mesh: &Mesh) -> Result<()> {
        let wanted = now.as_millis() * u128::from(self.per_second) / 1000;
        if u128::from(self.made) < wanted {
            self.made += 1;
            if self.made.is_multiple_of(2) {
                mesh.write("route.yaml", &route(self.made))?;
            } else {
                mesh.write("policy.yaml", &policy(self.made))?;
            }
        }
        Ok(())
    }
}

/// What is there before the first change.
pub(super) fn first() -> [(&'static str, String); 2] {
    [("route.yaml", route(0)), ("policy.yaml", policy(1))]
}

fn route(number: u64) -> String {
    let weight = number * 7 % 101;
    let rest = 100 - weight;
    let seconds = 20 + number % 10;
    file(&[format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: web, namespace: {NAMESPACE} }}\nspec:\n  \
        parentRefs:\n    - {{ group: \"\", kind: Service, name: web, port: 80 }}\n  rules:\n    \
        - matches:\n        - headers: [{{ name: x-change, value: \"{number}\" }}]\n      \
        backendRefs:\n        - {{ name: web-a, port: 80 }}\n    \
        - filters:\n        - type: RequestHeaderModifier\n          requestHeaderModifier:\n            \
        set: [{{ name: x-version, value: \"{number}\" }}]\n      timeouts: {{ request: {seconds}s }}\n      \
        backendRefs:\n        - {{ name: web-a, port: 80, weight: {weight} }}\n        - {{ name: web-b, port: 80, weight: {rest} }}\n"
    )])
}

fn policy(number: u64) -> String {
    let connections = 200 + number % 50;
    file(&[format!(
        "apiVersion: amime.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {{ name: web, namespace: {NAMESPACE} }}\nspec:\n  \
        targetRefs:\n    - {{ kind: Service, name: web-a }}\n    - {{ kind: Service, name: web-b }}\n  \
        circuitBreaker:\n    maxConnections: {connections}\n    maxRequests: 2000\n"
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_differ_from_change_to_change_and_add_up() {
        assert_ne!(route(2), route(4));
        for number in 0..200 {
            let weight = number * 7 % 101;
            assert!(route(number).contains(&format!("weight: {weight} }}")), "{number}");
            assert!(route(number).contains(&format!("weight: {} }}", 100 - weight)));
        }
    }
}
