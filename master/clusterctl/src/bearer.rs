//! The token with which `clusterctl` calls: from a file or from the environment, never from the
//! command line, which everybody on the machine can read.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proto::client::{BearerToken, InvalidToken};

/// Variable that holds the token itself.
pub const TOKEN_VARIABLE: &str = "CLUSTERCTL_TOKEN";
/// Permissions that nobody but the owner may have.
const FOREIGN: u32 = 0o077;

/// Reason that there is no token to present.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token in {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// Others may read the file.
    #[error(
        "the token in {} is not used: others than its owner may read or write the file (mode \
         {mode:04o}); chmod 600 it",
        path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    /// The file holds something else.
    #[error("{} does not hold a token", path.display())]
    NoToken { path: PathBuf, source: InvalidToken },
    /// The variable, a pipe or a context holds something else.
    #[error("CLUSTERCTL_TOKEN, standard input or the context does not hold a token")]
    Variable(#[source] InvalidToken),
}

/// Returns the token to present: that of the file if one is named, or else that of the variable.
pub fn token(
    file: Option<&Path>,
    variable: Option<String>,
) -> Result<Option<BearerToken>, TokenError> {
    if let Some(path) = file {
        return in_file(path).map(Some);
    }
    let variable = variable.filter(|text| !text.is_empty());
    variable.map(|text| BearerToken::parse(&text)).transpose().map_err(TokenError::Variable)
}

fn in_file(path: &Path) -> Result<BearerToken, TokenError> {
    let unreadable = |source| TokenError::Unreadable { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o7777;
    // A pipe, as of `<(pass show cluster)`, is nobody else's either.
    if metadata.is_file() && mode & FOREIGN != 0 {
        return Err(TokenError::Exposed { path: path.to_owned(), mode });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    BearerToken::parse(&text)
        .map_err(|source| TokenError::NoToken { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_a_file_of_its_owner_alone() {
        let path = std::env::temp_dir().join(format!("clusterctl-token-{}", std::process::id()));
        fs::write(&path, "clu_a_b\n").unwrap();
        let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o644);
        let told = token(Some(&path), None).unwrap_err().to_string();
        assert!(told.contains("(mode 0644); chmod 600 it") && !told.contains("clu_"), "{told}");
        set_mode(0o600);
        let expected = BearerToken::parse("clu_a_b").unwrap();
        // The file counts for more than the variable.
        let found = token(Some(&path), Some("clu_c_d".to_owned())).unwrap();
        assert_eq!(found, Some(expected));
        fs::write(&path, "two words\n").unwrap();
        assert!(token(Some(&path), None).is_err());
        fs::remove_file(&path).unwrap();
        assert!(token(Some(&path), None).is_err());
    }

    #[test]
    fn without_a_file_the_variable_counts() {
        assert_eq!(token(None, None).unwrap(), None);
        assert_eq!(token(None, Some(String::new())).unwrap(), None);
        assert!(token(None, Some("clu_a_b".to_owned())).unwrap().is_some());
        assert!(token(None, Some("a b".to_owned())).is_err());
    }
}
