//! Buffers of one worker: taken while bytes are on their way, given back while a connection waits. Bounded, so that a burst does not
//! stay in memory. It must not know what is in them.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;

/// Sizes of read buffers. Larger ones only for large bodies: fewer system calls for each byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Small => 16 * 1024,
            Self::Medium => 64 * 1024,
            Self::Large => 256 * 1024,
        }
    }

    /// How many are kept: half a MiB of each size.
    const fn kept(self) -> usize {
        512 * 1024 / self.bytes()
    }

    /// The one after this.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Small => Self::Medium,
            Self::Medium | Self::Large => Self::Large,
        }
    }

    /// The smallest that holds so many bytes, or the largest.
    pub(super) const fn holding(bytes: u64) -> Self {
        if bytes <= Self::Small.bytes() as u64 {
            Self::Small
        } else if bytes <= Self::Medium.bytes() as u64 {
            Self::Medium
        } else {
            Self::Large
        }
    }
}

#[derive(Default)]
struct Pool {
    small: Vec<BytesMut>,
    medium: Vec<BytesMut>,
    large: Vec<BytesMut>,
    out: Vec<Vec<u8>>,
}

/// How many connections of a worker may read into large buffers at once. A reader that stalls keeps what was read for it, and nobody
/// knows beforehand who will: with this, many of them hold medium buffers.
const LARGE: usize = 8;

/// Leave to read into a large buffer.
#[derive(Debug)]
pub(super) struct LargePlace(());

impl LargePlace {
    /// `None`: all are taken.
    pub(super) fn take() -> Option<Self> {
        LARGE_TAKEN.with(|taken| {
            (taken.get() < LARGE).then(|| {
                taken.set(taken.get() + 1);
                Self(())
            })
        })
    }
}

impl Drop for LargePlace {
    fn drop(&mut self) {
        let _ = LARGE_TAKEN.try_with(|taken| taken.set(taken.get().saturating_sub(1)));
    }
}

/// Bytes of a buffer for heads that is still worth keeping.
const OUT_KEPT: usize = 16 * 1024;

/// How many of them are kept.
const OUTS: usize = 64;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
    static LARGE_TAKEN: Cell<usize> = const { Cell::new(0) };
}

impl Pool {
    fn of(&mut self, size: Size) -> &mut Vec<BytesMut> {
        match size {
            Size::Small => &mut self.small,
            Size::Medium => &mut self.medium,
            Size::Large => &mut self.large,
        }
    }
}

/// An empty read buffer.
pub(super) fn take(size: Size) -> BytesMut {
    POOL.with_borrow_mut(|pool| pool.of(size).pop()).unwrap_or_else(|| BytesMut::with_capacity(size.bytes()))
}

/// Gives a read buffer back, if nobody holds a part of it any more.
pub(super) fn give(mut buffer: BytesMut, size: Size) {
    buffer.clear();
    if !buffer.try_reclaim(size.bytes()) || buffer.capacity() > 2 * size.bytes() {
        return;
    }
    // At the end of a thread the pool may be gone already.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let kept = pool.of(size);
        if kept.len() < size.kept() {
            kept.push(buffer);
        }
    });
}

/// An empty buffer for heads.
pub(super) fn take_out() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| pool.out.pop()).unwrap_or_else(|| Vec::with_capacity(1024))
}

/// Gives a buffer for heads back.
pub(super) fn give_out(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > OUT_KEPT {
        return;
    }
    buffer.clear();
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.out.len() < OUTS {
            pool.out.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_unless_a_part_of_it_is_held() {
        let mut buffer = take(Size::Small);
        buffer.extend_from_slice(b"head body");
        let part = buffer.split_to(4).freeze();
        give(buffer, Size::Small);
        assert_eq!(POOL.with_borrow(|pool| pool.small.len()), 0);
        drop(part);
        let mut buffer = take(Size::Small);
        buffer.extend_from_slice(b"head body");
        drop(buffer.split_to(4).freeze());
        give(buffer, Size::Small);
        assert_eq!(POOL.with_borrow(|pool| pool.small.len()), 1);
        assert!(take(Size::Small).is_empty());
    }

    #[test]
    fn few_connections_at_once_have_large_buffers() {
        let mut places: Vec<_> = (0..LARGE).map(|_| LargePlace::take().unwrap()).collect();
        assert!(LargePlace::take().is_none());
        places.pop();
        assert!(LargePlace::take().is_some());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        for size in [Size::Small, Size::Medium, Size::Large] {
            let all: Vec<_> = (0..100).map(|_| take(size)).collect();
            for buffer in all {
                give(buffer, size);
            }
            let kept = POOL.with_borrow_mut(|pool| pool.of(size).len());
            assert_eq!(kept * size.bytes(), 512 * 1024);
        }
        give_out(Vec::with_capacity(1 << 20));
        assert_eq!(POOL.with_borrow(|pool| pool.out.len()), 0);
    }
}
