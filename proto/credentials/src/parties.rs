//! Both ends of a connection, as far as they are chosen.

use std::sync::Arc;

/// Those who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Anyone of the cluster, and those who show no certificate.
    Anyone,
    /// Masters of the cluster.
    Masters,
}

/// Protocol that is spoken inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2, as gRPC wants it.
    Grpc,
    /// HTTP/1.1.
    Http,
}

impl Protocol {
    /// Returns the protocol's name in a handshake (RFC 7301).
    pub(crate) const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Grpc => b"h2",
            Self::Http => b"http/1.1",
        }
    }
}

/// Server that a connection has to lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Any master of the cluster.
    Master,
    /// The worker of that name.
    Worker(Arc<str>),
}
