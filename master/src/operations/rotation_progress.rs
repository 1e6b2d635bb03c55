//! Tells who is done with the present part of a change of the authority, and for whom it waits.

use cluster_state::{
    Epoch, Fingerprint, HolderId, IssuerRecord, LogIndex, MasterId, Rotation, RotationPhase, State,
    Timestamp,
};
use futures_util::future::join_all;
use proto::certificate_client::{CertificateClient, HeldIssuers};
use proto::problem::{ErrorKind, Problem};
use raft_store::Member;

use super::{Operations, View};
use crate::peer::forwarded;

/// Stragglers that are listed.
const LISTED_MAX: usize = 100;

/// Progress of a change, as the leader sees it.
#[derive(Debug)]
pub(crate) struct RotationView {
    pub(crate) rotation: Box<Rotation>,
    pub(crate) masters: Done,
    pub(crate) workers: Done,
    /// Some of those who are not done, with what they lack.
    pub(crate) waiting_for: Vec<(HolderId, &'static str)>,
}

/// Number of those who are done among all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) all: usize,
    pub(crate) done: usize,
}

/// Demands on everybody in a part of a change.
struct Aim {
    rotation: Box<Rotation>,
    version: LogIndex,
    /// Issuer in use.
    issuer: Fingerprint,
}

/// A worker, as far as a change of the authority looks at it.
struct Candidate {
    holder: HolderId,
    /// Its session, if it is connected.
    session: Option<Epoch>,
    /// Log position of the last certificate that the cluster issued to it, if one is good.
    issued: Option<LogIndex>,
}

impl View<RotationView, forwarded::RotationStatus> {
    /// Returns the number of those who are not done.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Own(own) => own.masters.left() + own.workers.left(),
            Self::Leaders(status) => {
                let masters = status.masters.saturating_sub(status.masters_done);
                let workers = status.workers.saturating_sub(status.workers_done);
                usize::try_from(masters.saturating_add(workers)).unwrap_or(usize::MAX)
            }
        }
    }

    /// Returns the names of some of them.
    pub(crate) fn stragglers(&self) -> Vec<String> {
        match self {
            Self::Own(own) => {
                own.waiting_for.iter().map(|(holder, _)| holder.to_string()).collect()
            }
            Self::Leaders(status) => {
                status.waiting_for.iter().map(|straggler| straggler.holder.clone()).collect()
            }
        }
    }

    /// Returns the number of masters who are not done.
    pub(crate) fn masters_waiting(&self) -> usize {
        match self {
            Self::Own(own) => own.masters.left(),
            Self::Leaders(status) => {
                let left = status.masters.saturating_sub(status.masters_done);
                usize::try_from(left).unwrap_or(usize::MAX)
            }
        }
    }

    /// Returns the change that it is about.
    pub(crate) fn id(&self) -> LogIndex {
        match self {
            Self::Own(own) => own.rotation.id,
            Self::Leaders(status) => LogIndex(status.id),
        }
    }

    /// Returns true if the change is in that part, and nobody is left.
    pub(crate) fn is_complete_in(&self, phase: RotationPhase) -> bool {
        let found = match self {
            Self::Own(own) => own.rotation.phase.name(),
            Self::Leaders(status) => &status.phase,
        };
        found == phase.name() && self.waiting() == 0
    }
}

impl Done {
    fn left(self) -> usize {
        self.all.saturating_sub(self.done)
    }

    fn count(&mut self, lacks: Option<&'static str>) {
        self.all = self.all.saturating_add(1);
        self.done = self.done.saturating_add(usize::from(lacks.is_none()));
    }
}

