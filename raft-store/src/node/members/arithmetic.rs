//! Counts the voters that keep up before and after a change. Pure.

use std::collections::BTreeSet;

use crate::log_node::NodeId;
use crate::membership::LAG_MAX;

/// Voters of a membership, and those of them that answer and lack little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quorum {
    voters: usize,
    present: usize,
}

impl Quorum {
    pub(super) fn count(voters: &BTreeSet<NodeId>, is_present: impl Fn(&NodeId) -> bool) -> Self {
        let present = voters.iter().filter(|voter| is_present(voter)).count();
        Self { voters: voters.len(), present }
    }

    const fn needed(self) -> usize {
        self.voters / 2 + 1
    }
}

/// Returns true if a voter that answers or does not, and lacks so many committed entries, keeps up; one
/// that has never answered lacks nobody knows how many.
pub(super) fn keeps_up(is_answering: bool, lag: Option<u64>) -> bool {
    is_answering && lag.is_some_and(|lag| lag <= LAG_MAX)
}

/// A change would leave fewer voters that keep up than a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} of {} voters keep up; after the change {} of {} would, and {} are needed",
    before.present, before.voters, after.present, after.voters, after.needed()
)]
pub struct TooFew {
    before: Quorum,
    after: Quorum,
}

/// Refuses a change after which too few voters keep up.
///
/// # Errors
///
/// With the arithmetic.
pub(super) fn check(before: Quorum, after: Quorum) -> Result<(), TooFew> {
    if after.present >= after.needed() { Ok(()) } else { Err(TooFew { before, after }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(present: usize, voters: usize) -> Quorum {
        Quorum { voters, present }
    }

    #[test]
    fn a_change_that_leaves_a_quorum_is_allowed() {
        for (before, after) in [((3, 3), (3, 4)), ((2, 3), (2, 2)), ((3, 5), (3, 4))] {
            let (before, after) = (quorum(before.0, before.1), quorum(after.0, after.1));
            assert_eq!(check(before, after), Ok(()), "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_voter_that_answers_and_lags_counts_as_one_that_is_silent() {
        let leader = NodeId(1);
        let others = [(NodeId(2), LAG_MAX), (NodeId(3), LAG_MAX + 1)];
        let present = |voter: &NodeId| {
            *voter == leader
                || others.iter().any(|(other, lag)| other == voter && keeps_up(true, Some(*lag)))
        };
        let count =
            |voters: &[u64]| Quorum::count(&voters.iter().copied().map(NodeId).collect(), present);
        assert_eq!(count(&[1, 2, 3]), quorum(2, 3));
        let refused = check(count(&[1, 2, 3]), count(&[1, 3])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "2 of 3 voters keep up; after the change 1 of 2 would, and 2 are needed"
        );
        assert_eq!(check(count(&[1, 2, 3]), count(&[1, 2])), Ok(()), "the one that lags may go");
        assert!(!keeps_up(true, None) && !keeps_up(false, Some(0)));
    }

    #[test]
    fn a_change_that_leaves_none_is_refused_with_the_arithmetic() {
        let refused = check(quorum(3, 5), quorum(2, 4)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "3 of 5 voters keep up; after the change 2 of 4 would, and 3 are needed"
        );
        assert!(check(quorum(2, 3), quorum(2, 4)).is_err(), "a fourth voter needs three of four");
    }
}
