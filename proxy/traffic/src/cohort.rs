//! To which share of a split a user belongs: a place on the ring that the weights divide, made of who the user is. It must not know
//! weights; `mesh_model::route::split` takes the place where it takes a random number otherwise.
//!
//! The place is the same in every proxy and version, and differs from one called service to the next, so that it is not always the same
//! users who meet what is new.

use mesh_model::name::ServiceName;

use crate::hash::hash_of;

/// The place of a user, told by `key`, in splits of a called service.
pub fn place(service: &ServiceName, key: &[u8]) -> u64 {
    hash_of([service.0.namespace().as_bytes(), service.0.name().as_bytes(), key])
}

#[cfg(test)]
mod tests {
    use mesh_model::route::split::pick;
    use mesh_model::route::{Backend, BackendTarget};

    use super::*;

    const USERS: u32 = 100_000;

    fn service(name: &str) -> ServiceName {
        ServiceName::new("shop", name).unwrap()
    }

    fn backends(stable: u32, canary: u32) -> Vec<Backend> {
        let backend = |name: &str, weight| Backend {
            target: BackendTarget::Service { service: service(name), port: 80 },
            weight,
            filters: Vec::new(),
            takes: Vec::new(),
        };
        vec![backend("stable", stable), backend("canary", canary)]
    }

    /// Whether each user is with the canary.
    fn with_canary(called: &str, stable: u32, canary: u32) -> Vec<bool> {
        let backends = backends(stable, canary);
        let called = service(called);
        (0..USERS)
            .map(|user| {
                let picked = pick(&backends, place(&called, format!("user-{user}").as_bytes())).unwrap();
                std::ptr::eq(picked, &raw const backends[1])
            })
            .collect()
    }

    fn share(users: &[bool]) -> f64 {
        users.iter().filter(|is| **is).count() as f64 / f64::from(USERS)
    }

    /// 5 %, 20 %, 50 %, and back to 0: whoever came to the canary stays while it grows, nobody else moves, and shares are as weights say.
    #[test]
    fn only_the_users_move_that_must() {
        let steps = [(95, 5), (80, 20), (50, 50)];
        let mut before = with_canary("cart", 100, 0);
        assert!(before.iter().all(|is| !is));
        for (stable, canary) in steps {
            let now = with_canary("cart", stable, canary);
            let moved_back = before.iter().zip(&now).filter(|(before, now)| **before && !**now).count();
            assert_eq!(moved_back, 0, "at {canary} %");
            let moved = before.iter().zip(&now).filter(|(before, now)| before != now).count();
            let must = share(&now) - share(&before);
            assert!((moved as f64 / f64::from(USERS) - must).abs() < 1e-9, "{moved} moved at {canary} %");
            // Four standard deviations of a share of 100,000.
            let wanted = f64::from(canary) / 100.0;
            assert!((share(&now) - wanted).abs() < 4.0 * (wanted * (1.0 - wanted) / f64::from(USERS)).sqrt());
            before = now;
        }
        assert!(with_canary("cart", 100, 0).iter().all(|is| !is), "all come back at once");
    }

    #[test]
    fn the_first_users_of_one_service_are_not_those_of_the_next() {
        let (cart, web) = (with_canary("cart", 90, 10), with_canary("web", 90, 10));
        let both = cart.iter().zip(&web).filter(|(cart, web)| **cart && **web).count();
        assert!((both as f64 / f64::from(USERS) - 0.01).abs() < 0.0015, "{both}");
    }
}
