//! Judges an upgrade: which master may be restarted now, and what comes next. Pure.

use std::collections::BTreeSet;

use cluster_state::{Level, MasterId};

/// Everything that the judgment depends on.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) masters: Vec<Master>,
    pub(super) has_leader: bool,
    /// True while a change of voters is half done.
    pub(super) is_changing: bool,
    pub(super) level: Level,
    /// True if the level is held; none while the configuration of each leader decides.
    pub(super) hold: Option<bool>,
    /// Releases of the workers.
    pub(super) workers: BTreeSet<String>,
}

/// A master, as others see it.
#[derive(Debug, Clone)]
pub(super) struct Master {
    pub(super) name: MasterId,
    pub(super) is_voter: bool,
    pub(super) is_leader: bool,
    pub(super) version: Option<String>,
    /// Highest level that it can run; none if it does not answer.
    pub(super) level_max: Option<u32>,
    /// Reason that a quorum cannot count on it.
    pub(super) trouble: Option<Trouble>,
}

/// Reason that a quorum cannot count on a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Silent,
    Behind {
        /// Entries that its log lacks.
        lag: u64,
    },
    DiskFull,
}

impl Master {
    fn complaint(&self) -> Option<String> {
        let name = self.name;
        Some(match self.trouble? {
            Trouble::Silent => format!("master {name} does not answer"),
            Trouble::Behind { lag } => format!("master {name} is {lag} entries behind"),
            Trouble::DiskFull => format!("the disk of master {name} is nearly full"),
        })
    }
}

impl Plan {
    /// Returns, for each master, why it may be restarted now or why not.
    pub(super) fn restarts(&self) -> Vec<Result<String, String>> {
        self.masters.iter().enumerate().map(|(at, master)| self.restart(at, master)).collect()
    }

    fn restart(&self, at: usize, master: &Master) -> Result<String, String> {
        if !master.is_voter {
            return Ok("it has no vote".to_owned());
        }
        if self.is_changing {
            return Err("a change of the voters is under way".to_owned());
        }
        let voters = self.masters.iter().filter(|one| one.is_voter).count();
        let needed = voters / 2 + 1;
        if voters == 1 {
            return Err("it is the only voter: nothing is served until it is back".to_owned());
        }

        let others =
            self.masters.iter().enumerate().filter(|(other, one)| *other != at && one.is_voter);
        let others = others.map(|(_, one)| one).collect::<Vec<_>>();
        let counting = others.iter().filter(|one| one.trouble.is_none()).count();
        let arithmetic = format!("{counting} of {voters} voters remain, {needed} are needed");
        if counting < needed {
            let complaints = others.iter().filter_map(|one| one.complaint());
            let reasons = std::iter::once(arithmetic).chain(complaints).collect::<Vec<_>>();
            return Err(reasons.join("; "));
        }
        if !self.has_leader {
            return Err("there is no leader".to_owned());
        }
        Ok(if master.is_leader { format!("{arithmetic}; it hands over first") } else { arithmetic })
    }

    /// Returns the highest level that every master can run; none while one does not answer.
    pub(super) fn level_possible(&self) -> Option<Level> {
        let levels = self.masters.iter().map(|master| master.level_max);
        let lowest = levels.collect::<Option<Vec<_>>>()?.into_iter().min()?;
        Some(Level(u8::try_from(lowest).unwrap_or(u8::MAX)))
    }

    /// Says what to do next, or what happens next by itself.
    pub(super) fn next_step(&self) -> String {
        if let Some(complaint) = self.masters.iter().find_map(Master::complaint) {
            return format!("{complaint}: that has to be repaired first");
        }
        let releases = self.masters.iter().filter_map(|one| one.version.as_deref());
        let Some(newest) = releases.max_by_key(|version| order_of(version)) else {
            return "no master says what it runs".to_owned();
        };
        let is_older = |version: &str| order_of(version) < order_of(newest);
        let older = |one: &&Master| one.version.as_deref().is_some_and(is_older);
        // The leader last: leadership moves once.
        let followers_first = self.masters.iter().filter(older).min_by_key(|one| one.is_leader);
        if let Some(master) = followers_first {
            return format!(
                "restart master {} with release {newest}, once `upgrade status` says that it is safe",
                master.name
            );
        }

        let (level, possible) = (self.level, self.level_possible().unwrap_or(self.level));
        if possible > level {
            return match self.hold {
                Some(true) => format!(
                    "`clusterctl upgrade finish` raises the level from {level} to {possible}; until then \
                     the release before can be started again"
                ),
                Some(false) => format!("the level rises from {level} to {possible} within seconds"),
                None => format!(
                    "the level rises from {level} to {possible} within seconds, unless the \
                     configuration of the leader holds it (upgrade.hold)"
                ),
            };
        }
        let older_workers = self.workers.iter().filter(|version| is_older(version));
        let older_workers = older_workers.cloned().collect::<Vec<_>>();
        if older_workers.is_empty() {
            return "nothing is left to do".to_owned();
        }
        format!("restart the workers of release {} with release {newest}", older_workers.join(", "))
    }
}

