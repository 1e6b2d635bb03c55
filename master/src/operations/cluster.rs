//! The masters themselves: who they are, how far each has come, who leads.

mod clocks;

use std::time::Duration;

use cluster_state::{Command, LeaderRecord, MassLoss, MasterId, Term};
use proto::convert;
use proto::problem::Problem;
use raft_store::{Leadership, LocalStatus, PeerStatus, Role};
use serde::Serialize;

use super::views::{ClusterView, LeaderView, MemberView};
use super::{Answer, Operations, Reading};
use crate::access::Caller;
use crate::refusal;

/// A voter further behind than this is a problem worth telling.
const LAG_MAX: u64 = 10_000;
/// Time that a probe of readiness waits for the leader: less than a load balancer waits for the
/// probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// One term of leadership, as shown.
#[derive(Debug, Serialize)]
pub(crate) struct TermView {
    term: u64,
    leader_id: u64,
    since: String,
    /// Absent while it lasts.
    until: Option<String>,
    /// Cause of the election.
    cause: &'static str,
    index: u64,
}

/// Obstacles between this master and serving requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// A leader is known.
    pub(crate) knows_leader: bool,
    /// The leader answers, and everything it had committed is applied here.
    pub(crate) is_caught_up: bool,
    /// It is not shutting down.
    pub(crate) is_staying: bool,
}

impl Readiness {
    /// Returns true if requests may be sent here.
    pub(crate) const fn is_ready(self) -> bool {
        self.knows_leader && self.is_caught_up && self.is_staying
    }
}

impl Operations {
    /// Returns everything known about the masters. A stale read needs no leader.
    pub(crate) async fn status(&self, reading: Reading) -> Result<Answer<ClusterView>, Problem> {
        Ok(self.reach(reading).await?.on(self.status_here().await))
    }

    pub(super) async fn status_here(&self) -> ClusterView {
        let (mut answers, survey) = self.node().survey().await;
        let own = self.own_status();
        let leader = self.leader();
        answers.insert(self.node().node_id(), Some(own.clone()));
        let last = self.leadership().leader_node(self.node().node_id());
        let last = last.and_then(|leader| answers.get(&leader)?.as_ref());
        let autopilot = last.and_then(|leader| leader.autopilot.clone());
        let last = last.map(|leader| leader.last_log_index);
        let offsets = survey.offsets();

        let members = self.node().members().into_iter().map(|member| {
            let status = answers.remove(&member.node).flatten();
            let behind = |status: &PeerStatus| Some(last?.saturating_sub(status.last_log_index));
            MemberView {
                lag: status.as_ref().and_then(behind),
                status,
                clock_offset_ms: offsets.get(&member.node).copied(),
                member,
            }
        });
        let members = members.collect::<Vec<_>>();
        let mut problems = problems(leader, &members);
        let log_time = self.node().reader().with(|state| state.meta().now);
        problems.extend(clocks::problem_of_log_time(log_time, &survey));
        let level = self.node().reader().level();
        self.node().reader().with(|state| ClusterView {
            name: self.shared.names.cluster.clone(),
            cluster: self.node().cluster_id(),
            node: self.node().id(),
            leader,
            term: Term(own.term),
            problems,
            members,
            workers: state.worker_counts(),
            tasks: state.task_counts().iter().collect(),
            mass_loss: state.mass_loss().copied(),
            level,
            autopilot,
            orphans: state.orphans().len(),
        })
    }

    /// Returns this master's account of itself. Raft believes in a leader for longer than its lease:
    /// the lease is what counts.
    fn own_status(&self) -> PeerStatus {
        let own = self.node().local_status();
        let has_lost_lease = own.leader == Some(own.node) && !self.is_leading();
        let role = if has_lost_lease { Role::Candidate } else { own.role };
        self.node().describe(&LocalStatus { role, ..own })
    }

    /// Ends the slow requeueing after a mass loss.
    pub(crate) async fn acknowledge_mass_loss(
        &self,
        by: &Caller,
    ) -> Result<Answer<Option<MassLoss>>, Problem> {
        let mark = self.order(Command::AcknowledgeMassLoss, by).await?.mark;
        self.reach(Reading::default()).await?;
        // It may be over by now, which is as good.
        Ok(mark.on(self.node().reader().with(|state| state.mass_loss().copied())))
    }

    /// Returns the leader. A stale read needs none.
    pub(crate) async fn leader_status(
        &self,
        reading: Reading,
    ) -> Result<Answer<LeaderView>, Problem> {
        Ok(self.reach(reading).await?.on(self.leader_here().await))
    }

    async fn leader_here(&self) -> LeaderView {
        let leadership = self.leadership();
        let term = leadership.term();
        let (leader, http_address) = match leadership {
            Leadership::Leading { .. } => {
                (Some(self.node().id()), Some(self.shared.names.http_address.clone()))
            }
            Leadership::Following { leader, node, .. } => {
                let mut answers = self.node().peer_statuses().await;
                let answer = answers.remove(&node).flatten();
                (Some(leader), answer.map(|answer| answer.http_address))
            }
            Leadership::Leaderless { .. } => (None, None),
        };
        LeaderView {
            leader,
            address: leader.and_then(|leader| Some(self.node().member(leader)?.address)),
            term,
            http_address,
        }
    }

