//! Certificates of a cluster: who holds one, who issues it, and connections that show it.
//!
//! A certificate names its holder by a SPIFFE id, such as `spiffe://prod/worker/worker-7`. Its chain
//! proves the name, so a holder may move to any address.

mod accept;
mod authority;
mod certificate;
mod cluster_trust;
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
mod renewal;
mod request;
mod revocations;
mod roots;
mod unverified;
mod verify;

pub use accept::{Accepted, Acceptor, Encrypted, NotAccepted};
pub use authority::{
    Authority, Host, IssueError, Issued, NewAuthority, NewIssuer, Secret, endorsed_root,
    joined_roots, root_of_issuer, roots_without,
};
pub use certificate::{Certificate, CertificateFault};
pub use cluster_trust::ClusterTrust;
pub use config::TlsConfig;
pub use connect::{Connector, Secured};
pub use description::{Description, describe};
pub use failure::{is_certificate_refused, sentence};
pub use files::{CredentialsError, Files, TrustFiles};
pub use held::{Credentials, Disbelief, now};
pub use identity::{Identity, InvalidIdentity, Role};
pub use parties::{Callers, Expected, Protocol};
pub use refusals::Refusals;
pub use renewal::{replace_file, retry_pause};
pub use request::{CertificateRequest, draw_key, request};
pub use roots::RootFault;
pub use unverified::root_of_digest;
