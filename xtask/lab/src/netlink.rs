//! Requests to the kernel over netlink, each answered by an acknowledgement. It must not know what is asked.

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};

/// `IPCTNL_MSG_CT_DELETE` of `NFNL_SUBSYS_CTNETLINK`; without a tuple it deletes every entry.
const FORGET_CONNECTIONS: u16 = (1 << 8) | 2;

/// Whether something new is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Make,
    Change,
}

/// Asks the kernel, in the calling thread's network namespace. `what` completes "the kernel refuses to …".
pub(crate) fn ask(what: &str, verb: Verb, message: RouteNetlinkMessage) -> Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST
        | NLM_F_ACK
        | match verb {
            Verb::Make => NLM_F_CREATE | NLM_F_EXCL,
            Verb::Change => 0,
        };
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    exchange(NETLINK_ROUTE, &bytes).with_context(|| format!("the kernel refuses to {what}"))
}

/// Makes the kernel forget the state of every connection in the calling thread's namespace.
pub(crate) fn flush_conntrack() -> Result<()> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&20_u32.to_ne_bytes());
    bytes.extend_from_slice(&FORGET_CONNECTIONS.to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    // Sequence number, port, then the family (any), the version and the resource of netfilter's header.
    bytes.extend_from_slice(&[0; 12]);
    exchange(NETLINK_NETFILTER, &bytes).context("the kernel does not forget its connections")
}

fn exchange(protocol: isize, bytes: &[u8]) -> Result<()> {
    let mut socket = Socket::new(protocol).context("open a netlink socket")?;
    socket.bind_auto().context("bind a netlink socket")?;
    socket.connect(&SocketAddr::new(0, 0)).context("connect to the kernel")?;
    socket.send(bytes, 0).context("send to the kernel")?;
    let (answer, _) = socket.recv_from_full().context("read the kernel's answer")?;
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).context("read the kernel's answer")?;
    match answer.payload {
        NetlinkPayload::Error(error) => match error.code {
            None => Ok(()),
            Some(_) => Err(error.to_io().into()),
        },
        other => bail!("unexpected answer {other:?}"),
    }
}
