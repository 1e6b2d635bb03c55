//! A directory that holds the authority of a cluster, and the certificates that it issues.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use credentials::{
    Authority, Files, Host, Identity, InvalidIdentity, IssueError, NewAuthority, Role, Secret,
};

/// Lifetime of a certificate of a person: it cannot be called back.
const PERSON_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Lifetime of a certificate of a machine, which somebody has to replace by hand.
const MACHINE_LIFE: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Permissions of a key's file that let others read it.
const READ_BY_OTHERS: u32 = 0o077;
/// Hosts that every master has: those of its own machine.
const OWN_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// File with what everybody trusts.
pub const ROOT: &str = "ca.crt";
/// File with the key of that, which is needed only for making another issuer.
pub const ROOT_KEY: &str = "ca.key";
const ISSUER: &str = "issuer.crt";
const ISSUER_KEY: &str = "issuer.key";

/// Files of an issuer.
pub const ISSUER_FILES: [&str; 2] = [ISSUER, ISSUER_KEY];
/// Files of an authority.
pub const FILES: [&str; 4] = [ROOT, ROOT_KEY, ISSUER, ISSUER_KEY];

/// An authority cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate cannot be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A name cannot stand in a certificate.
    #[error(transparent)]
    Name(#[from] InvalidIdentity),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// A file is there already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// Nothing says which cluster the root is of.
    #[error("{} has no issuer whose cluster is known: name it (--cluster)", .0.display())]
    NoCluster(PathBuf),
    /// The trusted certificates beside it do not include this authority.
    #[error(
        "{} trusts another authority: nobody who uses it would believe the certificate; add ca.crt of \
         this one to it, or write elsewhere (--out)", .0.display()
    )]
    OtherTrusted(PathBuf),
    /// Others could issue certificates.
    #[error("{} can be read by others (mode {mode:03o}): chmod 600 it", path.display())]
    KeyIsOpen { path: PathBuf, mode: u32 },
}

/// A certificate to issue.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Role of the holder.
    pub role: Role,
    /// Name of the holder.
    pub name: &'a str,
    /// Host names and addresses beside those of a master's own machine.
    pub hosts: &'a [String],
    /// Time for which it is valid, if it is not the usual one.
    pub life: Option<Duration>,
    /// True if files that exist are replaced.
    pub replaces: bool,
}

/// A certificate that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Holder.
    pub holder: Identity,
    /// Files that were written.
    pub files: Files,
    /// End of its validity.
    pub not_after: SystemTime,
}

/// A directory with an authority.
#[derive(Debug)]
pub struct AuthorityDir {
    root: String,
    authority: Authority,
}

