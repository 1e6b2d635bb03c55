//! A small identity provider for tests: it signs what it is told to, and publishes its keys.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod provider;
mod signer;

pub use provider::Provider;
pub use signer::{Kind, Signer, claims, jwks, now};
