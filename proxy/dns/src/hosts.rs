//! The machine's `/etc/hosts`: names that no resolver is asked for. It must not know where the text comes from.
//!
//! Source: hosts(5); RFC 6761 section 6.3 for `localhost`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Lines that are read.
const LINES: usize = 10_000;

/// Names and their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    names: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    /// Reads the text. What is not understood is passed over.
    pub fn parse(text: &str) -> Self {
        let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines().take(LINES) {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
            for name in words {
                let addresses = names.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self { names }
    }

    /// The addresses of `name`, if it is here. `localhost` always is.
    pub fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if let Some(addresses) = self.names.get(&name) {
            return Some(addresses.clone());
        }
        let local = name == "localhost" || name.ends_with(".localhost");
        local.then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_localhost_is_always_there() {
        let hosts = Hosts::parse("10.0.0.1 Db db.example. # comment\n::1 db\nnonsense x\n\n10.0.0.1 db\n");
        let addresses = |name: &str| {
            hosts.addresses(name).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(addresses("DB.").unwrap(), ["10.0.0.1", "::1"]);
        assert_eq!(addresses("db.example").unwrap(), ["10.0.0.1"]);
        assert_eq!(addresses("x"), None);
        assert_eq!(addresses("localhost").unwrap(), ["127.0.0.1", "::1"]);
        assert_eq!(addresses("app.localhost").unwrap(), ["127.0.0.1", "::1"]);
    }
}
