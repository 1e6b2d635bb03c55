//! The masters themselves: who they are, how far each has come, who leads.

mod clocks;

use std::collections::BTreeMap;

use cluster_state::{Command, LeaderRecord, Level, MasterId};
use proto::problem::Problem;
use proto::{convert, v1};
use raft_store::{Leadership, Member, Role};
use serde::Serialize;
use std::time::Duration;

use super::{Answer, Operations, Reading};
use crate::refusal;

/// A voter further behind than this is a problem worth telling.
const LAG_MAX: u64 = 10_000;
/// Time that a probe of readiness waits for the leader: less than a load balancer waits for the
/// probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// One term of leadership, as shown.
#[derive(Debug, Serialize)]
pub(crate) struct LeaderTerm {
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
    pub(crate) async fn status(
        &self,
        reading: Reading,
    ) -> Result<Answer<v1::ClusterStatus>, Problem> {
        Ok(self.reach(reading).await?.on(self.status_here().await))
    }

    async fn status_here(&self) -> v1::ClusterStatus {
        let (answers, survey) = self.node().survey().await;
        let own = self.node().local_status();
        let leadership = self.leadership();
        let leader = self.leader();
        let last = leader_last_log(leader, &answers, own.last_log.0, own.id);
        let offsets = survey.offsets();

        let members = self
            .node()
            .members()
            .into_iter()
            .map(|member| match answers.get(&member.id).cloned().flatten() {
                _ if member.id == own.id => self.own_member(member, leadership, last),
                Some(answer) => other_member(member, answer, last),
                None => unreachable_member(member),
            })
            .map(|member| v1::Member {
                clock_offset_ms: offsets.get(&MasterId(member.id)).copied(),
                ..member
            })
            .collect::<Vec<_>>();
        let mut problems = problems(leader, &members);
        let log_time = self.node().reader().with(|state| state.meta().now);
        problems.extend(clocks::problem_of_log_time(log_time, &survey));
        let (workers, tasks) = self.counts();
        v1::ClusterStatus {
            cluster_name: self.shared.names.cluster.clone(),
            cluster_id: self.node().cluster_id().map(|id| id.to_string()),
            node_id: own.id.0,
            leader_id: leader.map(|leader| leader.0),
            term: own.term.0,
            healthy: problems.is_empty(),
            problems,
            members,
            workers,
            tasks,
            mass_loss: self.mass_loss(),
            level: self.node().reader().level().0.into(),
        }
    }

    fn mass_loss(&self) -> Option<v1::MassLoss> {
        self.node().reader().with(|state| state.mass_loss().map(convert::mass_loss))
    }

    /// Ends the slow requeueing after a mass loss.
    pub(crate) async fn acknowledge_mass_loss(&self) -> Result<Answer<v1::MassLoss>, Problem> {
        let mark = self.propose(&Command::AcknowledgeMassLoss).await?.mark;
        self.reach(Reading::default()).await?;
        // It may be over by now, which is as good.
        Ok(mark.on(self.mass_loss().unwrap_or_default()))
    }

    /// Returns the leader. A stale read needs none.
    pub(crate) async fn leader_status(
        &self,
        reading: Reading,
    ) -> Result<Answer<v1::LeaderStatus>, Problem> {
        Ok(self.reach(reading).await?.on(self.leader_here().await))
    }

    async fn leader_here(&self) -> v1::LeaderStatus {
        let leadership = self.leadership();
        let term = leadership.term().0;
        let (leader, http_address) = match leadership {
            Leadership::Leading { .. } => {
                (Some(self.node().id()), Some(self.shared.names.http_address.clone()))
            }
            Leadership::Following { leader, .. } => {
                let mut answers = self.node().peer_statuses().await;
                let answer = answers.remove(&leader).flatten();
                (Some(leader), answer.map(|answer| answer.http_address))
            }
            Leadership::Leaderless { .. } => (None, None),
        };
        v1::LeaderStatus {
            leader_id: leader.map(|leader| leader.0),
            address: leader.and_then(|leader| self.node().member_address(leader)),
            term,
            http_address,
        }
    }

