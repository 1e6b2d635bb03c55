//! The command line for operators and users, and what it is made of: a cluster of local processes
//! and load generators, which benchmarks drive too.

pub mod args;
pub mod commands;
pub mod failure;
pub mod load;
pub mod local_cluster;
pub mod output;
