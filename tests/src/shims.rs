//! Libraries that lie to a process about its machine: what time it is, and how fast its disk is; and
//! one that ends it in the middle of something.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SLOW_SYNC: &str = include_str!("slow_sync.c");
const DIE_AT: &str = include_str!("die_at.c");
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
        let library = compile(dir, "slow_sync", SLOW_SYNC)?;
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

/// Makes the library that kills a process at the file operation whose number `CLOUDAI_DIE_AT` says.
///
/// # Errors
///
/// With the reason, where it cannot be made.
pub fn die_at(dir: &Path) -> Result<PathBuf, String> {
    compile(dir, "die_at", DIE_AT)
}

fn compile(dir: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let library = dir.join(format!("{name}.so"));
    if library.exists() {
        return Ok(library);
    }
    let source = dir.join(format!("{name}.c"));
    fs::write(&source, text).map_err(|error| error.to_string())?;
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    let output = compile.arg("-ldl").output().map_err(|error| format!("cc: {error}"))?;
    if output.status.success() {
        Ok(library)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
