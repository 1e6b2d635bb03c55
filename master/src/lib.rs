//! A master: one replica of the cluster's registry and queue, its API, and, while it leads, the
//! duties of the leader.

mod api;
pub mod config;
mod events;
pub mod leader;
pub mod master;
pub mod metrics;
mod operations;
mod rpc;
pub mod telemetry;
