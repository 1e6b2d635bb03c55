//! Applies the steps of a rotation. Between its begin and its end nothing is lost: both authorities are on
//! record, and whoever leads goes on from there.

use super::Apply;
use crate::{
    BeginRotation, Change, IssuerRecord, LogIndex, Record, Rejection, Reply, RotateAuthority,
    Rotation, RotationPhase, RotationStep,
};

impl Apply<'_> {
    /// Takes one step of a rotation.
    pub(super) fn rotate_authority(
        &mut self,
        command: RotateAuthority,
    ) -> Result<Reply, Rejection> {
        let known = self.state.issuer().cloned().ok_or(Rejection::NoIssuer)?;
        let next = match command.step {
            RotationStep::Begin(begin) => self.begin_rotation(known, *begin)?,
            RotationStep::Issue { rotation } => match under_way(&known, rotation)? {
                // Whoever leads may have said so before.
                Rotation { phase: RotationPhase::Issuing, .. } => return Ok(Reply::Done),
                begun => self.issue_anew(known, begun),
            },
            RotationStep::Finish { rotation } => {
                let rotation = under_way(&known, rotation)?;
                self.finish_rotation(known, rotation)?
            }
            RotationStep::Abort { rotation } => match under_way(&known, rotation)? {
                Rotation { phase: RotationPhase::Trusting, from, .. } => {
                    let (roots, index) = (from.roots, self.index);
                    IssuerRecord { roots, index, rotation: None, ..known }
                }
                // Certificates of both are in use: it goes the same way back. That is another change:
                // an order about the one before would drop the wrong authority.
                Rotation { phase: RotationPhase::Issuing, from, to, .. } => {
                    let (id, phase) = (self.index, RotationPhase::Issuing);
                    self.issue_anew(known, Rotation { id, phase, from: to, to: from })
                }
            },
        };
        self.state.put_issuer(next.clone());
        self.changes.push(Change::Put(Record::Issuer(next)));
        Ok(Reply::Done)
    }

    fn begin_rotation(
        &self,
        known: IssuerRecord,
        begin: BeginRotation,
    ) -> Result<IssuerRecord, Rejection> {
        let BeginRotation { roots, from, to } = begin;
        if known.rotation.is_some() {
            return Err(Rejection::RotationUnderWay);
        }
        if from.digest != known.digest || from.roots != known.roots {
            return Err(Rejection::OtherIssuer);
        }
        if from.root.digest == to.root.digest {
            return Err(Rejection::invalid("a rotation to the same root"));
        }
        let texts = [&from, &to].map(|one| {
            let texts = [&one.certificate, &one.roots, &one.endorsement];
            texts.iter().map(|text| text.len()).sum::<usize>()
        });
        let bytes_max = self.limits().issuer_bytes_max;
        if texts.iter().sum::<usize>().saturating_add(roots.len()) > bytes_max {
            return Err(Rejection::limit("bytes of the issuer's certificates", bytes_max));
        }
        let still_dropped = known.dropped.iter().filter(|root| root.not_after > self.now);
        let dropped_max = self.limits().dropped_roots_max;
        if still_dropped.count() >= dropped_max {
            return Err(Rejection::limit("roots that count no longer", dropped_max));
        }
        let (id, phase) = (self.index, RotationPhase::Trusting);
        let rotation = Some(Box::new(Rotation { id, phase, from, to }));
        Ok(IssuerRecord { roots, index: self.index, rotation, ..known })
    }

    /// Has the authority issue that is to be left.
    fn issue_anew(&self, known: IssuerRecord, rotation: Rotation) -> IssuerRecord {
        let next = known.issued_by(&rotation.to, (self.now, self.index));
        let rotation = Some(Box::new(Rotation { phase: RotationPhase::Issuing, ..rotation }));
        IssuerRecord { rotation, ..next }
    }

    fn finish_rotation(
        &self,
        known: IssuerRecord,
        rotation: Rotation,
    ) -> Result<IssuerRecord, Rejection> {
        if rotation.phase == RotationPhase::Trusting {
            return Err(Rejection::RotationTooEarly);
        }
        let Rotation { from, to, .. } = rotation;
        let mut dropped = known.dropped;
        dropped.retain(|root| {
            let is_other = root.digest != to.root.digest && root.digest != from.root.digest;
            is_other && root.not_after > self.now
        });
        dropped.push(from.root);
        let (roots, index) = (to.roots, self.index);
        Ok(IssuerRecord { roots, index, dropped, rotation: None, ..known })
    }
}

/// Returns the rotation that is meant, if it is the one under way.
fn under_way(known: &IssuerRecord, meant: LogIndex) -> Result<Rotation, Rejection> {
    let rotation = known.rotation.clone().filter(|rotation| rotation.id == meant);
    rotation.map(|rotation| *rotation).ok_or(Rejection::NoRotation)
}
