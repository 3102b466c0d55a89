//! Rules as data: chains, what their rules match, what they do. Three writers read it: netlink, text, iptables. It must not know why a
//! rule is there, nor how any of them spells it.

use std::net::IpAddr;

use crate::range::{Cidr, Ports};

/// Name of the table that holds everything of ours, in family inet.
pub const TABLE: &str = "amime";

/// A whole table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// Named sets, before the chains that use them.
    pub sets: Vec<Set>,
    /// Chains: those of hooks first, those that are jumped to after them.
    pub chains: Vec<Chain>,
}

/// A named set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Unique in the table.
    pub name: &'static str,
    /// What is in it, in normal form.
    pub elements: Elements,
}

/// Members of a set, all of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elements {
    /// Ports.
    Ports(Vec<Ports>),
    /// Prefixes of IPv4 addresses.
    V4(Vec<Cidr>),
    /// Prefixes of IPv6 addresses.
    V6(Vec<Cidr>),
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Unique in the table.
    pub name: &'static str,
    /// Where the kernel enters it; None for chains that are jumped to.
    pub base: Option<Base>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// Where the kernel enters a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// What kind of decisions it makes.
    pub kind: Kind,
    /// Which packets it sees.
    pub hook: Hook,
    /// When, among the chains of this hook.
    pub priority: Priority,
}

/// Kinds of chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Translates addresses; sees the first packet of a connection.
    Nat,
    /// Sees every packet.
    Filter,
    /// Sees every packet; a changed mark routes it anew.
    Route,
}

/// Hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// What comes in.
    Prerouting,
    /// What this network namespace sends.
    Output,
}

/// Priorities with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Before connections are tracked.
    Raw,
    /// After that, before addresses are translated.
    Mangle,
    /// Where destinations are translated.
    DstNat,
}

impl Priority {
    /// As the kernel counts.
    pub const fn number(self) -> i32 {
        match self {
            Self::Raw => -300,
            Self::Mangle => -150,
            Self::DstNat => -100,
        }
    }
}

/// All that match, then what is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// All of them must match.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
    /// Why, for whoever lists the rules.
    pub comment: Option<&'static str>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The packet is of this family.
    Family(Family),
    /// The packet is of this protocol.
    Protocol(Protocol),
    /// It came in by this device, or by another one.
    From(Is, String),
    /// It goes out by this device, or by another one.
    To(Is, String),
    /// The packet's mark.
    Mark(u32),
    /// The connection's mark.
    ConnectionMark(u32),
    /// The mark of the socket that it is for.
    SocketMark(u32),
    /// The user whose socket sent it.
    User(u32),
    /// The group whose socket sent it.
    Group(u32),
    /// The source is in a prefix.
    Source(Cidr),
    /// The source is in a set of this family.
    SourceIn(Family, &'static str),
    /// The destination is in a prefix.
    Destination(Cidr),
    /// The destination is in a set of this family.
    DestinationIn(Family, &'static str),
    /// The source port; a [`Match::Protocol`] stands before it.
    SourcePort(Ports),
    /// The destination port; a [`Match::Protocol`] stands before it.
    Port(Ports),
    /// The destination port is in a set; a [`Match::Protocol`] stands before it.
    PortIn(&'static str),
    /// The first packet of a TCP connection; a [`Match::Protocol`] stands before it.
    Syn,
    /// The destination is not an address of this network namespace.
    ToElsewhere,
    /// Connection tracking calls it invalid.
    Invalid,
    /// Connection tracking does not know its connection.
    New,
}

/// Whether something is so or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// It is.
    This,
    /// It is something else.
    Other,
}

/// Families of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address.
    pub const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Protocols with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Back to the chain that jumped here.
    Return,
    /// The packet is through with this hook's chain.
    Accept,
    /// The packet is gone.
    Drop,
    /// To another chain and back.
    Jump(&'static str),
    /// To another chain, not back.
    Goto(&'static str),
    /// To a port of this machine, by translating the destination.
    Redirect(u16),
    /// To a transparent socket at this port. The next rule sees what found none, and packets of connections that other sockets hold.
    Tproxy(u16),
    /// The packet gets a mark.
    SetMark(u32),
    /// The connection gets a mark.
    SetConnectionMark(u32),
    /// The packet is tracked apart from others.
    Zone(u16),
}
