//! Converts the state of an upgrade.

use proto::v1;

use crate::operations::{UpgradeMasterView, UpgradeView};

/// Converts the state of an upgrade.
pub(crate) fn upgrade(view: UpgradeView) -> v1::UpgradeStatus {
    let UpgradeView { level, level_possible, hold, masters, workers, next_step } = view;
    let workers =
        workers.into_iter().map(|(version, workers)| v1::WorkerRelease { version, workers });
    v1::UpgradeStatus {
        level: level.0.into(),
        level_possible: level_possible.map(|level| level.0.into()),
        hold,
        masters: masters.into_iter().map(master).collect(),
        workers: workers.collect(),
        next_step,
    }
}

fn master(view: UpgradeMasterView) -> v1::UpgradeMaster {
    let UpgradeMasterView { member, version, is_restart_safe, reason } = view;
    let (role, level_max) = match member.status {
        Some(status) => (status.role, Some(status.level_max)),
        None => (v1::MasterRole::Unknown.into(), None),
    };
    v1::UpgradeMaster {
        id: member.member.name.0,
        address: member.member.address,
        role,
        voter: member.member.is_voter,
        version,
        level_max,
        restart_safe: is_restart_safe,
        reason,
    }
}
