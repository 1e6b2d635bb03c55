//! The file of the contexts: read only if nobody else can, and replaced as a whole.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Contexts, ContextsError};

/// Variable that names the file.
const FILE_VARIABLE: &str = "CLUSTERCTL_CONFIG";
/// Permissions that nobody but the owner may have.
const FOREIGN: u32 = 0o077;

/// The file that holds the contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFile {
    path: PathBuf,
}

impl ContextFile {
    /// Returns the file that the environment names, or else the one in the home directory.
    ///
    /// # Errors
    ///
    /// When the environment names neither.
    pub fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ContextsError> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let home = || given("HOME").map(|home| Path::new(&home).join(".config"));
        let path = given(FILE_VARIABLE)
            .map(PathBuf::from)
            .or_else(|| home().map(|config| config.join("clusterctl").join("contexts.toml")));
        path.map(|path| Self { path }).ok_or(ContextsError::NoPlace)
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the contexts; there are none without a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, others may read it, or it holds something else.
    pub fn read(&self) -> Result<Contexts, ContextsError> {
        let path = &self.path;
        let unreadable = |source| ContextsError::Unreadable { path: path.clone(), source };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
            Err(error) => return Err(unreadable(error)),
        };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & FOREIGN != 0 {
            return Err(ContextsError::Exposed { path: path.clone(), mode });
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        // The complaint of the parser shows the line, which may hold a token.
        toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.bytes().take(start).filter(|byte| *byte == b'\n').count();
            ContextsError::Form { path: path.clone(), line: before.saturating_add(1) }
        })
    }

    /// Writes the contexts, durably: a failure leaves those from before.
    ///
    /// # Errors
    ///
    /// When the file or its directory cannot be written.
    pub fn write(&self, contexts: &Contexts) -> Result<(), ContextsError> {
        let unwritable = |source| ContextsError::Unwritable { path: self.path.clone(), source };
        let text = toml::to_string_pretty(contexts)
            .map_err(|error| unwritable(io::Error::other(error)))?;
        self.replace(text.as_bytes()).map_err(unwritable)
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let dir = self.path.parent().filter(|dir| *dir != Path::new(""));
        if let Some(dir) = dir {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let staged = self.path.with_file_name(name);
        let written = place(&staged, &self.path, bytes);
        if written.is_err() {
            // It may never have been there.
            drop(fs::remove_file(&staged));
        }
        written
    }
}

/// Writes a file of its owner alone, and puts it in the place of another.
fn place(staged: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(staged, path)
}
