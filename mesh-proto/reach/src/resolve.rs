//! The addresses of a host, by the machine's own rules: its hosts file, its search list, its resolvers in their order. The files are
//! read for each question, since a pod's may change and a question is rare. It must not know what is dialled.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mesh_dns::hosts::Hosts;
use mesh_dns::resolv_conf::ResolvConf;
use mesh_dns::wire::{Name, Query, kind, rcode};
use tokio::time::Instant;

use crate::exchange::{Asking, ask};

/// One resolver has this long for one question before the next one is asked.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// Times that all resolvers are asked one question.
const ROUNDS: usize = 2;
/// Addresses of a host that are used.
const ADDRESSES: usize = 16;
/// Bytes of a file of the machine that are read.
const FILE: usize = 256 * 1024;

/// Where the machine says how names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// Resolvers and search list.
    pub resolv_conf: PathBuf,
    /// Names that no resolver is asked for.
    pub hosts: PathBuf,
    /// `SO_MARK` of the questions, so that traffic capture leaves them alone.
    pub mark: Option<u32>,
    /// The port of the resolvers; another one than 53 in tests alone.
    pub port: u16,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), mark: None, port: 53 }
    }
}

/// Why a host has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// It cannot be a name.
    #[error("`{0}` is no name of a host")]
    NoName(String),
    /// All resolvers agree.
    #[error("no resolver knows `{host}` (asked for {})", .asked.join(", "))]
    Unknown {
        /// What was looked for.
        host: String,
        /// The names that were asked for.
        asked: Vec<String>,
    },
    /// There is nobody to ask.
    #[error("`{host}` cannot be resolved: `{}` names no resolver", .file.display())]
    NoResolver {
        /// What was looked for.
        host: String,
        /// Where resolvers should be named.
        file: PathBuf,
    },
    /// They do not answer, or fail.
    #[error("`{host}` cannot be resolved: {why}")]
    Failed {
        /// What was looked for.
        host: String,
        /// What the last resolver did.
        why: String,
    },
}

/// What the answers to one name come to.
enum Answer {
    Addresses(Vec<IpAddr>),
    Nothing,
    Failed(String),
}

impl Resolver {
    /// With this mark on the sockets.
    pub fn marked(mark: Option<u32>) -> Self {
        Self { mark, ..Self::default() }
    }

    /// Addresses of `host`, never none, before `until`.
    pub async fn addresses(&self, host: &str, until: Instant) -> Result<Vec<IpAddr>, Unresolved> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if let Some(found) = Hosts::parse(&read(&self.hosts)).addresses(host) {
            return Ok(found);
        }
        let conf = ResolvConf::parse(&read(&self.resolv_conf));
        if conf.resolvers.is_empty() {
            return Err(Unresolved::NoResolver { host: host.to_owned(), file: self.resolv_conf.clone() });
        }
        let at = |mut resolver: SocketAddr| {
            resolver.set_port(self.port);
            resolver
        };
        let resolvers: Vec<_> = conf.resolvers.iter().copied().map(at).collect();
        let asked = conf.names(host);
        let mut failed = None;
        for text in &asked {
            let Some(name) = Name::parse(text) else { continue };
            let four = self.records(&name, kind::A, &resolvers, until);
            let six = self.records(&name, kind::AAAA, &resolvers, until);
            match both(tokio::join!(four, six)) {
                Answer::Addresses(found) => return Ok(found),
                Answer::Nothing => {}
                // The next name may be the right one, as the C library has it.
                Answer::Failed(why) => failed = Some(why),
            }
        }
        let host = host.to_owned();
        match failed {
            Some(why) => Err(Unresolved::Failed { host, why }),
            None if asked.iter().all(|text| Name::parse(text).is_none()) => Err(Unresolved::NoName(host)),
            None => Err(Unresolved::Unknown { host, asked }),
        }
    }

    async fn records(&self, name: &Name, kind: u16, resolvers: &[SocketAddr], until: Instant) -> Answer {
        let asked = Query::build(name, kind);
        let Ok(query) = Query::parse(&asked) else { return Answer::Nothing };
        let mut last = "no time was left".to_owned();
        for resolver in resolvers.iter().cycle().take(resolvers.len() * ROUNDS) {
            let now = Instant::now();
            if now >= until {
                break;
            }
            let how = Asking {
                resolver: *resolver,
                mark: self.mark,
                until: until.min(now + ATTEMPT),
                foreign: &|| (),
            };
            last = match ask(how, &asked, &query).await {
                Ok((_, reply)) if reply.rcode == rcode::NO_NAME => return Answer::Nothing,
                Ok((_, reply)) if reply.rcode == rcode::OK && !reply.truncated => {
                    return Answer::Addresses(of_family(kind, reply.addresses));
                }
                Ok((_, reply)) if reply.truncated => format!("the answer of {resolver} does not fit"),
                Ok((_, reply)) => format!("{resolver} answers with code {}", reply.rcode),
                Err(why) => format!("{resolver}: {why}"),
            };
        }
        Answer::Failed(last)
    }
}

/// A name that has an address of either family has addresses, whatever the other question met.
fn both((four, six): (Answer, Answer)) -> Answer {
    let mut found = Vec::new();
    let mut failed = None;
    for answer in [four, six] {
        match answer {
            Answer::Addresses(addresses) => found.extend(addresses),
            Answer::Nothing => {}
            Answer::Failed(why) => failed = Some(why),
        }
    }
    let mut seen = HashSet::new();
    found.retain(|address: &IpAddr| !address.is_unspecified() && seen.insert(*address));
    found.truncate(ADDRESSES);
    match failed {
        _ if !found.is_empty() => Answer::Addresses(found),
        Some(why) => Answer::Failed(why),
        None => Answer::Nothing,
    }
}

fn of_family(asked: u16, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.into_iter().filter(|address| address.is_ipv4() == (asked == kind::A)).collect()
}

/// What cannot be read says nothing: then there is no resolver, which is the error.
fn read(path: &std::path::Path) -> String {
    let mut bytes = std::fs::read(path).unwrap_or_default();
    bytes.truncate(FILE);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
