//! A package of the next release.

include!(concat!(env!("OUT_DIR"), "/src/lib.rs"));
