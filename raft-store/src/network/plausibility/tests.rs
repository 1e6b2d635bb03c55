//! Tests of the messages that are believed and of those that are not.

use cluster_state::{LogIndex, Term};
use openraft::EntryPayload;

use super::*;
use crate::types::{Entry, log_id};

/// Returns node 1, in term 5, with entry 10 of term 4 committed.
fn known() -> Known {
    Known {
        id: NodeId(1),
        term: 5,
        committed: Some(at(4, 10)),
        is_member: true,
        membership_at: Some(10),
    }
}

fn at(term: u64, index: u64) -> LogId {
    log_id(Term(term), LogIndex(index))
}

fn append(vote: Vote, prev: Option<LogId>, entries: &[LogId]) -> AppendEntriesRequest<TypeConfig> {
    let entry = |id: &LogId| Entry { log_id: *id, payload: EntryPayload::Blank };
    AppendEntriesRequest {
        vote,
        prev_log_id: prev,
        leader_commit: Some(at(4, 10)),
        entries: entries.iter().map(entry).collect(),
    }
}

#[test]
fn a_leader_is_believed() {
    let vote = Vote::new_committed(5, NodeId(2));
    let caught_up = append(vote, Some(at(5, 11)), &[at(5, 12), at(5, 13)]);
    assert_eq!(known().check_append(&caught_up), Ok(()));
    let from_the_beginning = append(vote, None, &[at(0, 0), at(1, 1)]);
    assert_eq!(known().check_append(&from_the_beginning), Ok(()));
    assert_eq!(known().check_append(&append(vote, Some(at(4, 10)), &[])), Ok(()));
    assert_eq!(known().check_snapshot(&vote, Some(&at(5, 100))), Ok(()));
}

#[test]
fn a_master_that_joins_believes_the_term_of_a_late_generation() {
    let vote = Vote::new_committed(1_000_000_000_000, NodeId(2));
    let heartbeat = append(vote, None, &[]);
    let blank = Known { term: 0, committed: None, membership_at: None, ..known() };
    assert_eq!(blank.check_append(&heartbeat), Ok(()));
    let (term, ours) = (vote.leader_id.term, 5);
    assert_eq!(known().check_append(&heartbeat), Err(Implausible::Term { term, ours }));
    let absurd = append(Vote::new_committed(1 << 51, NodeId(2)), None, &[]);
    assert!(blank.check_append(&absurd).is_err());
}

#[test]
fn a_candidate_is_believed() {
    for term in [1, 6, 5 + TERM_LEAD_MAX] {
        let ballot = VoteRequest::new(Vote::new(term, NodeId(3)), Some(at(1, 1)));
        assert_eq!(known().check_ballot(&ballot), Ok(()), "{term}");
    }
}

#[test]
fn a_candidate_that_cannot_be_is_refused() {
    let ballot = |vote| known().check_ballot(&VoteRequest::new(vote, Some(at(4, 11))));
    let too_far = 6 + TERM_LEAD_MAX;

    assert_eq!(ballot(Vote::new(6, NodeId(1))), Err(Implausible::OurOwn(NodeId(1))));
    assert_eq!(ballot(Vote::new_committed(6, NodeId(2))), Err(Implausible::GrantedBeforehand));
    assert_eq!(
        ballot(Vote::new(too_far, NodeId(2))),
        Err(Implausible::Term { term: too_far, ours: 5 })
    );
    assert_eq!(ballot(Vote::new(3, NodeId(2))), Err(Implausible::FromLater { entry: 4, vote: 3 }));
    let stranger = Known { is_member: false, ..known() };
    let ballot = VoteRequest::new(Vote::new(6, NodeId(9)), None);
    assert_eq!(stranger.check_ballot(&ballot), Err(Implausible::NotAMember(NodeId(9))));
}

#[test]
fn a_leader_that_cannot_be_is_refused() {
    let check = |vote| known().check_append(&append(vote, None, &[]));
    assert_eq!(check(Vote::new_committed(6, NodeId(1))), Err(Implausible::OurOwn(NodeId(1))));
    assert_eq!(check(Vote::new(6, NodeId(2))), Err(Implausible::NotGranted));
    let stranger = Known { is_member: false, ..known() };
    let request = append(Vote::new_committed(6, NodeId(9)), None, &[]);
    assert_eq!(stranger.check_append(&request), Err(Implausible::NotAMember(NodeId(9))));
}

/// All others were replaced while this master was away, and one of them leads, or stands.
#[test]
fn whoever_a_newer_membership_may_name_is_believed() {
    let unknown = Known { is_member: false, ..known() };
    let leader = Vote::new_committed(6, NodeId(9));
    let request = append(leader, Some(at(5, 11)), &[]);
    assert_eq!(unknown.check_append(&request), Ok(()));
    assert_eq!(unknown.check_snapshot(&leader, Some(&at(5, 11))), Ok(()));
    let ballot = |last| VoteRequest::new(Vote::new(6, NodeId(9)), Some(last));
    assert_eq!(unknown.check_ballot(&ballot(at(5, 11))), Ok(()));
    let refused = Err(Implausible::NotAMember(NodeId(9)));
    assert_eq!(unknown.check_ballot(&ballot(at(4, 10))), refused);

    let without_membership = Known { membership_at: None, ..unknown };
    assert_eq!(without_membership.check_append(&request), refused);
}

#[test]
fn entries_that_cannot_follow_each_other_are_refused() {
    let vote = Vote::new_committed(5, NodeId(2));
    let check = |prev, entries: &[LogId]| known().check_append(&append(vote, prev, entries));
    assert_eq!(check(None, &[at(5, 11)]), Err(Implausible::OutOfOrder(11)));
    assert_eq!(check(Some(at(5, 11)), &[at(5, 13)]), Err(Implausible::OutOfOrder(13)));
    assert_eq!(check(Some(at(5, 11)), &[at(4, 12)]), Err(Implausible::OutOfOrder(12)));
    let later = Implausible::FromLater { entry: 6, vote: 5 };
    assert_eq!(check(Some(at(5, 11)), &[at(6, 12)]), Err(later.clone()));
    assert_eq!(check(Some(at(6, 11)), &[]), Err(later));
}

#[test]
fn positions_that_contradict_what_is_committed_are_refused() {
    let vote = Vote::new_committed(5, NodeId(2));
    let check = |prev| known().check_append(&append(vote, Some(prev), &[]));
    assert_eq!(check(at(5, 3)), Err(Implausible::Contradiction(3)));
    assert_eq!(check(at(5, 10)), Err(Implausible::Contradiction(10)));
    assert_eq!(check(at(3, 11)), Err(Implausible::Contradiction(11)));
    let snapshot = known().check_snapshot(&vote, Some(&at(5, 10)));
    assert_eq!(snapshot, Err(Implausible::Contradiction(10)));
}

#[test]
fn numbers_that_no_cluster_reaches_are_refused() {
    assert_eq!(check_number(NUMBER_MAX), Ok(()));
    assert_eq!(check_number(u64::MAX), Err(Implausible::Number(u64::MAX)));
    assert_eq!(
        check_term(u64::MAX, NUMBER_MAX),
        Err(Implausible::Term { term: u64::MAX, ours: NUMBER_MAX })
    );
}
