//! Freshness of reads.

use std::time::Duration;

use cluster_state::LogIndex;
use proto::consistency::Consistency;
use proto::problem::{ErrorKind, Problem};
use raft_store::Leadership;

use super::{Mark, Operations};
use crate::refusal;

/// Kind of a read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// Freshness that it needs.
    pub(crate) consistency: Consistency,
    /// Answer only when this index has been passed, or when that time is over.
    pub(crate) beyond: Option<(LogIndex, Duration)>,
}

impl From<Consistency> for Reading {
    fn from(consistency: Consistency) -> Self {
        Self { consistency, beyond: None }
    }
}

impl Operations {
    /// Returns when local state is as fresh as asked, with what an answer from it may claim.
    pub(crate) async fn reach(&self, reading: Reading) -> Result<Mark, Problem> {
        if let Some((index, patience)) = reading.beyond {
            self.check_index(index).await?;
            self.pass(index, patience).await?;
        }
        match reading.consistency {
            Consistency::Linearizable => {
                self.node().linearize().await.map_err(|error| refusal::of_read(&error))?;
                Ok(self.mark())
            }
            Consistency::Stale => {
                let last_contact = Some(self.last_contact());
                Ok(Mark { last_contact, ..self.mark() })
            }
        }
    }

    /// Returns the mark of an answer from the state of this moment.
    pub(crate) fn mark(&self) -> Mark {
        let applied = self.node().reader().applied();
        Mark { index: applied.index, term: self.leadership().term(), last_contact: None }
    }

    /// Returns the time since this master heard from a leader, or was one.
    fn last_contact(&self) -> Duration {
        match self.leadership() {
            Leadership::Leading { .. } => Duration::ZERO,
            Leadership::Following { .. } | Leadership::Leaderless { .. } => self.silence(),
        }
    }

    /// Refuses an index that is not one of this cluster's log, as one of a cluster that was here
    /// before: it would be waited for in vain.
    async fn check_index(&self, index: LogIndex) -> Result<(), Problem> {
        let Some(last) = self.last_index_below(index).await else { return Ok(()) };
        let detail = format!("index {index} is not of this cluster: its last is {last}");
        Err(Problem::new(ErrorKind::IndexAhead, detail))
    }

    /// The last index of this cluster's log, if that is below `index`. Whoever names an index of
    /// this cluster had it from an answer, so that it is committed, and a read that begins now sees
    /// it. While no read is possible nobody knows.
    pub(crate) async fn last_index_below(&self, index: LogIndex) -> Option<LogIndex> {
        let reader = self.node().reader();
        if reader.applied().index >= index {
            return None;
        }
        self.node().linearize().await.ok()?;
        Some(reader.applied().index).filter(|last| *last < index)
    }

    async fn pass(&self, index: LogIndex, patience: Duration) -> Result<(), Problem> {
        let mut applied = self.node().reader().watch_applied();
        if applied.borrow().index > index {
            return Ok(());
        }
        let _slot = self.wait_slot()?;
        let passed = applied.wait_for(|applied| applied.index > index);
        tokio::select! {
            // Whoever asked wants the state as it is when nothing has happened in time.
            _ = tokio::time::timeout(patience, passed) => {}
            () = self.stopping().cancelled() => {}
        }
        Ok(())
    }
}
