//! One rule as the words of `iptables`, once for each element of the sets that it names. It must not know chains.

use crate::range::{Cidr, Ports};
use crate::ruleset::{Action, Elements, Family, Is, Match, Protocol, Rule, Set};

use super::name;

/// The rules that together do what one does; none when it is about the other family only.
pub(super) fn rules(rule: &Rule, family: Family, sets: &[Set]) -> Vec<String> {
    let mut lines = vec![String::new()];
    for condition in &rule.matches {
        let alternatives = alternatives(condition, family, sets);
        lines =
            lines.iter().flat_map(|line| alternatives.iter().map(move |words| joined(line, words))).collect();
    }
    let comment =
        rule.comment.map(|comment| format!("-m comment --comment \"{comment}\"")).unwrap_or_default();
    let action = action(rule.action);
    lines.into_iter().map(|line| joined(&joined(&line, &comment), &action)).collect()
}

fn joined(left: &str, right: &str) -> String {
    let space = if left.is_empty() || right.is_empty() { "" } else { " " };
    format!("{left}{space}{right}")
}

/// Words of which any may match; none when the condition cannot be met in this family.
fn alternatives(condition: &Match, family: Family, sets: &[Set]) -> Vec<String> {
    let elements = |name: &str| sets.iter().find(|set| set.name == name).map(|set| &set.elements);
    let cidrs = |side: &str, name: &str| match elements(name) {
        Some(Elements::V4(cidrs) | Elements::V6(cidrs)) => {
            cidrs.iter().filter_map(|cidr| address(side, *cidr, family)).collect()
        }
        Some(Elements::Ports(_)) | None => Vec::new(),
    };
    match condition {
        Match::Family(other) => (*other == family).then(String::new).into_iter().collect(),
        Match::Protocol(Protocol::Tcp) => vec!["-p tcp".to_owned()],
        Match::Protocol(Protocol::Udp) => vec!["-p udp".to_owned()],
        Match::From(is, device) => vec![format!("{}-i {device}", not(*is))],
        Match::To(is, device) => vec![format!("{}-o {device}", not(*is))],
        Match::Mark(mark) => vec![format!("-m mark --mark {mark:#x}")],
        Match::ConnectionMark(mark) => vec![format!("-m connmark --mark {mark:#x}")],
        // There is no such match: all of what comes in is taken, as for a proxy that its user tells.
        Match::SocketMark(_) => vec![String::new()],
        Match::User(uid) => vec![format!("-m owner --uid-owner {uid}")],
        Match::Group(gid) => vec![format!("-m owner --gid-owner {gid}")],
        Match::Source(cidr) => address("-s", *cidr, family).into_iter().collect(),
        Match::Destination(cidr) => address("-d", *cidr, family).into_iter().collect(),
        Match::SourceIn(_, set) => cidrs("-s", set),
        Match::DestinationIn(_, set) => cidrs("-d", set),
        Match::SourcePort(ports) => vec![port("--sport", *ports)],
        Match::Port(ports) => vec![port("--dport", *ports)],
        Match::PortIn(set) => match elements(set) {
            Some(Elements::Ports(ports)) => ports.iter().map(|ports| port("--dport", *ports)).collect(),
            Some(Elements::V4(_) | Elements::V6(_)) | None => Vec::new(),
        },
        Match::Syn => vec!["--tcp-flags FIN,SYN,RST,ACK SYN".to_owned()],
        Match::ToElsewhere => vec!["-m addrtype ! --dst-type LOCAL".to_owned()],
        Match::Invalid => vec!["-m conntrack --ctstate INVALID".to_owned()],
        Match::New => vec!["-m conntrack --ctstate NEW".to_owned()],
    }
}

fn action(action: Action) -> String {
    match action {
        Action::Return => "-j RETURN".to_owned(),
        Action::Accept => "-j ACCEPT".to_owned(),
        Action::Drop => "-j DROP".to_owned(),
        Action::Jump(chain) => format!("-j {}", name(chain)),
        Action::Goto(chain) => format!("-g {}", name(chain)),
        Action::Redirect(port) => format!("-j REDIRECT --to-ports {port}"),
        // Unlike that of nftables it drops what found no transparent socket, and must not see what other sockets hold.
        Action::Tproxy(port) => format!("--tcp-flags FIN,SYN,RST,ACK SYN -j TPROXY --on-port {port}"),
        Action::SetMark(mark) => format!("-j MARK --set-mark {mark:#x}"),
        Action::SetConnectionMark(mark) => format!("-j CONNMARK --set-mark {mark:#x}"),
        Action::Zone(zone) => format!("-j CT --zone {zone}"),
    }
}

fn address(side: &str, cidr: Cidr, family: Family) -> Option<String> {
    (Family::of(cidr.address()) == family).then(|| format!("{side} {}/{}", cidr.address(), cidr.length()))
}

fn port(side: &str, ports: Ports) -> String {
    if ports.first() == ports.last() {
        format!("{side} {}", ports.first())
    } else {
        format!("{side} {}:{}", ports.first(), ports.last())
    }
}

const fn not(is: Is) -> &'static str {
    match is {
        Is::This => "",
        Is::Other => "! ",
    }
}