    /// Returns the latest terms of leadership, newest first.
    pub(crate) async fn leader_history(
        &self,
        reading: Reading,
    ) -> Result<Answer<Vec<LeaderTerm>>, Problem> {
        let mark = self.reach(reading).await?;
        let records = self
            .node()
            .reader()
            .with(|state| state.leaders().cloned().collect::<Vec<LeaderRecord>>());
        let ends = records.iter().skip(1).map(|next| Some(convert::rfc3339(next.since)));
        let ends = ends.chain(std::iter::once(None));
        let terms = records.iter().zip(ends).map(|(record, until)| LeaderTerm {
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
    ) -> Result<Answer<v1::LeaderStatus>, Problem> {
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
            Leadership::Following { leader, .. } => leader,
            Leadership::Leading { .. } | Leadership::Leaderless { .. } => return None,
        };
        let answer = self.node().peer_statuses().await.remove(&leader).flatten()?;
        let applied = self.node().reader().applied().index.0;
        Some(answer.commit_index.saturating_sub(applied))
    }

    fn own_member(&self, member: Member, leadership: Leadership, last: Option<u64>) -> v1::Member {
        let own = self.node().local_status();
        // Raft believes in a leader for longer than its lease: the lease is what counts.
        let has_lost_lease = own.leader == Some(own.id) && !leadership.is_leading();
        let role = if has_lost_lease { Role::Candidate } else { own.role };
        v1::Member {
            id: own.id.0,
            address: member.address,
            role: v1::MasterRole::from(role).into(),
            term: Some(own.term.0),
            last_log_index: Some(own.last_log.0),
            commit_index: Some(own.committed.0),
            applied_index: Some(own.applied.0),
            lag: last.map(|last| last.saturating_sub(own.last_log.0)),
            snapshot_index: own.snapshot.map(|snapshot| snapshot.0),
            reachable: true,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            voter: member.is_voter,
            free_bytes: self.node().free_bytes(),
            http_address: Some(self.shared.names.http_address.clone()),
            clock_offset_ms: None,
            level_max: Some(Level::NEWEST.0.into()),
        }
    }

    fn counts(&self) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        self.node().reader().with(|state| {
            let workers = state.worker_counts().into_iter();
            let workers = workers.map(|(state, count)| (state.to_string(), count)).collect();
            let tasks = state.task_counts().iter();
            let tasks = tasks.map(|(kind, count)| (kind.to_string(), count)).collect();
            (workers, tasks)
        })
    }
}

/// Returns the last entry of the leader, against which everybody's lag is measured.
fn leader_last_log(
    leader: Option<MasterId>,
    answers: &BTreeMap<MasterId, Option<v1::NodeStatusResponse>>,
    own_last_log: u64,
    own: MasterId,
) -> Option<u64> {
    let leader = leader?;
    if leader == own {
        return Some(own_last_log);
    }
    answers.get(&leader)?.as_ref().map(|answer| answer.last_log_index)
}

fn other_member(member: Member, answer: v1::NodeStatusResponse, last: Option<u64>) -> v1::Member {
    v1::Member {
        id: member.id.0,
        address: member.address,
        role: answer.role,
        term: Some(answer.term),
        last_log_index: Some(answer.last_log_index),
        commit_index: Some(answer.commit_index),
        applied_index: Some(answer.applied_index),
        lag: last.map(|last| last.saturating_sub(answer.last_log_index)),
        snapshot_index: answer.snapshot_index,
        reachable: true,
        version: Some(answer.version),
        voter: member.is_voter,
        free_bytes: answer.free_bytes,
        http_address: Some(answer.http_address),
        clock_offset_ms: None,
        level_max: Some(answer.level_max),
    }
}

fn unreachable_member(member: Member) -> v1::Member {
    v1::Member {
        id: member.id.0,
        address: member.address,
        role: v1::MasterRole::Unknown.into(),
        voter: member.is_voter,
        ..v1::Member::default()
    }
}

fn problems(leader: Option<MasterId>, members: &[v1::Member]) -> Vec<String> {
    let mut problems = Vec::new();
    if leader.is_none() {
        problems.push("there is no leader".to_owned());
    }
    let voters = members.iter().filter(|member| member.voter).count();
    let reachable = members.iter().filter(|member| member.voter && member.reachable).count();
    if reachable <= voters / 2 {
        problems.push(format!("only {reachable} of {voters} voters can be reached: no quorum"));
    }
    for member in members {
        if !member.reachable {
            problems.push(format!("master {} cannot be reached", member.id));
        } else if let Some(lag) = member.lag.filter(|lag| *lag > LAG_MAX) {
            problems.push(format!("master {} is {lag} entries behind", member.id));
        }
        problems.extend(clocks::problem_of(member));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, reachable: bool) -> v1::Member {
        v1::Member { id, reachable, voter: true, lag: Some(0), ..v1::Member::default() }
    }

    #[test]
    fn nothing_is_claimed_of_a_master_that_cannot_be_reached() {
        let (id, address) = (MasterId(2), "127.0.0.1:7002".to_owned());
        let lost = unreachable_member(Member { id, address, is_voter: true });
        let expected = serde_json::json!({
            "id": 2, "address": "127.0.0.1:7002", "role": "unknown", "reachable": false,
            "voter": true, "term": null, "last_log_index": null, "commit_index": null,
            "applied_index": null, "lag": null, "snapshot_index": null, "version": null,
            "http_address": null, "free_bytes": null, "clock_offset_ms": null, "level_max": null,
        });
        assert_eq!(serde_json::to_value(&lost).unwrap(), expected);
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
        let behind = v1::Member { lag: Some(LAG_MAX + 1), ..member(3, true) };
        assert_eq!(
            problems(Some(MasterId(1)), &[member(1, true), member(2, true), behind]),
            ["master 3 is 10001 entries behind"]
        );
    }
}
