//! The backups of one master in a directory, which others may share.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cluster_state::{MasterId, Timestamp};
use proto::convert::{parse_rfc3339, rfc3339};

/// Extension of a whole backup.
const WHOLE: &str = ".backup";
/// Extension of one that was not saved to its end.
const PARTIAL: &str = ".partial";

/// Names backups by their time, finds the newest, and removes the oldest.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    prefix: String,
    keep: usize,
}

impl Shelf {
    pub(super) fn new(directory: PathBuf, master: MasterId, keep: usize) -> Self {
        Self { directory, prefix: format!("master-{master}-"), keep }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the path of a backup that was taken at that time.
    pub(super) fn path(&self, at: Timestamp) -> PathBuf {
        // Colons have a meaning of their own in many places.
        let time = rfc3339(at).replace(':', "-");
        self.directory.join(format!("{}{time}{WHOLE}", self.prefix))
    }

    /// Returns the time of the newest whole backup.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.names().ok()?.iter().filter_map(|name| self.time(name)).max()
    }

    /// Removes all whole backups but the newest, and those that were not saved to their end.
    pub(super) fn clear(&self) -> io::Result<()> {
        let names = self.names()?;
        let mut whole = names.iter().filter_map(|name| Some((self.time(name)?, name)));
        let mut whole = whole.by_ref().collect::<Vec<_>>();
        whole.sort_unstable();
        let surplus = whole.len().saturating_sub(self.keep.max(1));
        let old = whole.iter().take(surplus).map(|(_, name)| *name);
        let is_ours = |name: &&String| name.starts_with(&self.prefix) && name.ends_with(PARTIAL);
        for name in old.chain(names.iter().filter(is_ours)) {
            fs::remove_file(self.directory.join(name))?;
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.directory)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Reads the time off the name of a whole backup of this master.
    fn time(&self, name: &str) -> Option<Timestamp> {
        let time = name.strip_prefix(&self.prefix)?.strip_suffix(WHOLE)?;
        let (day, time) = time.split_once('T')?;
        parse_rfc3339(&format!("{day}T{}", time.replace('-', ":"))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names = names.collect::<Vec<_>>();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_goes_and_what_belongs_to_others_stays() {
        let home = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(home.path().to_owned(), MasterId(1), 2);
        let other = Shelf::new(home.path().to_owned(), MasterId(12), 1);
        assert_eq!(shelf.newest(), None);
        let day = 24 * 60 * 60 * 1_000;
        for number in [3, 1, 4, 2] {
            fs::write(shelf.path(Timestamp(number * day)), "").unwrap();
        }
        fs::write(other.path(Timestamp(day)), "").unwrap();
        let partial = shelf.path(Timestamp(day)).with_extension("partial");
        fs::write(partial, "").unwrap();
        fs::write(home.path().join("notes"), "").unwrap();

        assert_eq!(shelf.newest(), Some(Timestamp(4 * day)));
        shelf.clear().unwrap();
        assert_eq!(
            names(home.path()),
            [
                "master-1-1970-01-04T00-00-00.000Z.backup",
                "master-1-1970-01-05T00-00-00.000Z.backup",
                "master-12-1970-01-02T00-00-00.000Z.backup",
                "notes",
            ]
        );
        assert_eq!(Shelf::new(home.path().join("none"), MasterId(1), 1).newest(), None);
    }
}
