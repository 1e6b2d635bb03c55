//! Certificates of a cluster: who holds one, who issues it, and connections that show it.
//!
//! A certificate names its holder by a SPIFFE id, such as `spiffe://prod/worker/worker-7`. Its chain
//! proves the name, so a holder may move to any address.

mod accept;
mod authority;
mod certificate;
mod config;
mod connect;
mod description;
mod failure;
mod files;
#[cfg(test)]
mod fuzz_tests;
mod held;
mod identity;
mod parties;
mod refusals;
mod roots;
mod verify;

pub use accept::{Accepted, Acceptor, Encrypted, NotAccepted};
pub use authority::{Authority, Host, IssueError, Issued, NewAuthority, NewIssuer, Secret};
pub use certificate::CertificateFault;
pub use config::TlsConfig;
pub use connect::{Connector, Secured};
pub use description::{Description, describe};
pub use failure::{is_certificate_refused, sentence};
pub use files::{CredentialsError, Files, TrustFiles};
pub use held::Credentials;
pub use identity::{Identity, InvalidIdentity, Role};
pub use parties::{Callers, Expected, Protocol};
pub use refusals::Refusals;
pub use roots::RootFault;
