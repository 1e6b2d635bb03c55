//! The API of a master that runs in this process, alone in its cluster, asked over real sockets.

mod errors;
mod one_master;
mod probes;
mod registry;
mod tasks;
mod worker_flow;
