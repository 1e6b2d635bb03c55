//! Orders about data directories, while no master runs there.

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgMatches, Command, FromArgMatches};
use daemon::exit::complain;

use crate::inspect::{self, InspectOrder};
use crate::recover::{self, RecoverOrder};
use crate::restore::{self, RestoreOrder};

/// An order about data directories.
#[derive(Debug)]
pub enum Offline {
    /// Restoration of a backup.
    Restore(RestoreOrder),
    /// Inspection of directories.
    Inspect(InspectOrder),
    /// Recovery from what is left of a cluster.
    Recover(RecoverOrder),
}

impl Offline {
    /// Returns the commands for the help and the parser.
    pub(crate) fn commands() -> [Command; 3] {
        [restore::command(), inspect::command(), recover::command()]
    }

    /// Returns the order of a command line, if it has one.
    pub(crate) fn of(matches: &ArgMatches) -> Result<Option<Self>, clap::Error> {
        Ok(match matches.subcommand() {
            Some(("restore", order)) => Some(Self::Restore(RestoreOrder::from_arg_matches(order)?)),
            Some(("inspect", order)) => Some(Self::Inspect(InspectOrder::from_arg_matches(order)?)),
            Some(("recover", order)) => Some(Self::Recover(RecoverOrder::from_arg_matches(order)?)),
            Some(_) | None => None,
        })
    }

    /// Carries it out, and says on standard error if that fails.
    #[must_use]
    pub fn run(&self, program: &str) -> ExitCode {
        let told = |error: &dyn Error, code| complain(program, error, code);
        match self {
            Self::Restore(order) => match restore::run(order) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => told(&failure, failure.exit_code()),
            },
            Self::Inspect(order) => match inspect::run(order) {
                Ok(code) => ExitCode::from(code),
                Err(error) => told(&error, 1),
            },
            Self::Recover(order) => match recover::run(order) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => told(&failure, failure.exit_code()),
            },
        }
    }
}
