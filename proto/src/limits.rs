//! Bounds, in bytes, of data that crosses a process boundary, and their proportions.
//!
//! A queue that is bounded by count alone is not bounded: a message that outgrows
//! [`MESSAGE_BYTES_MAX`] is refused by its receiver however often it is sent. So every sender cuts
//! its batches with a [`ByteBudget`], and the assertions below keep the bounds in proportion.

/// Largest gRPC message either way. Snapshots come in chunks far below it; a submission of 10,000
/// tasks fits.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Largest encoded command, which is also the largest log entry and the largest single item of any
/// batch.
pub const COMMAND_BYTES_MAX: usize = 15 << 20;

/// Size at which a batch of smaller items is cut. A batch of one may exceed it, up to
/// [`COMMAND_BYTES_MAX`].
pub const BATCH_BYTES: usize = 4 << 20;

/// Largest body of a REST request.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// Bytes that a message adds to the items in it: headers, field tags and lengths.
pub const ENVELOPE_BYTES: usize = 256 << 10;

/// Maximum bytes of the name of an attempt in a message.
pub const ATTEMPT_REF_BYTES_MAX: usize = 36;

/// Maximum number of attempts that one worker may run or owe results of: it names all of them when
/// it registers.
pub const ATTEMPTS_HELD_MAX: usize = 250_000;

/// Factor between the size of messages and the memory that they may take. Ten thousand of the
/// smallest tasks take more than their bytes, and so does a registration of all attempts that a
/// worker may hold; no message of a correct sender takes more than this.
pub const DECODED_PER_BYTE: usize = 8;

/// Maximum memory of one decoded message. An element of a list takes two bytes on the wire, and
/// hundreds in memory.
pub const DECODED_BYTES_MAX: usize = DECODED_PER_BYTE * MESSAGE_BYTES_MAX;

const _: () = assert!(
    BATCH_BYTES + ATTEMPTS_HELD_MAX * ATTEMPT_REF_BYTES_MAX + ENVELOPE_BYTES <= COMMAND_BYTES_MAX,
    "a registration must hold a batch of results and the names of all others"
);
const _: () = assert!(
    COMMAND_BYTES_MAX + ENVELOPE_BYTES <= MESSAGE_BYTES_MAX,
    "a message must hold the largest command"
);
const _: () =
    assert!(BATCH_BYTES + ENVELOPE_BYTES <= MESSAGE_BYTES_MAX, "a message must hold a whole batch");
const _: () =
    assert!(BODY_BYTES_MAX < COMMAND_BYTES_MAX, "what REST accepts must fit into a command");

/// Cuts batches: as many items as fit into the bound, and at least one, so that an item above the
/// bound travels alone and nothing waits behind it forever.
#[derive(Debug, Clone, Copy)]
pub struct ByteBudget {
    bytes_max: usize,
    bytes: usize,
    is_empty: bool,
}

impl ByteBudget {
    /// Creates a budget for an empty batch of up to `bytes_max` bytes.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, is_empty: true }
    }

    /// Counts an item of `bytes` and returns true if it fits into the batch.
    pub const fn admits(&mut self, bytes: usize) -> bool {
        let sum = self.bytes.saturating_add(bytes);
        if !self.is_empty && sum > self.bytes_max {
            return false;
        }
        self.bytes = sum;
        self.is_empty = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(sizes: &[usize]) -> usize {
        let mut budget = ByteBudget::new(10);
        sizes.iter().take_while(|size| budget.admits(**size)).count()
    }

    #[test]
    fn a_batch_ends_before_the_item_that_would_exceed_it() {
        assert_eq!(admitted(&[4, 4, 3]), 2);
        assert_eq!(admitted(&[4, 4, 2, 1]), 3);
    }

    #[test]
    fn an_item_above_the_bound_travels_alone() {
        assert_eq!(admitted(&[11, 1]), 1);
        assert_eq!(admitted(&[1, 11]), 1);
    }
}
