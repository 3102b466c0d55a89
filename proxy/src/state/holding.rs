//! What the store holds, by name and version: for the controller, so that it sends what is missing, and to compare with what it believes.
//! Pure.

use mesh_model::matter::Matter;
use mesh_model::{external, policy, traffic};
use mesh_proto::config::v1::Held;
use mesh_proto::convert;
use mesh_proto::held::Checksum;

use super::store::Store;

impl Store {
    /// What is held, for the Hello of the next stream.
    pub fn held(&self) -> Vec<Held> {
        let held = |name: String, version: &String| Held { name, version: version.clone() };
        let settings = self.settings.iter().map(|s| held(convert::MESH.to_owned(), &s.version));
        let services = self.services.iter().map(|(name, v)| held(format!("service/{name}"), &v.version));
        let endpoints = self.endpoints.iter().map(|(name, v)| held(format!("endpoints/{name}"), &v.version));
        let routes = self.routes.iter().map(|(id, v)| held(id.to_string(), &v.version));
        let streams = self.streams.iter().map(|(id, v)| held(id.to_string(), &v.version));
        let policies = self.policies.iter().map(|(name, v)| held(traffic::resource_name(name), &v.version));
        let authorization =
            self.authorization.iter().map(|(name, v)| held(policy::resource_name(name), &v.version));
        let own = self.own.iter().map(|own| held(convert::OWN.to_owned(), &own.version));
        let authentication = self.authentication.iter();
        let authentication =
            authentication.map(|said| held(convert::AUTHENTICATION.to_owned(), &said.version));
        let addresses =
            self.addresses.found.iter().map(|(ip, v)| held(convert::address_name(*ip), &v.version));
        let hosts = self.addresses.hosts.iter().map(|(host, v)| held(convert::host_name(host), &v.version));
        let externals =
            self.addresses.externals.iter().map(|(name, v)| held(external::resource_name(name), &v.version));
        let named =
            services.chain(endpoints).chain(routes).chain(streams).chain(policies).chain(authorization);
        settings
            .chain(own)
            .chain(authentication)
            .chain(named)
            .chain(addresses)
            .chain(hosts)
            .chain(externals)
            .collect()
    }

    /// What is held, for a controller that believes nothing else: what it sent and could not be used it sends again.
    pub fn holding(&mut self) -> Vec<Held> {
        self.rejected.clear();
        self.held()
    }

    /// Of what the controller has told and not taken back, in the versions that it told, whether they could be used or not.
    pub fn checksum(&self) -> Checksum {
        let held = self.held();
        let used = held.iter().filter(|held| !self.rejected.contains_key(&held.name));
        used.map(|held| (&held.name, &held.version)).chain(&self.rejected).collect()
    }

    /// What is about something of which the newest form cannot be used.
    pub fn unusable(&self) -> Vec<Matter> {
        let mut about: Vec<Matter> = self.rejected.keys().filter_map(|name| Matter::of(name)).collect();
        about.sort_unstable();
        about.dedup();
        about
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::matter::Matter;

    use super::*;
    use crate::state::tests::{bad, endpoints, mesh, route, service, update};

    /// As a controller would believe it: the versions of these resources.
    fn told(resources: &[convert::ModelResource]) -> Checksum {
        resources.iter().map(|resource| (resource.name(), resource.version())).collect()
    }

    #[test]
    fn the_checksum_is_of_what_was_told_last_whether_it_can_be_used_or_not() {
        let mut store = Store::new("shop");
        let first = [mesh(false), service("cart"), endpoints("cart", &[1])];
        store.apply(update(&first, &[]));
        assert_eq!(store.checksum(), told(&first));
        let mut second = update(&[], &[]);
        second.resources = vec![bad(&endpoints("cart", &[7])), bad(&route("r", "cart", &["cart"]))];
        let versions = [second.resources[0].version.clone(), second.resources[1].version.clone()];
        assert_eq!(store.apply(second).rejects.len(), 2);
        let believed: Checksum = [
            (mesh(false).name(), mesh(false).version()),
            (service("cart").name(), service("cart").version()),
            ("endpoints/shop/cart".to_owned(), versions[0].clone()),
            ("httproute/shop/r".to_owned(), versions[1].clone()),
        ]
        .into_iter()
        .collect();
        assert_eq!(store.checksum(), believed);
        assert_eq!(store.unusable(), [Matter::Endpoints, Matter::Routes]);
        // A good form comes, and the other one is taken back.
        let third = [endpoints("cart", &[2])];
        store.apply(update(&third, &["httproute/shop/r"]));
        assert_eq!(store.checksum(), told(&[mesh(false), service("cart"), endpoints("cart", &[2])]));
        assert_eq!(store.unusable(), []);
    }

    #[test]
    fn what_is_said_to_be_held_is_what_is_in_force_and_rejects_are_awaited_again() {
        let mut store = Store::new("shop");
        store.apply(update(&[mesh(false), endpoints("cart", &[1])], &[]));
        let mut second = update(&[], &[]);
        second.resources = vec![bad(&endpoints("cart", &[7]))];
        store.apply(second);
        let held = store.holding();
        let of = |name: &str| held.iter().find(|held| held.name == name).map(|held| held.version.clone());
        assert_eq!(of("endpoints/shop/cart"), Some(endpoints("cart", &[1]).version()));
        assert_eq!(store.checksum(), told(&[mesh(false), endpoints("cart", &[1])]));
    }

    #[test]
    fn whatever_is_lost_kept_or_old_shows() {
        let all = [mesh(false), service("cart"), endpoints("cart", &[1])];
        let with = |change: &dyn Fn(&mut Store)| {
            let mut store = Store::new("shop");
            store.apply(update(&all, &[]));
            change(&mut store);
            store.checksum()
        };
        assert_eq!(with(&|_| {}), told(&all));
        assert_ne!(with(&|store| store.endpoints.clear()), told(&all));
        assert_ne!(with(&|store| store.settings = None), told(&all));
        assert_ne!(with(&|store| drop(store.apply(update(&[service("stock")], &[])))), told(&all));
        assert_ne!(
            with(&|store| store.services.values_mut().for_each(|held| held.version.push('0'))),
            told(&all)
        );
    }
}
