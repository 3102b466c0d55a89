//! Writes messages to proxies with resources that were encoded before: an update is put together from shared bytes instead of
//! being encoded anew for every proxy. It must not know what is in them.
//!
//! Source of the framing: the protobuf encoding, length-delimited fields; field numbers are those of `config.proto`.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use mesh_proto::config::v1::{Destination, ServerMessage, Update, Watermark, server_message};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::snapshot::Resource;
use super::touched::Unseen;

/// `ServerMessage.update`.
const UPDATE: u32 = 1;
/// `Update.resources`.
const RESOURCES: u32 = 2;
/// Of a message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A message to a proxy.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// Applied in one step.
    Update {
        /// What is new or different.
        resources: Vec<Arc<Resource>>,
        /// The rest of the update, without resources.
        rest: Update,
    },
    /// Nothing is new up to here.
    Watermark(Watermark),
}

impl Outgoing {
    /// An update.
    pub fn update(nonce: u64, resources: Vec<Arc<Resource>>, gone: Gone, at: At) -> Self {
        let Gone { removed, unknown, unknown_sought } = gone;
        let rest = Update {
            nonce,
            resources: Vec::new(),
            removed,
            unknown,
            unknown_sought,
            watermark: Some(at.watermark),
            subscription: at.subscription,
        };
        Self::Update { resources, rest }
    }

    /// Whether it says more than what there was to look at.
    pub fn is_beyond(&self, unseen: &Unseen) -> bool {
        let Self::Update { resources, rest } = self else { return false };
        let services = match unseen {
            Unseen::Anything => return false,
            Unseen::Nothing => return true,
            Unseen::Endpoints(services) => services,
        };
        let of_service = |resource: &Arc<Resource>| {
            services.contains(&resource.name)
                || resource
                    .name
                    .strip_prefix("endpoints/")
                    .is_some_and(|name| services.contains(&*format!("service/{name}")))
        };
        let nothing_else =
            rest.removed.is_empty() && rest.unknown.is_empty() && rest.unknown_sought.is_empty();
        !(nothing_else && resources.iter().all(of_service))
    }

    /// How far it goes, to say more about that.
    pub fn watermark_mut(&mut self) -> &mut Watermark {
        match self {
            Self::Update { rest, .. } => rest.watermark.get_or_insert_default(),
            Self::Watermark(watermark) => watermark,
        }
    }

    /// A message of gRPC, not compressed, in a buffer of its own size.
    ///
    /// Source: gRPC over HTTP/2, Length-Prefixed-Message. `None`: it is longer than a length can say.
    pub fn frame(&self) -> Option<Bytes> {
        let (resources, rest) = match self {
            Self::Watermark(watermark) => {
                let message =
                    ServerMessage { message: Some(server_message::Message::Watermark(watermark.clone())) };
                let mut buf = prefixed(message.encoded_len())?;
                message.encode_raw(&mut buf);
                return Some(buf.freeze());
            }
            Self::Update { resources, rest } => (resources, rest),
        };
        let field = |len: usize| key_len(RESOURCES) + encoded_len_varint(len as u64) + len;
        let len =
            rest.encoded_len() + resources.iter().map(|resource| field(resource.bytes.len())).sum::<usize>();
        let mut buf = prefixed(key_len(UPDATE) + encoded_len_varint(len as u64) + len)?;
        encode_key(UPDATE, WireType::LengthDelimited, &mut buf);
        encode_varint(len as u64, &mut buf);
        rest.encode_raw(&mut buf);
        for resource in resources {
            encode_key(RESOURCES, WireType::LengthDelimited, &mut buf);
            encode_varint(resource.bytes.len() as u64, &mut buf);
            buf.put_slice(&resource.bytes);
        }
        Some(buf.freeze())
    }
}

/// Room for a message of that length, and what stands before it.
fn prefixed(len: usize) -> Option<BytesMut> {
    let said = u32::try_from(len).ok()?;
    let mut buf = BytesMut::with_capacity(PREFIX + len);
    buf.put_u8(0);
    buf.put_u32(said);
    Some(buf)
}

/// What is not there.
#[derive(Debug, Clone, Default)]
pub struct Gone {
    /// Names of resources that are no more.
    pub removed: Vec<String>,
    /// Destinations that nobody knows.
    pub unknown: Vec<Destination>,
    /// Addresses and hosts that nobody knows.
    pub unknown_sought: Vec<String>,
}

/// Up to where an update goes.
#[derive(Debug, Clone)]
pub struct At {
    /// Revision and times.
    pub watermark: Watermark,
    /// Number of the last subscription that it takes into account.
    pub subscription: u64,
}

#[cfg(test)]
mod tests;
