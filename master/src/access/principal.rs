//! Principals: those who call a master.

use std::fmt;

use cluster_state::{MasterId, Role, Scope, UserName, WorkerId};

/// Identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// Somebody without credentials.
    Anonymous,
    /// A user with a token.
    User {
        name: UserName,
        role: Role,
        /// The only tasks that the user may know of; absent, all.
        scope: Option<Scope>,
    },
    /// A worker with a certificate.
    #[cfg_attr(not(test), expect(dead_code, reason = "no master checks certificates"))]
    Worker(WorkerId),
    /// A master with a certificate.
    #[cfg_attr(not(test), expect(dead_code, reason = "no master checks certificates"))]
    Master(MasterId),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::User { name, .. } => write!(f, "user:{name}"),
            Self::Worker(id) => write!(f, "worker:{id}"),
            Self::Master(id) => write!(f, "master:{id}"),
        }
    }
}
