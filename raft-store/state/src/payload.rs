//! Bytes that a task is given, or that it leaves.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes into which the cluster does not look. Copies share them.
///
/// In an encoding that people read they are hexadecimal digits.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Arc<[u8]>);

impl Payload {
    /// Most bytes of one.
    pub const BYTES_MAX: usize = 64 << 10;

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

/// Shows the number of bytes only.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if !to.is_human_readable() {
            return to.serialize_bytes(&self.0);
        }
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        let digits = nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16));
        to.serialize_str(&digits.collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            from.deserialize_str(Read)
        } else {
            from.deserialize_bytes(Read)
        }
    }
}

/// Reads both forms.
struct Read;

impl Visitor<'_> for Read {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes, or hexadecimal digits")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Payload, E> {
        Ok(Payload::from(bytes))
    }

    fn visit_str<E: Error>(self, digits: &str) -> Result<Payload, E> {
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok().filter(|_| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes = digits.as_bytes().chunks(2).map(byte).collect::<Option<Vec<_>>>();
        let bytes = bytes.ok_or_else(|| E::custom("not pairs of hexadecimal digits"))?;
        Ok(Payload::from(bytes.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_a_payload_is_its_length() {
        assert_eq!(format!("{:?}", Payload::from(b"hunter2".as_slice())), "(7 bytes)");
    }
}
