//! Captures the log of a master in these tests.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io;
use std::sync::{Arc, OnceLock};

use eventually::{PATIENCE, eventually, require};
use parking_lot::Mutex;

/// Log of the master, from `info` on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// One for all tests of this program: lines of others are told apart by their workers.
    pub(crate) fn keep() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Self::default();
            let lines = log.clone();
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || lines.clone())
                .with_max_level(tracing::Level::INFO)
                .init();
            log
        });
        log.clone()
    }

    pub(crate) async fn reaches(&self, parts: &[&str], least: usize) {
        eventually("the lines are logged", PATIENCE, async || {
            let count = self.count(parts);
            require(count >= least, || format!("{count} of {least} lines with {parts:?}"))
        })
        .await;
    }

    pub(crate) fn count(&self, parts: &[&str]) -> usize {
        let bytes = self.0.lock().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}
