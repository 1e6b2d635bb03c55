//! Chooses the next master to ask for the leader: the last known leader, then every known master,
//! then a pause.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::backoff::Backoff;

const PAUSE_BASE: Duration = Duration::from_millis(200);
const PAUSE_CAP: Duration = Duration::from_secs(5);
/// Only an operator can reverse a rejection, so retry slowly.
const UNWELCOME_BASE: Duration = Duration::from_secs(10);
const UNWELCOME_CAP: Duration = Duration::from_mins(5);
/// The name becomes free when the lease of the worker that has it is over.
const CONTESTED_BASE: Duration = Duration::from_secs(2);
const CONTESTED_CAP: Duration = Duration::from_secs(30);

/// Maximum number of masters that a call may name: more than a cluster has.
const CALLED_MAX: usize = 16;

/// State of the search.
#[derive(Debug)]
pub(crate) struct LeaderFinder {
    configured: BTreeSet<String>,
    learned: BTreeSet<String>,
    /// Further masters that the last caller named. Anybody may call, so they replace none of the
    /// others.
    called: BTreeSet<String>,
    leader: Option<String>,
    /// The master that was lost last: it is asked after all others.
    lost: Option<String>,
    round: VecDeque<String>,
    progress: Progress,
    backoff: Backoff,
    unwelcome: Backoff,
    contested: Backoff,
}

/// Chances of a worker that the leader has turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readmission {
    /// Ask again, rarely.
    Ask,
    /// Ask again: time alone may change the verdict.
    AskSoon,
    /// Wait until a leader calls.
    AwaitCall,
}

/// Next step of the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Try to register with the master at this address.
    Ask(String),
    /// No known master could help: wait, then ask again.
    Pause(Duration),
    /// No master is known, or none accepts this worker: wait until one calls.
    AwaitCall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The next round may begin at once.
    Fresh,
    /// A round is in progress or has just ended without success.
    Asking,
    /// The leader has turned the worker away: the next round begins after a long pause.
    Unwelcome,
    /// Another worker has the name: the next round begins after a pause.
    Contested,
    /// The leader has turned the worker away: no round begins before a leader calls.
    Dismissed,
}

impl LeaderFinder {
    /// Creates a search over the masters that the operator named.
    pub(crate) fn new(configured: impl IntoIterator<Item = String>) -> Self {
        Self {
            configured: configured.into_iter().collect(),
            learned: BTreeSet::new(),
            called: BTreeSet::new(),
            leader: None,
            lost: None,
            round: VecDeque::new(),
            progress: Progress::Fresh,
            backoff: Backoff::new(PAUSE_BASE, PAUSE_CAP),
            unwelcome: Backoff::new(UNWELCOME_BASE, UNWELCOME_CAP),
            contested: Backoff::new(CONTESTED_BASE, CONTESTED_CAP),
        }
    }

    /// Takes in the masters that a reply listed: they replace those of an earlier reply.
    pub(crate) fn on_masters(&mut self, masters: impl IntoIterator<Item = String>) {
        let learned = masters.into_iter().collect::<BTreeSet<_>>();
        if !learned.is_empty() {
            self.learned = learned;
            self.called.clear();
        }
    }

    /// Takes in a leader's call: asks it next, without a pause, and the masters that it names after
    /// it.
    pub(crate) fn on_called(&mut self, leader: String, masters: impl IntoIterator<Item = String>) {
        self.called = masters.into_iter().take(CALLED_MAX).collect();
        self.round.retain(|other| *other != leader);
        self.round.push_front(leader.clone());
        self.lost = None;
        self.leader = Some(leader);
        self.progress = Progress::Asking;
        self.backoff.on_succeeded();
    }

    /// Takes in the loss of the session with the master at this address. Other masters may know the
    /// leader, or pass a registration on if only this connection is broken.
    pub(crate) fn on_lost(&mut self, address: String) {
        self.leader = self.leader.take().filter(|leader| *leader != address);
        self.lost = Some(address);
        self.round.clear();
        self.progress = Progress::Fresh;
    }

    /// Takes in the leader's rejection.
    pub(crate) fn on_turned_away(&mut self, readmission: Readmission) {
        self.round.clear();
        self.progress = match readmission {
            Readmission::Ask => Progress::Unwelcome,
            Readmission::AskSoon => Progress::Contested,
            Readmission::AwaitCall => Progress::Dismissed,
        };
    }

