//! Formats the state of an upgrade.

use proto::v1;

use super::table::{NOTHING, Style, columns, fields, or_nothing, shown};

/// Formats who runs what, whether each master may be restarted, and what comes next.
#[must_use]
pub fn upgrade(status: &v1::UpgradeStatus, style: Style) -> String {
    let workers = status.workers.iter().map(|release| {
        let version = release.version.as_deref().unwrap_or("an unknown release");
        format!("{} of {version}", release.workers)
    });
    let workers = workers.collect::<Vec<_>>();
    let hold = match status.hold {
        Some(true) => "held",
        Some(false) => "rises by itself",
        None => "as the configuration of the leader says",
    };
    let summary = fields(&[
        ("level", format!("{} ({hold})", status.level)),
        ("possible", or_nothing(status.level_possible.as_ref())),
        ("workers", if workers.is_empty() { NOTHING.to_owned() } else { workers.join(", ") }),
        ("next", status.next_step.clone()),
    ]);

    let rows = status.masters.iter().map(|master| {
        let restart = if master.restart_safe { "yes" } else { "no" };
        [
            master.id.to_string(),
            shown::<v1::MasterRole>(master.role),
            or_nothing(master.version.as_ref()),
            or_nothing(master.level_max.as_ref()),
            format!("{restart}: {}", master.reason),
        ]
    });
    let heading = ["MASTER", "ROLE", "VERSION", "LEVEL MAX", "RESTART NOW"];
    format!("{summary}\n\n{}", columns(heading, rows.collect(), style))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_says_who_runs_what_and_what_comes_next() {
        let master = v1::UpgradeMaster {
            id: 1,
            role: v1::MasterRole::Leader.into(),
            version: Some("0.3.0".to_owned()),
            level_max: Some(2),
            reason: "1 of 3 voters remain, 2 are needed".to_owned(),
            ..v1::UpgradeMaster::default()
        };
        let status = v1::UpgradeStatus {
            level: 1,
            hold: Some(true),
            masters: vec![master],
            workers: vec![v1::WorkerRelease { version: Some("0.2.0".to_owned()), workers: 2 }],
            next_step: "restart master 2".to_owned(),
            ..v1::UpgradeStatus::default()
        };
        let expected = "\
level:    1 (held)
possible: -
workers:  2 of 0.2.0
next:     restart master 2

MASTER  ROLE    VERSION  LEVEL MAX  RESTART NOW
1       leader  0.3.0    2          no: 1 of 3 voters remain, 2 are needed";
        assert_eq!(upgrade(&status, Style::Plain), expected);
    }
}
