//! The frame that master and worker have in common: a configuration in layers, a log, limits and
//! signals of the process, and an end that says why.

pub mod config;
pub mod exit;
pub mod logging;
pub mod open_files;
pub mod progress;
pub mod service_manager;
pub mod signals;
