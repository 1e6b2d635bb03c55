//! Chooses the master to which a worker sends its heartbeats. Pure.
//!
//! Followers pass heartbeats on to the leader, those of many workers in one call, so that an idle
//! worker costs the leader no connection. The leader itself is a worker's last resort.

use std::collections::BTreeSet;

/// Number of answers through another relay after which the first choice is tried again: a minute at
/// one heartbeat every five seconds.
const ANSWERS_AWAY_MAX: u32 = 12;

/// Routes to the leader, and the one in use.
#[derive(Debug, Clone)]
pub struct Relays {
    leader: String,
    /// The followers in this worker's order of preference, and then the leader.
    order: Vec<String>,
    current: usize,
    /// Routes that failed since the last answer, or since all had failed.
    failed: BTreeSet<usize>,
    /// Number of consecutive answers that did not come through the first choice.
    answers_away: u32,
    random: u32,
}

impl Relays {
    /// Chooses among the followers that a leader hears from; `random` spreads workers over them.
    #[must_use]
    pub fn new(leader: &str, followers: &[String], random: u32) -> Self {
        Self {
            leader: leader.to_owned(),
            order: preferences(leader, followers, random),
            current: 0,
            failed: BTreeSet::new(),
            answers_away: 0,
            random,
        }
    }

    /// Returns the leader, as the last answer named it.
    #[must_use]
    pub fn leader(&self) -> &str {
        &self.leader
    }

    /// Returns the master for the next heartbeat.
    #[must_use]
    pub fn current(&self) -> &str {
        self.order.get(self.current).unwrap_or(&self.leader)
    }

    /// Takes in the answer to a heartbeat, which names the leader and the followers that it hears
    /// from. Leaves a relay that is not among them, and returns to the first choice after a while.
    pub fn on_answered(&mut self, leader: &str, followers: &[String]) {
        self.failed.clear();
        let order = preferences(leader, followers, self.random);
        if order != self.order {
            let in_use = self.current().to_owned();
            let is_kept = |known: &String| *known == in_use && *known != leader;
            self.current = order.iter().position(is_kept).unwrap_or(0);
            self.answers_away = 0;
            self.order = order;
            leader.clone_into(&mut self.leader);
        }
        if self.current == 0 {
            return;
        }
        self.answers_away += 1;
        if self.answers_away >= ANSWERS_AWAY_MAX {
            self.current = 0;
            self.answers_away = 0;
        }
    }

    /// Returns true if every other route has been tried since the last answer.
    #[must_use]
    pub fn is_last(&self) -> bool {
        (0..self.order.len()).all(|way| way == self.current || self.failed.contains(&way))
    }

    /// Moves to the next route that was not tried, the leader last. Returns false when every route
    /// has failed since the last answer; they are tried again then.
    pub fn on_failed(&mut self) -> bool {
        self.answers_away = 0;
        self.failed.insert(self.current);
        let untried = (0..self.order.len()).find(|way| !self.failed.contains(way));
        if untried.is_none() {
            self.failed.clear();
        }
        self.current = untried.unwrap_or(0);
        untried.is_some()
    }
}

