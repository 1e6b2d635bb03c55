//! Libraries that lie to a process about its machine: what time it is, and how fast its disk is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SLOW_SYNC: &str = include_str!("slow_sync.c");
/// Debian's package `faketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The lies that one process is told.
#[derive(Debug, Clone)]
pub struct Shims {
    libraries: Vec<PathBuf>,
    clock: PathBuf,
    delay: PathBuf,
}

impl Shims {
    /// Prepares the lies for one process: none yet.
    ///
    /// # Errors
    ///
    /// With the reason, where they cannot be made.
    pub fn prepare(dir: &Path, name: &str) -> Result<Self, String> {
        let library = dir.join("slow_sync.so");
        if !library.exists() {
            let source = dir.join("slow_sync.c");
            fs::write(&source, SLOW_SYNC).map_err(|error| error.to_string())?;
            let mut compile = Command::new("cc");
            compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
            let output = compile.arg("-ldl").output().map_err(|error| format!("cc: {error}"))?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned());
            }
        }
        if !Path::new(FAKETIME).exists() {
            return Err(format!("{FAKETIME} is not there: install the package faketime"));
        }
        let file = |kind: &str| dir.join(format!("{name}.{kind}"));
        let shims = Self {
            libraries: vec![PathBuf::from(FAKETIME), library],
            clock: file("clock"),
            delay: file("delay"),
        };
        shims.set_clock(0);
        Ok(shims)
    }

    /// The environment that makes a process believe them.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let libraries = self.libraries.iter().map(|path| path.display().to_string());
        let variables = [
            ("LD_PRELOAD", libraries.collect::<Vec<_>>().join(":")),
            ("FAKETIME_TIMESTAMP_FILE", self.clock.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("CLOUDAI_SLOW_SYNC", self.delay.display().to_string()),
        ];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Sets the wall clock so many seconds ahead of the right time, or behind it.
    pub fn set_clock(&self, seconds: i64) {
        // Moved into place, so that nobody reads half a number.
        let aside = self.clock.with_extension("new");
        fs::write(&aside, format!("{seconds:+}\n")).unwrap();
        fs::rename(&aside, &self.clock).unwrap();
    }

    /// Makes each sync of the disk take that much longer; not at all when zero.
    pub fn slow_syncs(&self, by: Duration) {
        if by.is_zero() {
            fs::remove_file(&self.delay).ok();
            return;
        }
        fs::write(&self.delay, by.as_millis().to_string()).unwrap();
    }
}
