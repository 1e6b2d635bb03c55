//! Access: who calls, what a call does, and whether the one may do the other.

mod action;
mod bearer;
mod budgets;
mod failures;
mod federation;
mod fresh_reads;
#[cfg(test)]
mod fuzz_tests;
mod gate;
mod origin;
mod policy;
mod principal;
mod request_id;
mod secret;
mod token_file;

pub(crate) use action::Action;
pub(crate) use federation::{Federation, FederationError};
pub(crate) use gate::{Caller, Gate, Rules};
pub(crate) use origin::Origin;
pub use policy::Need;
pub(crate) use policy::{Object, Policy, need};
pub(crate) use principal::{Principal, Unnameable};
pub(crate) use request_id::RequestId;
pub(crate) use secret::{digest, draw_id, draw_secret, whole};
pub(crate) use token_file::{TokenFile, TokenFileError};
