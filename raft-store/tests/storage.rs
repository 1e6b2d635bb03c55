//! Tests of storage: openraft's own conformance suite, crashes, snapshots and refusals.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

#[path = "storage/crash.rs"]
mod crash;
#[path = "storage/fixture.rs"]
mod fixture;
#[path = "storage/inspection.rs"]
mod inspection;
#[path = "storage/open.rs"]
mod open;
#[path = "storage/snapshot.rs"]
mod snapshot;
#[path = "storage/state.rs"]
mod state;
#[path = "storage/suite.rs"]
mod suite;
#[path = "storage/torn.rs"]
mod torn;
#[path = "storage/volume.rs"]
mod volume;
