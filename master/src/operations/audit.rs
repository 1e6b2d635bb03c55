//! The trail of orders: shown, page by page.

use std::sync::Arc;

use cluster_state::{AuditRecord, LogIndex, State};
use proto::convert::AuditQuery;
use proto::limits::{BATCH_BYTES, ByteBudget};
use proto::problem::{ErrorKind, Outcome, Problem};

use super::{Answer, Operations, Reading};

/// Records on a page that names no limit.
const LIMIT_DEFAULT: usize = 100;
/// Most records on a page.
const LIMIT_MAX: usize = 1_000;
/// Records that one page looks at: others wait for the state meanwhile.
const LOOKED_AT_MAX: usize = 10_000;
/// Bytes of an answer about any record, beside the account of its memory.
const RECORD_BYTES: usize = 128;

/// A page of the trail.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditPage {
    pub(crate) records: Vec<Arc<AuditRecord>>,
    /// Position at which the next page begins; none on the last.
    pub(crate) next: Option<LogIndex>,
}

impl Operations {
    /// Returns one page of the trail.
    pub(crate) async fn audit(
        &self,
        query: AuditQuery,
        reading: Reading,
    ) -> Result<Answer<AuditPage>, Problem> {
        if let Some(limit) = query.limit.filter(|limit| !(1..=LIMIT_MAX).contains(limit)) {
            let detail = format!("limit {limit} is not between 1 and {LIMIT_MAX}");
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }
        let mark = self.reach(reading).await?;
        let level = self.node().reader().level();
        if level < AuditRecord::LEVEL {
            let detail = format!(
                "the cluster has no trail at feature level {level}: it has one from level {} on, \
                 which it reaches when all masters run a release that knows it",
                AuditRecord::LEVEL
            );
            let problem = Problem::new(ErrorKind::Conflict, detail);
            return Err(problem.with_outcome(Outcome::Rejected));
        }
        Ok(mark.on(self.node().reader().with(|state| page(state, &query))))
    }
}

fn page(state: &State, query: &AuditQuery) -> AuditPage {
    if query.oldest_first {
        let records = state.trail_after(query.cursor.unwrap_or_default());
        collect(records, query)
    } else {
        let records = state.trail_before(query.cursor.unwrap_or(LogIndex(u64::MAX)));
        collect(records.rev(), query)
    }
}

fn collect<'a>(
    records: impl Iterator<Item = &'a Arc<AuditRecord>>,
    query: &AuditQuery,
) -> AuditPage {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let mut budget = ByteBudget::new(BATCH_BYTES);
    let mut page = AuditPage::default();
    let mut last = None;
    for (looked_at, record) in records.enumerate() {
        let bytes = usize::try_from(record.bytes()).unwrap_or(usize::MAX);
        let is_selected = query.selects(record);
        let is_full = page.records.len() == limit || looked_at == LOOKED_AT_MAX;
        if is_full || is_selected && !budget.admits(bytes.saturating_add(RECORD_BYTES)) {
            page.next = last;
            break;
        }
        if is_selected {
            page.records.push(Arc::clone(record));
        }
        last = Some(record.index);
    }
    page
}

#[cfg(test)]
mod tests {
    use cluster_state::{Actor, AuditAction, AuditOutcome, Record, Timestamp};

    use super::*;

    fn put(state: &mut State, index: u64) {
        let record = AuditRecord {
            number: index,
            index: LogIndex(index),
            at: Timestamp(index),
            actor: Actor::default(),
            action: AuditAction::CordonWorker,
            object: format!("worker/w{}", index % 2),
            detail: String::new(),
            outcome: AuditOutcome::Done,
        };
        state.restore(Record::Audit(Arc::new(record)));
    }

    fn state(count: u64) -> State {
        let mut state = State::new();
        (1..=count).for_each(|index| put(&mut state, index));
        state
    }

    fn indexes(page: &AuditPage) -> Vec<u64> {
        page.records.iter().map(|record| record.index.0).collect()
    }

    #[test]
    fn pages_follow_each_other_while_records_are_added() {
        let mut state = state(5);
        let mut query = AuditQuery { limit: Some(2), ..AuditQuery::default() };
        let mut seen = Vec::new();
        for added in 6.. {
            let found = page(&state, &query);
            seen.push(indexes(&found));
            put(&mut state, added);
            query.cursor = found.next;
            if found.next.is_none() {
                break;
            }
        }
        assert_eq!(seen, [vec![5, 4], vec![3, 2], vec![1]]);

        let query = AuditQuery { oldest_first: true, cursor: Some(LogIndex(6)), ..query };
        let rest = page(&state, &query);
        assert_eq!((indexes(&rest), rest.next), (vec![7, 8], None));
    }

    #[test]
    fn a_selection_ends_when_it_has_looked_at_enough() {
        let state = state(25_000);
        let object_prefix = "worker/w2".to_owned();
        let mut query = AuditQuery { object_prefix, ..AuditQuery::default() };
        let mut pages = 0;
        loop {
            let found = page(&state, &query);
            pages += 1;
            assert_eq!(found.records.len(), 0);
            query.cursor = found.next;
            if found.next.is_none() {
                break;
            }
        }
        assert_eq!(pages, 3);
    }
}
