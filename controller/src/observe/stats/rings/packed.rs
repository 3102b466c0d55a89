//! A slot that has passed, in as few bytes as it takes: variable-length numbers in one allocation; buckets as distances. About a tenth
//! of the slot it was. Pure; what is read was written here.

use super::super::super::histogram::Histogram;
use super::Cell;

/// A cell that nothing is added to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed(Box<[u8]>);

impl From<&Cell> for Packed {
    fn from(cell: &Cell) -> Self {
        let mut bytes = Vec::with_capacity(32 + 4 * cell.latency.buckets().len());
        let counts = [cell.requests, cell.failures, cell.mesh_failures];
        let sums = [cell.bytes_in, cell.bytes_out, cell.latency_sum_us, cell.codes.len() as u64];
        for number in counts.into_iter().chain(sums) {
            put(&mut bytes, number);
        }
        for (code, count) in &cell.codes {
            put(&mut bytes, code.len() as u64);
            bytes.extend_from_slice(code.as_bytes());
            put(&mut bytes, *count);
        }
        let mut before = 0;
        for (index, count) in cell.latency.buckets() {
            put(&mut bytes, u64::from(index - before));
            put(&mut bytes, u64::from(*count));
            before = *index;
        }
        Self(bytes.into())
    }
}

impl Packed {
    /// Adds what it counted.
    pub(super) fn add_to(&self, sum: &mut Cell) {
        if let Some(cell) = self.unpack() {
            sum.add(&cell);
        }
    }

    /// `None` cannot be: all was written by `from`.
    fn unpack(&self) -> Option<Cell> {
        let mut rest = &*self.0;
        let (requests, failures, mesh_failures) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
        let (bytes_in, bytes_out, latency_sum_us) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
        let mut cell = Cell {
            requests,
            failures,
            mesh_failures,
            bytes_in,
            bytes_out,
            latency_sum_us,
            ..Cell::default()
        };
        for _ in 0..take(&mut rest)? {
            let length = usize::try_from(take(&mut rest)?).ok()?;
            let (code, behind) = rest.split_at_checked(length)?;
            rest = behind;
            cell.codes.push((std::str::from_utf8(code).ok()?.to_owned(), take(&mut rest)?));
        }
        cell.latency = Histogram::default();
        let mut index = 0;
        while !rest.is_empty() {
            index += u16::try_from(take(&mut rest)?).ok()?;
            cell.latency.add(index, u32::try_from(take(&mut rest)?).ok()?);
        }
        Some(cell)
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            numbers in any::<[u64; 6]>(),
            buckets in prop::collection::btree_map(0_u16..=384, 1_u32.., 0..60),
            codes in prop::collection::btree_map("[a-z_]{1,40}", any::<u64>(), 0..24),
        ) {
            let [requests, failures, mesh_failures, bytes_in, bytes_out, latency_sum_us] = numbers;
            let mut latency = Histogram::default();
            for (index, count) in buckets {
                latency.add(index, count);
            }
            let codes = codes.into_iter().collect();
            let cell = Cell {
                requests, failures, mesh_failures, bytes_in, bytes_out, latency_sum_us, latency, codes,
            };
            prop_assert_eq!(Packed::from(&cell).unpack(), Some(cell));
        }
    }

    #[test]
    fn a_usual_minute_takes_a_few_bytes_a_bucket() {
        let mut cell = Cell { requests: 6_000, ..Cell::default() };
        for index in 60..120 {
            cell.latency.add(index, 100);
        }
        assert!(Packed::from(&cell).0.len() < 140);
    }
}
