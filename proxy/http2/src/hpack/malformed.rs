//! Why a header block cannot be read. It must not know what is done about it: each is the end of the connection with the error
//! `COMPRESSION_ERROR`, since the two tables are out of step from there on.

use thiserror::Error;

/// What is wrong with a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The block ends within a field, or a text is longer than what is left of the block.
    #[error("the header block ends within a field (RFC 7541 section 5)")]
    Truncated,
    /// A number has more than five bytes of continuation, or does not fit 32 bits.
    #[error("a number in the header block is too large (RFC 7541 section 5.1)")]
    NumberTooLarge,
    /// An index is 0.
    #[error("a field of the header block has the index 0 (RFC 7541 section 6.1)")]
    IndexZero,
    /// An index is beyond the end of the dynamic table.
    #[error("a field of the header block has an index that is in no table (RFC 7541 section 2.3.3)")]
    IndexUnknown,
    /// A compressed text contains the mark of its end.
    #[error("a Huffman-coded text contains the end mark (RFC 7541 section 5.2)")]
    EndMark,
    /// A compressed text ends with more than seven bits of padding, or with others than ones.
    #[error("a Huffman-coded text has bad padding (RFC 7541 section 5.2)")]
    Padding,
    /// The size of the table changes after a field.
    #[error("the size of the table changes within a header block (RFC 7541 section 4.2)")]
    SizeUpdateLate,
    /// The table is to become larger than what was allowed.
    #[error("the table is to become larger than the setting allows (RFC 7541 section 6.3)")]
    SizeUpdateTooLarge,
    /// The smaller size that was agreed on was not taken up.
    #[error(
        "a header block does not begin with the smaller size of the table that was acknowledged (RFC 9113 section 4.3.1)"
    )]
    SizeUpdateMissing,
}

impl Malformed {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Truncated,
        Self::NumberTooLarge,
        Self::IndexZero,
        Self::IndexUnknown,
        Self::EndMark,
        Self::Padding,
        Self::SizeUpdateLate,
        Self::SizeUpdateTooLarge,
        Self::SizeUpdateMissing,
    ];

    /// The word for a counter.
    pub fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NumberTooLarge => "number_too_large",
            Self::IndexZero => "index_zero",
            Self::IndexUnknown => "index_unknown",
            Self::EndMark => "end_mark",
            Self::Padding => "padding",
            Self::SizeUpdateLate => "size_update_late",
            Self::SizeUpdateTooLarge => "size_update_too_large",
            Self::SizeUpdateMissing => "size_update_missing",
        }
    }
}
