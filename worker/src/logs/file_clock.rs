//! A clock for the age of files: the wall clock, which stamps them, but without its jumps ahead.

use std::time::SystemTime;

use crate::clock::{self, Moment};

/// One moment on two clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The wall clock, which may be wrong and may jump.
    pub(super) wall: SystemTime,
    /// A clock that does neither, but means nothing outside this process.
    pub(super) moment: Moment,
}

impl Reading {
    #[expect(clippy::disallowed_methods, reason = "the system stamps files by the wall clock")]
    pub(super) fn take() -> Self {
        Self { wall: SystemTime::now(), moment: clock::now() }
    }
}

/// A clock that runs for as long as the process and takes, of all accounts of the wall clock, the
/// one by which files are youngest.
#[derive(Debug)]
pub(super) struct FileClock {
    began_at: Moment,
    /// Wall-clock time at that moment, by the earliest account.
    began: SystemTime,
}

impl FileClock {
    pub(super) const fn starting(at: Reading) -> Self {
        Self { began_at: at.moment, began: at.wall }
    }

    /// Returns the time of a reading.
    pub(super) fn time(&mut self, reading: Reading) -> SystemTime {
        let passed = reading.moment.since(self.began_at);
        let began = reading.wall.checked_sub(passed).unwrap_or(SystemTime::UNIX_EPOCH);
        self.began = self.began.min(began);
        self.began.checked_add(passed).unwrap_or(self.began)
    }
}
