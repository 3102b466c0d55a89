//! The dynamic table (RFC 7541 sections 2.3.2 and 4): the newest fields of a connection, the oldest leaving as others come. Names and
//! values lie one behind the other in a single buffer, so that a field is two slices of it and a warm table allocates nothing. It must
//! not know how indices are written, nor the static table.

use std::collections::VecDeque;

/// What an entry counts beside its bytes (RFC 7541 section 4.1).
pub(super) const OVERHEAD: usize = 32;

/// No table becomes larger, whatever was agreed on: offsets are 32 bits.
pub(super) const LARGEST: usize = 1 << 30;

// No name or value is longer than the limit, which fits 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "lengths and offsets are bounded by LARGEST")]
const fn narrow(length: usize) -> u32 {
    length as u32
}

#[derive(Debug)]
pub(super) struct Table {
    /// The bytes of the entries from oldest to newest, behind those of entries that have left.
    bytes: Vec<u8>,
    /// How many bytes were removed from the front of `bytes` since the beginning.
    base: u32,
    /// From oldest to newest.
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where it begins, counted from the beginning of the connection.
    at: u32,
    name: u32,
    value: u32,
}

impl Entry {
    fn size(self) -> usize {
        self.name as usize + self.value as usize + OVERHEAD
    }
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), base: 0, entries: VecDeque::new(), size: 0, limit: limit.min(LARGEST) }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[cfg(test)]
    pub(super) fn buffer(&self) -> usize {
        self.bytes.len()
    }

    /// Name and value of an entry; 0 is the newest.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entry(index)?;
        let (name, from) = self.bytes.get(self.offset(entry)..)?.split_at_checked(entry.name as usize)?;
        Some((name, from.get(..entry.value as usize)?))
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(LARGEST);
        self.evict();
    }

    /// Adds a field as the newest. One that is larger than the table only empties it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        if let Some(at) = self.make_room(name.len(), value.len()) {
            self.bytes.extend_from_slice(name);
            self.bytes.extend_from_slice(value);
            self.push(at, name.len(), value.len());
        }
    }

    /// As [`Self::insert`], with the name of an entry, which may have to leave for it.
    pub(super) fn insert_again(&mut self, index: usize, value: &[u8]) {
        let Some(named) = self.entry(index) else { return };
        let len = named.name as usize;
        if let Some(at) = self.make_room(len, value.len()) {
            // Where the name is, is known only now, as the bytes may have moved.
            let from = self.offset(named);
            self.bytes.extend_from_within(from..from + len);
            self.bytes.extend_from_slice(value);
            self.push(at, len, value.len());
        }
    }

    #[inline]
    fn entry(&self, index: usize) -> Option<Entry> {
        self.entries.get(self.entries.len().checked_sub(1)?.checked_sub(index)?).copied()
    }

    /// Where an entry begins in `bytes`.
    #[inline]
    fn offset(&self, entry: Entry) -> usize {
        entry.at.wrapping_sub(self.base) as usize
    }

    /// Makes the buffer ready for a field and says where it will begin, or empties the table if the field is larger than it. Nothing
    /// else leaves yet, since the field may take the name of an entry that will.
    fn make_room(&mut self, name: usize, value: usize) -> Option<u32> {
        let len = name + value;
        if len + OVERHEAD > self.limit {
            self.entries.clear();
            self.bytes.clear();
            self.size = 0;
            return None;
        }
        if self.bytes.len() + len > 2 * self.limit {
            let dead = self.entries.front().map_or(self.bytes.len(), |oldest| self.offset(*oldest));
            self.bytes.drain(..dead);
            self.base = self.base.wrapping_add(narrow(dead));
        }
        Some(self.base.wrapping_add(narrow(self.bytes.len())))
    }

    /// Enters what was appended at `at`.
    fn push(&mut self, at: u32, name: usize, value: usize) {
        let entry = Entry { at, name: narrow(name), value: narrow(value) };
        self.size += entry.size();
        self.evict();
        self.entries.push_back(entry);
    }

    fn evict(&mut self) {
        while self.size > self.limit {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.size -= oldest.size();
        }
    }
}