    /// Takes in the leader's address from a follower. The follower may be wrong, so this never
    /// shortens a pause, and a leader that was just lost stays last.
    pub(crate) fn on_hint(&mut self, leader: String) {
        if self.lost.as_ref() == Some(&leader) {
            return;
        }
        if let Some(position) = self.round.iter().position(|other| *other == leader) {
            self.round.swap(0, position);
        }
        self.leader = Some(leader);
    }

    /// Takes in a successful registration: the next search begins at this leader.
    pub(crate) fn on_found(&mut self, leader: String) {
        self.leader = Some(leader);
        self.lost = None;
        self.round.clear();
        self.progress = Progress::Fresh;
        self.backoff.on_succeeded();
        self.unwelcome.on_succeeded();
        self.contested.on_succeeded();
    }

    /// Returns the next step; `random` spreads the pauses and the order of many workers.
    pub(crate) fn next_step(&mut self, random: u32) -> Step {
        if let Some(address) = self.round.pop_front() {
            self.progress = Progress::Asking;
            return Step::Ask(address);
        }

        let candidates = self.candidates(random);
        if candidates.is_empty() || self.progress == Progress::Dismissed {
            return Step::AwaitCall;
        }
        self.round = candidates;

        match self.progress {
            Progress::Fresh => self.next_step(random),
            Progress::Asking => Step::Pause(self.backoff.on_failed(random)),
            Progress::Unwelcome => {
                self.progress = Progress::Asking;
                Step::Pause(self.unwelcome.on_failed(random))
            }
            Progress::Contested => {
                self.progress = Progress::Asking;
                Step::Pause(self.contested.on_failed(random))
            }
            Progress::Dismissed => Step::AwaitCall,
        }
    }

