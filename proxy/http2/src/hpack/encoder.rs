//! Writing header blocks. It must not know what a field means, beyond what its name says about its value.
//!
//! A field that comes again on the connection is written as one byte: that costs us no more than writing it out, and spares the peer
//! reading it. One enters the table when it is seen for the second time, so that what differs each time drives nothing out. The table
//! is searched through [`Recent`] only, never as a whole.

mod recent;

use super::known::{Habit, known};
use super::table::{OVERHEAD, Table};
use super::{INITIAL_TABLE_SIZE, integer, statics};
use recent::{Place, Recent};

/// The beginnings of fields and their masks (RFC 7541 section 6).
const INDEXED: (u8, u8) = (0x80, 0x7f);
const ENTERED: (u8, u8) = (0x40, 0x3f);
const SIZE_UPDATE: (u8, u8) = (0x20, 0x1f);
const SECRET: (u8, u8) = (0x10, 0x0f);
const PASSED: (u8, u8) = (0x00, 0x0f);

/// A field may take this part of the table at most, which should serve several.
const PARTS: usize = 4;

/// One side's writer of header blocks, with its table.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    recent: Recent,
    /// The size that the next block must begin with, and a smaller one that came before it.
    update: Option<Update>,
}

#[derive(Debug, Clone, Copy)]
struct Update {
    least: usize,
    last: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// With a table of the initial size.
    pub fn new() -> Self {
        Self { table: Table::new(INITIAL_TABLE_SIZE), recent: Recent::new(), update: None }
    }

    /// The peer's `SETTINGS_HEADER_TABLE_SIZE`: the next block begins with a size update where RFC 7541 section 4.2 asks for one. We use
    /// no more than the initial size, whatever the peer allows.
    pub fn set_table_size(&mut self, size: u32) {
        let last = usize::try_from(size).unwrap_or(usize::MAX).min(INITIAL_TABLE_SIZE);
        let least = self.update.map_or(self.table.limit(), |update| update.least).min(last);
        self.update = (least != self.table.limit() || last != least).then_some(Update { least, last });
    }

    /// Begins a header block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(Update { least, last }) = self.update.take() {
            if least < last && least < self.table.limit() {
                self.resize(least, out);
            }
            self.resize(last, out);
        }
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    fn resize(&mut self, size: usize, out: &mut Vec<u8>) {
        self.table.set_limit(size);
        integer::write(SIZE_UPDATE.0, SIZE_UPDATE.1, size, out);
    }

    /// Writes a field. Upper-case letters of the name are lowered, as HTTP/1 peers send any case.
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let Some(known) = known(name) else {
            return self.repeated(name, 0, value, out);
        };
        if let Some(index) = known.with_value(value) {
            return integer::write(INDEXED.0, INDEXED.1, index, out);
        }
        match known.habit {
            Habit::Repeats => self.repeated(name, known.index, value, out),
            Habit::Changes => {
                literal(PASSED, usize::from(known.index), name, value, out);
            }
            Habit::Secret => {
                literal(SECRET, usize::from(known.index), name, value, out);
            }
        }
    }

    /// Writes a field that must enter no table on its way, as one that came so (RFC 7541 section 6.2.3).
    pub fn secret(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let index = known(name).map_or(0, |known| usize::from(known.index));
        literal(SECRET, index, name, value, out);
    }

    /// A field that may come again; `index` is that of its name in the static table, or 0.
    fn repeated(&mut self, name: &[u8], index: u8, value: &[u8], out: &mut Vec<u8>) {
        let index = usize::from(index);
        if PARTS * (name.len() + value.len() + OVERHEAD) > self.table.limit() {
            literal(PASSED, index, name, value, out);
            return;
        }
        match self.recent.place(&self.table, name, index, value) {
            Place::Entry(entry) => integer::write(INDEXED.0, INDEXED.1, statics::LEN + 1 + entry, out),
            Place::Again => {
                let from = literal(ENTERED, index, name, value, out);
                // The name as it was written: in lower case.
                let lowered =
                    if index == 0 { out.get(from..from + name.len()) } else { statics::name(index) };
                self.table.insert(lowered.unwrap_or(name), value);
            }
            Place::New => {
                literal(PASSED, index, name, value, out);
            }
        }
    }
}

/// Writes a field in full, and says where its name is if it has no index.
#[inline]
fn literal((first, mask): (u8, u8), index: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) -> usize {
    out.reserve(name.len() + value.len() + 16);
    integer::write(first, mask, index, out);
    let mut from = 0;
    if index == 0 {
        integer::write(0, 0x7f, name.len(), out);
        from = out.len();
        out.extend_from_slice(name);
        out.get_mut(from..).unwrap_or_default().make_ascii_lowercase();
    }
    integer::write(0, 0x7f, value.len(), out);
    out.extend_from_slice(value);
    from
}
