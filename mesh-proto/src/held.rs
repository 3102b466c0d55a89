//! What both ends of a configuration stream compute of what a proxy holds: one number that says whether they believe the same, and which
//! kind a resource is of. It must not know resources, but for their names.

use crate::config::v1::ResourceKind;
use crate::convert::{self, fnv1a};

/// The number, and of how many resources it is. The order of resources does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksum {
    /// As in `Watermark.checksum`.
    pub sum: u64,
    /// As in `Watermark.resources`.
    pub resources: u32,
}

impl Checksum {
    /// One resource more.
    pub fn add(&mut self, name: &str, version: &str) {
        let hash = fnv1a(name.bytes().chain([0]).chain(version.bytes()));
        self.sum = self.sum.wrapping_add(hash);
        self.resources = self.resources.saturating_add(1);
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Checksum {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(all: T) -> Self {
        let mut sum = Self::default();
        all.into_iter().for_each(|(name, version)| sum.add(name.as_ref(), version.as_ref()));
        sum
    }
}

/// Every kind that is told of, in the order in which they are shown.
pub const KINDS: [ResourceKind; 5] = [
    ResourceKind::Settings,
    ResourceKind::Services,
    ResourceKind::Endpoints,
    ResourceKind::Routes,
    ResourceKind::Policies,
];

/// As metrics name it.
pub fn word(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Unspecified => "unknown",
        ResourceKind::Settings => "settings",
        ResourceKind::Services => "services",
        ResourceKind::Endpoints => "endpoints",
        ResourceKind::Routes => "routes",
        ResourceKind::Policies => "policies",
    }
}

/// Of which kind the resource of that name is. What a later version tells of and this one does not know is `Unspecified`.
pub fn kind(name: &str) -> ResourceKind {
    match name.split_once('/').map_or(name, |(kind, _)| kind) {
        convert::MESH => ResourceKind::Settings,
        convert::OWN | "service" | "address" | "host" | "externalservice" => ResourceKind::Services,
        "endpoints" => ResourceKind::Endpoints,
        "httproute" | "grpcroute" | "tcproute" | "tlsroute" => ResourceKind::Routes,
        convert::AUTHENTICATION | "trafficpolicy" | "authorizationpolicy" => ResourceKind::Policies,
        _ => ResourceKind::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_count_and_every_name_and_version_does() {
        let of = |all: &[(&'static str, &'static str)]| all.iter().copied().collect::<Checksum>();
        let both = of(&[("mesh", "1"), ("own", "2")]);
        assert_eq!(both, of(&[("own", "2"), ("mesh", "1")]));
        assert_eq!(both.resources, 2);
        for other in
            [of(&[("mesh", "2"), ("own", "1")]), of(&[("mesh", "1")]), of(&[("mesh1", ""), ("own", "2")])]
        {
            assert_ne!(both, other);
        }
        // It is a promise to proxies of other versions.
        assert_eq!(of(&[("mesh", "1")]).sum, 0x98f6_50ed_177d_083f);
    }

    #[test]
    fn every_name_is_of_a_kind() {
        let kinds = [
            ("mesh", "settings"),
            ("own", "services"),
            ("service/shop/a", "services"),
            ("endpoints/shop/a", "endpoints"),
            ("httproute/shop/a", "routes"),
            ("authentication", "policies"),
            ("trafficpolicy/shop/a", "policies"),
            ("address/10.0.0.1", "services"),
            ("tomorrow/shop/a", "unknown"),
        ];
        for (name, expected) in kinds {
            assert_eq!(word(kind(name)), expected, "{name}");
        }
    }
}