    /// Returns the masters to ask: the last leader first, one that was lost last, and the others in
    /// an order that differs from worker to worker.
    fn candidates(&self, random: u32) -> VecDeque<String> {
        let is_other = |address: &&String| {
            self.leader.as_ref() != Some(*address) && self.lost.as_ref() != Some(*address)
        };
        let known = self.configured.union(&self.learned).cloned().collect::<BTreeSet<_>>();
        let known = known.union(&self.called);
        let mut candidates = known.filter(is_other).cloned().collect::<VecDeque<_>>();
        if !candidates.is_empty() {
            candidates.rotate_left(usize::try_from(random).unwrap_or(0) % candidates.len());
        }
        if let Some(leader) = &self.leader {
            candidates.push_front(leader.clone());
        }
        candidates.extend(self.lost.iter().cloned());
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder(masters: &[&str]) -> LeaderFinder {
        LeaderFinder::new(masters.iter().map(|&address| address.to_owned()))
    }

    fn ask(address: &str) -> Step {
        Step::Ask(address.to_owned())
    }

    fn is_pause(step: &Step) -> bool {
        matches!(step, Step::Pause(_))
    }

    #[test]
    fn without_masters_it_waits_to_be_called() {
        let mut finder = finder(&[]);
        assert_eq!(finder.next_step(0), Step::AwaitCall);

        finder.on_called("m2".to_owned(), []);

        assert_eq!(finder.next_step(0), ask("m2"));
    }

    #[test]
    fn every_master_is_asked_before_a_pause() {
        let mut finder = finder(&["m1", "m2", "m3"]);

        let steps = (0..3).map(|_| finder.next_step(0)).collect::<Vec<_>>();

        assert_eq!(steps, [ask("m1"), ask("m2"), ask("m3")]);
        assert!(is_pause(&finder.next_step(0)));
        assert_eq!(finder.next_step(0), ask("m1"), "a new round follows the pause");
    }

    #[test]
    fn pauses_grow_while_nobody_answers() {
        let mut finder = finder(&["m1"]);
        let mut pauses = Vec::new();
        while pauses.len() < 3 {
            if let Step::Pause(pause) = finder.next_step(0) {
                pauses.push(pause.as_millis());
            }
        }
        assert_eq!(pauses, [100, 200, 400]);
    }

    #[test]
    fn the_last_leader_is_asked_first_and_once() {
        let mut finder = finder(&["m1", "m2", "m3"]);
        finder.on_found("m2".to_owned());

        let steps = (0..3).map(|_| finder.next_step(0)).collect::<Vec<_>>();

        assert_eq!(steps, [ask("m2"), ask("m1"), ask("m3")]);
    }

    #[test]
    fn a_calling_leader_is_asked_at_once_in_the_middle_of_a_round() {
        let mut finder = finder(&["m1", "m2", "m3"]);
        assert_eq!(finder.next_step(0), ask("m1"));

        finder.on_called("m3".to_owned(), []);

        assert_eq!(finder.next_step(0), ask("m3"));
        assert_eq!(finder.next_step(0), ask("m2"));
        assert!(is_pause(&finder.next_step(0)));
    }

    #[test]
    fn a_follower_that_keeps_naming_a_dead_leader_does_not_undo_the_pauses() {
        let mut finder = finder(&["m1", "m2"]);
        let mut pauses = 0;
        for _ in 0..9 {
            finder.on_hint("m2".to_owned());
            pauses += u32::from(is_pause(&finder.next_step(0)));
        }
        assert_eq!(pauses, 3, "one after each round of two");
    }

    #[test]
    fn learned_masters_join_the_configured_ones() {
        let mut finder = finder(&["m1"]);
        finder.on_masters(["m1".to_owned(), "m4".to_owned()]);
        finder.on_masters([]);

        let steps = (0..2).map(|_| finder.next_step(0)).collect::<Vec<_>>();

        assert_eq!(steps, [ask("m1"), ask("m4")]);
    }

    #[test]
    fn masters_that_a_caller_names_are_asked_too_and_replace_nobody() {
        let mut finder = finder(&["m1"]);
        finder.on_masters(["m2".to_owned()]);
        finder.on_called("m4".to_owned(), ["m3".to_owned(), "m4".to_owned()]);
        assert_eq!(finder.next_step(0), ask("m4"));
        assert!(is_pause(&finder.next_step(0)));

        let steps = (0..4).map(|_| finder.next_step(0)).collect::<Vec<_>>();
        assert_eq!(steps, ["m4", "m1", "m2", "m3"].map(ask));

        finder.on_masters(["m2".to_owned()]);
        finder.on_found("m2".to_owned());
        let steps = (0..2).map(|_| finder.next_step(0)).collect::<Vec<_>>();
        assert_eq!(steps, ["m2", "m1"].map(ask), "a leader's word counts for more");
    }

    #[test]
    fn workers_spread_over_the_masters() {
        assert_eq!(finder(&["m1", "m2", "m3"]).next_step(4), ask("m2"));
    }

    #[test]
    fn a_lost_leader_is_asked_after_all_others_whoever_still_names_it() {
        let mut finder = finder(&["m1", "m2", "m3"]);
        finder.on_found("m1".to_owned());
        finder.on_lost("m1".to_owned());
        assert_eq!(finder.next_step(0), ask("m2"));

        finder.on_hint("m1".to_owned());

        assert_eq!(finder.next_step(0), ask("m3"));
        assert_eq!(finder.next_step(0), ask("m1"));
        assert!(is_pause(&finder.next_step(0)));
        finder.on_found("m1".to_owned());
        assert_eq!(finder.next_step(0), ask("m1"), "it is forgiven");
    }

    #[test]
    fn a_worker_that_nobody_wants_asks_seldom() {
        let mut finder = finder(&["m1", "m2"]);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert!(matches!(finder.next_step(0), Step::Ask(_)));
            finder.on_turned_away(Readmission::Ask);
            if let Step::Pause(pause) = finder.next_step(0) {
                pauses.push(pause.as_secs());
            }
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 150, 150]);

        finder.on_called("m2".to_owned(), []);
        assert_eq!(finder.next_step(0), ask("m2"), "a call is an invitation");
    }

    #[test]
    fn a_dismissed_worker_asks_nobody_until_it_is_called() {
        let mut finder = finder(&["m1", "m2"]);
        finder.on_turned_away(Readmission::AwaitCall);
        assert_eq!(finder.next_step(0), Step::AwaitCall);
        finder.on_masters(["m3".to_owned()]);
        assert_eq!(finder.next_step(0), Step::AwaitCall);

        finder.on_called("m2".to_owned(), []);

        assert_eq!(finder.next_step(0), ask("m2"));
        assert!(is_pause(&finder.next_step(0)), "and goes on as usual");
        assert_eq!(finder.next_step(0), ask("m2"));
        assert_eq!(finder.next_step(0), ask("m1"));
    }
}
