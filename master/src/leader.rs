//! The part of a master that exists only while it leads.
//!
//! One supervisor watches leadership. On gaining it: commit the barrier of the term, build
//! [`LeaderState`](state::LeaderState), tell every known worker at once, start the duties. While no
//! quorum confirms leadership for a moment, the duties rest. On losing it: cancel all duties and
//! wait for them before anything else.

pub(crate) mod admission;
mod dispatcher;
mod duty;
mod farewell;
mod health;
mod jobs;
mod liveness;
mod mass_loss;
mod name_claims;
pub(crate) mod placement;
pub(crate) mod reconnection;
mod schedule_runner;
mod scheduler;
mod seeder;
pub(crate) mod sessions;
pub(crate) mod state;
mod supervisor;
mod ticker;
mod timekeeper;

pub(crate) use sessions::WorkerSessions;
pub(crate) use supervisor::Supervisor;
