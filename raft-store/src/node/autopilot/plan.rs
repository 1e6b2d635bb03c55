//! Decides on the next step of the membership. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{AutopilotSettings, MasterId};

use crate::log_node::NodeId;
use crate::node::MemberChange;
use crate::node::members::ABSENCE;

/// Time after a change of leaders in which nobody is judged by a long absence: a new leader has only
/// begun to listen.
const NEW_LEADER: Duration = Duration::from_mins(1);

/// A member as the leader has seen it.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    pub(super) name: MasterId,
    pub(super) is_voter: bool,
    pub(super) zone: Option<String>,
    /// Time for which it has been close to the leader's log; none if it is not.
    pub(super) close_for: Option<Duration>,
    pub(super) silent_for: Duration,
}

/// The membership as the leader has seen it.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) is_joint: bool,
    pub(super) leads_for: Duration,
    pub(super) members: Vec<Candidate>,
}

/// The next step, and its reason; or what is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thought {
    /// Change to make now.
    pub step: Option<MemberChange>,
    /// One sentence.
    pub reason: String,
}

impl Thought {
    const fn now(step: MemberChange, reason: String) -> Option<Self> {
        Some(Self { step: Some(step), reason })
    }
}

/// Returns the next step, or the reason that there is none yet. It never takes a vote without giving
/// another, so the number of voters never shrinks.
pub(super) fn plan(view: &View, config: &AutopilotSettings) -> Option<Thought> {
    if view.is_joint {
        let reason = "completing the change of voters that another leader has begun".to_owned();
        return Thought::now(MemberChange::Finish, reason);
    }
    if !config.enabled {
        return None;
    }
    let waiting = view.waiting(config);
    waiting.iter().find_map(|candidate| view.place_for(candidate, config)).or_else(|| {
        let candidate = waiting.first()?;
        let name = candidate.name;
        let has_namesake = view.voters().any(|voter| voter.name == name);
        let reason = match candidate.close_for {
            None => format!("master {name} has no vote: it has not caught up yet"),
            Some(_) if has_namesake => {
                format!("master {name} waits: the master of that name still answers")
            }
            Some(close) if close < config.stable_for => {
                let stable = config.stable_for.as_secs();
                format!("master {name} gets a vote once it has stayed close for {stable} s")
            }
            Some(_) => {
                format!("master {name} waits: there are {} voters", view.voters().count())
            }
        };
        Some(Thought { step: None, reason })
    })
}

impl View {
    fn voters(&self) -> impl Iterator<Item = &Candidate> {
        self.members.iter().filter(|member| member.is_voter)
    }

    /// Returns the masters without a vote: those that are stable first, then those from the zone with
    /// the fewest voters.
    fn waiting(&self, config: &AutopilotSettings) -> Vec<&Candidate> {
        let mut by_zone = BTreeMap::<&str, usize>::new();
        for zone in self.voters().filter_map(|voter| voter.zone.as_deref()) {
            *by_zone.entry(zone).or_default() += 1;
        }
        let crowd = |candidate: &&Candidate| {
            candidate.zone.as_deref().map_or(0, |zone| by_zone.get(zone).copied().unwrap_or(0))
        };
        let mut waiting = self.members.iter().filter(|member| !member.is_voter).collect::<Vec<_>>();
        waiting.sort_by_key(|candidate| {
            (Reverse(candidate.is_stable(config)), crowd(candidate), candidate.name)
        });
        waiting
    }

    /// Returns the step that gives a candidate a vote, if there is one.
    fn place_for(&self, candidate: &Candidate, config: &AutopilotSettings) -> Option<Thought> {
        let Candidate { node: new, name, .. } = *candidate;
        if let Some(old) = self.voters().find(|voter| voter.name == name) {
            // Whoever is close is worth more than one that is gone, however long it has been close.
            if old.silent_for < ABSENCE || candidate.close_for.is_none() {
                return None;
            }
            let step = MemberChange::Replace { old: old.node, new };
            let reason = format!("master {name} has a new data directory, which has caught up");
            return Thought::now(step, reason);
        }
        if !candidate.is_stable(config) {
            return None;
        }

        let longest_gone = self.voters().max_by_key(|voter| voter.silent_for);
        if let Some(gone) = longest_gone
            && gone.silent_for >= config.replace_after
            && self.leads_for >= NEW_LEADER
        {
            let step = MemberChange::Replace { old: gone.node, new };
            let minutes = gone.silent_for.as_secs() / 60;
            let reason = format!(
                "master {} has not answered for {minutes} min, and master {name} waits for a vote",
                gone.name
            );
            return Thought::now(step, reason);
        }

        let voters = u64::try_from(self.voters().count()).unwrap_or(u64::MAX);
        let has_room = config.voters == 0 || voters < config.voters;
        let reason = format!("master {name} has caught up and is stable");
        has_room.then_some(Thought { step: Some(MemberChange::Promote(new)), reason })
    }
}

