//! What a restarted proxy is to know before its controller answers: the store as the words of `mesh.config.v1`, a question and one
//! update that answers it, and these as bytes that say of themselves whether they are whole.
//!
//! Pure; it must not know files or clocks. No key is among it: the store has none.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use mesh_model::address::Sought;
use mesh_model::name::ServiceName;
use mesh_proto::config::v1::{Destination as WireDestination, Hello, ProxyId, Resource, Update, Watermark};
use mesh_proto::convert::{self, ModelResource};
use prost::Message as _;

use super::store::Store;

/// Written before everything else. What another version of this program wrote is not read: it may not have kept what this one needs.
const HEAD: &str = concat!("amime proxy state 1 ", env!("CARGO_PKG_VERSION"), "\n");
/// Largest state that is kept: some 50,000 endpoints.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The number of the Hello among the subscriptions of a stream.
const HELLO: u64 = 1;

/// Why bytes are no state that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Of another format or version of the proxy.
    #[error("it was written by another version of the proxy")]
    OtherVersion,
    /// Cut off or changed.
    #[error("it is damaged")]
    Damaged,
    /// Another workload's.
    #[error("it is of workload {0}")]
    OtherWorkload(String),
    /// Something in it is no longer understood; without it the rest could allow too much.
    #[error("resource {0} in it cannot be used")]
    Resource(String),
}

/// Why a store is not saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsaved {
    /// More than [`MAX_BYTES`].
    #[error("it has {0} bytes, at most {MAX_BYTES} are kept")]
    TooLarge(usize),
    /// A kind of resource is held that is not written: half a state could allow too much.
    #[error("not all of what is held can be written")]
    Incomplete,
}

impl Store {
    /// All that is held, as bytes.
    pub fn save(&self, proxy: &ProxyId) -> Result<Vec<u8>, Unsaved> {
        let resources: Vec<Resource> = self.resources();
        let written: BTreeSet<&str> = resources.iter().map(|resource| resource.name.as_str()).collect();
        let held = self.held();
        if held.len() != written.len() || held.iter().any(|held| !written.contains(held.name.as_str())) {
            return Err(Unsaved::Incomplete);
        }
        let hello = Hello {
            proxy: Some(ProxyId { instance: String::new(), ..proxy.clone() }),
            destinations: self.destinations().map(wire).collect(),
            sought: self.sought().map(ToString::to_string).collect(),
            ..Hello::default()
        };
        let update = Update {
            resources,
            unknown: self.snapshot.unknown().map(wire).collect(),
            unknown_sought: self.snapshot.unknown_sought().map(ToString::to_string).collect(),
            subscription: HELLO,
            watermark: Some(Watermark { revision: self.snapshot.revision(), ..Watermark::default() }),
            ..Update::default()
        };
        let mut body = hello.encode_length_delimited_to_vec();
        body.extend(update.encode_length_delimited_to_vec());
        let bytes = [HEAD.as_bytes(), digest(&SHA256, &body).as_ref(), &body].concat();
        if bytes.len() > MAX_BYTES { Err(Unsaved::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    /// The store that was saved, as if a controller had said it again. All of it, or nothing.
    pub fn restore(bytes: &[u8], proxy: &ProxyId) -> Result<Self, Unusable> {
        let (head, rest) = bytes.split_at_checked(HEAD.len()).ok_or(Unusable::OtherVersion)?;
        if head != HEAD.as_bytes() {
            return Err(Unusable::OtherVersion);
        }
        let (sum, mut body) = rest.split_at_checked(SHA256_OUTPUT_LEN).ok_or(Unusable::Damaged)?;
        if digest(&SHA256, body).as_ref() != sum {
            return Err(Unusable::Damaged);
        }
        let hello = Hello::decode_length_delimited(&mut body).map_err(|_| Unusable::Damaged)?;
        let update = Update::decode_length_delimited(&mut body).map_err(|_| Unusable::Damaged)?;
        let of = hello.proxy.unwrap_or_default();
        if (&of.namespace, &of.workload) != (&proxy.namespace, &proxy.workload) {
            return Err(Unusable::OtherWorkload(format!("{}/{}", of.namespace, of.workload)));
        }
        let mut store = Self::new(&proxy.namespace);
        for destination in hello.destinations {
            let service = ServiceName::new(&destination.namespace, &destination.name);
            store.want(&service.map_err(|_| Unusable::Damaged)?);
        }
        for sought in hello.sought {
            store.seek(&Sought::parse(&sought).map_err(|_| Unusable::Damaged)?);
        }
        store.asked(HELLO);
        match store.apply(update).rejects.into_iter().next() {
            Some(reject) => Err(Unusable::Resource(format!("{} ({})", reject.resource, reject.reason))),
            None => Ok(store),
        }
    }

    /// All that is held, as the controller said it.
    fn resources(&self) -> Vec<Resource> {
        use ModelResource::{
            Address, Authentication, Authorization, Endpoints, External, Host, Mesh, Own, Policy, Route,
            Service, Stream,
        };
        let mut all = Vec::new();
        let mut put = |version: &String, resource: &ModelResource| {
            // The version is the controller's: another one would be sent again.
            all.push(Resource { version: version.clone(), ..convert::encode(resource) });
        };
        self.settings.iter().for_each(|v| put(&v.version, &Mesh((*v.value).clone())));
        self.own.iter().for_each(|v| put(&v.version, &Own((*v.value).clone())));
        self.authentication.iter().for_each(|v| put(&v.version, &Authentication((*v.value).clone())));
        self.services.values().for_each(|v| put(&v.version, &Service((*v.value).clone())));
        self.endpoints.values().for_each(|v| put(&v.version, &Endpoints((*v.value).clone())));
        self.routes.values().for_each(|v| put(&v.version, &Route((*v.value).clone())));
        self.streams.values().for_each(|v| put(&v.version, &Stream((*v.value).clone())));
        self.policies.values().for_each(|v| put(&v.version, &Policy((*v.value).clone())));
        // Also what stands in for policies that cannot be read: a restart must not open what they close.
        self.authorization.values().for_each(|v| put(&v.version, &Authorization((*v.value).clone())));
        self.addresses.found.values().for_each(|v| put(&v.version, &Address((*v.value).clone())));
        self.addresses.hosts.values().for_each(|v| put(&v.version, &Host((*v.value).clone())));
        self.addresses.externals.values().for_each(|v| put(&v.version, &External((*v.value).clone())));
        all
    }
}

fn wire(service: &ServiceName) -> WireDestination {
    WireDestination { namespace: service.0.namespace().to_owned(), name: service.0.name().to_owned() }
}
