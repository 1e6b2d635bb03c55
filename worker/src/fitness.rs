//! Decides whether this machine can run tasks. Pure: the watch measures, and publishes the
//! decision.

use crate::disk::Room;

mod probe;
mod watch;

pub(crate) use probe::Probe;
pub(crate) use watch::{Watch, WatchParts};

/// Number of consecutive starts that failed because of the machine which make it unfit.
const BAD_STARTS_MAX: u32 = 3;
/// Number of consecutive starts that failed because of the task after which the machine is tried:
/// it may be the machine that lacks a dependency of all tasks.
const DOUBTFUL_STARTS_MAX: u32 = 5;

/// Reason of a machine whose disk is full.
const DISK_FULL: &str = "disk-full";

/// Conclusion about the machine from the start of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The start succeeded.
    Good,
    /// The start failed because of the task, as far as one start can tell.
    Doubtful,
    /// The start failed because of the machine, for this reason.
    Bad(String),
}

/// Action to take after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Do nothing.
    GoOn,
    /// Try whether the machine still works.
    Try,
}

/// Fitness of the machine, and the evidence of late.
#[derive(Debug, Default)]
pub(crate) struct Fitness {
    bad_in_a_row: u32,
    doubtful_in_a_row: u32,
    unfit: Option<String>,
    has_no_room: bool,
}

impl Fitness {
    /// Starts unfit if there is a reason.
    #[must_use]
    pub(crate) fn new(unfit: Option<String>) -> Self {
        Self { unfit, ..Self::default() }
    }

    /// Returns the reason that the machine is unfit, if it is.
    #[must_use]
    pub(crate) fn unfit(&self) -> Option<&str> {
        self.unfit.as_deref().or(self.has_no_room.then_some(DISK_FULL))
    }

    /// Takes in a measurement of the disk.
    pub(crate) fn on_room(&mut self, room: Room) {
        self.has_no_room = room == Room::Low;
    }

    /// Takes in the result of a start.
    pub(crate) fn on_start(&mut self, verdict: Verdict) -> Advice {
        match verdict {
            Verdict::Good => (self.bad_in_a_row, self.doubtful_in_a_row) = (0, 0),
            Verdict::Bad(reason) => {
                self.bad_in_a_row += 1;
                if self.bad_in_a_row >= BAD_STARTS_MAX {
                    self.unfit.get_or_insert(format!("cannot start tasks: {reason}"));
                }
            }
            Verdict::Doubtful => {
                self.doubtful_in_a_row += 1;
                if self.doubtful_in_a_row >= DOUBTFUL_STARTS_MAX {
                    self.doubtful_in_a_row = 0;
                    return Advice::Try;
                }
            }
        }
        Advice::GoOn
    }

    /// Takes in the result of a trial.
    pub(crate) fn on_tried(&mut self, tried: Result<(), String>) {
        self.unfit = tried.err();
        (self.bad_in_a_row, self.doubtful_in_a_row) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad() -> Verdict {
        Verdict::Bad("too many open files".to_owned())
    }

    #[test]
    fn faults_in_a_row_make_a_machine_unfit_and_a_start_that_works_interrupts_them() {
        let mut fitness = Fitness::default();
        for verdict in [bad(), bad(), Verdict::Good, bad(), bad()] {
            assert_eq!(fitness.on_start(verdict), Advice::GoOn);
        }
        assert_eq!(fitness.unfit(), None);

        fitness.on_start(bad());
        assert_eq!(fitness.unfit(), Some("cannot start tasks: too many open files"));
    }

    #[test]
    fn a_machine_is_tried_when_many_tasks_fail_to_start() {
        let mut fitness = Fitness::default();
        let advice = [(); 6].map(|()| fitness.on_start(Verdict::Doubtful));
        assert_eq!(advice.iter().filter(|advice| **advice == Advice::Try).count(), 1);
        assert_eq!(advice[4], Advice::Try);
        assert_eq!(fitness.unfit(), None, "tasks alone do not make it unfit");
    }

    #[test]
    fn a_machine_without_room_is_unfit_until_there_is_some() {
        let mut fitness = Fitness::default();
        fitness.on_room(Room::Low);
        assert_eq!(fitness.unfit(), Some("disk-full"));
        fitness.on_tried(Ok(()));
        assert_eq!(fitness.unfit(), Some("disk-full"), "a small file fits even then");
        fitness.on_room(Room::Enough);
        assert_eq!(fitness.unfit(), None);
    }

    #[test]
    fn a_machine_is_fit_again_once_a_trial_works() {
        let mut fitness = Fitness::new(Some("leftovers".to_owned()));
        fitness.on_tried(Err("disk full".to_owned()));
        assert_eq!(fitness.unfit(), Some("disk full"));

        fitness.on_tried(Ok(()));
        assert_eq!(fitness.unfit(), None);
        fitness.on_start(bad());
        assert_eq!(fitness.unfit(), None, "what came before the trial does not count");
    }
}
