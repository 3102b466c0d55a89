//! What happens when. Pure.

/// Something that happens to the replicas, or to the ways to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// All proxies start, within a minute.
    Rollout,
    /// A replica is killed, and starts anew at once.
    KillOne,
    /// All replicas are killed in one moment, and start anew at once.
    KillAll,
    /// Nothing passes between a third of the proxies and the replicas, for a minute.
    Partition,
    /// The replicas are replaced one after the other, thirty seconds apart.
    Rolling,
    /// Nothing reaches a replica that goes on believing in its streams: its node is gone.
    LoseNode,
}

/// When, and how it is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spell {
    pub(crate) event: Event,
    pub(crate) name: &'static str,
    pub(crate) at_s: f64,
    /// From when on it counts how long it takes until all is well.
    pub(crate) over_s: f64,
}

pub(crate) const ROLLOUT_S: f64 = 60.0;
pub(crate) const PARTITION_S: f64 = 60.0;
pub(crate) const ROLLING_S: f64 = 30.0;
/// Between two spells.
const CALM_S: f64 = 120.0;

/// All of it, one after the other, each with time to settle.
pub(crate) fn all(replicas: usize) -> Vec<Spell> {
    let plan = [
        (Event::Rollout, "all proxies start within a minute", ROLLOUT_S),
        (Event::KillOne, "a replica is killed", 0.0),
        (Event::LoseNode, "the node of a replica is gone", 0.0),
        (Event::Partition, "a third of the proxies is cut off for a minute", PARTITION_S),
        (Event::Rolling, "replicas are replaced one by one", ROLLING_S * (replicas.saturating_sub(1)) as f64),
        (Event::KillAll, "all replicas are killed in one moment", 0.0),
    ];
    let mut at_s = 1.0;
    plan.into_iter()
        .map(|(event, name, lasts_s)| {
            let spell = Spell { event, name, at_s, over_s: at_s + lasts_s };
            at_s = spell.over_s + CALM_S;
            spell
        })
        .collect()
}

/// When the run ends.
pub(crate) fn end_s(spells: &[Spell]) -> f64 {
    spells.last().map_or(0.0, |spell| spell.over_s + CALM_S)
}
