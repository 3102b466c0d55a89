//! A ruleset as input of `iptables-restore` and `ip6tables-restore`, for kernels without nftables. Sets become a rule for each element.
//! It must not know why rules are there; only `run` starts programs.

pub(crate) mod run;
mod words;

#[cfg(test)]
mod tests;

use crate::ruleset::{Action, Base, Chain, Family, Hook, Kind, Priority, Ruleset};

use self::words::rules;

/// What every chain of ours begins with.
const PREFIX: &str = "AMIME_";

/// Tables in the order in which they are written.
const TABLES: [&str; 3] = ["raw", "mangle", "nat"];

/// Both families, for people: as from a network namespace without rules.
pub(crate) fn shown(ruleset: &Ruleset) -> String {
    format!(
        "# iptables-restore --noflush\n{}# ip6tables-restore --noflush\n{}",
        replace(ruleset, Family::V4, ""),
        replace(ruleset, Family::V6, "")
    )
}

/// Input that replaces what is there. `saved` is what `iptables-save` shows now.
fn replace(ruleset: &Ruleset, family: Family, saved: &str) -> String {
    let tables = TABLES.into_iter().map(|table| {
        let chains = chains_of(table, ruleset);
        let declared = chains.iter().map(|chain| format!(":{} - [0:0]", name(chain.name)));
        // A chain that comes again is emptied by its declaration, and must not be deleted.
        let again = |line: &String| chains.iter().any(|chain| *line == format!("-X {}", name(chain.name)));
        let removed = removals(table, saved).into_iter().filter(|line| !again(line));
        let added = chains.iter().flat_map(|chain| {
            let rules = chain.rules.iter().flat_map(|rule| rules(rule, family, &ruleset.sets));
            let rules = rules.map(|rule| format!("-A {} {rule}", name(chain.name)));
            // Before what others do there.
            let enter = chain.base.map(|base| format!("-I {} -j {}", hook(base.hook), name(chain.name)));
            rules.chain(enter).collect::<Vec<_>>()
        });
        (table, declared.chain(removed).chain(added).collect())
    });
    input(tables)
}

/// Input that takes away what `iptables-save` shows of ours; empty when that is nothing.
fn remove(saved: &str) -> String {
    input(TABLES.into_iter().map(|table| (table, removals(table, saved))))
}

/// The tables in which something is done.
fn input(tables: impl Iterator<Item = (&'static str, Vec<String>)>) -> String {
    let parts: Vec<String> = tables
        .filter(|(_, lines)| !lines.is_empty())
        .map(|(table, lines)| format!("*{table}\n{}\nCOMMIT\n", lines.join("\n")))
        .collect();
    parts.concat()
}

/// First what jumps to our chains, then what is in them, then the chains.
fn removals(table: &str, saved: &str) -> Vec<String> {
    let lines = || {
        let of_table = saved.lines().skip_while(move |line| line.strip_prefix('*') != Some(table));
        of_table.skip(1).take_while(|line| !line.starts_with('*'))
    };
    let ours = |name: &str| name.starts_with(PREFIX);
    let chains: Vec<&str> = lines()
        .filter_map(|line| line.strip_prefix(':')?.split_whitespace().next())
        .filter(|name| ours(name))
        .collect();
    let jumps = lines().filter_map(|line| {
        let rule = line.strip_prefix("-A ")?;
        let jump = rule.rsplit_once("-j ")?.1.trim();
        (!ours(rule) && ours(jump)).then(|| format!("-D {rule}"))
    });
    let emptied = chains.iter().map(|chain| format!("-F {chain}"));
    let deleted = chains.iter().map(|chain| format!("-X {chain}"));
    jumps.chain(emptied).chain(deleted).collect()
}

/// The chains of a table: those of its hooks, and those that they lead to.
fn chains_of<'a>(table: &str, ruleset: &'a Ruleset) -> Vec<&'a Chain> {
    let mut found: Vec<&Chain> = ruleset
        .chains
        .iter()
        .filter(|chain| chain.base.is_some_and(|base| self::table(base) == table))
        .collect();
    let mut next = 0;
    while let Some(chain) = found.get(next) {
        for rule in &chain.rules {
            let (Action::Jump(target) | Action::Goto(target)) = rule.action else { continue };
            if !found.iter().any(|chain| chain.name == target) {
                found.extend(ruleset.chains.iter().find(|chain| chain.name == target));
            }
        }
        next += 1;
    }
    found
}

const fn table(base: Base) -> &'static str {
    match (base.kind, base.priority) {
        (Kind::Nat, _) => "nat",
        (_, Priority::Raw) => "raw",
        (Kind::Filter | Kind::Route, _) => "mangle",
    }
}

const fn hook(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "PREROUTING",
        Hook::Output => "OUTPUT",
    }
}

fn name(chain: &str) -> String {
    format!("{PREFIX}{}", chain.to_ascii_uppercase())
}
