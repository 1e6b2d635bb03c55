//! Upgrades: who runs what, whether a master may be restarted now, and the hold on the feature level.

mod plan;

use std::collections::BTreeMap;

use cluster_state::{Level, SettingKey, Settings, State};
use proto::problem::{ErrorKind, Outcome, Problem};
use raft_store::LAG_MAX;

use self::plan::{Master, Plan, Trouble};
use super::views::MemberView;
use super::{Answer, Operations, Reading, SettingsChange};
use crate::access::Caller;

/// State of an upgrade, as this master sees it.
#[derive(Debug)]
pub(crate) struct UpgradeView {
    pub(crate) level: Level,
    /// Highest level that every master can run; none while one of them does not answer.
    pub(crate) level_possible: Option<Level>,
    /// True if the level is held; none while the configuration of each leader decides.
    pub(crate) hold: Option<bool>,
    pub(crate) masters: Vec<UpgradeMasterView>,
    /// Number of registered workers by their releases; none of those that have never said.
    pub(crate) workers: BTreeMap<Option<String>, u64>,
    pub(crate) next_step: String,
}

/// A master in an upgrade.
#[derive(Debug)]
pub(crate) struct UpgradeMasterView {
    pub(crate) member: MemberView,
    /// Version of its program, as it says, or as the membership records it.
    pub(crate) version: Option<String>,
    /// True if a quorum goes on without it now.
    pub(crate) is_restart_safe: bool,
    pub(crate) reason: String,
}

impl Operations {
    /// Returns the state of an upgrade. A stale read needs no leader.
    pub(crate) async fn upgrade(&self, reading: Reading) -> Result<Answer<UpgradeView>, Problem> {
        Ok(self.reach(reading).await?.on(self.upgrade_here().await))
    }

    /// Holds the feature level, or lets it rise once every master can run it, which is refused while one
    /// is known that cannot.
    pub(crate) async fn hold_level(
        &self,
        hold: bool,
        by: &Caller,
    ) -> Result<Answer<UpgradeView>, Problem> {
        if !hold {
            self.check_can_finish().await?;
            let is_below_settings = self.node().reader().level() < Settings::LEVEL;
            if is_below_settings {
                // Nothing is held, unless the configuration of the leader says so.
                return self.upgrade(Reading::default()).await;
            }
        }
        let path = SettingKey::UpgradeHold.path().to_owned();
        let values = BTreeMap::from([(path, hold.to_string())]);
        let change = SettingsChange { values, if_index: None };
        let mark = self.set_settings(change, by).await?.mark;
        Ok(mark.on(self.upgrade_here().await))
    }

    async fn check_can_finish(&self) -> Result<(), Problem> {
        let masters = self.upgrade_here().await.masters;
        let level_of = |master: &UpgradeMasterView| Some(master.member.status.as_ref()?.level_max);
        let newest = masters.iter().filter_map(level_of).max();
        let Some(older) =
            masters.iter().find(|one| level_of(one).is_some_and(|it| Some(it) < newest))
        else {
            return Ok(());
        };

        let detail = format!(
            "master {} runs release {}, which knows feature levels up to {}: restart it with the newer \
             release, or remove it",
            older.member.member.name,
            older.version.as_deref().unwrap_or("unknown"),
            level_of(older).unwrap_or_default()
        );
        Err(Problem::new(ErrorKind::Conflict, detail).with_outcome(Outcome::Rejected))
    }

    async fn upgrade_here(&self) -> UpgradeView {
        let cluster = self.status_here().await;
        let is_changing = self.node().membership().is_joint;
        let (workers, hold) = self.node().reader().with(|state| {
            let hold = state.settings().map(|record| record.settings.upgrade.hold);
            (releases_of_workers(state), hold)
        });

        let masters = cluster.members.iter().map(|view| Master {
            name: view.member.name,
            is_voter: view.member.is_voter,
            is_leader: cluster.leader == Some(view.member.name) && view.member.is_voter,
            version: self.version_of(view),
            level_max: view.status.as_ref().map(|status| status.level_max),
            trouble: trouble_of(view),
        });
        let plan = Plan {
            masters: masters.collect(),
            has_leader: cluster.leader.is_some(),
            is_changing,
            level: cluster.level,
            hold,
            workers: workers.keys().flatten().cloned().collect(),
        };

        let restarts = plan.restarts();
        let views = cluster.members.into_iter().zip(restarts).zip(&plan.masters);
        let views = views.map(|((member, restart), master)| UpgradeMasterView {
            member,
            version: master.version.clone(),
            is_restart_safe: restart.is_ok(),
            reason: restart.unwrap_or_else(|reason| reason),
        });
        UpgradeView {
            level: plan.level,
            level_possible: plan.level_possible(),
            hold,
            masters: views.collect(),
            next_step: plan.next_step(),
            workers,
        }
    }

    fn version_of(&self, view: &MemberView) -> Option<String> {
        let told = view.status.as_ref().map(|status| status.version.clone());
        let recorded = || Some(self.node().record(view.member.node)?.release);
        told.or_else(recorded).filter(|version| !version.is_empty())
    }
}

fn trouble_of(view: &MemberView) -> Option<Trouble> {
    if view.status.is_none() {
        return Some(Trouble::Silent);
    }
    match view.lag {
        Some(lag) if lag > LAG_MAX => Some(Trouble::Behind { lag }),
        Some(_) | None => view.scarce_bytes().map(|_| Trouble::DiskFull),
    }
}

fn releases_of_workers(state: &State) -> BTreeMap<Option<String>, u64> {
    let mut counts = BTreeMap::<_, u64>::new();
    for worker in state.workers() {
        let version = worker.specs.as_ref().map(|specs| specs.version.clone());
        let count = counts.entry(version.filter(|version| !version.is_empty())).or_default();
        *count = count.saturating_add(1);
    }
    counts
}
