//! Computes the memory that a message takes once it is decoded, from its bytes. Pure.

use prost::Message;

/// Factor for a list that is copied to twice its capacity when it is full: old and new exist at the
/// same time.
const ROOM: usize = 3;
/// Elements for which a list has capacity at first, besides the one that is added.
const FIRST_ROOM: usize = 1;
/// Smallest block of the allocator, which a text of one byte takes, too.
const BLOCK: usize = 16;
/// Entries in a node of a map, which is allocated for all of them with its first entry.
const NODE_ENTRIES: usize = 11;
/// Bytes of a node besides its entries.
const NODE_BYTES: usize = 112;

/// A message whose layout is known.
pub trait Measured: Message {
    /// True if clients send it.
    const IS_REQUEST: bool;
    /// Layout of its fields.
    const LAYOUT: &'static Layout;
}

/// Layout of the fields of a message type.
#[derive(Debug)]
pub struct Layout {
    /// Fields by number.
    fields: &'static [Field],
    /// True if it has no lists, itself or within: then it takes what its texts take.
    is_flat: bool,
    /// Number of texts in it that are no elements of lists.
    texts: usize,
}

/// Layout of one field in memory.
#[derive(Debug)]
pub struct Field {
    /// Bytes that the first element takes in addition.
    first: usize,
    /// Bytes of each element of a list, without its contents. None if it is no list: then it is a
    /// part of its message.
    each: usize,
    /// Bytes per byte of its contents.
    per_byte: usize,
    texts: usize,
    /// Layout of the contents, if there are lists in them.
    inner: Option<&'static Layout>,
}

impl Layout {
    /// Describes a message with these fields, by number.
    #[must_use]
    pub const fn new(fields: &'static [Field]) -> Self {
        assert!(fields.len() <= 64, "numbers of fields fit into a set of 64 bits");
        let (mut is_flat, mut texts) = (true, 0);
        let mut rest = fields;
        while let [field, others @ ..] = rest {
            is_flat = is_flat && field.each == 0 && field.inner.is_none();
            texts += field.texts;
            rest = others;
        }
        Self { fields, is_flat, texts }
    }

    /// Returns the most memory that the message takes beside its own struct, and while it is decoded; none
    /// if it cannot be decoded. A message that is read to its end at every depth holds nothing that
    /// is not counted here.
    #[must_use]
    pub fn decoded_bytes(&self, mut bytes: &[u8]) -> Option<usize> {
        if self.is_flat {
            return Some(bytes.len());
        }

        let (mut sum, mut seen) = (0_usize, 0_u64);
        while !bytes.is_empty() {
            let (key, rest) = varint(bytes)?;
            let number = usize::try_from(key >> 3).ok()?;

            let field = self.fields.get(number).unwrap_or(&Field::NUMBER);
            if field.each > 0 {
                let bit = 1 << number;
                let first = if seen & bit == 0 { field.first } else { 0 };
                seen |= bit;
                sum = sum.saturating_add(field.each).saturating_add(first);
            }

            bytes = match key & 0b111 {
                0 => varint(rest)?.1,
                1 => rest.get(8..)?,
                2 => {
                    let (length, rest) = varint(rest)?;
                    let (contents, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                    let decoded = match field.inner {
                        Some(inner) => inner.decoded_bytes(contents)?,
                        None => contents.len().saturating_mul(field.per_byte),
                    };
                    sum = sum.saturating_add(decoded);
                    rest
                }
                5 => rest.get(4..)?,
                // Groups predate proto3: none of our senders uses them.
                _ => return None,
            };
        }
        Some(sum)
    }

    /// Returns the layout, if the contents need a look.
    const fn lists(&'static self) -> Option<&'static Self> {
        if self.is_flat { None } else { Some(self) }
    }
}

impl Field {
    /// Layout of a number, or of an unknown field.
    pub const NUMBER: Self = Self { first: 0, each: 0, per_byte: 1, texts: 0, inner: None };
    /// Layout of a text, or of bytes.
    pub const TEXT: Self = Self { texts: 1, ..Self::NUMBER };

    /// Describes a message.
    #[must_use]
    pub const fn message<M: Measured>() -> Self {
        Self { texts: M::LAYOUT.texts, inner: M::LAYOUT.lists(), ..Self::NUMBER }
    }

    /// Describes a list of messages.
    #[must_use]
    pub const fn messages<M: Measured>() -> Self {
        Self { inner: M::LAYOUT.lists(), ..Self::list(size_of::<M>(), M::LAYOUT.texts) }
    }

    /// Describes a list of texts.
    #[must_use]
    pub const fn texts<T>() -> Self {
        Self::list(size_of::<T>(), 1)
    }

    /// Describes a list of numbers, which may be packed: a number in each byte.
    #[must_use]
    pub const fn numbers<N>() -> Self {
        Self { per_byte: ROOM * size_of::<N>(), ..Self::list(size_of::<N>(), 0) }
    }

    /// Describes a map. Its nodes are at least half full, but for the first.
    #[must_use]
    pub const fn map<K, V>() -> Self {
        let entry = size_of::<K>() + size_of::<V>();
        let first = NODE_ENTRIES * entry + NODE_BYTES;
        Self { first, ..Self::list(entry, 2) }
    }

    const fn list(element: usize, texts: usize) -> Self {
        let each = ROOM * element + BLOCK * texts;
        Self { first: FIRST_ROOM * element, each, ..Self::NUMBER }
    }
}

/// Reads a number; most are one byte.
#[inline]
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [byte @ ..0x80, rest @ ..] => Some((u64::from(*byte), rest)),
        [low, high @ ..0x80, rest @ ..] => {
            Some((u64::from(low & 0x7f) | u64::from(*high) << 7, rest))
        }
        _ => long_varint(bytes),
    }
}

#[cold]
fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (position, byte) in bytes.iter().enumerate().take(10) {
        value |=
            u64::from(byte & 0x7f).checked_shl(u32::try_from(position).ok()?.checked_mul(7)?)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(position.checked_add(1)?..)?));
        }
    }
    None
}

include!(concat!(env!("OUT_DIR"), "/layouts.rs"));
