//! What capture needs beside rules: with TPROXY, answers to a client whose address the proxy kept are routed back to this machine; and
//! the IPv6 source address of what is forwarded to the application. Each message stands alone, and doing it twice changes nothing.

#[cfg(test)]
mod tests;

use std::io;

use rustix::io::Errno;

use crate::error::CaptureError;
use crate::kernel::{To, exchange};
use crate::number as n;
use crate::options::{CaptureOptions, FORWARD_SOURCES, Inbound};
use crate::wire::{ACK, CREATE, EXCL, Message};

/// The loopback device has this number in every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// What `struct rtmsg` says of a table that does not fit into its one byte.
const RT_TABLE_COMPAT: u8 = 252;
const WHOLE_ADDRESS: u8 = 128;

/// One change, and what it is about.
#[derive(Debug)]
struct Change {
    what: String,
    /// As a command of `ip`, for dry runs.
    command: String,
    family: u8,
    bytes: Vec<u8>,
}

/// Makes what the options need and takes away what they do not.
pub(crate) fn apply(options: &CaptureOptions) -> Result<(), CaptureError> {
    remove(options)?;
    additions(options).iter().try_for_each(|change| send(change, &[Errno::EXIST]))
}

/// Takes away what any earlier run may have left.
pub(crate) fn remove(options: &CaptureOptions) -> Result<(), CaptureError> {
    const GONE: [Errno; 4] = [Errno::NOENT, Errno::SRCH, Errno::ADDRNOTAVAIL, Errno::NODEV];
    removals(options).iter().try_for_each(|change| send(change, &GONE))
}

/// What [`apply`] makes, as commands.
pub(crate) fn commands(options: &CaptureOptions) -> Vec<String> {
    additions(options).into_iter().map(|change| change.command).collect()
}

fn additions(options: &CaptureOptions) -> Vec<Change> {
    let mut changes = Vec::new();
    if options.inbound == Inbound::Tproxy {
        for family in families(options) {
            changes.push(route(options, family, n::RTM_NEWROUTE, CREATE | EXCL));
            changes.push(rule(options, family, n::RTM_NEWRULE, CREATE | EXCL));
        }
    }
    if options.takes_own_calls() && options.families.v6() {
        changes.push(source(n::RTM_NEWADDR, CREATE | EXCL));
    }
    changes
}

fn removals(options: &CaptureOptions) -> Vec<Change> {
    let both = [n::AF_INET, n::AF_INET6].into_iter();
    let routing = both.flat_map(|family| {
        [rule(options, family, n::RTM_DELRULE, 0), route(options, family, n::RTM_DELROUTE, 0)]
    });
    routing.chain([source(n::RTM_DELADDR, 0)]).collect()
}

fn families(options: &CaptureOptions) -> impl Iterator<Item = u8> {
    let v4 = options.families.v4().then_some(n::AF_INET);
    let v6 = options.families.v6().then_some(n::AF_INET6);
    v4.into_iter().chain(v6)
}

/// Packets with the mark are routed by the table. A deletion names no mark: an earlier run may have used another one.
fn rule(options: &CaptureOptions, family: u8, kind: u16, flags: u16) -> Change {
    let table = options.route_table;
    // struct fib_rule_hdr: family, lengths of prefixes, TOS, table, two bytes of nothing, action, flags.
    let header = [family, 0, 0, 0, 0, 0, 0, n::FR_ACT_TO_TBL, 0, 0, 0, 0];
    let mut message = Message::new(kind, flags | ACK, 1, &header);
    message.ne32(n::FRA_PRIORITY, table).ne32(n::FRA_TABLE, table);
    if kind == n::RTM_NEWRULE {
        message.ne32(n::FRA_FWMARK, options.answer_mark).ne32(n::FRA_FWMASK, u32::MAX);
    }
    Change {
        what: format!(
            "the rule of {} that routes mark {:#x} by table {table}",
            name(family),
            options.answer_mark
        ),
        command: format!(
            "ip{} rule add pref {table} fwmark {:#x} lookup {table}",
            flag(family),
            options.answer_mark
        ),
        family,
        bytes: message.into_bytes(),
    }
}

/// In the table, everything is local.
fn route(options: &CaptureOptions, family: u8, kind: u16, flags: u16) -> Change {
    let table = options.route_table;
    // struct rtmsg: family, lengths of prefixes, TOS, table, protocol, scope, type, flags.
    let header = [
        family,
        0,
        0,
        0,
        u8::try_from(table).unwrap_or(RT_TABLE_COMPAT),
        n::RTPROT_STATIC,
        n::RT_SCOPE_HOST,
        n::RTN_LOCAL,
        0,
        0,
        0,
        0,
    ];
    let mut message = Message::new(kind, flags | ACK, 1, &header);
    message.ne32(n::RTA_OIF, LOOPBACK_INDEX).ne32(n::RTA_TABLE, table);
    Change {
        what: format!("the {} route of table {table} to this machine", name(family)),
        command: format!("ip{} route add local default dev lo table {table}", flag(family)),
        family,
        bytes: message.into_bytes(),
    }
}

/// The address on the loopback device that what is forwarded to the application may come from.
fn source(kind: u16, flags: u16) -> Change {
    let (_, address) = FORWARD_SOURCES;
    // struct ifaddrmsg: family, length of the prefix, flags, scope, device.
    let mut header = vec![n::AF_INET6, WHOLE_ADDRESS, n::IFA_F_NODAD, n::RT_SCOPE_HOST];
    header.extend(LOOPBACK_INDEX.to_ne_bytes());
    let mut message = Message::new(kind, flags | ACK, 1, &header);
    message.attribute(n::IFA_LOCAL, &address.octets()).attribute(n::IFA_ADDRESS, &address.octets());
    Change {
        what: format!("address {address} of device lo"),
        command: format!("ip -6 address add {address}/128 dev lo"),
        family: n::AF_INET6,
        bytes: message.into_bytes(),
    }
}

fn send(change: &Change, harmless: &[Errno]) -> Result<(), CaptureError> {
    let answer = exchange(To::Route, &change.bytes)
        .map_err(|source| CaptureError::refused(change.what.clone(), source))?;
    let error = answer.first().map_or(Errno::IO.raw_os_error(), |answer| answer.error);
    let is = |errno: &Errno| errno.raw_os_error() == error;
    // A machine without IPv6 has nothing of it to capture; EACCES is what it says when IPv6 is off on the device.
    let absent =
        change.family == n::AF_INET6 && [Errno::AFNOSUPPORT, Errno::OPNOTSUPP, Errno::ACCESS].iter().any(is);
    if error == 0 || harmless.iter().any(is) || absent {
        return Ok(());
    }
    let what = if is(&Errno::NETDOWN) {
        format!("{}: device lo is down, `ip link set lo up` first", change.what)
    } else {
        change.what.clone()
    };
    Err(CaptureError::refused(what, io::Error::from_raw_os_error(error)))
}

const fn name(family: u8) -> &'static str {
    if family == n::AF_INET { "IPv4" } else { "IPv6" }
}

const fn flag(family: u8) -> &'static str {
    if family == n::AF_INET { "" } else { " -6" }
}
