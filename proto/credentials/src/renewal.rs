//! Decides when a certificate is renewed, and replaces files as a whole. The decision is pure.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::authority::BACKDATED;
use crate::certificate::Certificate;

/// Part of its life after which a certificate is renewed: a third is left for what may go wrong.
const RENEWED_AFTER: f64 = 2.0 / 3.0;
/// Part of its life over which holders spread, each at its own place: all certificates of a fleet may
/// have begun in one hour.
const SPREAD_OVER: f64 = 1.0 / 12.0;

impl Certificate {
    /// Returns the time at which its holder asks for the next one.
    #[must_use]
    pub fn renewed_at(&self) -> SystemTime {
        // Certificates are backdated, which is no part of their life.
        let begin = self.not_before.checked_add(BACKDATED).unwrap_or(self.not_before);
        let life = self.not_after.duration_since(begin).unwrap_or_default();
        let after =
            life.mul_f64(SPREAD_OVER.mul_add(place(&self.identity.to_string()), RENEWED_AFTER));
        begin.checked_add(after).unwrap_or(self.not_after)
    }

    /// Returns the holder's own moment within a window over which all holders spread.
    #[must_use]
    pub fn place_within(&self, window: Duration) -> Duration {
        window.mul_f64(place(&self.identity.to_string()))
    }
}

/// Returns the place of a name among all names, from 0 to 1.
fn place(name: &str) -> f64 {
    let digest = Sha256::digest(name);
    let bytes = digest.iter().take(4).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    f64::from(bytes) / f64::from(u32::MAX)
}

/// Returns the pause before a renewal is tried again that has failed so often in a row.
#[must_use]
pub fn retry_pause(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(10 * 60);
    FIRST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST)
}

/// Writes a file that appears under its name as a whole, and is on disk then. Nobody else gets to
/// read it before its mode is set.
///
/// # Errors
///
/// When it cannot be written: the file of that name is as it was.
pub fn replace_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn certificate(name: &str, from: SystemTime, life: Duration) -> Certificate {
        Certificate {
            identity: format!("spiffe://prod/worker/{name}").parse().unwrap(),
            serial: vec![1],
            not_before: from - BACKDATED,
            not_after: from + life,
        }
    }

    #[test]
    fn a_fleet_spreads_its_renewals_after_two_thirds_of_their_lives() {
        let from = SystemTime::UNIX_EPOCH + 1_000 * DAY;
        let times = (0..10_000).map(|number| {
            let due = certificate(&format!("w{number}"), from, 30 * DAY).renewed_at();
            due.duration_since(from).unwrap().as_secs()
        });
        let times = times.collect::<Vec<_>>();
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!((20 * 86_400..20 * 86_400 + 600).contains(first), "{first}");
        assert!((22 * 86_400 + 42_000..=22 * 86_400 + 43_200).contains(last), "{last}");
        let of_one_hour = |hour: u64| times.iter().filter(|at| *at / 3_600 == hour).count();
        let most = (480..540).map(of_one_hour).max().unwrap();
        assert!(most < 300, "{most} of 10,000 in one of sixty hours");
    }

    #[test]
    fn a_short_life_is_not_spent_on_its_backdating() {
        let from = SystemTime::UNIX_EPOCH + 1_000 * DAY;
        let due = certificate("w1", from, Duration::from_secs(30)).renewed_at();
        let after = due.duration_since(from).unwrap();
        assert!((20.0..=22.5).contains(&after.as_secs_f64()), "{after:?}");
    }

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let pauses = [0, 1, 5, 9, 10, 40].map(|failures| retry_pause(failures).as_secs());
        assert_eq!(pauses, [1, 2, 32, 512, 600, 600]);
    }

    #[test]
    fn a_file_is_replaced_whole_under_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        fs::write(dir.path().join("a.key.new"), "left by a crash").unwrap();
        for text in ["one", "two"] {
            replace_file(&path, text, 0o600).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
