//! From the bytes of a query to the bytes of its answer: the mesh has the first word, the resolvers the rest. It must not know
//! sockets.

use std::net::IpAddr;

use mesh_dns::wire::{self, Answer, IN, Name, Query, kind, rcode};

use super::Dns;
use super::counters::{From, Trouble};
use super::mesh::{Known, Look};

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The answer must fit.
    Datagram,
    /// The answer may be as long as it is.
    Stream,
}

/// Types that would show a way around the address that was given: with addresses of their own inside, or another port.
const WAYS_AROUND: [u16; 2] = [kind::SVCB, kind::HTTPS];

impl Dns {
    /// The answer; `None`: it is not answered at all.
    pub(super) async fn answer(&self, asked: &[u8], by: By) -> Option<Vec<u8>> {
        let query = match Query::parse(asked) {
            Ok(query) => query,
            Err(refusal) => {
                self.shared.counters.trouble(Trouble::Malformed);
                return refusal.rcode().map(|code| wire::failure(asked, None, code));
            }
        };
        let limit = match by {
            By::Datagram => query.udp_limit(),
            By::Stream => wire::MAX_TCP,
        };
        let message = match self.find(asked, &query).await {
            Found::Mesh(known) => self.say(asked, &query, known, limit).await,
            Found::Forwarded(message) => message,
        };
        Some(if message.len() > limit { wire::truncated(asked, &query) } else { message })
    }

    async fn find(&self, asked: &[u8], query: &Query) -> Found {
        let name = (query.class == IN).then(|| query.name.text()).flatten();
        let question = match name.map_or(Look::Foreign, |name| self.look(&name)) {
            Look::Known(known) => return Found::Mesh(known),
            Look::Foreign => return Found::Forwarded(Box::pin(self.forward(asked, query)).await),
            Look::Ask(question) => question,
        };
        // Both are asked at once, so that a host outside waits no longer than without a mesh; the controller has the word.
        let mut inquiry = std::pin::pin!(self.inquire(&question));
        let mut forwarding = Box::pin(self.forward(asked, query));
        tokio::select! {
            biased;
            known = &mut inquiry => match known {
                Some(known) => Found::Mesh(known),
                None => Found::Forwarded(forwarding.await),
            },
            message = &mut forwarding => match inquiry.await {
                Some(known) => Found::Mesh(known),
                None => Found::Forwarded(message),
            },
        }
    }

    /// What is said about a name of the mesh.
    async fn say(&self, asked: &[u8], query: &Query, known: Known, limit: usize) -> Vec<u8> {
        let (alias, known) = match known {
            Known::Alias { alias, canonical } => {
                let known = match query.kind {
                    kind::A | kind::AAAA | kind::ANY => self.behind(&alias, &canonical, query.kind).await,
                    // Whoever wants more asks about the other name.
                    _ => Known::Addresses(Vec::new()),
                };
                (Name::parse(alias.as_str()), known)
            }
            Known::Elsewhere(names) => (None, self.elsewhere(&names, query.kind).await),
            known => (None, known),
        };
        let Known::Addresses(addresses) = known else {
            return wire::failure(asked, Some(query), rcode::FAILED);
        };
        let addresses: Vec<_> = match query.kind {
            kind::A => addresses.into_iter().filter(IpAddr::is_ipv4).collect(),
            kind::AAAA => addresses.into_iter().filter(IpAddr::is_ipv6).collect(),
            kind::ANY => addresses,
            _ if alias.is_some() => Vec::new(),
            other if WAYS_AROUND.contains(&other) => Vec::new(),
            _ => match self.other_type(asked, query).await {
                Some(message) => return message,
                None => Vec::new(),
            },
        };
        let ttl = u32::try_from(self.shared.config.ttl.as_secs()).unwrap_or(u32::MAX);
        self.shared.counters.answered(From::Mesh);
        wire::answer(asked, query, &Answer { alias: alias.as_ref(), addresses: &addresses, ttl }, limit)
    }

    /// Other records of a name may be elsewhere. That there is no such name is not true here, and must not be kept by anybody: it
    /// would hide its addresses (RFC 8020).
    async fn other_type(&self, asked: &[u8], query: &Query) -> Option<Vec<u8>> {
        let message = Box::pin(self.forward(asked, query)).await;
        let code = message.get(3).map(|byte| u16::from(byte & 0xF));
        (code != Some(rcode::NO_NAME)).then_some(message)
    }
}

enum Found {
    Mesh(Known),
    Forwarded(Vec<u8>),
}
