//! The worker: runs attempts for the leader, and survives the loss of its connection to it.

pub mod agent;
mod attempts;
mod backoff;
pub mod certificates;
mod cgroups;
mod clock;
pub mod config;
mod devices;
mod disk;
mod executor;
mod fitness;
#[cfg(test)]
mod fuzz_tests;
pub mod host;
mod identity;
mod join_token;
pub mod keeper;
mod leader_finder;
mod lease;
mod ledger;
mod leftovers;
mod logs;
pub mod managed_files;
mod open_files;
mod processes;
mod session;
mod specs;
mod spool;
