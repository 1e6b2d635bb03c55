//! Orphaned results: listed, and dropped when an operator has seen them.

use std::sync::Arc;

use cluster_state::{Command, DropOrphans, Orphan, OrphanId, OrphanSelection, Reply, State};
use proto::limits::{BATCH_BYTES, ByteBudget};
use proto::problem::{ErrorKind, Problem};

use super::tasks::unexpected;
use super::{Answer, Operations, Reading};
use crate::access::Caller;

/// Results on a page that names no limit.
const LIMIT_DEFAULT: usize = 1_000;
/// Most results on a page: as many as there may be, within the bytes of a message.
const LIMIT_MAX: usize = 100_000;
/// Bytes of an answer about any result, beside the account of its memory.
const ORPHAN_BYTES: usize = 256;

/// A page of orphaned results, oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OrphanPage {
    pub(crate) orphans: Vec<Arc<Orphan>>,
    /// Position at which the next page begins; none on the last.
    pub(crate) next: Option<OrphanId>,
    /// Number of those that there was no room for.
    pub(crate) displaced: u64,
}

impl Operations {
    /// Returns one page of orphaned results.
    pub(crate) async fn orphans(
        &self,
        limit: Option<usize>,
        after: Option<OrphanId>,
        reading: Reading,
    ) -> Result<Answer<OrphanPage>, Problem> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let detail = format!("limit {limit} is not between 1 and {LIMIT_MAX}");
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }
        let mark = self.reach(reading).await?;
        Ok(mark.on(self.node().reader().with(|state| page(state, limit, after))))
    }

    /// Drops orphaned results, all that are named or none, and returns their number.
    pub(crate) async fn drop_orphans(
        &self,
        selection: OrphanSelection,
        by: &Caller,
    ) -> Result<Answer<u32>, Problem> {
        let command = Command::DropOrphans(DropOrphans { selection });
        let Answer { body: reply, mark } = self.order(command, by).await?;
        let Reply::Dropped(count) = reply else { return Err(unexpected(&reply)) };
        Ok(mark.on(count))
    }
}

fn page(state: &State, limit: usize, after: Option<OrphanId>) -> OrphanPage {
    let mut budget = ByteBudget::new(BATCH_BYTES);
    let mut page =
        OrphanPage { displaced: state.meta().orphans_displaced, ..OrphanPage::default() };
    for orphan in state.orphans_after(after.unwrap_or_default()) {
        let bytes = usize::try_from(orphan.bytes()).unwrap_or(usize::MAX);
        if page.orphans.len() == limit || !budget.admits(bytes.saturating_add(ORPHAN_BYTES)) {
            page.next = page.orphans.last().map(|last| last.id);
            break;
        }
        page.orphans.push(Arc::clone(orphan));
    }
    page
}

#[cfg(test)]
mod tests {
    use cluster_state::{
        AttemptNumber, AttemptRef, Epoch, LogIndex, OrphanEnd, Record, TaskId, Timestamp,
    };

    use super::*;

    fn state(count: u64) -> State {
        let mut state = State::new();
        for id in 1..=count {
            let orphan = Orphan {
                id: OrphanId(id),
                worker: "w1".parse().unwrap(),
                epoch: Epoch(1),
                attempt: AttemptRef { task: TaskId(id), attempt: AttemptNumber(1) },
                end: OrphanEnd::Stopped,
                reported_at: Timestamp(0),
                generation: 1,
                index: LogIndex(1),
            };
            state.restore(Record::Orphan(Arc::new(orphan)));
        }
        state
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        let state = state(5);
        let mut after = None;
        let mut pages = Vec::new();
        loop {
            let OrphanPage { orphans, next, .. } = page(&state, 2, after);
            pages.push(orphans.iter().map(|orphan| orphan.id.0).collect::<Vec<_>>());
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(page(&state, 5, None).next, None);
        assert_eq!(page(&State::new(), 5, None), OrphanPage::default());
    }

    #[test]
    fn a_page_ends_by_its_bytes() {
        let state = state(20_000);
        let first = page(&state, LIMIT_MAX, None);
        assert!(first.orphans.len() < 9_000 && first.next.is_some(), "{}", first.orphans.len());
    }
}
