//! The file of the trail: lines appended, resumed after a restart, and files put aside by size.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cluster_state::{ClusterId, LogIndex, MasterId};

use super::line::{self, Owner};

/// Bytes at the end of a file in which its last line is: no line is nearly as long.
const TAIL_BYTES: u64 = 64 << 10;

/// Place and bounds of the file.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) path: PathBuf,
    /// Bytes after which the file is put aside.
    pub(super) bytes_max: u64,
    /// Number of files put aside that are kept.
    pub(super) keep: u64,
    pub(super) cluster: String,
    pub(super) master: MasterId,
}

/// The open file.
#[derive(Debug)]
pub(super) struct TrailFile {
    layout: Layout,
    file: File,
    /// Owner of the file, as it says itself; none while it is empty.
    owner: Option<Owner>,
    /// Bytes of whole lines.
    length: u64,
    /// Log position up to which the trail is written.
    after: LogIndex,
}

impl TrailFile {
    /// Opens the file, or makes one, and finds out where to go on. What is left of a line that was
    /// being written is cut off.
    pub(super) fn open(layout: Layout) -> io::Result<Self> {
        let file = append_to(&layout.path)?;
        let (length, place) = whole_lines(&file)?;
        let owner = owner_of(&file)?;
        check_owner(owner.as_ref(), &layout)?;
        file.set_len(length)?;
        let mut opened = Self { layout, file, owner, length, after: LogIndex(0) };
        if length == 0 {
            // The one before may have been put aside a moment before the end of this process.
            (opened.after, opened.owner) = opened.last_aside()?;
        } else {
            opened.after = place.ok_or_else(|| {
                io::Error::new(ErrorKind::InvalidData, "its last line is none of a trail")
            })?;
        }
        Ok(opened)
    }

    /// Has the file go on with the trail of this cluster. One of an earlier cluster of the same name,
    /// whose log positions mean nothing here, is put aside.
    pub(super) fn follow(&mut self, cluster: ClusterId) -> io::Result<()> {
        if !self.is_of_another(cluster) {
            return Ok(());
        }
        let before = self.owner.take();
        if self.length > 0
            && let Err(error) = self.put_aside()
        {
            self.owner = before;
            return Err(error);
        }
        self.after = LogIndex(0);
        Ok(())
    }

    /// Returns the first line of a file that begins here.
    fn start(&self, cluster_id: &str) -> String {
        line::start(&self.layout.cluster, cluster_id, self.layout.master, self.after)
    }

    /// Returns whether the file is of another cluster of the same name.
    pub(super) fn is_of_another(&self, cluster: ClusterId) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.cluster_id != cluster.to_string())
    }

    /// Returns the log position up to which the trail is written.
    pub(super) const fn after(&self) -> LogIndex {
        self.after
    }

    /// Appends lines of a cluster, all of them or none, and syncs. They bring the trail to a log
    /// position.
    pub(super) fn append(
        &mut self,
        lines: &str,
        cluster: ClusterId,
        up_to: LogIndex,
    ) -> io::Result<()> {
        let start = self.start(&cluster.to_string());
        let bytes = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
        let is_fresh = self.length <= bytes(&start);
        if self.length.saturating_add(bytes(lines)) > self.layout.bytes_max && !is_fresh {
            self.put_aside()?;
        }
        if self.length == 0 {
            self.write(&start)?;
            self.owner = line::owner(start.trim_end());
        }
        self.write(lines)?;
        self.after = up_to;
        Ok(())
    }

    /// Opens the file of that name, which may be another by now: somebody has moved the old one.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if is_at(&self.file, &self.layout.path)? {
            return Ok(());
        }
        let file = append_to(&self.layout.path)?;
        let (length, _) = whole_lines(&file)?;
        check_owner(owner_of(&file)?.as_ref(), &self.layout)?;
        file.set_len(length)?;
        (self.file, self.length) = (file, length);
        // So that it says where it goes on, also if nothing more comes before this process ends.
        let start = self.owner.as_ref().map(|owner| self.start(&owner.cluster_id));
        start.filter(|_| length == 0).map_or(Ok(()), |start| self.write(&start))
    }

    /// Writes and syncs. What a failure leaves of it is cut off, now or before the next attempt.
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.set_len(self.length)?;
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // If it cannot be cut off now, it is before the next attempt.
            self.file.set_len(self.length).unwrap_or_default();
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Puts the file aside under the next number, and begins another. After a failure it may be called
    /// again: the others move only if there is a file to put before them.
    fn put_aside(&mut self) -> io::Result<()> {
        let Layout { path, keep, .. } = self.layout.clone();
        if !path.try_exists()? {
            return self.reopen();
        }
        if keep == 0 {
            fs::remove_file(&path)?;
        } else {
            for number in (1..keep).rev() {
                rename_if_present(&aside(&path, number), &aside(&path, number.saturating_add(1)))?;
            }
            fs::rename(&path, aside(&path, 1))?;
        }
        self.reopen()
    }

    fn last_aside(&self) -> io::Result<(LogIndex, Option<Owner>)> {
        match File::open(aside(&self.layout.path, 1)) {
            Ok(file) => Ok((whole_lines(&file)?.1.unwrap_or_default(), owner_of(&file)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((LogIndex(0), None)),
            Err(error) => Err(error),
        }
    }
}

/// Opens a file to append to, which nobody else may do meanwhile.
fn append_to(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(ErrorKind::ResourceBusy, "another process writes it"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Returns whether an open file is the one that has this name now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whose a file is; none while it is empty.
fn owner_of(mut file: &File) -> io::Result<Option<Owner>> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = String::new();
    BufReader::new(file.take(TAIL_BYTES)).read_line(&mut line)?;
    Ok(line::owner(line.trim_end()))
}

/// Refuses the file of another master, or of a cluster of another name.
fn check_owner(owner: Option<&Owner>, layout: &Layout) -> io::Result<()> {
    match owner {
        Some(owner) if owner.trail != layout.cluster || owner.master != layout.master.0 => {
            let Owner { trail, master, .. } = owner;
            let what = format!("it is the trail of master {master} of the cluster {trail}");
            Err(io::Error::new(ErrorKind::InvalidData, what))
        }
        Some(_) | None => Ok(()),
    }
}

fn aside(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn rename_if_present(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Refuses a file that is not empty and does not begin as one of the trail does: nothing of it may be
/// cut off.
fn check_beginning(mut file: &File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut beginning = Vec::new();
    file.take(u64::try_from(line::BEGINNING.len()).unwrap_or(u64::MAX))
        .read_to_end(&mut beginning)?;
    if line::BEGINNING.as_bytes().starts_with(&beginning) {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::InvalidData, "it is not a file of the trail"))
}

/// Returns the bytes of the whole lines of a file, and the place that the last one tells.
fn whole_lines(mut file: &File) -> io::Result<(u64, Option<LogIndex>)> {
    let length = file.metadata()?.len();
    check_beginning(file)?;
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;

    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        return if from == 0 { Ok((0, None)) } else { Ok((length, None)) };
    };
    let whole = tail.get(..end).unwrap_or_default();
    let last = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let place = std::str::from_utf8(last).ok().and_then(line::place);
    let end = u64::try_from(end).unwrap_or(u64::MAX);
    Ok((from.saturating_add(end).saturating_add(1), place))
}

#[cfg(test)]
mod tests;
