//! Certificates: issued to those who may have them, and revoked. The log decides who has a name; the
//! master that was asked signs, because each holds the issuer's key.

use cluster_state::{
    Command, ForgetWorker, Grounds, HolderId, IssueCertificate, IssuerRecord, MasterId,
    RevokeCertificates, Serial, ShownCertificate, Timestamp, TokenId, WorkerId,
};
use credentials::{Certificate, CertificateRequest, Host, Identity, IssueError, Role, Secret};
use proto::problem::{ErrorKind, Outcome, Problem};
use rand::RngExt;

use super::{Answer, Operations};
use crate::access::{Caller, Origin, Principal};
use crate::issuer::{Held, Issuer, hexadecimal, timestamp};
use crate::leader::admission::digest;

/// Shortest time between two certificates of one holder: whoever asks in a loop fills the log.
const PAUSE_BETWEEN: u64 = 1_000;
/// Letters of a serial number's first byte that are always the same: it is never negative, and never
/// shorter.
pub(super) const SERIAL_FIRST: u8 = 0x40;

/// A worker's order for a certificate.
#[derive(Debug)]
pub(crate) struct CertificateOrder {
    pub(crate) worker: WorkerId,
    pub(crate) request: CertificateRequest,
    /// A join token and its secret.
    pub(crate) token: Option<(TokenId, String)>,
}

/// A certificate that was issued.
#[derive(Debug)]
pub(crate) struct IssuedChain {
    /// The certificate, and the issuer's after it.
    pub(crate) chain: String,
    /// Certificates that everybody trusts.
    pub(crate) roots: String,
}

