//! Principals: those who call a master.

use std::fmt;
use std::sync::Arc;

use cluster_state::{MasterId, Role, Scope, UserName, WorkerId};
use credentials::Identity;

/// Identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// Somebody without credentials.
    Anonymous,
    /// A user with a token, of the cluster or the identity provider, or with a certificate.
    User {
        name: Account,
        role: Role,
        /// The only tasks that the user may know of; absent, all.
        scope: Option<Scope>,
    },
    /// A worker with a certificate.
    Worker(WorkerId),
    /// A master with a certificate.
    Master(MasterId),
}

/// Name of a user, with who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Account {
    /// A user of the cluster's own: of a token or a certificate.
    Own(UserName),
    /// A user of the identity provider. No name of the cluster's own has a slash, so nobody is taken for
    /// a namesake.
    Federated(Arc<str>),
}

impl From<UserName> for Account {
    fn from(name: UserName) -> Self {
        Self::Own(name)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(name) => name.fmt(f),
            Self::Federated(name) => write!(f, "oidc/{name}"),
        }
    }
}

/// A certificate names somebody whom this cluster cannot have.
#[derive(Debug, thiserror::Error)]
#[error("the certificate names {0}, whom no cluster can have")]
pub(crate) struct Unnameable(pub(crate) Identity);

impl TryFrom<Identity> for Principal {
    type Error = Unnameable;

    fn try_from(holder: Identity) -> Result<Self, Unnameable> {
        let name = holder.name();
        let user = |role| {
            let name = Account::Own(name.parse().ok()?);
            Some(Self::User { name, role, scope: None })
        };
        let principal = match holder.role() {
            credentials::Role::Master => name.parse().ok().map(|id| Self::Master(MasterId(id))),
            credentials::Role::Worker => name.parse().ok().map(Self::Worker),
            credentials::Role::Viewer => user(Role::Viewer),
            credentials::Role::Submitter => user(Role::Submitter),
            credentials::Role::Operator => user(Role::Operator),
            credentials::Role::Admin => user(Role::Admin),
        };
        principal.ok_or(Unnameable(holder))
    }
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
