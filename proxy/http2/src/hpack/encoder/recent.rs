//! Where a field is in the table, found by a hash of it: two places for each hash, of which the newer field takes the older. A field
//! that is forgotten too early is written out once more, and nothing worse. It must not know how fields are written.

use super::super::table::Table;

/// How many pairs of places there are: the table of 4096 bytes holds about 60 fields.
const SETS: usize = 64;

/// What is known of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is in the table, so many entries behind the newest.
    Entry(usize),
    /// It was seen, and is expected to be the next that is inserted.
    Again,
    /// It was not seen lately.
    New,
}

#[derive(Debug)]
pub(super) struct Recent {
    sets: Box<[[Seen; 2]; SETS]>,
    /// How many fields were inserted so far.
    inserted: u32,
}

/// A field that was seen.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// 0 if none was.
    hash: u32,
    /// Its number among the inserted, or [`NEVER`] before it is.
    number: u32,
}

/// Not inserted. If ever so many are, one of them is not found.
const NEVER: u32 = u32::MAX;

impl Recent {
    pub(super) fn new() -> Self {
        Self { sets: Box::new([[Seen::default(); 2]; SETS]), inserted: 0 }
    }

    /// Where the field is. For [`Place::Again`] the caller inserts it now.
    pub(super) fn place(&mut self, table: &Table, name: &[u8], index: usize, value: &[u8]) -> Place {
        let hash = hash(name, index, value);
        let Some([newer, older]) = self.sets.get_mut(hash as usize % SETS) else { return Place::New };
        if newer.hash != hash {
            std::mem::swap(newer, older);
        }
        if newer.hash != hash {
            *newer = Seen { hash, number: NEVER };
            return Place::New;
        }
        if newer.number != NEVER {
            let entry = self.inserted.wrapping_sub(newer.number).wrapping_sub(1) as usize;
            if table
                .get(entry)
                .is_some_and(|(a, b)| b == value && (a == name || a.eq_ignore_ascii_case(name)))
            {
                return Place::Entry(entry);
            }
        }
        newer.number = self.inserted;
        self.inserted = self.inserted.wrapping_add(1);
        Place::Again
    }
}

/// Makes eight letters lower, as far as it matters to a hash.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// A number that most likely differs between fields that differ, and is not 0. It looks at the ends of a long value only: whoever makes
/// many fields with one hash gains nothing but to be written out.
#[inline]
fn hash(name: &[u8], index: usize, value: &[u8]) -> u32 {
    let mut state = if index == 0 { ends(name, LOWER) } else { index as u64 };
    state = mix(state ^ (name.len() as u64) << 56 ^ ends(value, 0));
    if value.len() > 16 {
        let half = value.len() / 2;
        state = mix(state ^ ends(value.get(8..half).unwrap_or_default(), 0));
        state = mix(state ^ ends(value.get(half..value.len() - 8).unwrap_or_default(), 0));
    }
    state = mix(state ^ value.len() as u64);
    (state >> 32) as u32 | 1
}

/// The first and the last eight bytes in one number, each with the bits of `and` set.
#[inline]
fn ends(bytes: &[u8], and: u64) -> u64 {
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            (u64::from_le_bytes(*first) | and) ^ (u64::from_le_bytes(*last) | and).rotate_left(29)
        }
        _ => bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) | and,
    }
}

#[inline]
fn mix(state: u64) -> u64 {
    let mixed = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}
