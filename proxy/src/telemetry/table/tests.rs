//! What is shown, what is kept, and what is folded.

use super::*;
use crate::telemetry::worker::tests::key;

const SECOND: Duration = Duration::from_secs(1);

fn one() -> SeriesDelta {
    SeriesDelta { requests: 1, ..SeriesDelta::default() }
}

fn shown_of(table: &Table, now: Duration) -> Vec<(String, u64)> {
    let mut all: Vec<_> = table
        .shown(now)
        .map(|(key, sum)| (key.route.as_deref().unwrap_or_default().to_owned(), sum.requests))
        .collect();
    all.sort();
    all
}

#[test]
fn an_idle_series_is_not_shown_and_goes_on_where_it_was() {
    let mut table = Table::new(10);
    table.add(&key("a", 200), &one(), SECOND);
    table.add(&key("b", 200), &one(), IDLE);
    assert_eq!(shown_of(&table, IDLE), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert_eq!(shown_of(&table, IDLE + SECOND), [("b".to_owned(), 1)]);
    table.add(&key("a", 200), &one(), IDLE * 5);
    assert_eq!(shown_of(&table, IDLE * 5), [("a".to_owned(), 2)], "a counter never goes back");
}

#[test]
fn a_full_table_gives_the_places_of_idle_series_away_first() {
    let mut table = Table::new(2);
    table.add(&key("a", 200), &one(), SECOND);
    table.add(&key("b", 200), &one(), IDLE);
    assert_eq!(table.add(&key("c", 200), &one(), IDLE), Place::Folded);
    let later = IDLE + SECOND;
    assert_eq!(table.add(&key("d", 200), &one(), later), Place::Folded, "the overflow series has the place");
    let shown = shown_of(&table, later);
    assert_eq!(shown, [("b".to_owned(), 1), ("overflow".to_owned(), 2)]);
    let much_later = IDLE * 3;
    assert_eq!(table.add(&key("e", 200), &one(), much_later), Place::Own);
    assert_eq!(shown_of(&table, much_later), [("e".to_owned(), 1)]);
}

#[test]
fn a_sweep_that_could_find_nothing_is_not_made() {
    let mut table = Table::new(1);
    table.add(&key("a", 200), &one(), IDLE);
    table.add(&key("b", 200), &one(), IDLE + SECOND);
    assert_eq!(table.next_sweep, IDLE * 2);
}

#[test]
fn hundreds_of_thousands_of_series_stay_in_the_budget() {
    let mut table = Table::new(400);
    for n in 0..100_000 {
        table.add(&key(&format!("route-{n}"), 200), &one(), SECOND);
    }
    assert_eq!(table.shown(SECOND).count(), 401);
    assert_eq!(table.shown(SECOND).map(|(_, sum)| sum.requests).sum::<u64>(), 100_000);
}