/// Returns the numbers of a version, and whether it is a release: `1.2.0` comes after `1.2.0-dev`.
fn order_of(version: &str) -> (Vec<u64>, bool) {
    let (numbers, pre_release) = match version.split_once('-') {
        Some((numbers, _)) => (numbers, true),
        None => (version, false),
    };
    let numbers = numbers.split('.').map(|number| number.parse().unwrap_or_default());
    (numbers.collect(), !pre_release)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(name: u64, version: &str, level_max: u32) -> Master {
        Master {
            name: MasterId(name),
            is_voter: true,
            is_leader: name == 1,
            version: Some(version.to_owned()),
            level_max: Some(level_max),
            trouble: None,
        }
    }

    fn plan(masters: Vec<Master>) -> Plan {
        let workers = ["0.2.0".to_owned()].into();
        let (level, hold) = (Level(1), Some(false));
        Plan { masters, has_leader: true, is_changing: false, level, hold, workers }
    }

    fn three_old() -> Plan {
        plan((1..=3).map(|name| master(name, "0.2.0", 1)).collect())
    }

    fn three_new() -> Plan {
        plan((1..=3).map(|name| master(name, "0.3.0", 2)).collect())
    }

    fn restarts(plan: &Plan) -> Vec<String> {
        let told = |restart: Result<String, String>| match restart {
            Ok(reason) => format!("yes: {reason}"),
            Err(reason) => format!("no: {reason}"),
        };
        plan.restarts().into_iter().map(told).collect()
    }

    #[test]
    fn one_of_three_may_be_restarted() {
        let yes = "yes: 2 of 3 voters remain, 2 are needed";
        assert_eq!(restarts(&three_new()), [&format!("{yes}; it hands over first"), yes, yes]);
    }

    #[test]
    fn nobody_may_be_restarted_whom_a_quorum_needs() {
        let mut plan = three_new();
        plan.masters[2].trouble = Some(Trouble::Silent);
        let no = "no: 1 of 3 voters remain, 2 are needed; master 3 does not answer";
        assert_eq!(restarts(&plan), [no, no, "yes: 2 of 3 voters remain, 2 are needed"]);

        plan.masters[2].trouble = Some(Trouble::Behind { lag: 7_000 });
        assert!(restarts(&plan)[1].ends_with("master 3 is 7000 entries behind"));
        plan.masters[2].trouble = Some(Trouble::DiskFull);
        assert!(restarts(&plan)[1].ends_with("the disk of master 3 is nearly full"));
    }

    #[test]
    fn a_learner_may_and_the_only_voter_may_not() {
        let mut plan = three_new();
        plan.masters[1].is_voter = false;
        plan.masters[2].is_voter = false;
        assert_eq!(
            restarts(&plan),
            [
                "no: it is the only voter: nothing is served until it is back",
                "yes: it has no vote",
                "yes: it has no vote"
            ]
        );
    }

    #[test]
    fn nobody_is_restarted_while_voters_change_or_nobody_leads() {
        let mut plan = three_new();
        plan.has_leader = false;
        assert_eq!(restarts(&plan)[1], "no: there is no leader");
        plan.is_changing = true;
        assert_eq!(restarts(&plan)[1], "no: a change of the voters is under way");
    }

    #[test]
    fn an_upgrade_goes_on_step_by_step() {
        let restart = |name| {
            format!(
                "restart master {name} with release 0.3.0, once `upgrade status` says that it is safe"
            )
        };
        assert!(three_old().next_step().contains("nothing is left"), "{}", three_old().next_step());
        let mut plan = three_old();
        plan.masters[1] = master(2, "0.3.0", 2);
        assert_eq!((plan.next_step(), plan.level_possible()), (restart(3), Some(Level(1))));
        plan.masters[2] = master(3, "0.3.0", 2);
        assert_eq!(plan.next_step(), restart(1));

        plan.masters[0] = master(1, "0.3.0", 2);
        assert_eq!(plan.next_step(), "the level rises from 1 to 2 within seconds");
        assert_eq!(plan.level_possible(), Some(Level(2)));
        plan.hold = Some(true);
        assert!(
            plan.next_step().starts_with("`clusterctl upgrade finish` raises the level from 1")
        );
        plan.level = Level(2);
        assert_eq!(plan.next_step(), "restart the workers of release 0.2.0 with release 0.3.0");
        plan.workers = ["0.3.0".to_owned()].into();
        assert_eq!(plan.next_step(), "nothing is left to do");

        plan.masters[0].trouble = Some(Trouble::Silent);
        plan.masters[0].level_max = None;
        assert_eq!(plan.next_step(), "master 1 does not answer: that has to be repaired first");
        assert_eq!(plan.level_possible(), None);
    }

    #[test]
    fn releases_are_ordered_by_their_numbers() {
        let mut versions = ["0.10.0", "0.3.0", "0.3.0-dev", "0.2.0"];
        versions.sort_by_key(|version| order_of(version));
        assert_eq!(versions, ["0.2.0", "0.3.0-dev", "0.3.0", "0.10.0"]);
    }
}
