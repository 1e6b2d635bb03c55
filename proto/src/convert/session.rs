//! Converts registrations, in which workers describe themselves to the leader.

use cluster_state::{
    AddressSource, AttemptRef, ClusterId, ConnectWorker, FinishedAttempt, LeaseTimes, Process,
    Specs, StartNumber, Term, TokenId, WorkerId,
};

use super::detail::clip;
use super::worker::check_address;
use super::{Breach, Invalid, attempt_refs, finished_attempts, id};
use crate::v1;

/// A worker's registration, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Cluster to which it belongs, if it has ever met a leader.
    pub cluster: Option<ClusterId>,
    pub worker: WorkerId,
    pub process: Process,
    /// Address under which it is reached, as it says.
    pub address: String,
    /// Origin of the address: advertised or detected.
    pub address_source: AddressSource,
    /// Resources and labels.
    pub specs: Specs,
    /// Attempts whose results are yet to come.
    pub running: Vec<AttemptRef>,
    /// Results that no leader has confirmed yet.
    pub finished: Vec<FinishedAttempt>,
    /// Highest term that it has seen.
    pub term_seen: Term,
    /// Reason that it cannot start programs at present, in its own words.
    pub unfit: Option<String>,
    /// Join token that it presents: the name, and the secret for the leader to check.
    pub token: Option<(TokenId, String)>,
}

impl Registration {
    /// Returns the command that the leader of `term`, who grants it these times, proposes for it.
    #[must_use]
    pub fn into_command(self, term: Term, granted: LeaseTimes) -> ConnectWorker {
        ConnectWorker {
            term,
            worker: self.worker,
            process: self.process,
            address: Some(self.address),
            address_source: self.address_source,
            granted,
            token: self.token.map(|(token, _)| token),
            specs: self.specs,
            unfit: self.unfit,
            running: self.running,
            finished: self.finished,
        }
    }
}

impl TryFrom<v1::RegisterWorkerRequest> for Registration {
    type Error = Invalid;

    fn try_from(wire: v1::RegisterWorkerRequest) -> Result<Self, Invalid> {
        check_address(&wire.address).map_err(|breach| Invalid::malformed("/address", &breach))?;
        let specs = wire.specs.ok_or_else(|| Invalid::malformed("/specs", &Breach::Required))?;
        let cluster = match wire.cluster_id.as_str() {
            "" => None,
            text => Some(id("/cluster_id", text)?),
        };

        Ok(Self {
            cluster,
            worker: id("/worker_id", &wire.worker_id)?,
            process: Process {
                data: id("/data_id", &wire.data_id)?,
                start: StartNumber(wire.start),
                incarnation: id("/incarnation", &wire.incarnation)?,
                sequence: wire.sequence,
            },
            address: wire.address,
            address_source: if wire.address_is_advertised {
                AddressSource::Advertised
            } else {
                AddressSource::Detected
            },
            specs: specs.try_into()?,
            running: attempt_refs(wire.running)?,
            finished: finished_attempts(wire.finished)?,
            term_seen: Term(wire.term_seen),
            unfit: wire.unfit.map(unfitness),
            token: join_token(&wire.join_token)?,
        })
    }
}

/// Bounds a worker's reason for not starting programs: the text goes into the replicated log.
#[must_use]
pub fn unfitness(said: String) -> String {
    if said.is_empty() { "the worker gives no reason".to_owned() } else { clip(said) }
}

/// Splits a join token into its name, before the dot, and its secret. What follows another dot is
/// the digest by which the worker knows the cluster.
///
/// # Errors
///
/// When it has no name, or no secret.
pub fn join_token(text: &str) -> Result<Option<(TokenId, String)>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || Invalid::malformed("/join_token", &Breach::JoinToken);
    let (name, secret) = text.split_once('.').ok_or_else(invalid)?;
    let name = name.parse::<TokenId>().map_err(|_| invalid())?;
    let secret = secret.split_once('.').map_or(secret, |(secret, _)| secret);
    Ok(Some((name, secret.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cluster_state::{DataId, Incarnation};

    use super::*;

    fn request() -> v1::RegisterWorkerRequest {
        v1::RegisterWorkerRequest {
            cluster_id: String::new(),
            worker_id: "worker-1".to_owned(),
            incarnation: Incarnation(7).to_string(),
            address: "127.0.0.1:7201".to_owned(),
            specs: Some(v1::WorkerSpecs::default()),
            running: vec![v1::AttemptRef { task_id: "t1".to_owned(), attempt: 1 }],
            finished: Vec::new(),
            term_seen: 3,
            sequence: 1,
            join_token: String::new(),
            data_id: DataId(5).to_string(),
            start: 2,
            address_is_advertised: false,
            unfit: None,
        }
    }

    const GRANTED: LeaseTimes = LeaseTimes {
        heartbeat_interval: Duration::from_secs(5),
        heartbeat_timeout: Duration::from_secs(30),
        lease: Duration::from_secs(300),
    };

    #[test]
    fn a_worker_that_never_met_a_leader_has_no_cluster() {
        let registration = Registration::try_from(request()).unwrap();
        assert_eq!(registration.cluster, None);
        let process = Process {
            data: DataId(5),
            start: StartNumber(2),
            incarnation: Incarnation(7),
            sequence: 1,
        };
        assert_eq!(registration.process, process);
        let command = registration.into_command(Term(4), GRANTED);
        assert_eq!((command.term, command.running.len()), (Term(4), 1));
        assert_eq!((command.address_source, command.granted), (AddressSource::Detected, GRANTED));
    }

    #[test]
    fn a_join_token_is_a_name_and_a_secret() {
        let token = |text: &str| {
            let request = v1::RegisterWorkerRequest { join_token: text.to_owned(), ..request() };
            Registration::try_from(request).map(|registration| registration.token)
        };
        let expected = Some(("fleet".parse().unwrap(), "s3cret".to_owned()));
        assert_eq!(token("fleet.s3cret"), Ok(expected));
        assert_eq!(token(""), Ok(None));
        assert_eq!(token("no-secret").unwrap_err().faults()[0].pointer, "/join_token");
    }

    #[test]
    fn a_registration_names_what_is_wrong() {
        let pointer = |request: v1::RegisterWorkerRequest| {
            Registration::try_from(request).unwrap_err().faults()[0].pointer.clone()
        };
        let text = || "?".to_owned();
        assert_eq!(
            pointer(v1::RegisterWorkerRequest { cluster_id: text(), ..request() }),
            "/cluster_id"
        );
        assert_eq!(
            pointer(v1::RegisterWorkerRequest { worker_id: text(), ..request() }),
            "/worker_id"
        );
        assert_eq!(
            pointer(v1::RegisterWorkerRequest { incarnation: text(), ..request() }),
            "/incarnation"
        );
        assert_eq!(pointer(v1::RegisterWorkerRequest { data_id: text(), ..request() }), "/data_id");
        assert_eq!(pointer(v1::RegisterWorkerRequest { address: text(), ..request() }), "/address");
        assert_eq!(pointer(v1::RegisterWorkerRequest { specs: None, ..request() }), "/specs");
    }
}