impl AuthorityDir {
    /// Makes an authority in a directory that holds none.
    ///
    /// # Errors
    ///
    /// When the name cannot stand in certificates, or a file exists or cannot be written.
    pub fn create(dir: &Path, cluster: &str) -> Result<Self, AuthorityError> {
        let new = Authority::create(cluster, now())?;
        let NewAuthority { root, root_key, issuer, issuer_key } = &new;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| AuthorityError::Write { path: dir.to_owned(), source })?;
        let parts = [
            (ROOT_KEY, root_key.reveal(), 0o600),
            (ISSUER_KEY, issuer_key.reveal(), 0o600),
            (ISSUER, issuer.as_str(), 0o644),
            (ROOT, root.as_str(), 0o644),
        ];
        // All of them are looked for first: half an authority would be of no use.
        refuse_existing(parts.iter().map(|(name, ..)| dir.join(name)))?;
        for (name, text, mode) in parts {
            write_new(&dir.join(name), text, mode)?;
        }
        Self::open(dir)
    }

    /// Makes another issuer for the root of a directory, with the name that the one before has, or else
    /// this one. Certificates of the issuer before stay good: they come with its certificate.
    ///
    /// # Errors
    ///
    /// When root and key do not fit together, an issuer exists and is not to be replaced, or a file cannot
    /// be written.
    pub fn renew_issuer(
        dir: &Path,
        cluster: Option<&str>,
        replaces: bool,
    ) -> Result<Self, AuthorityError> {
        let issuer = dir.join(ISSUER);
        if !replaces {
            refuse_existing([issuer.clone(), dir.join(ISSUER_KEY)])?;
        }
        let known = issuer.exists().then(|| read(&issuer)).transpose()?;
        let known = known.map(|text| Authority::cluster_of_issuer(&text)).transpose()?;
        let cluster = match (cluster, known) {
            (Some(theirs), Some(ours)) if theirs != ours => {
                let theirs = theirs.to_owned();
                return Err(IssueError::OtherCluster { ours, theirs }.into());
            }
            (Some(named), _) => named.to_owned(),
            (None, Some(known)) => known,
            (None, None) => return Err(AuthorityError::NoCluster(dir.to_owned())),
        };
        let root = read(&dir.join(ROOT))?;
        let root_key = read_secret(&dir.join(ROOT_KEY))?;
        let new = Authority::create_issuer(&cluster, &root, &root_key, now())?;
        // The key first: with another certificate it is refused, and the command can be repeated.
        replace(&dir.join(ISSUER_KEY), new.issuer_key.reveal(), 0o600)?;
        replace(&issuer, &new.issuer, 0o644)?;
        Self::open(dir)
    }

    /// Opens the authority of a directory.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or is of another authority.
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let root = read(&dir.join(ROOT))?;
        let issuer_key = read_secret(&dir.join(ISSUER_KEY))?;
        let authority = Authority::open(&root, &read(&dir.join(ISSUER))?, &issuer_key)?;
        Ok(Self { root, authority })
    }

    /// Reads the issuer's certificate and its key, in PEM.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn issuer(dir: &Path) -> Result<(String, Secret), AuthorityError> {
        Ok((read(&dir.join(ISSUER))?, Secret::new(read(&dir.join(ISSUER_KEY))?)))
    }

    /// Returns the authority.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the certificate of the root, in PEM.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Issues a certificate: writes `ROLE-NAME.crt` and `.key`, and the root beside them.
    ///
    /// # Errors
    ///
    /// When a name cannot stand in it, or a file exists or cannot be written.
    pub fn issue(&self, order: &Order<'_>, out: &Path) -> Result<Issued, AuthorityError> {
        let Order { role, name, hosts, life, replaces } = order;
        let holder = Identity::new(self.authority.cluster(), *role, name)?;
        let own = OWN_HOSTS.iter().filter(|_| *role == Role::Master);
        let hosts = own.copied().chain(hosts.iter().map(String::as_str));
        let hosts = hosts.map(str::parse).collect::<Result<Vec<Host>, _>>()?;
        let usual = if role.serves() { MACHINE_LIFE } else { PERSON_LIFE };
        let issued = self.authority.issue(&holder, &hosts, life.unwrap_or(usual), now())?;

        let unwritten = |source| AuthorityError::Write { path: out.to_owned(), source };
        fs::create_dir_all(out).map_err(unwritten)?;
        let files = Files {
            certificate: out.join(format!("{role}-{name}.crt")),
            key: out.join(format!("{role}-{name}.key")),
            trusted: out.join(ROOT),
        };
        if !replaces {
            refuse_existing([files.key.clone(), files.certificate.clone()])?;
        }
        // While an authority is replaced, it holds two: what others trust is not taken from them.
        let is_new = !files.trusted.exists();
        if !is_new && !read(&files.trusted)?.contains(self.root.trim()) {
            return Err(AuthorityError::OtherTrusted(files.trusted));
        }
        replace(&files.key, issued.key.reveal(), 0o600)?;
        replace(&files.certificate, &issued.chain, 0o644)?;
        if is_new {
            replace(&files.trusted, &self.root, 0o644)?;
        }
        Ok(Issued { holder, files, not_after: issued.not_after })
    }
}

