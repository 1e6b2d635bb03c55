//! Formats orphaned results.

use proto::names::name_of;
use proto::v1;

use super::table::{Style, columns, or_nothing};

/// Formats orphaned results as rows.
#[must_use]
pub fn orphans(orphans: &[v1::Orphan], style: Style) -> String {
    if orphans.is_empty() {
        return "there are none".to_owned();
    }
    let rows = orphans.iter().map(|orphan| {
        let outcome = orphan.outcome.map(name_of::<v1::AttemptOutcome>);
        [
            orphan.orphan_id.clone(),
            orphan.worker_id.clone(),
            orphan.task_id.clone(),
            orphan.attempt.to_string(),
            or_nothing(outcome.as_ref()),
            or_nothing(orphan.exit_code.as_ref()),
            orphan.reported_at.clone(),
            orphan.generation.to_string(),
            or_nothing(orphan.reason.as_ref()),
        ]
    });
    let heading = [
        "ORPHAN",
        "WORKER",
        "TASK",
        "ATTEMPT",
        "OUTCOME",
        "EXIT",
        "REPORTED",
        "GENERATION",
        "REASON",
    ];
    columns(heading, rows.collect(), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphaned_results_are_rows() {
        assert_eq!(orphans(&[], Style::Plain), "there are none");
        let completed = v1::Orphan {
            orphan_id: "o1".to_owned(),
            worker_id: "w1".to_owned(),
            task_id: "t17".to_owned(),
            attempt: 2,
            outcome: Some(v1::AttemptOutcome::Completed.into()),
            exit_code: Some(0),
            reported_at: "2025-11-17T10:30:00.000Z".to_owned(),
            generation: 1,
            ..v1::Orphan::default()
        };
        let stopped = v1::Orphan {
            orphan_id: "o2".to_owned(),
            outcome: None,
            exit_code: None,
            reason: Some("stopped".to_owned()),
            ..completed.clone()
        };
        let expected = "\
ORPHAN  WORKER  TASK  ATTEMPT  OUTCOME    EXIT  REPORTED                  GENERATION  REASON
o1      w1      t17   2        completed  0     2025-11-17T10:30:00.000Z  1           -
o2      w1      t17   2        -          -     2025-11-17T10:30:00.000Z  1           stopped";
        assert_eq!(orphans(&[completed, stopped], Style::Plain), expected);
    }
}
