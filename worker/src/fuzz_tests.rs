//! Fuzz tests of inputs from a disk, a leader or another process: each is read as it was written,
//! or refused, and unreadable data is kept.

mod identity;
mod spool;
mod texts;
