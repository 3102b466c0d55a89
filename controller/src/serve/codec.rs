//! Writes messages to proxies with resources that were encoded before: an update is put together from shared bytes instead of
//! being encoded anew for every proxy. It must not know what is in them.
//!
//! Source of the framing: the protobuf encoding, length-delimited fields; field numbers are those of `config.proto`.

use std::sync::Arc;

use bytes::BufMut;
use mesh_proto::config::v1::{ClientMessage, Destination, ServerMessage, Update, Watermark, server_message};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

use super::snapshot::Resource;
use super::touched::Unseen;

/// `ServerMessage.update`.
const UPDATE: u32 = 1;
/// `Update.resources`.
const RESOURCES: u32 = 2;

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

    fn write(&self, buf: &mut impl BufMut) {
        let (resources, rest) = match self {
            Self::Watermark(watermark) => {
                let message =
                    ServerMessage { message: Some(server_message::Message::Watermark(watermark.clone())) };
                // A growing buffer has room, and prost fails for nothing else.
                let _ = message.encode(buf);
                return;
            }
            Self::Update { resources, rest } => (resources, rest),
        };
        let field = |len: usize| key_len(RESOURCES) + encoded_len_varint(len as u64) + len;
        let len =
            rest.encoded_len() + resources.iter().map(|resource| field(resource.bytes.len())).sum::<usize>();
        encode_key(UPDATE, WireType::LengthDelimited, buf);
        encode_varint(len as u64, buf);
        rest.encode_raw(buf);
        for resource in resources {
            encode_key(RESOURCES, WireType::LengthDelimited, buf);
            encode_varint(resource.bytes.len() as u64, buf);
            buf.put_slice(&resource.bytes);
        }
    }
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

/// Reads as generated code does, writes [`Outgoing`].
#[derive(Debug, Default)]
pub struct ConfigCodec {
    plain: ProstCodec<ServerMessage, ClientMessage>,
}

/// Writes [`Outgoing`].
#[derive(Debug)]
pub struct OutgoingEncoder;

impl Codec for ConfigCodec {
    type Encode = Outgoing;
    type Decode = ClientMessage;
    type Encoder = OutgoingEncoder;
    type Decoder = <ProstCodec<ServerMessage, ClientMessage> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        OutgoingEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        self.plain.decoder()
    }
}

impl Encoder for OutgoingEncoder {
    type Item = Outgoing;
    type Error = Status;

    fn encode(&mut self, item: Outgoing, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.write(buf);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
