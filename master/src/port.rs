//! The ports of a master, and the reasons why connections to them are closed.

/// A port for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Port {
    Http,
    Grpc,
}

impl Port {
    /// Its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }

    /// Returns the other port.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Http => Self::Grpc,
            Self::Grpc => Self::Http,
        }
    }
}

/// Reason that a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It made room for another one, or there was none for it.
    Full,
    /// Callers without a certificate had as many connections as they may.
    Crowded,
    /// It never said anything.
    Silent,
    /// Its peer took nothing of what was sent.
    Stalled,
    /// Its peer did not show who it is, or is nobody who can be.
    Handshake,
}

impl Closed {
    /// Every reason.
    pub(crate) const ALL: [Self; 5] =
        [Self::Full, Self::Crowded, Self::Silent, Self::Stalled, Self::Handshake];

    /// Its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Crowded => "crowded",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Handshake => "handshake",
        }
    }
}
