//! Verdicts of authorization policies, by policy. Their names come from configuration; there is a bound all the same, and what is beyond
//! it is counted together. It must not know who decides.

use std::collections::HashMap;

use mesh_model::name::Name;

use super::Direction;

/// A verdict as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyVerdict {
    /// It went on.
    Allow,
    /// It was refused.
    Deny,
    /// It went on, and an audit policy would have refused it.
    Audit,
    /// It was refused, since a policy asks for what only a request has.
    Undecided,
}

impl PolicyVerdict {
    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Audit => "audit",
            Self::Undecided => "undecided",
        }
    }
}

/// Policies that are told apart.
pub(crate) const POLICIES: usize = 512;

type Key = (Direction, PolicyVerdict, Option<Name>);

/// Counts by policy; without one what is beyond the bound.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    counts: HashMap<Key, u64>,
}

impl Decisions {
    /// Adds to a policy.
    pub(crate) fn add(
        &mut self,
        direction: Direction,
        verdict: PolicyVerdict,
        policy: Option<&Name>,
        count: u64,
    ) {
        let mut key = (direction, verdict, policy.cloned());
        if self.counts.len() >= POLICIES && !self.counts.contains_key(&key) {
            key.2 = None;
        }
        *self.counts.entry(key).or_default() += count;
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Direction, PolicyVerdict, Option<&Name>, u64)> {
        self.counts
            .iter()
            .map(|((direction, verdict, policy), count)| (*direction, *verdict, policy.as_ref(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_beyond_the_bound_are_counted_together() {
        let mut decisions = Decisions::default();
        for n in 0..POLICIES + 10 {
            let name = Name::new("shop", &format!("p{n}")).unwrap();
            decisions.add(Direction::Inbound, PolicyVerdict::Deny, Some(&name), 1);
        }
        let first = Name::new("shop", "p0").unwrap();
        decisions.add(Direction::Inbound, PolicyVerdict::Deny, Some(&first), 1);
        assert_eq!(decisions.iter().count(), POLICIES + 1);
        let of = |name: Option<&Name>| decisions.iter().find(|(_, _, policy, _)| *policy == name).unwrap().3;
        assert_eq!((of(None), of(Some(&first))), (10, 2));
    }
}
