//! What is wrong with options, each with the flag that says it and what to do. It must not know rules.

#[cfg(test)]
mod tests;

use std::fmt;

use super::{CaptureOptions, FORWARD_SOURCES, Inbound, MAX_ENTRIES, RESERVED_PORTS};
use crate::range::{Cidr, Ports};

/// One thing that is wrong with the options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The flag of `mesh-proxy init`.
    pub flag: &'static str,
    /// What is wrong, why, and what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.flag, self.what)
    }
}

pub(super) fn of(options: &CaptureOptions) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |flag: &'static str, what: String| found.push(Problem { flag, what });
    identity(options, &mut say);
    listeners(options, &mut say);
    marks(options, &mut say);
    dns(options, &mut say);
    lists(options, &mut say);
    interfaces(options, &mut say);
    found
}

fn identity(options: &CaptureOptions, say: &mut impl FnMut(&'static str, String)) {
    let proxy = &options.proxy;
    if proxy.uids.is_empty() && proxy.gids.is_empty() && proxy.mark.is_none() {
        say(
            "--proxy-uid",
            "nothing tells the proxy's own traffic from the application's, so the proxy would capture itself: give --proxy-uid, --proxy-gid or --proxy-mark".into(),
        );
    }
    for (flag, ours, others) in [
        ("--exclude-uid", &proxy.uids, &options.exclude.uids),
        ("--exclude-gid", &proxy.gids, &options.exclude.gids),
    ] {
        for id in others.iter().filter(|id| ours.contains(id)) {
            say(flag, format!("{id} is the proxy's own, whose traffic is never captured: leave it out"));
        }
    }
}

fn listeners(options: &CaptureOptions, say: &mut impl FnMut(&'static str, String)) {
    let mut taken: Vec<(&'static str, u16)> = Vec::new();
    let ports = [
        ("--outbound-port", Some(options.outbound_port)),
        ("--inbound-port", (options.inbound != Inbound::Pass).then_some(options.inbound_port)),
        ("--dns-port", options.dns_port),
    ];
    for (flag, port) in ports {
        let Some(port) = port else { continue };
        if port == 0 {
            say(flag, "0 is no port: the rules must name the one that the proxy listens on".into());
        } else if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == port) {
            say(flag, format!("{port} is already that of {other}: each listener needs a port of its own"));
        }
        taken.push((flag, port));
    }
}

fn marks(options: &CaptureOptions, say: &mut impl FnMut(&'static str, String)) {
    let tproxy = options.inbound == Inbound::Tproxy;
    let marks = [
        ("--proxy-mark", options.proxy.mark),
        ("--forward-mark", (options.takes_own_calls()).then_some(options.forward_mark)),
        ("--answer-mark", tproxy.then_some(options.answer_mark)),
    ];
    let mut taken: Vec<(&'static str, u32)> = Vec::new();
    for (flag, mark) in marks {
        let Some(mark) = mark else { continue };
        if mark == 0 {
            say(flag, "0 is the mark of every socket without one: choose another".into());
        } else if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == mark) {
            say(
                flag,
                format!("{mark:#x} is already that of {other}: they tell different things, and must differ"),
            );
        }
        taken.push((flag, mark));
    }
    if tproxy && options.proxy.mark.is_none() {
        say(
            "--inbound",
            "with tproxy the proxy's connections to the application are known by their mark, so that answers find back to it: give --proxy-mark".into(),
        );
    }
    // 253 to 255 are the kernel's own: default, main, local.
    if tproxy && matches!(options.route_table, 0 | 253..=255) {
        say("--route-table", format!("{} is a table of the kernel: choose another", options.route_table));
    }
}

fn dns(options: &CaptureOptions, say: &mut impl FnMut(&'static str, String)) {
    if options.dns_port.is_some() && options.exclude.outbound_ports.iter().any(|ports| ports.contains(53)) {
        say(
            "--exclude-outbound-port",
            "53 is excluded and --dns asks to capture it: leave one of them out".into(),
        );
    }
}

fn lists(options: &CaptureOptions, say: &mut impl FnMut(&'static str, String)) {
    let (exclude, include) = (&options.exclude, &options.include);
    for (flag, included, excluded) in [
        ("--include-inbound-port", &include.inbound_ports, &exclude.inbound_ports),
        ("--include-outbound-port", &include.outbound_ports, &exclude.outbound_ports),
    ] {
        for ports in included {
            let whole = |other: &&Ports| other.first() <= ports.first() && ports.last() <= other.last();
            if let Some(other) = excluded.iter().find(whole) {
                say(
                    flag,
                    format!(
                        "{ports} is excluded as {other}, and what is excluded wins: leave one of them out"
                    ),
                );
            }
            if RESERVED_PORTS.0 <= ports.first() && ports.last() <= RESERVED_PORTS.1 {
                let (first, last) = RESERVED_PORTS;
                say(
                    flag,
                    format!(
                        "{ports} is among the proxy's own ports {first}-{last}, which are never captured"
                    ),
                );
            }
        }
    }
    for (flag, cidrs) in [
        ("--exclude-outbound-cidr", &exclude.outbound_cidrs),
        ("--include-outbound-cidr", &include.outbound_cidrs),
        ("--probe-source", &exclude.probe_sources),
    ] {
        for cidr in cidrs.iter().filter(|cidr| !options.families.holds(cidr.address())) {
            say(flag, format!("{cidr} is of a family that --ip-family leaves alone: leave one of them out"));
        }
    }
    let (v4, v6) = FORWARD_SOURCES;
    for probe in &exclude.probe_sources {
        if probe.holds(Cidr::host(v4.into())) || probe.holds(Cidr::host(v6.into())) {
            say("--probe-source", format!("{probe} holds everybody: name the addresses of the node only"));
        }
    }
    let entries = [exclude.inbound_ports.len(), exclude.outbound_ports.len(), include.inbound_ports.len()]
        .into_iter()
        .chain([include.outbound_ports.len(), exclude.outbound_cidrs.len(), include.outbound_cidrs.len()])
        .chain([exclude.probe_sources.len(), exclude.uids.len(), exclude.gids.len()])
        .chain([exclude.interfaces.len(), options.proxy.uids.len(), options.proxy.gids.len()])
        .sum::<usize>();
    if entries > MAX_ENTRIES {
        say(
            "--exclude-outbound-cidr",
            format!(
                "{entries} ports, prefixes, users and devices in all, and {MAX_ENTRIES} is the most: use ranges and wider prefixes"
            ),
        );
    }
}

fn interfaces(options: &CaptureOptions, say: &mut impl FnMut(&'static str, String)) {
    for name in &options.exclude.interfaces {
        // What the kernel takes as the name of a device (IFNAMSIZ); quotes would end the name in a listing.
        let good = (1..=15).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'"' | b'*' | b'+'));
        if !good {
            say("--exclude-interface", format!("`{}` is not the name of a device", name.escape_default()));
        } else if name == "lo" {
            say("--exclude-interface", "lo is the loopback device, which --capture-loopback is about".into());
        }
    }
}
