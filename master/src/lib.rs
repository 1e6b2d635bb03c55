//! A master: one replica of the cluster's registry and queue, its API, and, while it leads, the
//! duties of the leader.

mod access;
mod api;
mod backups;
pub mod config;
mod connections;
mod dialing;
pub mod endpoints;
mod events;
mod freshness;
mod ids;
mod inspect;
mod issuer;
mod leader;
pub mod master;
mod membership_order;
mod metrics;
pub mod offline;
mod open_files;
mod operations;
mod peer;
mod port;
mod recover;
mod refusal;
mod renewal;
mod restore;
mod rotation;
mod rpc;
mod settings;
mod task_query;
mod trail;
mod wire;
