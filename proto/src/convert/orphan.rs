//! Converts orphaned results: as displayed, and as an operator names them.

use cluster_state::{AttemptOutcome, Orphan, OrphanEnd, OrphanSelection};

use super::{Breach, Invalid, id, rfc3339};
use crate::v1;

/// Converts an orphaned result.
#[must_use]
pub fn orphan(orphan: &Orphan) -> v1::Orphan {
    let (outcome, reason) = match &orphan.end {
        OrphanEnd::Ended(exited @ AttemptOutcome::Exited { .. }) => (Some(exited), None),
        OrphanEnd::Ended(
            other @ (AttemptOutcome::Signaled { .. }
            | AttemptOutcome::StartFailed { .. }
            | AttemptOutcome::WorkerUnfit { .. }
            | AttemptOutcome::Lost(_)),
        ) => (Some(other), Some(other.to_string())),
        OrphanEnd::Stopped => (None, Some(orphan.end.to_string())),
    };
    v1::Orphan {
        orphan_id: orphan.id.to_string(),
        worker_id: orphan.worker.to_string(),
        epoch: orphan.epoch.0,
        task_id: orphan.attempt.task.to_string(),
        attempt: orphan.attempt.attempt.0,
        outcome: outcome.map(|outcome| v1::AttemptOutcome::from(outcome.kind()).into()),
        exit_code: outcome.and_then(AttemptOutcome::exit_code),
        reason,
        reported_at: rfc3339(orphan.reported_at),
        generation: orphan.generation,
    }
}

/// Converts an order to drop orphaned results.
pub fn orphan_selection(request: &v1::DropOrphansRequest) -> Result<OrphanSelection, Invalid> {
    let v1::DropOrphansRequest { orphan_ids, up_to } = request;
    match (orphan_ids.as_slice(), up_to) {
        ([], Some(last)) => Ok(OrphanSelection::UpTo(id("/up_to", last)?)),
        ([_, ..], None) => {
            let ids = orphan_ids.iter().enumerate();
            let ids = ids.map(|(at, text)| id(&format!("/orphan_ids/{at}"), text));
            Ok(OrphanSelection::These(ids.collect::<Result<_, _>>()?))
        }
        ([], None) => Err(Invalid::malformed("/orphan_ids", &Breach::Required)),
        ([_, ..], Some(_)) => {
            let breach = Breach::Excludes { other: "orphan_ids" };
            Err(Invalid::malformed("/up_to", &breach))
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{AttemptNumber, AttemptRef, Epoch, LogIndex, OrphanId, TaskId, Timestamp};
    use serde_json::json;

    use super::*;

    fn ended(end: OrphanEnd) -> Orphan {
        Orphan {
            id: OrphanId(3),
            worker: "w1".parse().unwrap(),
            epoch: Epoch(7),
            attempt: AttemptRef { task: TaskId(17), attempt: AttemptNumber(2) },
            end,
            reported_at: Timestamp(0),
            generation: 1,
            index: LogIndex(9),
        }
    }

    #[test]
    fn an_orphaned_result_says_how_the_attempt_ended() {
        let exited = ended(OrphanEnd::Ended(AttemptOutcome::Exited { code: 0 }));
        let expected = json!({
            "orphan_id": "o3", "worker_id": "w1", "epoch": 7, "task_id": "t17", "attempt": 2,
            "outcome": "completed", "exit_code": 0, "reason": null,
            "reported_at": "1970-01-01T00:00:00.000Z", "generation": 1,
        });
        assert_eq!(serde_json::to_value(orphan(&exited)).unwrap(), expected);

        let killed = orphan(&ended(OrphanEnd::Ended(AttemptOutcome::Signaled { signal: 9 })));
        assert_eq!((killed.outcome(), killed.exit_code), (v1::AttemptOutcome::Failed, Some(137)));
        let stopped = orphan(&ended(OrphanEnd::Stopped));
        assert_eq!(
            (stopped.outcome, stopped.exit_code, stopped.reason.as_deref()),
            (None, None, Some("stopped"))
        );
    }

    #[test]
    fn an_order_names_some_or_the_last() {
        let order = |ids: &[&str], up_to: Option<&str>| {
            let orphan_ids = ids.iter().map(|id| (*id).to_owned()).collect();
            let request = v1::DropOrphansRequest { orphan_ids, up_to: up_to.map(str::to_owned) };
            orphan_selection(&request).map_err(|invalid| invalid.faults()[0].pointer.clone())
        };
        assert_eq!(order(&["o1"], None), Ok(OrphanSelection::These(vec![OrphanId(1)])));
        assert_eq!(order(&[], Some("o2")), Ok(OrphanSelection::UpTo(OrphanId(2))));
        assert_eq!(order(&["o1", "t1"], None), Err("/orphan_ids/1".to_owned()));
        assert_eq!(order(&[], None), Err("/orphan_ids".to_owned()));
        assert_eq!(order(&["o1"], Some("o2")), Err("/up_to".to_owned()));
    }
}
