//! The machine's `/etc/resolv.conf`: which resolvers to forward to, and how its names are completed. It must not know where the text
//! comes from.
//!
//! Source: resolv.conf(5).

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Resolvers that are used of a list; glibc uses as many.
pub const RESOLVERS: usize = 3;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// In order, at most three.
    pub resolvers: Vec<SocketAddr>,
    /// Ends of the search list, at most six.
    pub search: Vec<String>,
    /// A name with as many dots is tried as it is first.
    pub ndots: usize,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self { resolvers: Vec::new(), search: Vec::new(), ndots: 1 }
    }
}

impl ResolvConf {
    /// Reads the text. What is not understood is passed over, as the C library does.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if conf.resolvers.len() < RESOLVERS => {
                    conf.resolvers.extend(words.next().and_then(resolver));
                }
                Some("search" | "domain") => {
                    let ends = words.map(|word| word.trim_matches('.').to_ascii_lowercase());
                    conf.search = ends.filter(|end| !end.is_empty()).take(6).collect();
                }
                Some("options") => {
                    let mut ndots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse::<usize>().ok());
                    conf.ndots = ndots.next_back().unwrap_or(conf.ndots).min(15);
                }
                _ => {}
            }
        }
        conf
    }

    /// The names to ask for, in order, when a program asks for `name`.
    pub fn names(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let dots = name.bytes().filter(|b| *b == b'.').count();
        let mut names: Vec<_> = self.search.iter().map(|end| format!("{name}.{end}")).collect();
        let place = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(place, name.to_owned());
        names
    }
}

/// An address with port 53; of an IPv6 one the scope may be given by number.
fn resolver(text: &str) -> Option<SocketAddr> {
    let (address, scope) = text.split_once('%').unwrap_or((text, "0"));
    match address.parse().ok()? {
        IpAddr::V4(v4) => Some(SocketAddr::from((v4, 53))),
        IpAddr::V6(v6) => {
            let scope = scope.parse().ok()?;
            Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(v6.octets()), 53, 0, scope)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_the_c_library_does() {
        let text = "# made by somebody\nnameserver 10.0.0.53\nnameserver fe80::1%2 ; note\nnameserver nonsense\n\
                    nameserver ::1\nnameserver 9.9.9.9\nsearch Shop.svc.cluster.local svc.cluster.local.\n\
                    options edns0 ndots:5 timeout:1\nsortlist 10.0.0.0\n";
        let conf = ResolvConf::parse(text);
        let resolvers: Vec<_> = conf.resolvers.iter().map(ToString::to_string).collect();
        assert_eq!(resolvers, ["10.0.0.53:53", "[fe80::1%2]:53", "[::1]:53"]);
        assert_eq!(conf.search, ["shop.svc.cluster.local", "svc.cluster.local"]);
        assert_eq!(conf.ndots, 5);
        assert_eq!(ResolvConf::parse("\u{0}\nnameserver\noptions ndots:x\n"), ResolvConf::default());
    }

    #[test]
    fn names_are_completed_in_the_order_of_the_c_library() {
        let conf = ResolvConf { search: vec!["a".into(), "b".into()], ndots: 2, ..ResolvConf::default() };
        assert_eq!(conf.names("x"), ["x.a", "x.b", "x"]);
        assert_eq!(conf.names("x.y"), ["x.y.a", "x.y.b", "x.y"]);
        assert_eq!(conf.names("x.y.z"), ["x.y.z", "x.y.z.a", "x.y.z.b"]);
        assert_eq!(conf.names("x."), ["x"]);
    }
}
