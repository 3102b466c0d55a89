//! Buffers of the relays of one worker: a relay has one only while bytes are on their way, so that an idle connection holds none.
//! They grow with what comes, and are kept for the next one within a bound. It must not know what is in them.

use std::cell::{Cell, RefCell};

/// Sizes, from that of a connection that says little to that of bulk.
const SIZES: [usize; 4] = [16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024];
const LARGEST: usize = SIZES.len() - 1;

/// How many of the largest there are at once. They save a tenth of the CPU of few connections that carry much; of many, each gets the
/// size below, so that ten thousand do not take as much memory as their bytes.
const LARGE_ONES: usize = 4;

/// Bytes of each size that are kept for later.
const KEPT: usize = 1024 * 1024;

thread_local! {
    static FREE: RefCell<[Vec<Vec<u8>>; SIZES.len()]> = RefCell::default();
    static LARGE_OUT: Cell<usize> = const { Cell::new(0) };
}

/// A buffer; goes back when dropped.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    class: usize,
}

impl Buffer {
    /// Of that class, or of the one below when too many have the largest.
    pub(super) fn take(class: usize) -> Self {
        let mut class = class.min(LARGEST);
        if class == LARGEST {
            let out = LARGE_OUT.get();
            if out < LARGE_ONES {
                LARGE_OUT.set(out + 1);
            } else {
                class -= 1;
            }
        }
        let kept = FREE.with_borrow_mut(|free| free.get_mut(class).and_then(Vec::pop));
        let size = SIZES.get(class).copied().unwrap_or_default();
        Self { bytes: kept.unwrap_or_else(|| vec![0; size]), class }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn class(&self) -> usize {
        self.class
    }

    pub(super) fn is_none(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        // The thread may be ending.
        if self.class == LARGEST {
            let _ = LARGE_OUT.try_with(|out| out.set(out.get().saturating_sub(1)));
        }
        let _ = FREE.try_with(|free| {
            if let Some(free) = free.borrow_mut().get_mut(self.class)
                && (free.len() + 1) * bytes.len() <= KEPT
            {
                free.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_used_again_within_a_bound() {
        let place = Buffer::take(2).bytes().as_ptr();
        assert_eq!(Buffer::take(2).bytes().as_ptr(), place);
        let many: Vec<Buffer> = (0..100).map(|_| Buffer::take(2)).collect();
        drop(many);
        FREE.with_borrow(|free| assert_eq!(free[2].len() * 256 * 1024, KEPT));
        assert_eq!(Buffer::take(9).bytes().len(), 1024 * 1024, "there is no larger one");
    }

    #[test]
    fn only_a_few_get_the_largest_at_once() {
        let sizes = |many: &[Buffer]| many.iter().filter(|one| one.bytes().len() == 1024 * 1024).count();
        let many: Vec<Buffer> = (0..10).map(|_| Buffer::take(3)).collect();
        assert_eq!(sizes(&many), LARGE_ONES);
        assert!(many.iter().all(|one| one.bytes().len() >= 256 * 1024));
        drop(many);
        let many: Vec<Buffer> = (0..10).map(|_| Buffer::take(3)).collect();
        assert_eq!(sizes(&many), LARGE_ONES, "what was given back can be had again");
    }
}
