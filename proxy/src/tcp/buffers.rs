//! Buffers of the relays of one worker: a relay has one only while bytes are on their way, so that an idle connection holds none.
//! They grow with what comes, and are kept for the next one within a bound. It must not know what is in them.

use std::cell::RefCell;

/// Sizes, from that of a connection that says little to that of bulk.
const SIZES: [usize; 3] = [16 * 1024, 64 * 1024, 256 * 1024];

/// Bytes of each size that are kept for later.
const KEPT: usize = 1024 * 1024;

thread_local! {
    static FREE: RefCell<[Vec<Vec<u8>>; 3]> = RefCell::default();
}

/// A buffer; goes back when dropped.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    class: usize,
}

impl Buffer {
    /// Of that class; the highest is the last one.
    pub(super) fn take(class: usize) -> Self {
        let class = class.min(SIZES.len() - 1);
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
        assert_eq!(Buffer::take(9).bytes().len(), 256 * 1024, "there is no larger one");
    }
}
