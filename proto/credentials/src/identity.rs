//! Names of those who hold certificates.

use std::fmt;
use std::str::FromStr;

/// Scheme of a SPIFFE id.
const SCHEME: &str = "spiffe://";
/// Maximum length of the name of a cluster.
const CLUSTER_BYTES_MAX: usize = 128;
/// Maximum length of a worker's name, as in its registration.
const WORKER_BYTES_MAX: usize = 253;
/// Maximum length of a person's name, as of a user with a token.
const PERSON_BYTES_MAX: usize = 64;
/// Longest text that an error repeats.
const SHOWN_MAX: usize = 128;

/// Rights of the holder of a certificate, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A master of the cluster.
    Master,
    /// A worker of the cluster.
    Worker,
    /// A person or program that reads.
    Viewer,
    /// One that submits tasks and cancels its own.
    Submitter,
    /// One that runs the fleet from day to day.
    Operator,
    /// One that may do everything.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] =
        [Self::Master, Self::Worker, Self::Viewer, Self::Submitter, Self::Operator, Self::Admin];

    /// Returns the name of the role, as it stands in certificates and on command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Worker => "worker",
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Returns true if others connect to the holder, so that its certificate is shown by a server.
    #[must_use]
    pub const fn serves(self) -> bool {
        match self {
            Self::Master | Self::Worker => true,
            Self::Viewer | Self::Submitter | Self::Operator | Self::Admin => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| InvalidIdentity::Role(shown(text)))
    }
}

/// Holder of a certificate: `spiffe://CLUSTER/ROLE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    cluster: String,
    role: Role,
    name: String,
}

/// The text names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// The name of a cluster is the host of a URI.
    #[error(
        "'{0}' cannot name a cluster in certificates: use lower-case letters, digits, '.', '-' \
         and '_', {CLUSTER_BYTES_MAX} at most"
    )]
    Cluster(String),
    /// No such role.
    #[error("'{0}' is not a role: use master, worker, viewer, submitter, operator or admin")]
    Role(String),
    /// Names follow the rules for workers and for users.
    #[error(
        "'{0}' is not a name: use letters, digits, '.', '-' and '_', {WORKER_BYTES_MAX} at most for \
         workers and {PERSON_BYTES_MAX} for people, beginning with a letter or digit"
    )]
    Name(String),
    /// A master is named by its number.
    #[error("'{0}' is not a master's name, which is its node_id: a number")]
    Master(String),
    /// Another kind of name.
    #[error("'{0}' is not of the form spiffe://CLUSTER/ROLE/NAME")]
    Form(String),
}

impl Identity {
    /// Names a holder.
    ///
    /// # Errors
    ///
    /// When a name breaks the rules that the error gives.
    pub fn new(cluster: &str, role: Role, name: &str) -> Result<Self, InvalidIdentity> {
        check_cluster(cluster)?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let longest = if role.serves() { WORKER_BYTES_MAX } else { PERSON_BYTES_MAX };
        if name.len() > longest || !begins_well || !name.chars().all(is_word) {
            return Err(InvalidIdentity::Name(shown(name)));
        }
        // Written as it is read, so that one master has one name.
        let is_number = name.parse::<u64>().is_ok_and(|number| number.to_string() == name);
        if role == Role::Master && !is_number {
            return Err(InvalidIdentity::Master(shown(name)));
        }
        Ok(Self { cluster: cluster.to_owned(), role, name: name.to_owned() })
    }

    /// Returns the name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Returns the role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns the holder's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.cluster, self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let form = || InvalidIdentity::Form(shown(text));
        let path = text.strip_prefix(SCHEME).ok_or_else(form)?;
        let mut parts = path.split('/');
        let (Some(cluster), Some(role), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        Self::new(cluster, role.parse()?, name)
    }
}

/// Returns the URI that names a cluster, which its issuer carries.
pub(crate) fn cluster_uri(cluster: &str) -> Result<String, InvalidIdentity> {
    check_cluster(cluster)?;
    Ok(format!("{SCHEME}{cluster}"))
}

/// Reads the URI of a cluster.
pub(crate) fn cluster_of(uri: &str) -> Result<&str, InvalidIdentity> {
    let cluster = uri.strip_prefix(SCHEME).ok_or_else(|| InvalidIdentity::Cluster(shown(uri)))?;
    check_cluster(cluster)?;
    Ok(cluster)
}

fn check_cluster(cluster: &str) -> Result<(), InvalidIdentity> {
    let is_word =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    let is_short = (1..=CLUSTER_BYTES_MAX).contains(&cluster.len());
    let is_valid = is_short && cluster.chars().all(is_word);
    if is_valid { Ok(()) } else { Err(InvalidIdentity::Cluster(shown(cluster))) }
}

/// Returns the beginning of what somebody else has sent, without what could steer a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identity_is_written_as_it_is_read() {
        let text = "spiffe://prod.example/worker/Rack-1_gpu.7";
        let identity: Identity = text.parse().unwrap();
        assert_eq!(identity.cluster(), "prod.example");
        assert_eq!((identity.role(), identity.name()), (Role::Worker, "Rack-1_gpu.7"));
        assert_eq!(identity.to_string(), text);
    }

    #[test]
    fn what_is_not_quite_an_identity_is_refused() {
        for text in [
            "",
            "prod/master/1",
            "https://prod/master/1",
            "spiffe://prod/master",
            "spiffe://prod/master/1/2",
            "spiffe://prod/master/",
            "spiffe://prod//1",
            "spiffe:///master/1",
            "spiffe://PROD/master/1",
            "spiffe://prod:1/master/1",
            "spiffe://a@prod/master/1",
            "spiffe://prod/Master/1",
            "spiffe://prod/master/-1",
            "spiffe://prod/master/%31",
            "spiffe://prod/master/1?x",
            "spiffe://prod/root/1",
            "spiffe://prod/master/01",
            "spiffe://prod/master/one",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
        let long = |length| "a".repeat(length);
        assert!(Identity::new(&long(CLUSTER_BYTES_MAX + 1), Role::Master, "1").is_err());
        assert!(Identity::new("prod", Role::Worker, &long(WORKER_BYTES_MAX)).is_ok());
        assert!(Identity::new("prod", Role::Worker, &long(WORKER_BYTES_MAX + 1)).is_err());
        assert!(Identity::new("prod", Role::Admin, &long(PERSON_BYTES_MAX)).is_ok());
        assert!(Identity::new("prod", Role::Admin, &long(PERSON_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_something_else(text in "(spiffe://)?[a-zA-Z/._-]{0,40}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }
}