impl Candidate {
    fn is_stable(&self, config: &AutopilotSettings) -> bool {
        self.close_for.is_some_and(|close| close >= config.stable_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    fn voter(node: u64) -> Candidate {
        Candidate {
            node: NodeId(node),
            name: MasterId(node),
            is_voter: true,
            zone: None,
            close_for: Some(LONG),
            silent_for: Duration::ZERO,
        }
    }

    fn learner(node: u64) -> Candidate {
        Candidate { is_voter: false, ..voter(node) }
    }

    fn view(members: impl IntoIterator<Item = Candidate>) -> View {
        View { is_joint: false, leads_for: LONG, members: members.into_iter().collect() }
    }

    fn step(view: &View, config: &AutopilotSettings) -> Option<MemberChange> {
        plan(view, config)?.step
    }

    fn default_step(view: &View) -> Option<MemberChange> {
        step(view, &AutopilotSettings::default())
    }

    fn replace(old: u64, new: u64) -> Option<MemberChange> {
        Some(MemberChange::Replace { old: NodeId(old), new: NodeId(new) })
    }

    fn promote(node: u64) -> Option<MemberChange> {
        Some(MemberChange::Promote(NodeId(node)))
    }

    #[test]
    fn a_cluster_in_order_is_left_alone() {
        let three = view([voter(1), voter(2), voter(3)]);
        assert_eq!(plan(&three, &AutopilotSettings::default()), None);
        let gone = Candidate { silent_for: LONG, close_for: None, ..voter(3) };
        let view = view([voter(1), voter(2), gone]);
        assert_eq!(plan(&view, &AutopilotSettings::default()), None, "nobody waits for its place");
    }

    #[test]
    fn a_change_that_is_half_done_is_completed_first() {
        let config = AutopilotSettings { enabled: false, ..AutopilotSettings::default() };
        let joint = View { is_joint: true, ..view([voter(1), learner(4)]) };
        assert_eq!(step(&joint, &config), Some(MemberChange::Finish));
    }

    #[test]
    fn a_master_gets_a_vote_when_it_has_stayed_close() {
        let view = |close_for| view([voter(1), Candidate { close_for, ..learner(4) }]);
        let thought = |close_for| plan(&view(close_for), &AutopilotSettings::default()).unwrap();
        assert_eq!(thought(None).reason, "master 4 has no vote: it has not caught up yet");
        let early = thought(Some(Duration::from_secs(9)));
        assert_eq!(early.reason, "master 4 gets a vote once it has stayed close for 10 s");
        assert_eq!(early.step, None);
        assert_eq!(default_step(&view(Some(Duration::from_secs(10)))), promote(4));
    }

    #[test]
    fn it_is_left_to_operators_when_it_is_off() {
        let config = AutopilotSettings { enabled: false, ..AutopilotSettings::default() };
        assert_eq!(plan(&view([voter(1), learner(4)]), &config), None);
    }

    #[test]
    fn a_new_directory_replaces_the_silent_voter_of_its_name() {
        let close_for = Some(Duration::ZERO);
        let new = Candidate { name: MasterId(3), close_for, ..learner(30) };
        let silent = |silent_for| Candidate { silent_for, close_for: None, ..voter(3) };
        let with = |old| view([voter(1), voter(2), old, new.clone()]);
        assert_eq!(default_step(&with(silent(ABSENCE))), replace(3, 30));

        let waits = plan(&with(silent(Duration::ZERO)), &AutopilotSettings::default()).unwrap();
        assert_eq!(waits.step, None);
        assert_eq!(waits.reason, "master 3 waits: the master of that name still answers");
        let behind = Candidate { close_for: None, ..new.clone() };
        let members = [voter(1), voter(2), silent(LONG), behind];
        assert_eq!(default_step(&view(members)), None, "it has not caught up");
    }

    #[test]
    fn a_voter_that_is_long_gone_gives_its_vote_to_one_that_waits() {
        let gone = |silent_for| Candidate { silent_for, close_for: None, ..voter(3) };
        let config = AutopilotSettings { voters: 3, ..AutopilotSettings::default() };
        let members = |silent_for| view([voter(1), voter(2), gone(silent_for), learner(4)]);
        assert_eq!(step(&members(Duration::from_mins(10)), &config), replace(3, 4));
        let waits = plan(&members(Duration::from_mins(9)), &config).unwrap();
        assert_eq!((waits.step, &*waits.reason), (None, "master 4 waits: there are 3 voters"));

        let new_leader = View { leads_for: Duration::from_secs(59), ..members(LONG) };
        assert_eq!(step(&new_leader, &config), None, "it has only begun to listen");
    }

    #[test]
    fn the_zone_with_the_fewest_voters_comes_first() {
        let in_zone =
            |member: Candidate, zone: &str| Candidate { zone: Some(zone.to_owned()), ..member };
        let members = [
            in_zone(voter(1), "a"),
            in_zone(voter(2), "b"),
            in_zone(learner(4), "a"),
            in_zone(learner(5), "c"),
        ];
        assert_eq!(default_step(&view(members)), promote(5));
    }
}
