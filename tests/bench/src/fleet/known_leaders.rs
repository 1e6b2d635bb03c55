//! Decides which leaders a simulated worker obeys, by the rules of a real one, kept in memory.
//! Pure.

use proto::v1::LeaderHeader;

/// A session with a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) leader: u64,
    pub(super) term: u64,
    pub(super) epoch: u64,
}

/// Reason to refuse a leader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LeaderRefusal {
    #[error("term {seen} has been seen, the call is of an older one")]
    OlderTerm { seen: u64 },
    #[error("this worker belongs to another cluster")]
    OtherCluster,
}

/// Leaders known so far.
#[derive(Debug, Default)]
pub(super) struct KnownLeaders {
    cluster: Option<String>,
    term_seen: u64,
    session: Option<Session>,
}

impl KnownLeaders {
    /// Lets pass a leader of this worker's cluster, in no older term than any seen.
    pub(super) fn admit(&mut self, header: &LeaderHeader) -> Result<(), LeaderRefusal> {
        if self.cluster.as_ref().is_some_and(|ours| *ours != header.cluster_id) {
            return Err(LeaderRefusal::OtherCluster);
        }
        if header.term < self.term_seen {
            return Err(LeaderRefusal::OlderTerm { seen: self.term_seen });
        }
        self.cluster.get_or_insert_with(|| header.cluster_id.clone());
        self.term_seen = header.term;
        Ok(())
    }

    /// Returns true if the caller already has this worker's session.
    pub(super) fn has_session_with(&self, header: &LeaderHeader) -> bool {
        self.session.is_some_and(|ours| (ours.leader, ours.term) == (header.leader_id, header.term))
    }

    /// Sets the session, or none when it has ended.
    pub(super) const fn set_session(&mut self, session: Option<Session>) {
        self.session = session;
    }

    /// Returns the cluster to which it belongs; empty before it has met one.
    pub(super) fn cluster(&self) -> String {
        self.cluster.clone().unwrap_or_default()
    }

    /// Returns the highest term seen.
    pub(super) const fn term_seen(&self) -> u64 {
        self.term_seen
    }

    /// Returns the epoch of the registration that owns what runs here.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.session.map(|session| session.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cluster: &str, term: u64) -> LeaderHeader {
        let cluster_id = cluster.to_owned();
        LeaderHeader { cluster_id, term, leader_id: 1, ..LeaderHeader::default() }
    }

    #[test]
    fn an_older_leader_and_another_cluster_are_refused() {
        let mut leaders = KnownLeaders::default();
        leaders.admit(&header("a", 3)).unwrap();
        assert_eq!(leaders.admit(&header("a", 3)), Ok(()));
        assert_eq!(leaders.admit(&header("a", 2)), Err(LeaderRefusal::OlderTerm { seen: 3 }));
        assert_eq!(leaders.admit(&header("b", 9)), Err(LeaderRefusal::OtherCluster));
        assert_eq!((leaders.term_seen(), leaders.cluster().as_str()), (3, "a"));
    }

    #[test]
    fn a_session_has_session_with_one_leader_in_one_term() {
        let mut leaders = KnownLeaders::default();
        assert!(!leaders.has_session_with(&header("a", 3)));
        leaders.set_session(Some(Session { leader: 1, term: 3, epoch: 2 }));
        assert!(leaders.has_session_with(&header("a", 3)));
        assert!(!leaders.has_session_with(&header("a", 4)));
        assert_eq!(leaders.epoch(), Some(2));
    }
}
