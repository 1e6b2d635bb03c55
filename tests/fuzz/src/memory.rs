//! The memory that decoding takes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A bound on the memory that a decoder holds at once, what it returns included.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Bytes for each byte of the input.
    pub per_byte: u64,
    /// Bytes in any case: texts of errors, and room that is made for lists before they are read.
    pub fixed: u64,
}

impl Memory {
    /// Decodes `input`.
    ///
    /// # Panics
    /// If `decode` panics, or held more memory at any moment.
    pub fn hold<'a, T>(self, input: &'a [u8], decode: impl FnOnce(&'a [u8]) -> T) -> T {
        let mut decoded = None;
        // A panic must not leave the counter in the middle of its work.
        let taken = allocation_counter::measure(|| {
            decoded = Some(catch_unwind(AssertUnwindSafe(|| decode(input))));
        });
        let decoded = match decoded {
            Some(Ok(decoded)) => decoded,
            Some(Err(panic)) => resume_unwind(panic),
            None => unreachable!("what is measured has run"),
        };

        let Self { per_byte, fixed } = self;
        let len = u64::try_from(input.len()).unwrap_or(u64::MAX);
        let allowed = fixed.saturating_add(per_byte.saturating_mul(len));
        let held = taken.bytes_max;
        assert!(held <= allowed, "{held} bytes were held to decode {len}: {allowed} are allowed");
        decoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_at_once_is_measured() {
        let memory = Memory { per_byte: 2, fixed: 10 };
        let input = [0; 100];
        assert_eq!(memory.hold(&input, <[u8]>::to_vec), input);
        memory.hold(&input, |input| (0..10).for_each(|_| drop(input.to_vec())));
        let greedy = catch_unwind(|| memory.hold(&input, |input| input.repeat(3)));
        assert!(greedy.is_err());
    }
}
