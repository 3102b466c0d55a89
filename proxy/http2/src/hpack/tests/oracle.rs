//! The table against one that is written as the RFC describes it.

use super::super::table::Table;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>, Vec<u8>),
    Again(usize, Vec<u8>),
    Limit(usize),
}

#[derive(Default)]
struct Naive {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    limit: usize,
}

impl Naive {
    fn size(&self) -> usize {
        self.entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Insert(name, value) => self.insert(name.clone(), value.clone()),
            Step::Again(index, value) => {
                if let Some((name, _)) = self.entries.get(*index) {
                    self.insert(name.clone(), value.clone());
                }
            }
            Step::Limit(limit) => {
                self.limit = *limit;
                while self.size() > self.limit {
                    self.entries.pop();
                }
            }
        }
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        let size = name.len() + value.len() + 32;
        while !self.entries.is_empty() && self.size() + size > self.limit {
            self.entries.pop();
        }
        if size <= self.limit {
            self.entries.insert(0, (name, value));
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        6 => (bytes(), bytes()).prop_map(|(name, value)| Step::Insert(name, value)),
        4 => (0usize..8, bytes()).prop_map(|(index, value)| Step::Again(index, value)),
        1 => (0usize..600).prop_map(Step::Limit),
    ]
}

proptest! {
    #[test]
    fn a_table_holds_what_a_naive_one_holds(limit in 0usize..600, steps in prop::collection::vec(step(), 0..120)) {
        let mut table = Table::new(limit);
        let mut naive = Naive { limit, ..Naive::default() };
        for step in &steps {
            match step {
                Step::Insert(name, value) => table.insert(name, value),
                Step::Again(index, value) => table.insert_again(*index, value),
                Step::Limit(limit) => table.set_limit(*limit),
            }
            naive.apply(step);
            prop_assert_eq!(table.len(), naive.entries.len());
            prop_assert_eq!(table.size(), naive.size());
            for (index, (name, value)) in naive.entries.iter().enumerate() {
                prop_assert_eq!(table.get(index), Some((name.as_slice(), value.as_slice())));
            }
            prop_assert_eq!(table.get(naive.entries.len()), None);
            prop_assert_eq!(table.get(usize::MAX), None);
        }
    }
}
