//! What a way between pods is like: narrow, lossy, with small packets.
//!
//! The rate is a token bucket (`tc` of iproute2). Loss is a rule of nftables that drops packets by chance as they arrive (`nft`),
//! since not every kernel has netem; with it, links carry single packets of the wire, so that the chance is that of a packet.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{Namespace, link};

/// The character of a way. The default is an ordinary one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Bits in a second, at most.
    pub megabits: Option<u32>,
    /// Of a hundred packets, how many are lost.
    pub loss_percent: Option<u8>,
    /// Bytes of the largest packet.
    pub mtu: Option<u32>,
}

impl Shape {
    pub(crate) fn apply(self, namespace: &Namespace, name: &str, index: u32) -> Result<()> {
        if let Some(bytes) = self.mtu {
            namespace.inside(|| link::mtu(index, bytes))?;
        }
        if let Some(megabits) = self.megabits {
            let rate = format!("{megabits}mbit");
            // The kernel fills the bucket a few hundred times a second: it holds what one filling lets through.
            let burst = format!("{}kb", (megabits / 2).max(128));
            let words = ["tc", "qdisc", "replace", "dev", name, "root", "tbf", "rate", &rate];
            run(namespace, words.into_iter().chain(["burst", &burst, "latency", "100ms"]))?;
        }
        if let Some(percent) = self.loss_percent {
            namespace.inside(|| link::segments(index, 1))?;
            let table = format!("lab_{name}");
            let chain = format!("{{ type filter hook ingress device \"{name}\" priority 0; }}");
            let rule = format!("numgen random mod 100 < {percent} drop");
            let script = format!(
                "add table netdev {table}\nadd chain netdev {table} loss {chain}\nadd rule netdev {table} loss {rule}"
            );
            run(namespace, ["nft", &script])?;
        }
        Ok(())
    }
}

/// From here on nothing passes between a namespace and a TCP port of others: packets are dropped, nobody is told.
pub(crate) fn cut(namespace: &Namespace, port: u16) -> Result<()> {
    let script = format!(
        "add table inet lab_cut\nadd chain inet lab_cut out {{ type filter hook output priority -500; }}\n\
        add chain inet lab_cut in {{ type filter hook input priority -500; }}\n\
        add rule inet lab_cut out tcp dport {port} drop\nadd rule inet lab_cut in tcp sport {port} drop"
    );
    run(namespace, ["nft", &script])
}

/// What was cut is whole again.
pub(crate) fn mend(namespace: &Namespace) -> Result<()> {
    run(namespace, ["nft", "delete table inet lab_cut"])
}

fn run<'a>(namespace: &Namespace, words: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let [enter, file] = namespace.words();
    let words: Vec<&str> = words.into_iter().collect();
    let done = Command::new(enter).arg(file).args(&words).output();
    let done = done.context("start `nsenter` of util-linux")?;
    ensure!(done.status.success(), "`{}` failed: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
    Ok(())
}
