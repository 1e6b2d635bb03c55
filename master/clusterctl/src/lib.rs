//! The command line for operators and users, with the local cluster and the load generators that
//! benchmarks use too.

pub mod args;
pub mod commands;
pub mod failure;
pub mod load;
pub mod local_cluster;
pub mod output;
