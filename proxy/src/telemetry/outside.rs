//! Connections to destinations outside the mesh, by the name that they were seen with: the server name of TLS or the host of HTTP. Names
//! come from clients, so there is a bound, and what is beyond it is counted together. It must not know who counts.

use std::collections::HashMap;

/// Where a name was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SeenIn {
    /// The server name of a ClientHello.
    Sni,
    /// The `Host` of a request.
    Host,
    /// Nowhere: the bytes have none.
    Nothing,
}

impl SeenIn {
    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sni => "sni",
            Self::Host => "host",
            Self::Nothing => "",
        }
    }
}

/// What was counted under a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) connections: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
}

/// Counts by name.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) names: HashMap<(SeenIn, Box<str>), Passed>,
}

/// Names that are told apart.
pub(crate) const NAMES: usize = 100;
/// Longest name that is kept; a DNS name is no longer.
const LENGTH: usize = 253;
/// What is beyond the bound, or too long.
const OTHERS: &str = "others";

impl Outside {
    /// Adds to a name.
    pub(crate) fn add(&mut self, seen: SeenIn, name: &str, passed: Passed) {
        let name = if name.len() > LENGTH { OTHERS.to_owned() } else { name.to_ascii_lowercase() };
        let mut key = (seen, name.into_boxed_str());
        if self.names.len() >= NAMES && !self.names.contains_key(&key) {
            key = (seen, OTHERS.into());
        }
        let sum = self.names.entry(key).or_default();
        sum.connections += passed.connections;
        sum.bytes_out = sum.bytes_out.saturating_add(passed.bytes_out);
        sum.bytes_in = sum.bytes_in.saturating_add(passed.bytes_in);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling_and_a_bound() {
        let mut outside = Outside::default();
        let one = Passed { connections: 1, bytes_out: 2, bytes_in: 3 };
        outside.add(SeenIn::Sni, "API.example.com", one);
        outside.add(SeenIn::Sni, "api.example.com", one);
        let key = (SeenIn::Sni, "api.example.com".into());
        assert_eq!(outside.names[&key], Passed { connections: 2, bytes_out: 4, bytes_in: 6 });
        for n in 0..500 {
            outside.add(SeenIn::Host, &format!("h{n}"), one);
        }
        outside.add(SeenIn::Host, &"a".repeat(300), one);
        // One more for those beyond the bound, of each place where names are seen.
        assert_eq!(outside.names.len(), NAMES + 1);
        assert_eq!(outside.names[&(SeenIn::Host, OTHERS.into())].connections, 402);
        assert_eq!(outside.names[&key].connections, 2);
    }
}
