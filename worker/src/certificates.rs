//! Certificates that the cluster issues to this worker: how it gets the first one, and the next ones.

mod joining;
mod renewal;
mod trust;

pub use joining::{EnrollError, enroll};
pub(crate) use renewal::Renewal;
pub(crate) use trust::{TrustFollower, TrustVersions};
