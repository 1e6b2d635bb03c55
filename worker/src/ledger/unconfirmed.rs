//! Results that no leader has confirmed. They are on disk, except for losses, which need not be,
//! because a new process of this worker has lost everything anyway.

use std::collections::BTreeMap;
use std::ops::Bound;

use cluster_state::{AttemptOutcome, AttemptRef, FinishedAttempt};
use proto::convert::result_bytes;
use proto::limits::ByteBudget;

/// Unconfirmed results, and the position of reporting.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed {
    results: BTreeMap<AttemptRef, AttemptOutcome>,
    /// Bytes that all of them take in messages.
    bytes: usize,
    /// The last attempt that was handed out for reporting: the next report begins after it.
    reported_up_to: Option<AttemptRef>,
}

impl FromIterator<FinishedAttempt> for Unconfirmed {
    fn from_iter<T: IntoIterator<Item = FinishedAttempt>>(results: T) -> Self {
        let mut all = Self::default();
        for FinishedAttempt { attempt, outcome } in results {
            all.put(attempt, outcome);
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

    pub(super) fn put(&mut self, attempt: AttemptRef, outcome: AttemptOutcome) {
        self.bytes += result_bytes(&outcome);
        if let Some(before) = self.results.insert(attempt, outcome) {
            self.bytes -= result_bytes(&before);
        }
    }

    pub(super) fn remove(&mut self, attempt: AttemptRef) -> Option<AttemptOutcome> {
        let outcome = self.results.remove(&attempt)?;
        self.bytes -= result_bytes(&outcome);
        Some(outcome)
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
        let results = self.results.range((from, Bound::Unbounded));
        let batch = results.take_while(|(_, outcome)| budget.admits(result_bytes(outcome)));
        let finished = |(attempt, outcome): (&AttemptRef, &AttemptOutcome)| FinishedAttempt {
            attempt: *attempt,
            outcome: outcome.clone(),
        };
        batch.map(finished).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::attempt_ref;

    fn failed(task: u64, detail_bytes: usize) -> FinishedAttempt {
        let outcome = AttemptOutcome::StartFailed { detail: "x".repeat(detail_bytes) };
        FinishedAttempt { attempt: attempt_ref(task, 1), outcome }
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
        all.put(attempt_ref(2, 1), AttemptOutcome::Exited { code: 0 });
        all.remove(attempt_ref(1, 1));
        all.remove(attempt_ref(1, 1));
        all.remove(attempt_ref(2, 1));
        assert_eq!((all.bytes(), all.is_empty()), (0, true));
    }
}
