//! What both ends of a configuration stream compute of what a proxy holds: one number that says whether they believe the same, and how
//! the wire names what they are about. It must not know resources, but for their names.

use mesh_model::matter::Matter;

use crate::config::v1::ResourceKind;
use crate::convert::fnv1a;

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

/// As the wire says it.
pub fn to_wire(matter: Matter) -> ResourceKind {
    match matter {
        Matter::Settings => ResourceKind::Settings,
        Matter::Services => ResourceKind::Services,
        Matter::Endpoints => ResourceKind::Endpoints,
        Matter::Routes => ResourceKind::Routes,
        Matter::Policies => ResourceKind::Policies,
    }
}

/// As the wire said it; `None` for a kind of a later version.
pub fn from_wire(kind: ResourceKind) -> Option<Matter> {
    Matter::ALL.into_iter().find(|matter| to_wire(*matter) == kind)
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
    fn every_matter_has_its_word_on_the_wire() {
        for matter in Matter::ALL {
            assert_eq!(from_wire(to_wire(matter)), Some(matter));
        }
        assert_eq!(from_wire(ResourceKind::Unspecified), None);
    }
}
