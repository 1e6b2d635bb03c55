//! The system from outside: starts real masters and workers, breaks them, and checks what clients
//! were promised.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on should panic, and says on stderr what it saw"
)]

pub mod certificates;
pub mod client;
pub mod cluster;
pub mod clusterctl;
pub mod connections;
pub mod disk;
pub mod effects;
pub mod event_source;
pub mod event_stream;
pub mod firewall;
pub mod history;
pub mod leader_watch;
pub mod load;
pub mod network;
mod ports;
pub mod process;
pub mod proxy;
pub mod runbook;
pub mod shims;
pub mod sweep;
pub mod tree;
mod turn;
pub mod volume;
