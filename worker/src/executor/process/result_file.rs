//! The file into which an attempt writes the result of its task.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cluster_state::{Payload, TaskResult};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use tracing::debug;

/// Takes what an attempt has left, once none of its processes is there any more. The file may be
/// anything that a task can make, so nothing that could block or lead elsewhere is opened. It blocks.
pub(super) fn take(path: &Path) -> Option<TaskResult> {
    let unreadable = |detail: String| Some(TaskResult::Unreadable { detail });
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) if error.raw_os_error().map(Errno::from_raw) == Some(Errno::ELOOP) => {
            return unreadable("it is a symbolic link".to_owned());
        }
        Err(error) => return unreadable(error.to_string()),
    };
    let result = read(&file).unwrap_or_else(|error| unreadable(error.to_string()));
    // A file that stays goes with the logs of the attempt.
    if let Err(error) = fs::remove_file(path) {
        debug!(path = %path.display(), %error, "cannot remove the file of a result");
    }
    result
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

fn read(file: &File) -> io::Result<Option<TaskResult>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Some(TaskResult::Unreadable { detail: "it is no regular file".to_owned() }));
    }
    let max = u64::try_from(Payload::BYTES_MAX).unwrap_or(u64::MAX);
    if metadata.len() > max {
        return Ok(Some(TaskResult::TooLarge { bytes: metadata.len() }));
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(max).read_to_end(&mut content)?;
    Ok(Some(TaskResult::Kept(Payload::from(content.as_slice()))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn taken(make: impl FnOnce(&Path)) -> (Option<TaskResult>, bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result");
        make(&path);
        (take(&path), path.exists())
    }

    fn unreadable(detail: &str) -> Option<TaskResult> {
        Some(TaskResult::Unreadable { detail: detail.to_owned() })
    }

    #[test]
    fn a_result_is_taken_whole_or_not_at_all() {
        assert_eq!(taken(|_| {}), (None, false));
        let of = |bytes: usize| taken(|path| fs::write(path, vec![7; bytes]).unwrap());
        for bytes in [0, 1, Payload::BYTES_MAX] {
            let kept = TaskResult::Kept(Payload::from(vec![7; bytes].as_slice()));
            assert_eq!(of(bytes), (Some(kept), false));
        }
        assert_eq!(of(65_537), (Some(TaskResult::TooLarge { bytes: 65_537 }), false));
    }

    #[test]
    fn what_is_no_file_of_its_own_holds_up_nobody() {
        let (pipe, _) = taken(|path| mkfifo(path, Mode::S_IRWXU).unwrap());
        assert_eq!(pipe, unreadable("it is no regular file"));
        let (dir, _) = taken(|path| fs::create_dir(path).unwrap());
        assert_eq!(dir, unreadable("it is no regular file"));
        let (link, _) = taken(|path| symlink("/etc/passwd", path).unwrap());
        assert_eq!(link, unreadable("it is a symbolic link"));
    }
}
