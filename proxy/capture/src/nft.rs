//! A ruleset as one netlink batch: the table is made, deleted and made anew with everything in it, so that whatever an earlier run left
//! is replaced in one step, or nothing is changed. It must not know why rules are there, nor how messages are sent.

mod expression;
mod set;

#[cfg(test)]
mod tests;

use crate::number as n;
use crate::ruleset::{Base, Chain, Hook, Kind, Rule, Ruleset, TABLE};
use crate::wire::{ACK, APPEND, CREATE, Message};

/// Messages that the kernel takes together or not at all.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Their bytes, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// What each sequence number, from 0, is about.
    pub(crate) parts: Vec<String>,
}

/// Replaces what is there.
pub(crate) fn replace(ruleset: &Ruleset) -> Batch {
    let mut batch = Batch::begin();
    batch.empty_table();
    batch.push(n::NFT_MSG_NEWTABLE, CREATE, format!("table inet {TABLE}"), |message| {
        message.text(n::NFTA_TABLE_NAME, TABLE);
    });
    for (id, set) in (1..).zip(&ruleset.sets) {
        set::push(&mut batch, id, set);
    }
    for chain in &ruleset.chains {
        batch.push(n::NFT_MSG_NEWCHAIN, CREATE, format!("chain {}", chain.name), |message| {
            chain_attributes(message, chain);
        });
    }
    for chain in &ruleset.chains {
        for (number, rule) in (1..).zip(&chain.rules) {
            let part = format!("rule {number} of chain {}", chain.name);
            batch.push(n::NFT_MSG_NEWRULE, CREATE | APPEND, part, |message| {
                rule_attributes(message, chain, rule, ruleset);
            });
        }
    }
    batch.end()
}

/// Takes everything away; nothing is wrong with nothing there.
pub(crate) fn remove() -> Batch {
    let mut batch = Batch::begin();
    batch.empty_table();
    batch.end()
}

impl Batch {
    fn begin() -> Self {
        let mut batch = Self { bytes: Vec::new(), parts: Vec::new() };
        batch.control(n::NFNL_MSG_BATCH_BEGIN);
        batch
    }

    fn end(mut self) -> Self {
        self.control(n::NFNL_MSG_BATCH_END);
        self
    }

    /// The table exists after this, and is gone after the next: deleting what is not there would be an error.
    fn empty_table(&mut self) {
        let name = |message: &mut Message| {
            message.text(n::NFTA_TABLE_NAME, TABLE);
        };
        self.push(n::NFT_MSG_NEWTABLE, CREATE, format!("table inet {TABLE}"), name);
        self.push(n::NFT_MSG_DELTABLE, 0, format!("deletion of table inet {TABLE}"), name);
    }

    fn push(&mut self, kind: u16, flags: u16, part: String, fill: impl FnOnce(&mut Message)) {
        // struct nfgenmsg: family, version, resource.
        let header = [n::NFPROTO_INET, 0, 0, 0];
        // One acknowledgement is enough: errors are told without being asked for, and a thousand answers would not fit into the buffer.
        let acknowledged = if self.parts.len() == 1 { ACK } else { 0 };
        let kind = (n::SUBSYS_NFTABLES << 8) | kind;
        let mut message = Message::new(kind, flags | acknowledged, self.sequence(), &header);
        fill(&mut message);
        self.bytes.extend(message.into_bytes());
        self.parts.push(part);
    }

    fn control(&mut self, kind: u16) {
        let [high, low] = n::SUBSYS_NFTABLES.to_be_bytes();
        let header = [n::NFPROTO_UNSPEC, 0, high, low];
        self.bytes.extend(Message::new(kind, 0, self.sequence(), &header).into_bytes());
        self.parts.push("the batch".to_owned());
    }

    fn sequence(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }
}

fn chain_attributes(message: &mut Message, chain: &Chain) {
    message.text(n::NFTA_CHAIN_TABLE, TABLE).text(n::NFTA_CHAIN_NAME, chain.name);
    let Some(Base { kind, hook, priority }) = chain.base else { return };
    message
        .nested(n::NFTA_CHAIN_HOOK, |inside| {
            let number = match hook {
                Hook::Prerouting => n::NF_INET_PRE_ROUTING,
                Hook::Output => n::NF_INET_LOCAL_OUT,
            };
            inside.be32(n::NFTA_HOOK_HOOKNUM, number);
            inside.be32(n::NFTA_HOOK_PRIORITY, priority.number().cast_unsigned());
        })
        .be32(n::NFTA_CHAIN_POLICY, n::NF_ACCEPT.cast_unsigned())
        .text(
            n::NFTA_CHAIN_TYPE,
            match kind {
                Kind::Nat => "nat",
                Kind::Filter => "filter",
                Kind::Route => "route",
            },
        );
}

fn rule_attributes(message: &mut Message, chain: &Chain, rule: &Rule, ruleset: &Ruleset) {
    message.text(n::NFTA_RULE_TABLE, TABLE).text(n::NFTA_RULE_CHAIN, chain.name);
    message.nested(n::NFTA_RULE_EXPRESSIONS, |inside| {
        for condition in &rule.matches {
            expression::condition(inside, condition, ruleset);
        }
        expression::action(inside, rule.action);
    });
    if let Some(comment) = rule.comment {
        // As `nft` keeps comments: type 0, length, text with its zero.
        let mut data = vec![0, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)];
        data.extend(comment.bytes().chain([0]));
        message.attribute(n::NFTA_RULE_USERDATA, &data);
    }
}
