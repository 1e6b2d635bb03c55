//! Standard input of tasks: a file, or that of this program.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cluster_state::Payload;

/// Path that stands for standard input.
const OWN: &str = "-";

/// Reason that a task has no standard input.
#[derive(Debug, thiserror::Error)]
pub enum StdinError {
    /// The file cannot be read.
    #[error("cannot read the standard input of the task in {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file is larger than a task may read.
    #[error(
        "{} is too large: a task reads at most {max} bytes from standard input",
        path.display(), max = Payload::BYTES_MAX
    )]
    TooLarge { path: PathBuf },
    /// Tasks are read from standard input already.
    #[error("--stdin - and --file - cannot both read from standard input")]
    Taken,
}

/// Reads what a task is to read.
///
/// # Errors
///
/// If it cannot be read, or is too large.
pub fn read(path: &Path) -> Result<Vec<u8>, StdinError> {
    let read = if path == Path::new(OWN) {
        up_to_one_more(&mut io::stdin().lock())
    } else {
        std::fs::File::open(path).and_then(|mut file| up_to_one_more(&mut file))
    };
    match read {
        Ok(content) if content.len() > Payload::BYTES_MAX => {
            Err(StdinError::TooLarge { path: path.to_owned() })
        }
        Ok(content) => Ok(content),
        Err(source) => Err(StdinError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Reads no more than shows that there is too much.
fn up_to_one_more(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let most = u64::try_from(Payload::BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    from.take(most).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_refused() {
        let path = std::env::temp_dir().join(format!("clusterctl-stdin-{}", std::process::id()));
        let told = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read(&path).map_err(|error| error.to_string())
        };
        assert_eq!(told(&[0, 255]), Ok(vec![0, 255]));
        let refused = told(&vec![7; Payload::BYTES_MAX + 1]).unwrap_err();
        assert!(refused.ends_with("a task reads at most 65536 bytes from standard input"));
        std::fs::remove_file(&path).unwrap();
        let missing = read(&path).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read the standard input of the task"), "{missing}");
    }
}