impl Operations {
    /// Returns how far a change of the authority is, if one is under way; the leader knows.
    pub(crate) async fn rotation_progress(
        &self,
    ) -> Result<Option<View<RotationView, forwarded::RotationStatus>>, Problem> {
        if self.is_leading() {
            return Ok(self.own_rotation_progress().await?.map(View::Own));
        }
        if self.issuer_record().is_ok_and(|record| record.rotation.is_none()) {
            return Ok(None);
        }
        let no_leader = || Problem::new(ErrorKind::NoLeader, "the cluster has no leader");
        let address = self.other_leader_address().ok_or_else(no_leader)?;
        let failed = |error: proto::certificate_client::Refusal| {
            Problem::new(ErrorKind::NoLeader, error.to_string())
        };
        let client = CertificateClient::new(self.node().dialer(), &address).map_err(failed)?;
        let status = client.rotation_progress().await.map_err(failed)?;
        Ok((!status.phase.is_empty()).then_some(View::Leaders(status)))
    }

    /// Returns the same where this master leads.
    pub(crate) async fn own_rotation_progress(&self) -> Result<Option<RotationView>, Problem> {
        if !self.is_leading() {
            return Err(Problem::new(ErrorKind::NotLeader, "this master does not lead"));
        }
        let Ok(IssuerRecord { rotation: Some(rotation), index, digest, .. }) = self.issuer_record()
        else {
            return Ok(None);
        };
        let aim = Aim { rotation, version: index, issuer: digest };
        let (mut masters, mut workers) = (Done::default(), Done::default());
        let mut waiting_for = Vec::new();
        let mut note = |lacks: Option<&'static str>, holder: HolderId| {
            if let Some(lacks) = lacks.filter(|_| waiting_for.len() < LISTED_MAX) {
                waiting_for.push((holder, lacks));
            }
        };
        let members = self.node().members();
        let mut asked =
            join_all(members.iter().map(|member| self.master_lacks(member, &aim))).await;
        asked.sort_unstable_by_key(|(name, _)| *name);
        for (name, lacks) in asked {
            masters.count(lacks);
            note(lacks, HolderId::of_master(name));
        }
        let now = self.node().clock().now();
        for candidate in self.node().reader().with(|state| candidates(state, now)) {
            let lacks = self.worker_lacks(&candidate, &aim);
            workers.count(lacks);
            note(lacks, candidate.holder);
        }
        Ok(Some(RotationView { rotation: aim.rotation, masters, workers, waiting_for }))
    }

    async fn master_lacks(&self, member: &Member, aim: &Aim) -> (MasterId, Option<&'static str>) {
        let answered = if member.node == self.node().node_id() {
            Some(self.held_issuers())
        } else {
            match CertificateClient::new(self.node().dialer(), &member.address) {
                Ok(client) => client.held_issuer().await.ok(),
                Err(_) => None,
            }
        };
        let lacks = match answered {
            None => Some("it does not answer"),
            Some(answer) => aim.lacks(answer.trust_version, &answer.root).or_else(|| {
                // The other one is needed for the way back.
                let held = [answer.digest.as_slice(), answer.other.as_slice()];
                let (issuing, other) = aim.rotation.issuing();
                let wanted = match aim.rotation.phase {
                    RotationPhase::Trusting => vec![aim.issuer, other.digest],
                    RotationPhase::Issuing => vec![issuing.digest],
                };
                let has_all = wanted.iter().all(|digest| held.contains(&digest.as_slice()));
                (!has_all).then_some("it lacks the key of the issuer")
            }),
        };
        (member.name, lacks)
    }

    fn worker_lacks(&self, candidate: &Candidate, aim: &Aim) -> Option<&'static str> {
        let Candidate { holder, session, issued } = candidate;
        let Some(epoch) = session else {
            let has_new = issued.is_some_and(|index| index > aim.version);
            return match aim.rotation.phase {
                RotationPhase::Trusting => Some("it is offline, and trusts the one before alone"),
                RotationPhase::Issuing if has_new => None,
                RotationPhase::Issuing => {
                    Some("it is offline, with a certificate of the authority before")
                }
            };
        };
        let worker = holder.worker()?;
        match self.sessions().trust(&worker, *epoch) {
            Some(trust) => {
                let root = trust.root.unwrap_or_default();
                aim.lacks(trust.version, root.as_slice())
            }
            None => Some("it has not said yet what it trusts"),
        }
    }

    /// Returns the issuers whose keys this master holds, and what it trusts.
    pub(crate) fn held_issuers(&self) -> HeldIssuers {
        let record = self.issuer_record().ok();
        let issuer = self.issuer();
        let is_in_use =
            |digest: &Fingerprint| record.as_ref().is_some_and(|one| one.digest == *digest);
        let (current, other): (Vec<_>, Vec<_>) = issuer.held().into_iter().partition(is_in_use);
        let bytes = |digests: Vec<Fingerprint>| {
            digests.first().map(|digest| digest.to_vec()).unwrap_or_default()
        };
        let root = issuer.credentials().and_then(credentials::Credentials::root);
        HeldIssuers {
            digest: bytes(current),
            other: bytes(other),
            trust_version: issuer.trust_version(),
            root: root.map(|root| root.to_vec()).unwrap_or_default(),
        }
    }
}

