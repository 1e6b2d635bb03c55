//! What this master does only while it leads.
//!
//! One supervisor watches leadership. On gaining it: commit the barrier of the term, build the
//! volatile view from the state, tell every known worker at once, start the duties. While no quorum
//! confirms it for a moment, the duties rest. On losing it: cancel all duties and wait for them
//! before anything else.

pub(crate) mod admission;
pub(crate) mod attempts_schedule;
mod channels;
mod dispatcher;
mod driver;
mod farewell;
mod health;
mod leases;
mod liveness;
mod mass_loss;
pub(crate) mod placement;
pub(crate) mod reconnection;
mod rest;
mod rivals;
mod scheduler;
pub(crate) mod sessions;
mod supervisor;
pub(crate) mod ticker;
pub(crate) mod timekeeper;
mod undelivered;
mod usage;

pub(crate) use sessions::WorkerSessions;
pub(crate) use supervisor::{DutyConfig, Supervisor};
