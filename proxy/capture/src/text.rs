//! A ruleset as `nft list` shows it, and as `nft -f` takes it. It must not know why rules are there.

use std::fmt::Display;

use crate::range::Cidr;
use crate::ruleset::{
    Action, Base, Chain, Elements, Family, Hook, Is, Kind, Match, Priority, Protocol, Rule, Ruleset, Set,
    TABLE,
};

/// The table with everything in it.
pub fn nft(ruleset: &Ruleset) -> String {
    let sets = ruleset.sets.iter().map(set);
    let chains = ruleset.chains.iter().map(chain);
    let parts: Vec<String> = sets.chain(chains).collect();
    format!("table inet {TABLE} {{\n{}}}\n", parts.join("\n"))
}

fn set(set: &Set) -> String {
    let (kind, elements) = match &set.elements {
        Elements::Ports(ports) => ("inet_service", joined(ports)),
        Elements::V4(cidrs) => ("ipv4_addr", joined(cidrs)),
        Elements::V6(cidrs) => ("ipv6_addr", joined(cidrs)),
    };
    format!(
        "\tset {} {{\n\t\ttype {kind}\n\t\tflags interval\n\t\telements = {{ {elements} }}\n\t}}\n",
        set.name
    )
}

fn joined<T: Display>(elements: &[T]) -> String {
    elements.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn chain(chain: &Chain) -> String {
    let mut lines = vec![format!("\tchain {} {{", chain.name)];
    if let Some(Base { kind, hook, priority }) = chain.base {
        let kind = match kind {
            Kind::Nat => "nat",
            Kind::Filter => "filter",
            Kind::Route => "route",
        };
        let hook_name = match hook {
            Hook::Prerouting => "prerouting",
            Hook::Output => "output",
        };
        // `dstnat` has a name where destinations are usually translated only.
        let priority = match (priority, hook) {
            (Priority::Raw, _) => "raw",
            (Priority::Mangle, _) => "mangle",
            (Priority::DstNat, Hook::Prerouting) => "dstnat",
            (Priority::DstNat, Hook::Output) => "-100",
        };
        lines.push(format!("\t\ttype {kind} hook {hook_name} priority {priority}; policy accept;"));
    }
    lines.extend(chain.rules.iter().map(|rule| format!("\t\t{}", self::rule(rule))));
    lines.join("\n") + "\n\t}\n"
}

/// One rule.
pub(crate) fn rule(rule: &Rule) -> String {
    let mut words = Vec::new();
    let mut protocol = "th";
    for (position, condition) in rule.matches.iter().enumerate() {
        if let Match::Protocol(named) = condition {
            protocol = match named {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            // Whatever looks into its header says the protocol again.
            let again = rule.matches.iter().skip(position + 1).any(|other| {
                matches!(other, Match::SourcePort(_) | Match::Port(_) | Match::PortIn(_) | Match::Syn)
            });
            if again {
                continue;
            }
        }
        words.push(self::condition(condition, protocol));
    }
    words.push(action(rule.action));
    words.extend(rule.comment.map(|comment| format!("comment \"{comment}\"")));
    words.join(" ")
}

fn condition(condition: &Match, protocol: &str) -> String {
    match condition {
        Match::Family(Family::V4) => "meta nfproto ipv4".to_owned(),
        Match::Family(Family::V6) => "meta nfproto ipv6".to_owned(),
        Match::Protocol(_) => format!("meta l4proto {protocol}"),
        Match::From(is, name) => format!("iifname {}\"{name}\"", not(*is)),
        Match::To(is, name) => format!("oifname {}\"{name}\"", not(*is)),
        Match::Mark(mark) => format!("meta mark {mark:#010x}"),
        Match::ConnectionMark(mark) => format!("ct mark {mark:#010x}"),
        Match::SocketMark(mark) => format!("socket mark {mark:#010x}"),
        Match::User(uid) => format!("meta skuid {uid}"),
        Match::Group(gid) => format!("meta skgid {gid}"),
        Match::Source(cidr) => format!("{} saddr {cidr}", header(*cidr)),
        Match::Destination(cidr) => format!("{} daddr {cidr}", header(*cidr)),
        Match::SourceIn(family, set) => format!("{} saddr @{set}", of_family(*family)),
        Match::DestinationIn(family, set) => format!("{} daddr @{set}", of_family(*family)),
        Match::SourcePort(port) => format!("{protocol} sport {port}"),
        Match::Port(ports) => format!("{protocol} dport {ports}"),
        Match::PortIn(set) => format!("{protocol} dport @{set}"),
        Match::Syn => "tcp flags syn / fin,syn,rst,ack".to_owned(),
        Match::ToElsewhere => "fib daddr type != local".to_owned(),
        Match::Invalid => "ct state invalid".to_owned(),
        Match::New => "ct state new".to_owned(),
    }
}

fn action(action: Action) -> String {
    match action {
        Action::Return => "return".to_owned(),
        Action::Accept => "accept".to_owned(),
        Action::Drop => "drop".to_owned(),
        Action::Jump(chain) => format!("jump {chain}"),
        Action::Goto(chain) => format!("goto {chain}"),
        Action::Redirect(port) => format!("redirect to :{port}"),
        Action::Tproxy(port) => format!("tproxy to :{port} accept"),
        Action::SetMark(mark) => format!("meta mark set {mark:#010x}"),
        Action::SetConnectionMark(mark) => format!("ct mark set {mark:#010x}"),
        Action::Zone(zone) => format!("ct zone set {zone}"),
    }
}

const fn not(is: Is) -> &'static str {
    match is {
        Is::This => "",
        Is::Other => "!= ",
    }
}

fn header(cidr: Cidr) -> &'static str {
    of_family(Family::of(cidr.address()))
}

const fn of_family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}
