//! It does what the standard library's map does, and copies do not see each other's changes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Edit {
    Insert(u16, u8),
    Remove(u16),
    Change(u16),
    Copy,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    // Few enough keys for replacing and taking away, enough for several chunks.
    let key = 0_u16..600;
    let edit = prop_oneof![
        5 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Edit::Insert(key, value)),
        3 => key.clone().prop_map(Edit::Remove),
        1 => key.prop_map(Edit::Change),
        1 => Just(Edit::Copy),
    ];
    prop::collection::vec(edit, 0..1_200)
}

fn same(shared: &SharedMap<u16, u8>, map: &BTreeMap<u16, u8>) {
    assert!(shared.iter().eq(map.iter()));
    assert_eq!((shared.len(), shared.is_empty()), (map.len(), map.is_empty()));
    assert!(shared.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= MOST));
    for key in [0, 1, 299, 599, 600] {
        assert_eq!(shared.get_key_value(&key), map.get_key_value(&key));
        assert_eq!(shared.get_by(|other| other.cmp(&key)), map.get(&key));
        assert!(shared.from(&key).eq(map.range(key..)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_map_of_the_standard_library(begin in prop::collection::btree_map(0_u16..600, any::<u8>(), 0..400), edits in edits()) {
        let (mut map, mut shared) = (begin.clone(), begin.into_iter().collect::<SharedMap<_, _>>());
        let mut copies = vec![(map.clone(), shared.clone())];
        for edit in edits {
            match edit {
                Edit::Insert(key, value) => assert_eq!(shared.insert(key, value), map.insert(key, value)),
                Edit::Remove(key) => assert_eq!(shared.remove(&key), map.remove(&key)),
                Edit::Change(key) => {
                    let (one, other) = (shared.get_mut(&key), map.get_mut(&key));
                    assert_eq!(one.is_some(), other.is_some());
                    one.into_iter().chain(other).for_each(|value| *value = value.wrapping_add(1));
                }
                Edit::Copy => copies.push((map.clone(), shared.clone())),
            }
        }
        same(&shared, &map);
        assert_eq!(shared, map.iter().map(|(key, value)| (*key, *value)).collect());
        for (map, copy) in copies {
            same(&copy, &map);
        }
    }
}

#[test]
fn of_several_values_of_one_key_the_last_one_counts() {
    let map: SharedMap<u8, u8> = [(2, 1), (1, 1), (2, 2)].into_iter().collect();
    assert_eq!(map.iter().collect::<Vec<_>>(), [(&1, &1), (&2, &2)]);
    assert_eq!(map[&2], 2);
}

#[test]
fn a_copy_shares_what_did_not_change() {
    let map: SharedMap<u32, u32> = (0..6_400).map(|key| (key, key)).collect();
    let mut copy = map.clone();
    copy.insert(3_200, 0);
    let shared = map.chunks.iter().zip(copy.chunks.iter()).filter(|(one, other)| Arc::ptr_eq(one, other));
    assert_eq!((shared.count(), map.chunks.len()), (99, 100));
}

#[test]
fn what_is_the_same_before_is_taken_from_there() {
    let map = |odd: u32| (0..200_u32).map(|key| (key, Arc::new(key % odd))).collect::<SharedMap<_, _>>();
    let (before, now) = (map(199), map(198));
    let adopted = now.adopting(&before);
    assert_eq!(adopted, now);
    let same = |key: u32| Arc::ptr_eq(&adopted[&key], &before[&key]);
    assert_eq!((same(0), same(197), same(198), same(199)), (true, true, false, false));
}

#[test]
fn nothing_is_left_of_what_was_taken_away() {
    let mut map: SharedMap<u32, u32> = (0..1_000).map(|key| (key, key)).collect();
    (0..1_000).for_each(|key| assert_eq!(map.remove(&key), Some(key)));
    assert!(map.is_empty() && map.chunks.is_empty());
    assert_eq!(map.get(&1), None);
}
