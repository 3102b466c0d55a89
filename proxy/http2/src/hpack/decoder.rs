//! Reading header blocks. It must not know what a field means, nor how long a head may be.

use super::integer::Reader;
use super::malformed::Malformed;
use super::table::{LARGEST, Table};
use super::{INITIAL_TABLE_SIZE, Indexing, huffman, statics};

/// One side's reader of header blocks, with its table. After an error it is of no use: the tables are out of step.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Compressed texts of the field that is read.
    scratch: Vec<u8>,
    /// What we advertised.
    advertised: usize,
    /// What the peer may ask for: what we advertised, or the initial size before the peer has shown that it knows.
    allowed: usize,
    /// Whether the next block must begin with a size that is at most `advertised`.
    owed: bool,
}

impl Decoder {
    /// `max_table` is what we advertise, in bytes (`SETTINGS_HEADER_TABLE_SIZE`). The table has the initial size until the peer changes
    /// it: a smaller one is not taken up before the peer has read our settings, a larger one not before it says so.
    pub fn new(max_table: usize) -> Self {
        let advertised = max_table.min(LARGEST);
        Self {
            table: Table::new(INITIAL_TABLE_SIZE),
            scratch: Vec::new(),
            advertised,
            allowed: advertised.max(INITIAL_TABLE_SIZE),
            owed: false,
        }
    }

    /// The peer has acknowledged our settings: from its next block on, it must keep to the size that we advertised.
    pub fn acknowledged(&mut self) {
        self.allowed = self.advertised;
        self.owed = self.table.limit() > self.advertised;
    }

    /// Reads one whole header block; every field in order goes to the sink, whose slices live only during the call, with whether it may
    /// enter tables on its way ([`super::Encoder::secret`] writes one that may not). An error is a
    /// connection error `COMPRESSION_ERROR`. The sink cannot fail: the caller remembers what it does not like, since the table must go
    /// on in step.
    pub fn decode<S>(&mut self, block: &[u8], sink: &mut S) -> Result<(), Malformed>
    where
        S: FnMut(&[u8], &[u8], Indexing),
    {
        let mut reader = Reader::new(block);
        self.size_updates(&mut reader)?;
        while let Some(first) = reader.byte() {
            if first & 0x80 != 0 {
                let index = reader.number(first, 0x7f)?;
                let (name, value) = self.indexed(index)?;
                sink(name, value, Indexing::Free);
            } else if first & 0x40 != 0 {
                let index = reader.number(first, 0x3f)?;
                self.literal(&mut reader, index, Keep::Entered, sink)?;
            } else if first & 0x20 != 0 {
                return Err(Malformed::SizeUpdateLate);
            } else {
                let index = reader.number(first, 0x0f)?;
                let keep = if first & 0x10 == 0 { Keep::Passed } else { Keep::Secret };
                self.literal(&mut reader, index, keep, sink)?;
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    fn size_updates(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        while let Some(first) = reader.peek().filter(|first| first & 0xe0 == 0x20) {
            reader.byte();
            let size = reader.number(first, 0x1f)?;
            if size > self.allowed {
                return Err(Malformed::SizeUpdateTooLarge);
            }
            if size <= self.advertised {
                self.allowed = self.advertised;
                self.owed = false;
            }
            self.table.set_limit(size);
        }
        if self.owed { Err(Malformed::SizeUpdateMissing) } else { Ok(()) }
    }

    #[inline]
    fn indexed(&self, index: usize) -> Result<(&[u8], &[u8]), Malformed> {
        match index.checked_sub(statics::LEN + 1) {
            Some(entry) => self.table.get(entry).ok_or(Malformed::IndexUnknown),
            None => statics::get(index).ok_or(Malformed::IndexZero),
        }
    }

    #[inline]
    fn literal<S>(
        &mut self,
        reader: &mut Reader<'_>,
        index: usize,
        keep: Keep,
        sink: &mut S,
    ) -> Result<(), Malformed>
    where
        S: FnMut(&[u8], &[u8], Indexing),
    {
        let indexing = if keep == Keep::Secret { Indexing::Never } else { Indexing::Free };
        if let Some(entry) = index.checked_sub(statics::LEN + 1) {
            let value = text(reader, &mut self.scratch, 0)?.of(&self.scratch);
            let (name, _) = self.table.get(entry).ok_or(Malformed::IndexUnknown)?;
            sink(name, value, indexing);
            if keep == Keep::Entered {
                self.table.insert_again(entry, value);
            }
            return Ok(());
        }
        let name = match statics::get(index) {
            Some((name, _)) => Text::Plain(name),
            None => text(reader, &mut self.scratch, 0)?,
        };
        let value = text(reader, &mut self.scratch, name.end())?.of(&self.scratch);
        let name = name.of(&self.scratch);
        sink(name, value, indexing);
        if keep == Keep::Entered {
            self.table.insert(name, value);
        }
        Ok(())
    }
}

/// What becomes of a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Entered,
    Passed,
    Secret,
}

/// A text: as it stands in the block, or a part of the scratch buffer.
#[derive(Debug, Clone, Copy)]
enum Text<'a> {
    Plain(&'a [u8]),
    Unfolded { from: usize, to: usize },
}

impl<'a> Text<'a> {
    #[inline]
    fn of(self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Plain(text) => text,
            Self::Unfolded { from, to } => scratch.get(from..to).unwrap_or_default(),
        }
    }

    /// How much of the scratch buffer is taken up to here.
    #[inline]
    fn end(self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Unfolded { to, .. } => to,
        }
    }
}

/// Reads a text (RFC 7541 section 5.2), unfolding it behind the first `from` bytes of `scratch` if it is compressed.
#[inline]
fn text<'a>(reader: &mut Reader<'a>, scratch: &mut Vec<u8>, from: usize) -> Result<Text<'a>, Malformed> {
    let first = reader.byte().ok_or(Malformed::Truncated)?;
    let len = reader.number(first, 0x7f)?;
    let bytes = reader.bytes(len)?;
    if first & 0x80 == 0 {
        return Ok(Text::Plain(bytes));
    }
    Ok(Text::Unfolded { from, to: huffman::unfold(bytes, scratch, from)? })
}
