//! The command line for operators and users, with the local cluster that benchmarks use too.

pub mod args;
pub mod authority;
pub mod bearer;
pub mod commands;
pub mod connection;
pub mod contexts;
pub mod failure;
pub mod local_cluster;
pub mod output;
pub mod secret_source;
pub mod stdin_source;
pub mod task_file;
