//! The master of the next release.

extern crate next_master as master;

include!(concat!(env!("OUT_DIR"), "/src/main.rs"));
