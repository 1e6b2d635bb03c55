//! The change of the authority, as operators order it, and as the leader takes it further.

use cluster_state::{
    AuthorityRecord, BeginRotation, Command, IssuerRecord, LogIndex, Rejection, RootRecord,
    RotateAuthority, Rotation, RotationPhase, RotationStep,
};
use credentials::{Authority, IssueError, joined_roots, roots_without};
use proto::problem::{ErrorKind, Problem};

use super::certificates::{check_secured, refused, unusable};
use super::{Answer, NewIssuer, Operations, Reading};
use crate::access::{Caller, Origin};
use crate::issuer::{Held, cluster_trust, timestamp};

/// Stragglers that a refusal names.
const NAMED_MAX: usize = 5;
/// Time over which renewals spread, for each holder: fifty a second.
const RENEWAL_MS: u64 = 20;
/// Bounds of that time.
const SPREAD_MS: std::ops::RangeInclusive<u64> = 1_000..=600_000;

/// An operator's order about a change of the authority.
#[derive(Debug)]
pub(crate) enum RotationOrder {
    Begin(NewIssuer),
    Proceed,
    Finish { force: bool },
    Abort,
}

/// Roots that a cluster trusts, for those who are to trust them.
#[derive(Debug)]
pub(crate) struct TrustView {
    pub(crate) record: IssuerRecord,
    /// Those that count as well where a file says what is trusted, in PEM.
    pub(crate) added: String,
    /// Digests of those that count no longer.
    pub(crate) dropped: Vec<String>,
    /// Digest of the root under which certificates are issued.
    pub(crate) issuing: Option<String>,
    pub(crate) renew_within_ms: u64,
}

impl Operations {
    /// Returns the version of what the cluster trusts; zero while it issues no certificates.
    pub(crate) fn trust_version(&self) -> u64 {
        self.node().reader().with(|state| state.issuer().map_or(0, |known| known.index.0))
    }

    /// Returns what the cluster trusts.
    pub(crate) fn trust(&self) -> Result<TrustView, Problem> {
        let record = self.issuer_record()?;
        let holders = self.node().reader().with(|state| state.holders().len());
        let spread = u64::try_from(holders).unwrap_or(u64::MAX).saturating_mul(RENEWAL_MS);
        let trust = cluster_trust(&record);
        Ok(TrustView {
            added: trust.added,
            dropped: trust.dropped,
            issuing: self.root_digest(),
            renew_within_ms: spread.clamp(*SPREAD_MS.start(), *SPREAD_MS.end()),
            record,
        })
    }

    /// Begins a change of the authority, or takes its next step.
    pub(crate) async fn rotate_authority(
        &self,
        order: RotationOrder,
        over: &Origin,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        check_secured(over)?;
        self.reach(Reading::default()).await?;
        let (force, step): (bool, fn(LogIndex) -> RotationStep) = match order {
            RotationOrder::Begin(new) => return self.begin_rotation(new, by).await,
            RotationOrder::Proceed => (true, |rotation| RotationStep::Issue { rotation }),
            RotationOrder::Finish { force } => {
                (force, |rotation| RotationStep::Finish { rotation })
            }
            RotationOrder::Abort => (true, |rotation| RotationStep::Abort { rotation }),
        };
        let rotation = self.issuer_record()?.rotation;
        let rotation = rotation.ok_or_else(|| Problem::from(&Rejection::NoRotation))?;
        if !force && rotation.phase == RotationPhase::Issuing {
            self.check_nobody_is_left_behind().await?;
        }
        let command = Command::RotateAuthority(RotateAuthority { step: step(rotation.id) });
        Ok(self.order(command, by).await?.map(drop))
    }

    async fn begin_rotation(&self, new: NewIssuer, by: &Caller) -> Result<Answer<()>, Problem> {
        let NewIssuer { roots, certificate, key } = new;
        let to = Authority::open(&roots, &certificate, &key).map_err(|error| unusable(&error))?;
        let invalid = |detail: &str| Err(refused(ErrorKind::InvalidValue, detail.to_owned()));
        let record = self.issuer_record()?;
        if record.rotation.is_some() {
            return Err(Problem::from(&Rejection::RotationUnderWay));
        }
        let held = self.holding()?;
        if to.cluster() != held.authority.cluster() {
            return invalid(&format!(
                "this authority is of {}, and the cluster of {}: make it with the same --cluster",
                to.cluster(),
                held.authority.cluster()
            ));
        }
        if to.root_digest() == held.authority.root_digest() {
            return invalid(
                "the cluster trusts this root already: give it the new issuer with clusterctl tls adopt",
            );
        }
        let begin = plan(&record, &held, (&to, &roots, certificate));
        let begin = Box::new(begin.map_err(|error| unusable(&error))?);
        let step = RotationStep::Begin(begin);
        self.order_with_key(Command::RotateAuthority(RotateAuthority { step }), key, by).await
    }

    /// Refuses to finish while somebody would be locked out.
    async fn check_nobody_is_left_behind(&self) -> Result<(), Problem> {
        let Some(progress) = self.rotation_progress().await? else { return Ok(()) };
        let waiting = progress.stragglers();
        let count = progress.waiting();
        if count == 0 {
            return Ok(());
        }
        let named = waiting.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = count.saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} others") } else { String::new() };
        Err(refused(
            ErrorKind::Conflict,
            format!(
                "{named}{more} would be locked out: wait until clusterctl tls status names nobody, or \
                 force it"
            ),
        ))
    }

    /// Has the new authority issue once everybody trusts both, if this master leads. Returns true if
    /// that was ordered.
    pub(crate) async fn advance_rotation(&self) -> Result<bool, Problem> {
        let rotation = self.issuer_record().ok().and_then(|record| record.rotation);
        let Some(Rotation { id, phase: RotationPhase::Trusting, .. }) = rotation.as_deref() else {
            return Ok(false);
        };
        if !self.is_leading() {
            return Ok(false);
        }
        let progress = self.rotation_progress().await?;
        // The state may have changed meanwhile: the order names the change that it is about.
        let is_complete = progress.is_some_and(|progress| progress.is_complete_in("trusting"));
        if is_complete {
            let step = RotationStep::Issue { rotation: *id };
            self.propose(&Command::RotateAuthority(RotateAuthority { step })).await?;
        }
        Ok(is_complete)
    }
}

/// Puts on record what each authority needs, whichever is left in the end.
fn plan(
    record: &IssuerRecord,
    held: &Held,
    (to, roots, certificate): (&Authority, &str, String),
) -> Result<BeginRotation, IssueError> {
    let (from, now) = (&held.authority, credentials::now());
    // It is in the text: the authority was opened from it.
    let root = to.root_of(roots).unwrap_or_default();
    let record_of = |one: &Authority| -> Result<RootRecord, IssueError> {
        let not_after = timestamp(one.root_not_after()?);
        Ok(RootRecord { digest: one.root_digest(), not_after })
    };
    Ok(BeginRotation {
        roots: joined_roots(&record.roots, &root),
        from: AuthorityRecord {
            root: record_of(from)?,
            certificate: record.certificate.clone(),
            digest: record.digest,
            not_after: record.not_after,
            roots: record.roots.clone(),
            endorsement: to.endorse(from, now)?,
        },
        to: AuthorityRecord {
            root: record_of(to)?,
            certificate,
            digest: to.issuer_digest()?,
            not_after: timestamp(to.not_after()),
            roots: joined_roots(&roots_without(&record.roots, &from.digest()), &root),
            endorsement: from.endorse(to, now)?,
        },
    })
}
