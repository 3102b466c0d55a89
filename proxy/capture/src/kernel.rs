//! Sends netlink messages to the kernel and reads what it answers. The kernel works on them while they are being sent, so that the answers
//! are there when sending returns, and nothing waits. It must not know what the messages say.

use std::io;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use crate::wire::{Answer, answers};

/// Parts of the kernel that take messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Netfilter,
    Route,
}

/// More answers than this are not read; one is expected, or one a message that was refused.
const MAX_ANSWERS: usize = 4096;

/// Sends messages in one datagram; yields what the kernel answered, in order.
pub(crate) fn exchange(to: To, messages: &[u8]) -> io::Result<Vec<Answer>> {
    let protocol: Option<Protocol> = match to {
        To::Netfilter => Some(NETFILTER),
        To::Route => None,
    };
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    sendto(&socket, messages, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = vec![0; 64 * 1024];
    let mut found = Vec::new();
    while found.len() < MAX_ANSWERS {
        match recv(&socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((length, _)) => found.extend(answers(buffer.get(..length).unwrap_or_default())),
            Err(rustix::io::Errno::AGAIN) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}