/// Reads the wall clock, by which certificates are valid.
#[expect(clippy::disallowed_methods, reason = "a certificate's dates are of the wall clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path)
        .map_err(|source| AuthorityError::Read { path: path.to_owned(), source })
}

/// Reads a key that only its owner may read.
fn read_secret(path: &Path) -> Result<Secret, AuthorityError> {
    let text = Secret::new(read(path)?);
    let unreadable = |source| AuthorityError::Read { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(unreadable)?.mode() & 0o777;
    if mode & READ_BY_OTHERS != 0 {
        return Err(AuthorityError::KeyIsOpen { path: path.to_owned(), mode });
    }
    Ok(text)
}

fn refuse_existing(paths: impl IntoIterator<Item = PathBuf>) -> Result<(), AuthorityError> {
    let existing = paths.into_iter().find(|path| path.exists());
    existing.map_or(Ok(()), |path| Err(AuthorityError::Exists(path)))
}

/// Writes a file that must not exist: nobody gets to read a key before its mode is set.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| AuthorityError::Write { path: path.to_owned(), source })
}

/// Writes a file that appears under its name as a whole.
fn replace(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(AuthorityError::Write { path: new, source });
        }
        Ok(()) | Err(_) => {}
    }
    write_new(&new, text, mode)?;
    fs::rename(&new, path).map_err(|source| AuthorityError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn another_issuer_of_the_same_root_is_made_with_its_key() {
        let dir = std::env::temp_dir().join(format!("clusterctl-issuer-{}", std::process::id()));
        AuthorityDir::create(&dir, "prod").unwrap();
        let texts = || [ROOT, ISSUER, ISSUER_KEY].map(|name| read(&dir.join(name)).unwrap());
        let before = texts();
        let refused = AuthorityDir::renew_issuer(&dir, None, false).unwrap_err();
        assert!(matches!(refused, AuthorityError::Exists(_)), "{refused}");
        let refused = AuthorityDir::renew_issuer(&dir, Some("test"), true).unwrap_err();
        let AuthorityError::Issue(IssueError::OtherCluster { .. }) = refused else {
            panic!("{refused}")
        };
        assert_eq!(texts(), before, "a refusal changes nothing");

        let renewed = AuthorityDir::renew_issuer(&dir, None, true).unwrap();
        assert_eq!(renewed.authority().cluster(), "prod");
        let after = texts();
        assert_eq!(after[0], before[0], "everybody trusts the same root");
        assert!(after[1] != before[1] && after[2] != before[2]);
        assert_eq!((mode(&dir.join(ISSUER_KEY)), mode(&dir.join(ISSUER))), (0o600, 0o644));
        let order =
            Order { role: Role::Admin, name: "ada", hosts: &[], life: None, replaces: false };
        renewed.issue(&order, &dir.join("out")).unwrap();

        // Where the issuer is lost, its cluster has to be named.
        fs::remove_file(dir.join(ISSUER)).unwrap();
        fs::remove_file(dir.join(ISSUER_KEY)).unwrap();
        let refused = AuthorityDir::renew_issuer(&dir, None, false).unwrap_err();
        assert!(matches!(refused, AuthorityError::NoCluster(_)), "{refused}");
        AuthorityDir::renew_issuer(&dir, Some("prod"), false).unwrap();

        // The key of another root, and one that others may read.
        let other = Authority::create("prod", now()).unwrap();
        replace(&dir.join(ROOT_KEY), other.root_key.reveal(), 0o600).unwrap();
        let refused = AuthorityDir::renew_issuer(&dir, None, true).unwrap_err();
        assert!(matches!(refused, AuthorityError::Issue(IssueError::RootKey)), "{refused}");
        replace(&dir.join(ROOT_KEY), other.root_key.reveal(), 0o644).unwrap();
        let refused = AuthorityDir::renew_issuer(&dir, None, true).unwrap_err();
        assert!(matches!(refused, AuthorityError::KeyIsOpen { .. }), "{refused}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
