//! What waits to be written: small things copied together, large pieces as they are. It must not know what they mean.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// From this size on a piece is not copied.
const WHOLE: usize = 2048;

/// Where buffers come from and go to while nothing waits.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Gives an empty one.
    pub take: fn() -> Vec<u8>,
    /// Takes one back.
    pub give: fn(Vec<u8>),
}

/// Bytes in the order of writing.
#[derive(Debug)]
pub struct Out {
    buffers: Buffers,
    whole: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// Bytes of the tail that are written.
    at: usize,
    length: usize,
}

impl Out {
    pub(crate) fn new(buffers: Buffers) -> Self {
        Self { buffers, whole: VecDeque::new(), tail: Vec::new(), at: 0, length: 0 }
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        if self.tail.capacity() == 0 {
            self.tail = (self.buffers.take)();
        }
        self.tail.extend_from_slice(bytes);
        self.length += bytes.len();
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < WHOLE {
            self.copy(&bytes);
            return;
        }
        if self.tail.len() > self.at {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(std::mem::take(&mut self.at));
            self.whole.push_back(tail);
        }
        self.length += bytes.len();
        self.whole.push_back(bytes);
    }

    fn tail(&self) -> &[u8] {
        self.tail.get(self.at..).unwrap_or_default()
    }

    /// The first bytes, when they lie in one piece.
    pub fn single(&self) -> Option<&[u8]> {
        match (self.whole.len(), self.tail().is_empty()) {
            (0, _) => Some(self.tail()),
            (1, true) => self.whole.front().map(AsRef::as_ref),
            _ => None,
        }
    }

    /// Fills `slices` from the front; gives how many it used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = Some(self.tail()).filter(|tail| !tail.is_empty());
        let all = self.whole.iter().map(AsRef::as_ref).chain(tail);
        let mut used = 0;
        for (place, bytes) in slices.iter_mut().zip(all) {
            *place = IoSlice::new(bytes);
            used += 1;
        }
        used
    }

    /// Takes off what was written.
    pub fn advance(&mut self, count: usize) {
        let mut left = count.min(self.length);
        self.length -= left;
        while let Some(first) = self.whole.front_mut() {
            if left < first.len() {
                first.advance(left);
                return;
            }
            left -= first.len();
            self.whole.pop_front();
        }
        self.at += left;
        if self.at == self.tail.len() {
            self.tail.clear();
            self.at = 0;
        }
    }

    /// Gives memory back while nothing waits.
    pub fn rest(&mut self) {
        if self.length == 0 && self.tail.capacity() > 0 {
            (self.buffers.give)(std::mem::take(&mut self.tail));
            self.whole = VecDeque::new();
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        (self.buffers.give)(std::mem::take(&mut self.tail));
    }
}

#[cfg(test)]
pub(crate) const PLAIN: Buffers = Buffers { take: Vec::new, give: drop };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_comes_out_in_order_however_it_is_written(
            pieces in prop::collection::vec((any::<u8>(), 0..5000_usize), 0..20),
            steps in prop::collection::vec(1..6000_usize, 1..50),
        ) {
            let (mut out, mut wanted, mut got) = (Out::new(PLAIN), vec![], vec![]);
            for (byte, length) in pieces {
                let bytes = vec![byte; length];
                wanted.extend_from_slice(&bytes);
                out.push(Bytes::from(bytes));
            }
            prop_assert_eq!(out.len(), wanted.len());
            for step in steps.iter().cycle().take(100_000 / steps.iter().sum::<usize>().max(1) * steps.len() + steps.len()) {
                let mut slices = [IoSlice::new(&[]); 4];
                let used = out.slices(&mut slices);
                let flat: Vec<u8> = slices.iter().take(used).flat_map(|slice| slice.iter().copied()).collect();
                let count = (*step).min(flat.len());
                got.extend_from_slice(&flat[..count]);
                out.advance(count);
            }
            prop_assert!(out.is_empty());
            prop_assert_eq!(got, wanted);
        }
    }
}
