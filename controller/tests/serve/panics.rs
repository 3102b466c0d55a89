//! T43: a panic while objects are taken in: what is in force stays, proxies stay connected, and nothing that was read is left out.

use mesh_lifecycle::{failpoint, tasks};

use crate::world::{SHOP, World, names};

#[tokio::test]
async fn after_a_panic_of_the_control_loop_the_change_that_it_met_is_taken_in() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    proxy.ack(first.nonce, vec![]).await;
    let before = tasks::counts("control loop");
    failpoint::arm("control loop", "HTTPRoute panics/other", 2);
    let other = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other, namespace: panics}
spec: {parentRefs: [{group: '', kind: Service, name: nothing}]}
";
    // Both changes are of one look at the folder: the one that panics must not swallow the other.
    world.edit(&(SHOP.replace("weight: 90", "weight: 50") + other));
    let second = proxy.update().await;
    assert_eq!(names(&second.resources), ["httproute/shop/web"]);
    let after = tasks::counts("control loop");
    assert_eq!((after.panics - before.panics, after.restarts - before.restarts), (2, 2));
    assert!(world.running.ready.is_ready());
}
