//! The file of the trail: lines appended, resumed after a restart, and files put aside by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cluster_state::{LogIndex, MasterId};

use super::line;

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
        file.set_len(length)?;
        let mut opened = Self { layout, file, length, after: LogIndex(0) };
        if length == 0 {
            // The one before may have been put aside a moment before the end of this process.
            opened.after = opened.place_in_last_aside()?;
            // A full disk is no reason not to start: the first line waits for the first record.
            match opened.write_start() {
                Err(error) if !is_out_of_room(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        } else {
            opened.after = place.ok_or_else(|| {
                io::Error::new(ErrorKind::InvalidData, "its last line is none of a trail")
            })?;
        }
        Ok(opened)
    }

    /// Returns the log position up to which the trail is written.
    pub(super) const fn after(&self) -> LogIndex {
        self.after
    }

    /// Appends lines, all of them or none, and syncs. They bring the trail to a log position.
    pub(super) fn append(&mut self, lines: &str, up_to: LogIndex) -> io::Result<()> {
        let bytes = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if self.length.saturating_add(bytes) > self.layout.bytes_max && !self.is_fresh() {
            self.put_aside()?;
        }
        if self.length == 0 {
            self.write_start()?;
        }
        self.write(lines)?;
        self.after = up_to;
        Ok(())
    }

    /// Opens the file of that name, which may be another by now: somebody has moved the old one.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let file = append_to(&self.layout.path)?;
        let (length, _) = whole_lines(&file)?;
        file.set_len(length)?;
        (self.file, self.length) = (file, length);
        if length == 0 { self.write_start() } else { Ok(()) }
    }

    fn is_fresh(&self) -> bool {
        let start = line::start(&self.layout.cluster, self.layout.master, self.after);
        self.length <= u64::try_from(start.len()).unwrap_or(u64::MAX)
    }

    fn write_start(&mut self) -> io::Result<()> {
        let start = line::start(&self.layout.cluster, self.layout.master, self.after);
        self.write(&start)
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

    fn place_in_last_aside(&self) -> io::Result<LogIndex> {
        match File::open(aside(&self.layout.path, 1)) {
            Ok(file) => Ok(whole_lines(&file)?.1.unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(LogIndex(0)),
            Err(error) => Err(error),
        }
    }
}

fn is_out_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
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
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn layout(dir: &TempDir, bytes_max: u64) -> Layout {
        let (cluster, master) = ("prod".to_owned(), MasterId(1));
        Layout { path: dir.path().join("trail"), bytes_max, keep: 2, cluster, master }
    }

    fn write(file: &mut TrailFile, indexes: std::ops::Range<u64>) {
        for index in indexes {
            let line = format!("{{\"index\":{index}}}\n");
            file.append(&line, LogIndex(index)).unwrap();
        }
    }

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_file_is_resumed_after_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(&dir, 1 << 20);
        let mut file = TrailFile::open(layout.clone()).unwrap();
        assert_eq!(file.after(), LogIndex(0));
        write(&mut file, 5..7);
        drop(file);
        let path = layout.path.clone();
        let torn = fs::read_to_string(&path).unwrap() + "{\"index\":7,\"acti";
        fs::write(&path, torn).unwrap();

        let mut file = TrailFile::open(layout).unwrap();
        assert_eq!(file.after(), LogIndex(6));
        write(&mut file, 7..8);
        let start = line::start("prod", MasterId(1), LogIndex(0));
        let expected = [start.trim_end(), "{\"index\":5}", "{\"index\":6}", "{\"index\":7}"];
        assert_eq!(lines(&path), expected);
    }

    #[test]
    fn files_are_put_aside_by_size_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(&dir, 120);
        let mut file = TrailFile::open(layout.clone()).unwrap();
        write(&mut file, 100..130);
        drop(file);
        let mut names = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, ["trail", "trail.1", "trail.2"]);
        let [now, before] = [lines(&layout.path), lines(&aside(&layout.path, 1))];
        let last_before = line::place(before.last().unwrap());
        assert_eq!(line::place(&now[0]), last_before, "each begins where the one before ends");
        assert!(fs::metadata(&layout.path).unwrap().len() <= 120);

        // As if the process had been killed between the two.
        fs::write(&layout.path, "").unwrap();
        assert_eq!(Some(TrailFile::open(layout).unwrap().after()), last_before);
    }

    #[test]
    fn what_failed_halfway_is_made_good_by_the_next_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(&dir, 120);
        let mut file = TrailFile::open(layout.clone()).unwrap();
        let mut next = 100;
        while file.length + 14 <= 120 {
            write(&mut file, next..next + 1);
            next += 1;
        }
        let before = lines(&layout.path);

        // Put aside, and then no other could be made.
        fs::rename(&layout.path, aside(&layout.path, 1)).unwrap();
        write(&mut file, next..next + 1);
        assert_eq!(lines(&aside(&layout.path, 1)), before);
        assert!(!aside(&layout.path, 2).exists());

        // Made, and then its first line could not be written.
        fs::write(&layout.path, "").unwrap();
        file.length = 0;
        write(&mut file, next + 1..next + 2);
        let start = line::start("prod", MasterId(1), LogIndex(next));
        let record = format!("{{\"index\":{}}}", next + 1);
        assert_eq!(lines(&layout.path), [start.trim_end(), &record]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_where_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(&dir, 1 << 20);
        let mut file = TrailFile::open(layout.clone()).unwrap();
        write(&mut file, 1..4);
        fs::rename(&layout.path, dir.path().join("moved")).unwrap();
        file.reopen().unwrap();
        write(&mut file, 4..5);
        let start = line::start("prod", MasterId(1), LogIndex(3));
        assert_eq!(lines(&layout.path), [start.trim_end(), "{\"index\":4}"]);
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(&dir, 1 << 20);
        for text in ["dear diary\n", "dear diary", "{\"trail\":7}\nnoise\n"] {
            fs::write(&layout.path, text).unwrap();
            let refused = TrailFile::open(layout.clone()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidData);
            assert_eq!(fs::read_to_string(&layout.path).unwrap(), text);
        }
    }
}