impl Operations {
    /// Returns the issuer of certificates, as far as it is on this master.
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.shared.issuer
    }

    /// Returns the record of the issuer that the cluster has adopted.
    pub(crate) fn issuer_record(&self) -> Result<IssuerRecord, Problem> {
        let record = self.node().reader().with(|state| state.issuer().cloned());
        record.ok_or_else(|| Problem::from(&cluster_state::Rejection::NoIssuer))
    }

    /// Returns the digest by which workers know the cluster, if it issues certificates.
    pub(super) fn root_digest(&self) -> Option<String> {
        let record = self.issuer_record().ok()?;
        if let Some(rotation) = &record.rotation {
            return Some(hexadecimal(&rotation.issuing().0.root.digest));
        }
        if let Some(held) = self.issuer().held_of(&record.digest) {
            return Some(held.authority.digest());
        }
        let roots = credentials::describe(&record.roots).ok()?;
        roots.into_iter().next().map(|root| root.digest)
    }

    /// Issues a certificate to a worker that shows one, or presents a join token for a free name.
    pub(crate) async fn issue_certificate(
        &self,
        order: CertificateOrder,
        (by, origin): (&Caller, &Origin),
    ) -> Result<Answer<IssuedChain>, Problem> {
        check_secured(origin)?;
        let is_revoked = |shown| self.node().reader().with(|state| state.is_revoked(shown));
        if origin.certificate.as_deref().is_some_and(is_revoked) {
            let detail = "the certificate was revoked".to_owned();
            return Err(refused(ErrorKind::Unauthenticated, detail));
        }
        let CertificateOrder { worker, request, token } = order;
        let grounds = match (token, by.principal(), &origin.certificate) {
            (Some((id, secret)), _, _) => {
                self.check_join_token(&id, &secret)?;
                Grounds::JoinToken { token: id, digest: digest(&secret) }
            }
            (None, Principal::Worker(own), Some(shown)) if *own == worker => {
                Grounds::Certificate(ShownCertificate::clone(shown))
            }
            (None, principal, _) => {
                let detail = format!(
                    "{principal} may have no certificate for worker '{worker}': show its own, or a \
                     join token"
                );
                return Err(refused(ErrorKind::Forbidden, detail));
            }
        };
        let held = self.holding()?;
        let holder = Identity::new(held.authority.cluster(), Role::Worker, worker.as_str());
        let holder = holder.map_err(|error| refused(ErrorKind::InvalidValue, error.to_string()))?;
        let id = HolderId::of_worker(&worker);
        self.certify(&held, (&holder, id), &[], &request, grounds).await
    }

    /// Renews the certificate of this master, for the same hosts.
    pub(crate) async fn renew_own_certificate(
        &self,
        own: &Certificate,
        hosts: &[Host],
        request: &CertificateRequest,
    ) -> Result<IssuedChain, Problem> {
        let held = self.holding()?;
        let id = HolderId::of_master(self.node().id());
        let grounds = Grounds::Certificate(ShownCertificate {
            holder: id.clone(),
            serial: own.serial.clone(),
            not_before: timestamp(own.not_before),
        });
        Ok(self.certify(&held, (&own.identity, id), hosts, request, grounds).await?.body)
    }

    async fn certify(
        &self,
        held: &Held,
        (holder, id): (&Identity, HolderId),
        hosts: &[Host],
        request: &CertificateRequest,
        grounds: Grounds,
    ) -> Result<Answer<IssuedChain>, Problem> {
        self.check_pace(&id)?;
        let now = credentials::now();
        let end = held.authority.end_of(self.issuer().life(), now).map_err(|e| unusable(&e))?;
        let serial = draw_serial();
        let command = Command::IssueCertificate(IssueCertificate {
            holder: id,
            issuer: held.digest,
            serial,
            key: request.key_digest(),
            not_after: timestamp(end),
            grounds,
        });
        let mark = self.propose(&command).await?.mark;
        let chain = held.authority.certify(request, (holder, hosts), &serial, (now, end));
        let chain = chain.map_err(|error| internal(&error))?;
        tracing::info!(%holder, "a certificate was issued");
        Ok(mark.on(IssuedChain { chain, roots: self.issuer_record()?.roots }))
    }

    /// Returns the cluster's issuer, if this master can issue.
    pub(super) fn holding(&self) -> Result<Held, Problem> {
        let record = self.issuer_record()?;
        self.issuer().held_of(&record.digest).ok_or_else(|| {
            let detail = "this master does not hold the key of the cluster's issuer yet: ask another \
                          master, or wait";
            refused(ErrorKind::NotLeader, detail.to_owned())
        })
    }

    /// Refuses a holder that was issued a certificate a moment ago.
    fn check_pace(&self, id: &HolderId) -> Result<(), Problem> {
        let now = self.node().clock().now();
        let last = self.node().reader().with(|state| {
            let holder = state.holder(id)?;
            holder.issued.last().map(|one| one.issued_at)
        });
        if last.is_some_and(|Timestamp(at)| now.0 < at.saturating_add(PAUSE_BETWEEN)) {
            let detail = format!("{id} was issued a certificate a moment ago");
            return Err(refused(ErrorKind::Overloaded, detail));
        }
        Ok(())
    }

    /// Refuses a join token that is unknown here, expired, or has another secret.
    fn check_join_token(&self, id: &TokenId, secret: &str) -> Result<(), Problem> {
        let (digest, now) = (digest(secret), self.node().clock().now());
        // An ordinary comparison of digests, as when workers register.
        let is_valid = self.node().reader().with(|state| {
            let known = state.token(id);
            known.is_some_and(|known| known.digest == digest && !known.is_expired(now))
        });
        if is_valid {
            return Ok(());
        }
        let token = id.as_str().into();
        Err(Problem::from(&cluster_state::Rejection::InvalidToken { token }))
    }

    /// Revokes what a holder has.
    pub(crate) async fn revoke_certificates(
        &self,
        holder: HolderId,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        let command = Command::RevokeCertificates(RevokeCertificates { holder });
        Ok(self.order(command, by).await?.map(drop))
    }

    /// Removes a worker from the registry, revokes what it has, and frees its name.
    pub(crate) async fn forget_worker(
        &self,
        worker: WorkerId,
        force: bool,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        let command = Command::ForgetWorker(ForgetWorker { worker, force });
        Ok(self.order(command, by).await?.map(drop))
    }

    /// Returns the issuer's key for another master, and for nobody else.
    pub(crate) fn issuer_key(
        &self,
        wanted: &[u8],
        (by, origin): (&Caller, &Origin),
    ) -> Result<Secret, Problem> {
        check_secured(origin)?;
        let is_member = |id: MasterId| self.node().member(id).is_some();
        if !matches!(by.principal(), Principal::Master(id) if is_member(*id)) {
            let detail = "the issuer's key is for masters of the cluster only".to_owned();
            return Err(refused(ErrorKind::Forbidden, detail));
        }
        let held = self.issuer().held_of(wanted).ok_or_else(|| {
            refused(ErrorKind::NotFound, "this master does not hold that key".to_owned())
        })?;
        Ok(held.key)
    }
}

fn draw_serial() -> Serial {
    let mut serial: Serial = rand::rng().random();
    if let Some(first) = serial.first_mut() {
        *first = *first & (SERIAL_FIRST - 1) | SERIAL_FIRST;
    }
    serial
}

pub(super) fn check_secured(origin: &Origin) -> Result<(), Problem> {
    if origin.is_secured {
        return Ok(());
    }
    let detail = "this is done over an encrypted connection only".to_owned();
    Err(refused(ErrorKind::Forbidden, detail))
}

pub(super) fn refused(kind: ErrorKind, detail: String) -> Problem {
    Problem::new(kind, detail).with_outcome(Outcome::Rejected)
}

pub(super) fn unusable(error: &IssueError) -> Problem {
    refused(ErrorKind::InvalidValue, error.to_string())
}

pub(super) fn internal(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(ErrorKind::Internal, error.to_string())
}
