//! The change of the authority, as operators order it, and as the leader takes it further.

use cluster_state::{
    AuthorityRecord, BeginRotation, Command, IssuerRecord, LogIndex, Rejection, RootRecord,
    RotateAuthority, Rotation, RotationPhase, RotationStep,
};
use credentials::{Authority, IssueError, joined_roots, roots_without};
use proto::problem::{ErrorKind, Problem};

use super::certificates::{check_secured, refused, unusable};
use super::{Answer, NewIssuer, Operations, Reading, RotationView, View};
use crate::access::{Caller, Origin};
use crate::issuer::{Held, cluster_trust, timestamp};
use crate::peer::forwarded;

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
    /// A step of the change that the operator has seen.
    Step {
        rotation: LogIndex,
        step: NextStep,
        force: bool,
    },
}

/// A step of a change that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NextStep {
    Proceed,
    Finish,
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
        let (rotation, step, force) = match order {
            RotationOrder::Begin(new) => return self.begin_rotation(new, by).await,
            RotationOrder::Step { rotation, step, force } => (rotation, step, force),
        };
        let phase = phase_of(&self.issuer_record()?, rotation)?;
        let step = match (step, phase) {
            (NextStep::Proceed, RotationPhase::Trusting) => {
                if !force {
                    self.check_masters_are_ready(rotation).await?;
                }
                RotationStep::Issue { rotation }
            }
            (NextStep::Proceed, RotationPhase::Issuing) => RotationStep::Issue { rotation },
            // By the time at which this is applied nobody may be ready, and it would count.
            (NextStep::Finish, RotationPhase::Trusting) => {
                return Err(Problem::from(&Rejection::RotationTooEarly));
            }
            (NextStep::Finish, RotationPhase::Issuing) => {
                if !force {
                    self.check_nobody_is_left_behind(rotation).await?;
                }
                RotationStep::Finish { rotation }
            }
            (NextStep::Abort, _) => RotationStep::Abort { rotation },
        };
        let command = Command::RotateAuthority(RotateAuthority { step });
        Ok(self.order(command, by).await?.map(drop))
    }

    async fn begin_rotation(&self, new: NewIssuer, by: &Caller) -> Result<Answer<()>, Problem> {
        let NewIssuer { roots, certificate, key, force: _ } = new;
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
        if to.has_root_key_of(&held.authority) {
            return invalid(
                "the new root has the key of the present one, which would stay good: make a new authority \
                 with clusterctl tls init",
            );
        }
        let chain = self.trial(&to).map_err(|error| unusable(&error))?;
        if let Err(error) = to.check_believed(&chain, credentials::now()) {
            return invalid(&format!("nobody would believe what this authority signs: {error}"));
        }
        let begin = plan(&record, &held, (&to, &roots, certificate));
        let begin = Box::new(begin.map_err(|error| unusable(&error))?);
        let step = RotationStep::Begin(begin);
        let command = Command::RotateAuthority(RotateAuthority { step });
        self.order_with_key((command, false), key, by).await
    }

    /// Refuses to finish while somebody would be locked out.
    async fn check_nobody_is_left_behind(&self, meant: LogIndex) -> Result<(), Problem> {
        let progress = self.progress_of(meant).await?;
        if progress.is_complete_in(RotationPhase::Issuing) {
            return Ok(());
        }
        let detail = match named(&progress.stragglers(), progress.waiting()) {
            None => "the change of the authority is not that far: look at clusterctl tls status"
                .to_owned(),
            Some(named) => format!(
                "{named} would be locked out: wait until clusterctl tls status names nobody, or force it"
            ),
        };
        Err(refused(ErrorKind::Conflict, detail))
    }

    /// Refuses to have the new authority issue while a master would not believe the others any more: it
    /// would hear of nothing from then on, of the change neither.
    async fn check_masters_are_ready(&self, meant: LogIndex) -> Result<(), Problem> {
        let progress = self.progress_of(meant).await?;
        let is_master = |name: &String| name.starts_with("master/");
        let masters = progress.stragglers().into_iter().filter(is_master).collect::<Vec<_>>();
        let Some(named) = named(&masters, progress.masters_waiting()) else { return Ok(()) };
        let detail = format!(
            "{named} would be cut off, without the new root or its issuer's key: wait until clusterctl tls \
             status names no master, or force it, and put the new root into its tls.ca"
        );
        Err(refused(ErrorKind::Conflict, detail))
    }

    /// Returns the progress of a change as the leader sees it, if it is that one.
    async fn progress_of(
        &self,
        meant: LogIndex,
    ) -> Result<View<RotationView, forwarded::RotationStatus>, Problem> {
        let progress = self.rotation_progress().await?;
        progress.filter(|progress| progress.id() == meant).ok_or_else(other_change)
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
        let is_complete =
            progress.is_some_and(|progress| progress.is_complete_in(RotationPhase::Trusting));
        if is_complete {
            let step = RotationStep::Issue { rotation: *id };
            self.propose(&Command::RotateAuthority(RotateAuthority { step })).await?;
        }
        Ok(is_complete)
    }
}

/// Returns the part in which a change is, if it is the one under way.
fn phase_of(record: &IssuerRecord, meant: LogIndex) -> Result<RotationPhase, Problem> {
    match record.rotation.as_deref() {
        None => Err(Problem::from(&Rejection::NoRotation)),
        Some(rotation) if rotation.id == meant => Ok(rotation.phase),
        Some(_) => Err(other_change()),
    }
}

fn other_change() -> Problem {
    let detail = "another change of the authority is under way than the one that this is about, or it goes \
                  the other way: look at clusterctl tls status";
    refused(ErrorKind::Conflict, detail.to_owned())
}

/// Names the first of those who are waited for, and counts the others; nothing where there is nobody.
fn named(waiting: &[String], count: usize) -> Option<String> {
    if count == 0 {
        return None;
    }
    let named = waiting.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = count.saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} others") } else { String::new() };
    Some(format!("{named}{more}"))
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
