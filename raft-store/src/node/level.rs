//! Raising the cluster's feature level once every member can run the next one.

use cluster_state::{Command, Level, RaiseLevel};

use super::Node;
use crate::leadership::Leadership;
use crate::node::PeerStatuses;
use crate::propose::ProposeError;

impl Node {
    /// Proposes the highest level that all members say they can run, if it is above the cluster's;
    /// returns it then. Only a leader does so. A member that does not answer can run nothing: it may
    /// be an older release.
    ///
    /// # Errors
    ///
    /// As the proposal fails. It is tried again with the next statuses.
    pub async fn raise_level(&self, peers: &PeerStatuses) -> Result<Option<Level>, ProposeError> {
        let Leadership::Leading { term } = *self.leadership().borrow() else { return Ok(None) };
        let can_run = peers.values().map(|status| status.as_ref().map(|one| one.level_max));
        let Some(level) = next_level(self.reader().level(), Level::NEWEST, can_run) else {
            return Ok(None);
        };
        self.propose_as_leader(term, &Command::RaiseLevel(RaiseLevel { term, level })).await?;
        Ok(Some(level))
    }
}

/// The level to raise the cluster to, if any. `peers` are the highest levels of the other members;
/// none for one that did not answer.
fn next_level(
    cluster: Level,
    own: Level,
    peers: impl IntoIterator<Item = Option<u32>>,
) -> Option<Level> {
    let mut all = own;
    for peer in peers {
        // A level that does not fit is of a release far ahead.
        all = all.min(Level(u8::try_from(peer?).unwrap_or(u8::MAX)));
    }
    (all > cluster).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cluster: u8, own: u8, peers: &[Option<u32>]) -> Option<u8> {
        next_level(Level(cluster), Level(own), peers.iter().copied()).map(|level| level.0)
    }

    #[test]
    fn the_level_rises_to_what_every_member_can_run() {
        assert_eq!(next(1, 3, &[Some(3), Some(3)]), Some(3));
        assert_eq!(next(1, 3, &[Some(2), Some(900)]), Some(2));
        assert_eq!(next(1, 2, &[]), Some(2), "a cluster of one");
    }

    #[test]
    fn it_stays_while_a_member_is_older_or_silent() {
        assert_eq!(next(1, 3, &[Some(1), Some(3)]), None);
        assert_eq!(next(1, 3, &[None, Some(3)]), None);
        assert_eq!(next(1, 3, &[Some(0), Some(3)]), None, "a release that says nothing of levels");
    }

    #[test]
    fn it_never_falls() {
        assert_eq!(next(3, 3, &[Some(2), Some(3)]), None);
        assert_eq!(next(3, 3, &[Some(3), Some(3)]), None);
    }
}