/// Orders the followers by `random` and not as they are named; the leader comes last.
fn preferences(leader: &str, followers: &[String], random: u32) -> Vec<String> {
    let mut left = followers.iter().filter(|one| *one != leader).collect::<Vec<_>>();
    left.sort_unstable();
    left.dedup();
    let mut digits = usize::try_from(random).unwrap_or(0);
    let mut order = Vec::with_capacity(left.len() + 1);
    while !left.is_empty() {
        let count = left.len();
        order.push(left.swap_remove(digits % count).clone());
        digits /= count;
    }
    order.push(leader.to_owned());
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masters(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn three(random: u32) -> Relays {
        Relays::new("m1", &masters(&["m1", "m2", "m3"]), random)
    }

    fn all() -> Vec<String> {
        masters(&["m1", "m2", "m3"])
    }

    #[test]
    fn heartbeats_go_to_a_follower_and_workers_spread_over_them() {
        assert_eq!(three(0).current(), "m2");
        assert_eq!(three(1).current(), "m3");
        let five = masters(&["a", "b", "c", "d", "e"]);
        let mut counts = [0; 4];
        for random in 0..240 {
            let current = Relays::new("a", &five, random).current().to_owned();
            counts[five.iter().position(|known| *known == current).unwrap() - 1] += 1;
        }
        assert_eq!(counts, [60; 4]);
    }

    #[test]
    fn a_leader_without_followers_is_sent_them_itself() {
        let mut alone = Relays::new("m1", &masters(&["m1"]), 7);
        assert_eq!(alone.current(), "m1");
        assert!(!alone.on_failed());
        assert_eq!(Relays::new("m1", &[], 7).current(), "m1");
    }

    #[test]
    fn every_way_is_tried_once_and_the_leader_last() {
        let mut relays = three(0);
        assert!(relays.on_failed());
        assert_eq!(relays.current(), "m3");
        assert!(!relays.is_last());
        assert!(relays.on_failed());
        assert_eq!(relays.current(), "m1");
        assert!(relays.is_last());
        assert!(!relays.on_failed());
    }

    #[test]
    fn a_worker_away_from_its_first_choice_tries_that_before_the_leader() {
        let mut relays = three(0);
        relays.on_failed();
        relays.on_answered("m1", &all());
        assert_eq!(relays.current(), "m3");
        assert!(relays.on_failed());
        assert_eq!(relays.current(), "m2");
        assert!(relays.on_failed());
        assert_eq!(relays.current(), "m1");
        assert!(!relays.on_failed());
        assert_eq!(relays.current(), "m2", "from the beginning");
    }

    #[test]
    fn an_answer_begins_a_new_count() {
        let mut relays = three(0);
        assert!(relays.on_failed());
        relays.on_answered("m1", &all());
        assert!(relays.on_failed());
        assert!(relays.on_failed());
        assert!(!relays.on_failed());
    }

    #[test]
    fn the_first_choice_is_tried_again_after_a_while() {
        let mut relays = three(0);
        relays.on_failed();
        for _ in 1..ANSWERS_AWAY_MAX {
            relays.on_answered("m1", &all());
            assert_eq!(relays.current(), "m3");
        }
        relays.on_answered("m1", &all());
        assert_eq!(relays.current(), "m2");
        relays.on_answered("m1", &all());
        assert_eq!(relays.current(), "m2", "and it stays");
    }

    #[test]
    fn a_relay_that_becomes_the_leader_is_left() {
        let mut relays = three(0);
        relays.on_answered("m2", &all());
        assert_eq!(relays.leader(), "m2");
        assert_ne!(relays.current(), "m2");
    }

    #[test]
    fn a_relay_that_remains_a_follower_is_kept() {
        let mut relays = three(1);
        relays.on_answered("m2", &all());
        assert_eq!(relays.current(), "m3");
    }

    #[test]
    fn a_relay_that_the_leader_does_not_hear_is_left_until_it_does() {
        let mut relays = three(0);
        relays.on_answered("m1", &masters(&["m3"]));
        assert_eq!(relays.current(), "m3");
        relays.on_answered("m1", &[]);
        assert_eq!(relays.current(), "m1");
        for _ in 0..=ANSWERS_AWAY_MAX {
            relays.on_answered("m1", &masters(&["m2", "m3"]));
        }
        assert_eq!(relays.current(), "m2");
    }

    #[test]
    fn the_order_in_which_masters_are_named_is_of_no_meaning() {
        let mut relays = three(1);
        relays.on_answered("m1", &masters(&["m3", "m2", "m1", "m3"]));
        assert_eq!(relays.current(), "m3");
        assert!(relays.on_failed());
        assert_eq!(relays.current(), "m2");
    }
}
