//! Results that no leader has confirmed. They are on disk, except for losses, which need not be,
//! because a new process of this worker has lost everything anyway.

use std::collections::BTreeMap;
use std::ops::Bound;

use cluster_state::{AttemptRef, FinishedAttempt};
use proto::convert::result_bytes;
use proto::limits::ByteBudget;

/// Unconfirmed results, and the position of reporting.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed {
    results: BTreeMap<AttemptRef, FinishedAttempt>,
    /// Bytes that all of them take in messages.
    bytes: usize,
    /// The last attempt that was handed out for reporting: the next report begins after it.
    reported_up_to: Option<AttemptRef>,
}

impl FromIterator<FinishedAttempt> for Unconfirmed {
    fn from_iter<T: IntoIterator<Item = FinishedAttempt>>(results: T) -> Self {
        let mut all = Self::default();
        for ended in results {
            all.put(ended);
        }
        all
    }
}

impl Unconfirmed {
    pub(super) fn contains(&self, attempt: AttemptRef) -> bool {
        self.results.contains_key(&attempt)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn put(&mut self, ended: FinishedAttempt) {
        self.bytes += result_bytes(&ended);
        if let Some(before) = self.results.insert(ended.attempt, ended) {
            self.bytes -= result_bytes(&before);
        }
    }

    pub(super) fn remove(&mut self, attempt: AttemptRef) -> Option<FinishedAttempt> {
        let ended = self.results.remove(&attempt)?;
        self.bytes -= result_bytes(&ended);
        Some(ended)
    }

    /// Splits the results into as many as fit into that many bytes, and the names of the others.
    pub(super) fn divide(&self, bytes_max: usize) -> (Vec<FinishedAttempt>, Vec<AttemptRef>) {
        let sent = self.batch_after(None, bytes_max);
        let from = sent.last().map_or(Bound::Unbounded, |last| Bound::Excluded(last.attempt));
        let unsent = self.results.range((from, Bound::Unbounded));
        let unsent = unsent.map(|(attempt, _)| *attempt).collect();
        (sent, unsent)
    }

    /// Returns as many results as fit into that many bytes: those after the last report, or from
    /// the beginning again.
    pub(super) fn next_report(&mut self, bytes_max: usize) -> Vec<FinishedAttempt> {
        let mut report = self.batch_after(self.reported_up_to, bytes_max);
        if report.is_empty() {
            report = self.batch_after(None, bytes_max);
        }
        self.reported_up_to = report.last().map(|last| last.attempt);
        report
    }

    fn batch_after(&self, after: Option<AttemptRef>, bytes_max: usize) -> Vec<FinishedAttempt> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut budget = ByteBudget::new(bytes_max);
        let results = self.results.range((from, Bound::Unbounded)).map(|(_, ended)| ended);
        let batch = results.take_while(|ended| budget.admits(result_bytes(ended)));
        batch.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{AttemptOutcome, AttemptReport, Payload, TaskResult};

    use super::*;
    use crate::ledger::attempt_ref;

    fn failed(task: u64, detail_bytes: usize) -> FinishedAttempt {
        let outcome = AttemptOutcome::StartFailed { detail: "x".repeat(detail_bytes) };
        FinishedAttempt::new(attempt_ref(task, 1), outcome)
    }

    #[test]
    fn the_result_of_a_task_counts() {
        let result = Some(TaskResult::Kept(Payload::from([7; 60_000].as_slice())));
        let report = AttemptReport { usage: None, result }.boxed();
        let outcome = AttemptOutcome::Exited { code: 0 };
        let ended = |task| FinishedAttempt {
            attempt: attempt_ref(task, 1),
            outcome: outcome.clone(),
            report: report.clone(),
        };
        let mut all = (1..=3).map(ended).collect::<Unconfirmed>();
        assert!(all.bytes() > 180_000, "{}", all.bytes());
        assert_eq!(all.next_report(130_000), [ended(1), ended(2)]);
    }

    fn tasks(results: &[FinishedAttempt]) -> Vec<u64> {
        results.iter().map(|result| result.attempt.task.0).collect()
    }

    #[test]
    fn a_batch_holds_what_fits_and_the_others_are_named() {
        let mut all = (1..=5).map(|task| failed(task, 1_000)).collect::<Unconfirmed>();
        let two = 2 * all.bytes() / 5;

        let (sent, unsent) = all.divide(two);
        assert_eq!(tasks(&sent), [1, 2]);
        assert_eq!(unsent, [3, 4, 5].map(|task| attempt_ref(task, 1)));

        let reports = [(); 4].map(|()| tasks(&all.next_report(two)));
        assert_eq!(reports, [vec![1, 2], vec![3, 4], vec![5], vec![1, 2]]);
        assert_eq!(tasks(&all.next_report(0)), [3], "one at least");
    }

    #[test]
    fn what_is_gone_takes_no_room() {
        let mut all = [failed(1, 9), failed(2, 900)].into_iter().collect::<Unconfirmed>();
        let exited = AttemptOutcome::Exited { code: 0 };
        all.put(FinishedAttempt::new(attempt_ref(2, 1), exited));
        all.remove(attempt_ref(1, 1));
        all.remove(attempt_ref(1, 1));
        all.remove(attempt_ref(2, 1));
        assert_eq!((all.bytes(), all.is_empty()), (0, true));
    }
}