    /// Returns the latest terms of leadership, newest first.
    pub(crate) async fn leader_history(
        &self,
        reading: Reading,
    ) -> Result<Answer<Vec<TermView>>, Problem> {
        let mark = self.reach(reading).await?;
        let records = self
            .node()
            .reader()
            .with(|state| state.leaders().cloned().collect::<Vec<LeaderRecord>>());
        let ends = records.iter().skip(1).map(|next| Some(convert::rfc3339(next.since)));
        let ends = ends.chain(std::iter::once(None));
        let terms = records.iter().zip(ends).map(|(record, until)| TermView {
            term: record.term.0,
            leader_id: record.leader.0,
            since: convert::rfc3339(record.since),
            until,
            cause: "elected",
            index: record.index.0,
        });
        let mut terms = terms.collect::<Vec<_>>();
        terms.reverse();
        Ok(mark.on(terms))
    }

    /// Hands leadership over; the leader alone can.
    pub(crate) async fn transfer_leader(
        &self,
        to: Option<MasterId>,
    ) -> Result<Answer<LeaderView>, Problem> {
        let transferred = self.node().transfer_leader(to).await;
        transferred.map_err(|error| refusal::of_transfer(&error))?;
        Ok(self.mark().on(self.leader_here().await))
    }

    /// Checks whether requests may be sent here, and if not, why.
    pub(crate) async fn readiness(&self) -> Readiness {
        let knows_leader = match self.leadership() {
            Leadership::Leading { .. } | Leadership::Following { .. } => true,
            Leadership::Leaderless { .. } => false,
        };
        let is_staying = !self.stopping().is_cancelled();
        let is_caught_up = knows_leader && is_staying && self.is_caught_up().await;
        Readiness { knows_leader, is_caught_up, is_staying }
    }

    async fn is_caught_up(&self) -> bool {
        let read = tokio::time::timeout(PROBE_TIMEOUT, self.node().linearize()).await;
        matches!(read, Ok(Ok(_)))
    }

    /// Returns the number of entries by which this master is behind its leader; none unless it
    /// follows one that answers.
    pub(crate) async fn follower_lag(&self) -> Option<u64> {
        let leader = match self.leadership() {
            Leadership::Following { node, .. } => node,
            Leadership::Leading { .. } | Leadership::Leaderless { .. } => return None,
        };
        let answer = self.node().peer_statuses().await.remove(&leader).flatten()?;
        let applied = self.node().reader().applied().index.0;
        Some(answer.commit_index.saturating_sub(applied))
    }
}

fn problems(leader: Option<MasterId>, members: &[MemberView]) -> Vec<String> {
    let mut problems = Vec::new();
    if leader.is_none() {
        problems.push("there is no leader".to_owned());
    }

    let voters = members.iter().filter(|view| view.member.is_voter);
    let reachable = voters.clone().filter(|view| view.status.is_some()).count();
    let voters = voters.count();
    if reachable <= voters / 2 {
        problems.push(format!("only {reachable} of {voters} voters can be reached: no quorum"));
    }

    for view in members {
        let id = view.member.name;
        if view.status.is_none() {
            problems.push(format!("master {id} cannot be reached"));
        } else if let Some(lag) = view.lag.filter(|lag| *lag > LAG_MAX) {
            problems.push(format!("master {id} is {lag} entries behind"));
        }
        problems.extend(view.scarce_bytes().map(|free| {
            format!("the disk of master {id} has {free} bytes left, below its limits.disk_free_min")
        }));
        problems.extend(view.clock_offset_ms.and_then(|offset| clocks::problem_of(id, offset)));
    }
    problems
}

#[cfg(test)]
mod tests {
    use raft_store::{Member, NodeId};

    use super::*;

    fn member(id: u64, is_reachable: bool) -> MemberView {
        let (node, name, address) = (NodeId(id), MasterId(id), format!("127.0.0.1:700{id}"));
        MemberView {
            member: Member { node, name, address, zone: None, is_voter: true },
            status: is_reachable.then(PeerStatus::default),
            lag: is_reachable.then_some(0),
            clock_offset_ms: None,
        }
    }

    #[test]
    fn a_cluster_with_all_its_members_has_no_problems() {
        let members = [member(1, true), member(2, true), member(3, true)];
        assert_eq!(problems(Some(MasterId(1)), &members), [""; 0]);
    }

    #[test]
    fn a_cluster_says_what_is_wrong_with_it() {
        let members = [member(1, true), member(2, false), member(3, false)];
        assert_eq!(
            problems(None, &members),
            [
                "there is no leader",
                "only 1 of 3 voters can be reached: no quorum",
                "master 2 cannot be reached",
                "master 3 cannot be reached",
            ]
        );
        let behind = MemberView { lag: Some(LAG_MAX + 1), ..member(3, true) };
        assert_eq!(
            problems(Some(MasterId(1)), &[member(1, true), member(2, true), behind]),
            ["master 3 is 10001 entries behind"]
        );
        let status = PeerStatus { free_bytes: Some(7), disk_free_min: 8, ..PeerStatus::default() };
        let full = MemberView { status: Some(status), ..member(3, true) };
        assert_eq!(
            problems(Some(MasterId(1)), &[member(1, true), member(2, true), full]),
            ["the disk of master 3 has 7 bytes left, below its limits.disk_free_min"]
        );
    }
}
