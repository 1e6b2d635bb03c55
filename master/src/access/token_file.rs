//! The file with the first tokens, from before the cluster has any of its own.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_state::{InvalidId, Role, UnknownRole, UserName};

use super::Principal;
use super::secret::{SecretDigest, digest, is_same};

/// Shortest token: 32 letters of hexadecimal are 128 bits.
const TOKEN_LEN_MIN: usize = 32;
/// Largest file: thousands of lines.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Permissions that nobody but the owner may have.
const FOREIGN: u32 = 0o077;

/// Reason that the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("access.token_file {}: {fault}", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("others than its owner may read or write it (mode {0:04o}): chmod 600 it")]
    Exposed(u32),
    #[error("is larger than {max} bytes", max = FILE_BYTES_MAX)]
    TooLarge,
    #[error("line {0}: expected NAME ROLE TOKEN")]
    Form(usize),
    #[error("line {0}: {1}")]
    Name(usize, InvalidId),
    #[error("line {0}: {1}")]
    Role(usize, UnknownRole),
    #[error("line {0}: the token is shorter than {min} characters", min = TOKEN_LEN_MIN)]
    TooShort(usize),
}

/// Users of the file, by the digests of their tokens.
#[derive(Debug, Default)]
pub(crate) struct TokenFile {
    users: Vec<(SecretDigest, Arc<Principal>)>,
}

impl TokenFile {
    /// Reads the file, which its owner alone may read. Without a path there are no users.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenFileError> {
        if path.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        Self::read_owned(path).map_err(|fault| TokenFileError { path: path.to_owned(), fault })
    }

    fn read_owned(path: &Path) -> Result<Self, Fault> {
        let metadata = std::fs::metadata(path)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & FOREIGN != 0 {
            return Err(Fault::Exposed(mode));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Reads lines of `NAME ROLE TOKEN`; empty ones and those that begin with `#` say nothing.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut users = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let words = line.split_whitespace().collect::<Vec<_>>();
            let &[name, role, token] = words.as_slice() else { return Err(Fault::Form(number)) };
            let name = name.parse::<UserName>().map_err(|error| Fault::Name(number, error))?;
            let role = role.parse::<Role>().map_err(|error| Fault::Role(number, error))?;
            if token.len() < TOKEN_LEN_MIN {
                return Err(Fault::TooShort(number));
            }
            let principal = Principal::User { name: name.into(), role, scope: None };
            users.push((digest(token), Arc::new(principal)));
        }
        Ok(Self { users })
    }

    /// Returns the user of a token.
    pub(super) fn user(&self, token: &str) -> Option<Arc<Principal>> {
        if self.users.is_empty() {
            return None;
        }
        let presented = digest(token);
        // Every user is looked at, so that the time does not tell which one it is.
        let found = self.users.iter().fold(None, |found, (known, user)| {
            if is_same(known, &presented) { Some(user) } else { found }
        });
        found.map(Arc::clone)
    }

    /// Returns the number of users.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn each_line_is_a_user() {
        let text = format!("# the first admin\n\nada admin {TOKEN}\n  bob  viewer {TOKEN}x \n");
        let file = TokenFile::parse(&text).unwrap();
        assert_eq!(file.len(), 2);
        let name = |token: &str| file.user(token).map(|user| user.to_string());
        assert_eq!(name(TOKEN).as_deref(), Some("user:ada"));
        assert_eq!(name(&format!("{TOKEN}x")).as_deref(), Some("user:bob"));
        assert_eq!(name("x"), None);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named_without_its_token() {
        let refused = |line: &str| TokenFile::parse(&format!("\n{line}")).unwrap_err().to_string();
        assert_eq!(refused("ada admin"), "line 2: expected NAME ROLE TOKEN");
        assert!(refused(&format!("ada root {TOKEN}")).starts_with("line 2: 'root' is no role"));
        assert!(refused(&format!("a/b admin {TOKEN}")).starts_with("line 2: 'a/b' is not a user"));
        assert!(!refused("ada admin secret").contains("secret"));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, format!("ada admin {TOKEN}\n")).unwrap();
        let set_mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set_mode(0o640);
        let told = TokenFile::read(&path).unwrap_err().to_string();
        assert!(told.ends_with("(mode 0640): chmod 600 it"), "{told}");
        set_mode(0o600);
        assert_eq!(TokenFile::read(&path).unwrap().len(), 1);
        assert!(TokenFile::read(&dir.path().join("none")).is_err());
    }
}
