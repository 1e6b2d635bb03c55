//! Raises of the cluster's feature level.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use cluster_state::{
    BeginTerm, ClusterId, Command, Level, Limits, LogIndex, MasterId, Proposal, RaiseLevel,
    Rejection, Reply, State, Term, Timestamp,
};

const TERM: Term = Term(3);

fn apply(state: &mut State, index: u64, command: Command) -> Result<Reply, Rejection> {
    state.apply(LogIndex(index), Proposal { proposed_at: Timestamp(index), command }).reply
}

fn led() -> State {
    let mut state = State::new();
    let (leader, cluster) = (MasterId(1), ClusterId(7));
    let live_bytes_max = Limits::LIVE_BYTES_DEFAULT;
    let begin = BeginTerm { term: TERM, leader, cluster, live_bytes_max };
    apply(&mut state, 1, Command::BeginTerm(begin)).unwrap();
    state
}

fn raise(state: &mut State, index: u64, level: u8) -> Result<Reply, Rejection> {
    let raise = RaiseLevel { term: TERM, level: Level(level) };
    apply(state, index, Command::RaiseLevel(raise))
}

#[test]
fn a_cluster_begins_at_the_first_level_and_rises() {
    let mut state = led();
    assert_eq!(state.meta().level, Level::FIRST);
    assert_eq!(raise(&mut state, 2, 4), Ok(Reply::Done));
    assert_eq!(state.meta().level, Level(4));
}

#[test]
fn a_level_that_comes_late_changes_nothing() {
    let mut state = led();
    raise(&mut state, 2, 4).unwrap();
    assert_eq!(raise(&mut state, 3, 2), Ok(Reply::Done));
    assert_eq!(state.meta().level, Level(4));
}

#[test]
fn a_leader_whose_term_is_over_raises_nothing() {
    let mut state = led();
    let raise = RaiseLevel { term: Term(TERM.0 - 1), level: Level(4) };
    let refused = apply(&mut state, 2, Command::RaiseLevel(raise));
    assert!(matches!(refused, Err(Rejection::StaleTerm { .. })), "{refused:?}");
    assert_eq!(state.meta().level, Level::FIRST);
}
