//! What this master does only while it leads.
//!
//! One supervisor watches leadership. On gaining it: commit the barrier of the term, build the
//! volatile view from the state, tell every known worker at once, start the duties. While no quorum
//! confirms it for a moment, the duties rest. On losing it: cancel all duties and wait for them
//! before anything else.

pub mod admission;
pub mod attempts_schedule;
pub mod channels;
pub mod dispatcher;
pub mod driver;
pub mod farewell;
pub mod health;
pub mod leases;
pub mod liveness;
pub mod mass_loss;
pub mod placement;
pub mod reconnection;
pub mod rest;
pub mod rivals;
pub mod scheduler;
pub mod sessions;
pub mod supervisor;
pub mod ticker;
pub mod timekeeper;
pub mod undelivered;
pub mod usage;

pub use sessions::WorkerSessions;
pub use supervisor::{DutyConfig, Supervisor};
