//! Prints results: data on standard output, as columns or as JSON; messages on standard error.

mod audit;
mod certificates;
mod context;
mod event;
mod job;
mod member;
mod named_queue;
mod names;
mod operator;
mod orphan;
mod prompt;
mod queue;
mod schedule;
mod snapshot;
mod table;
mod tasks;
mod text;
mod upgrade;
mod user;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub use audit::audit;
pub use certificates::certificates;
pub use context::{ShownContext, context, contexts};
pub use event::event;
pub use job::{deeds, job, jobs, selection};
pub use member::members;
pub use named_queue::{named_queue, named_queues};
pub use operator::{config, mass_loss, reconnections, tokens, worker_history, worker_metrics};
pub use orphan::orphans;
pub use prompt::worker_box;
pub use queue::{explanation, queue};
pub use schedule::{next_runs, schedule, schedules};
pub use snapshot::{InspectedSnapshot, SavedSnapshot, saved_snapshot, snapshot};
pub use table::{Style, columns, fields};
pub use tasks::tasks;
pub use text::{leader, status, task, worker, workers};
pub use upgrade::upgrade;
pub use user::{caller_identity, user_tokens};

use crate::args::Format;
use crate::failure::Failure;

/// Destination and format of the output.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Absent when nobody has chosen one.
    format: Option<Format>,
    style: Style,
}

impl Output {
    /// Creates an output in `format`, colored where a person looks and has not set `NO_COLOR`.
    #[must_use]
    pub fn new(format: Option<Format>) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_colored = io::stdout().is_terminal() && !no_color;
        Self { format, style: if is_colored { Style::Colored } else { Style::Plain } }
    }

    /// Returns the same output in another format.
    #[must_use]
    pub const fn with_format(self, format: Format) -> Self {
        Self { format: Some(format), ..self }
    }

    /// Returns the output format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format.unwrap_or_default()
    }

    /// Returns true if lines are JSON in a stream: when that is chosen, or nothing is and no terminal
    /// shows them.
    #[must_use]
    pub fn is_for_programs(&self) -> bool {
        match self.format {
            Some(format) => format == Format::Json,
            None => !io::stdout().is_terminal(),
        }
    }

    /// Prints data: `text` formats it for people. What has no ids is printed for them, too, where only ids
    /// are wanted.
    pub fn data<T: Serialize + ?Sized>(
        &self,
        data: &T,
        text: impl FnOnce(&T, Style) -> String,
    ) -> Result<(), Failure> {
        let text = match self.format() {
            Format::Table => text(data, self.style),
            Format::Json => serde_json::to_string_pretty(data)?,
            Format::Name => {
                let names = names::of(&serde_json::to_value(data)?);
                names.unwrap_or_else(|| text(data, self.style))
            }
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()?;
        Ok(())
    }

    /// Returns true if data is shown in the place of what was shown before: on a terminal, to people.
    #[must_use]
    pub fn is_redrawn(&self) -> bool {
        self.format() == Format::Table && io::stdout().is_terminal()
    }

    /// Clears the terminal.
    pub fn clear(&self) {
        // The rest cannot be printed either if this cannot.
        drop(write!(io::stdout(), "\x1b[H\x1b[2J"));
    }

    /// Prints a message for people that is not data.
    pub fn message(&self, text: impl Display) {
        // If standard error is closed, nobody can be told, and the work goes on.
        drop(writeln!(io::stderr(), "{text}"));
    }
}
