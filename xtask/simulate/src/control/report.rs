//! What came of a run, as a table and as JSON. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Size;
use super::costs::Costs;
use super::world::{Came, Result};

pub(crate) fn table(result: &Result, size: Size, costs: Costs) -> String {
    let mut out = format!(
        "{} proxies, {} replicas of {} cores, {} services of which a proxy uses {}, {} changes a second, seed {}\n{:.0} s of virtual time, {} events\n\n",
        size.proxies,
        size.replicas,
        size.cores,
        size.services,
        size.uses,
        size.changes,
        size.seed,
        result.virtual_s,
        result.events
    );
    // Writing to a text never fails.
    for (name, value, unit) in costs.rows() {
        let _ = writeln!(out, "  {name:38} {value:>9.2} {unit}");
    }
    let _ = writeln!(
        out,
        "\n{:48} {:>8} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>7} {:>8}",
        "what happened", "hit", "settled", "attempts", "in vain", "stale", "p99", "streams", "making", "CPU"
    );
    for came in &result.spells {
        let settled = came.settled_s.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1} s"));
        let _ = writeln!(
            out,
            "{:48} {:>8} {:>9} {:>9} {:>8} {:>6.1} s {:>5.0} ms {:>9} {:>7} {:>8.2}",
            came.name,
            came.hit,
            settled,
            came.attempts,
            came.in_vain,
            came.most_stale_s,
            percentile(&came.delays_ms, 99),
            came.most_streams,
            came.most_making,
            came.cores
        );
    }
    let _ = write!(out, "\nmemory of the fullest replica: {:.0} MiB", memory_mib(result, costs));
    out
}

pub(crate) fn json(result: &Result, size: Size, costs: Costs) -> Value {
    let spell = |came: &Came| {
        json!({
            "name": came.name, "hit": came.hit, "settled_seconds": came.settled_s, "attempts": came.attempts,
            "in_vain": came.in_vain, "most_stale_seconds": came.most_stale_s,
            "p50_milliseconds": percentile(&came.delays_ms, 50), "p99_milliseconds": percentile(&came.delays_ms, 99),
            "most_streams": came.most_streams, "most_making": came.most_making, "cores_of_a_replica": came.cores,
        })
    };
    let costs_json: serde_json::Map<String, Value> =
        costs.rows().iter().map(|(name, value, unit)| (format!("{name} ({unit})"), json!(value))).collect();
    json!({
        "proxies": size.proxies, "replicas": size.replicas, "cores": size.cores, "services": size.services,
        "uses": size.uses, "changes_a_second": size.changes, "seed": size.seed,
        "virtual_seconds": result.virtual_s, "events": result.events, "costs": costs_json,
        "memory_mib": memory_mib(result, costs), "spells": result.spells.iter().map(spell).collect::<Vec<_>>(),
    })
}

fn memory_mib(result: &Result, costs: Costs) -> f64 {
    let most = result.spells.iter().map(|came| came.most_streams).max().unwrap_or_default();
    costs.base_mib + most as f64 * costs.stream_kib / 1024.0
}

/// Of sorted values: below it lie that many of a hundred; 0 of nothing.
fn percentile(sorted: &[f64], of_hundred: usize) -> f64 {
    let at = (sorted.len() * of_hundred).div_ceil(100);
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::world::World;

    #[test]
    fn a_run_is_told_as_a_table_and_as_json() {
        let size = Size { proxies: 200, replicas: 2, cores: 1, services: 100, uses: 5, changes: 2, seed: 3 };
        let result = World::run(size, Costs::default());
        let text = table(&result, size, Costs::default());
        assert!(text.contains("all replicas are killed in one moment") && text.contains("seed 3"), "{text}");
        let told = json(&result, size, Costs::default());
        assert_eq!(told["spells"].as_array().unwrap().len(), result.spells.len());
        assert!(told["spells"][0]["settled_seconds"].as_f64().is_some(), "{told}");
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!([50, 99].map(|share| percentile(&values, share).to_string()), ["100", "198"]);
    }
}
