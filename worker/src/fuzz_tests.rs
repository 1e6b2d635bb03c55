//! Whatever a disk, a leader or another process gives: it is read as what was written, or refused,
//! and what cannot be read is kept.

mod identity;
mod spool;
mod texts;