/// Returns the workers that are connected, and those that may come back with a certificate, whether they
/// are registered or not.
fn candidates(state: &State, now: Timestamp) -> Vec<Candidate> {
    let registered = state.workers().filter_map(|worker| {
        let holder = HolderId::of_worker(&worker.id);
        let issued = state.holder(&holder).filter(|known| known.is_bound(now));
        let issued = issued.map(|known| known.index);
        let session = worker.is_active().then_some(worker.epoch);
        let counts = session.is_some() || issued.is_some();
        counts.then_some(Candidate { holder, session, issued })
    });
    let unregistered = state.holders().filter(|known| known.is_bound(now)).filter_map(|known| {
        let worker = known.id.worker().filter(|worker| state.worker(worker).is_none())?;
        let holder = HolderId::of_worker(&worker);
        Some(Candidate { holder, session: None, issued: Some(known.index) })
    });
    registered.chain(unregistered).collect()
}

impl Aim {
    /// Says what somebody lacks who trusts this version and has a certificate under this root.
    fn lacks(&self, version: u64, root: &[u8]) -> Option<&'static str> {
        if version != self.version.0 {
            return Some("it does not trust both authorities yet");
        }
        let is_old = root.is_empty() || root == self.rotation.from.root.digest;
        match self.rotation.phase {
            RotationPhase::Issuing if is_old => Some("its certificate is of the authority before"),
            RotationPhase::Trusting | RotationPhase::Issuing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{
        Command, HolderRecord, IssuedCertificate, Proposal, Record, RegisterWorker,
    };

    use super::*;

    #[test]
    fn whoever_holds_a_certificate_is_waited_for_registered_or_not() {
        let mut state = State::new();
        for (index, name) in (1..).zip(["registered", "certified"]) {
            let worker = name.parse().unwrap();
            let command =
                Command::RegisterWorker(RegisterWorker { worker, address: None, labels: None });
            let proposal = Proposal { proposed_at: Timestamp(0), command };
            state.apply(LogIndex(index), proposal).reply.unwrap();
        }
        let ends = [
            ("worker/certified", 100),
            ("worker/removed", 100),
            ("worker/expired", 50),
            ("master/1", 100),
        ];
        for (holder, not_after) in ends {
            let not_after = Timestamp(not_after);
            let issued_at = Timestamp(0);
            let issued = IssuedCertificate { serial: [1; 16], key: [1; 32], issued_at, not_after };
            state.restore(Record::Holder(HolderRecord {
                id: holder.parse().unwrap(),
                issued: vec![issued],
                revoked: Vec::new(),
                revoked_at: None,
                kept_until: not_after,
                index: LogIndex(3),
            }));
        }
        let found = candidates(&state, Timestamp(50));
        let found = found.iter().map(|one| (one.holder.as_str(), one.session, one.issued));
        let issued = Some(LogIndex(3));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [("worker/certified", None, issued), ("worker/removed", None, issued)]
        );
    }
}
