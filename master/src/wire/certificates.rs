//! Certificates as messages.

use cluster_state::{HolderId, LogIndex};
use credentials::{CertificateRequest, Secret};
use proto::certificate_client::HeldIssuers;
use proto::convert::{self, Invalid};
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;

use crate::ids;
use crate::issuer::hexadecimal;
use crate::operations::{
    CertificateOrder, CertificateView, IssuedChain, NewIssuer, NextStep, RotationOrder,
    RotationView, TrustView, View,
};

/// Reads a worker's order.
pub(crate) fn certificate_order(
    message: &v1::IssueCertificateRequest,
) -> Result<CertificateOrder, Problem> {
    let worker = ids::worker(&message.worker_id)?;
    let token = convert::join_token(&message.join_token).map_err(Problem::from)?;
    let request = CertificateRequest::read(&message.request).map_err(|error| {
        Problem::new(ErrorKind::Malformed, error.to_string()).with_outcome(Outcome::Rejected)
    })?;
    Ok(CertificateOrder { worker, request, token })
}

/// Converts a certificate that was issued.
pub(crate) fn certificate_issued(
    IssuedChain { chain, roots }: IssuedChain,
) -> v1::CertificateIssued {
    v1::CertificateIssued { chain, roots }
}

/// Reads an issuer that is handed over.
pub(crate) fn new_issuer(message: v1::AdoptIssuerRequest) -> NewIssuer {
    let v1::AdoptIssuerRequest { roots, certificate, key, force } = message;
    NewIssuer { roots, certificate, key: Secret::new(key), force }
}

/// Reads the holder whose certificates are revoked.
pub(crate) fn holder(message: &v1::RevokeCertificatesRequest) -> Result<HolderId, Problem> {
    let text = format!("{}/{}", message.role, message.name);
    let parsed: Result<HolderId, Invalid> = convert::id("/name", &text);
    Ok(parsed?)
}

/// Converts the state of certificates.
pub(crate) fn certificate_status(view: CertificateView) -> v1::CertificateStatus {
    let CertificateView { issuer, masters, holders, revoked, rotation } = view;
    let described = |pem: &str| -> Vec<v1::AuthorityCertificate> {
        let described = credentials::describe(pem).unwrap_or_default();
        described.into_iter().map(authority).collect()
    };
    v1::CertificateStatus {
        roots: issuer.as_ref().map(|one| described(&one.roots)).unwrap_or_default(),
        issuer: issuer.as_ref().and_then(|one| described(&one.certificate).into_iter().next()),
        adopted_at: issuer.as_ref().map(|one| convert::rfc3339(one.adopted_at)),
        masters: masters
            .into_iter()
            .map(|(id, holds_key)| v1::IssuingMaster { master_id: id.to_string(), holds_key })
            .collect(),
        holders: u32::try_from(holders).unwrap_or(u32::MAX),
        revoked,
        rotation: rotation.map(|view| match view {
            View::Own(own) => own_rotation(own),
            View::Leaders(status) => status,
        }),
    }
}

/// Converts the progress of a change of the authority.
pub(crate) fn own_rotation(view: RotationView) -> v1::RotationStatus {
    let RotationView { rotation, masters, workers, waiting_for } = view;
    let root = |of: &cluster_state::AuthorityRecord| {
        let digest = hexadecimal(&of.root.digest);
        let described = credentials::describe(&of.roots).unwrap_or_default();
        described.into_iter().find(|one| one.digest == digest).map(authority)
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let waiting_for = waiting_for.into_iter().map(|(holder, reason)| v1::RotationStraggler {
        holder: holder.to_string(),
        reason: reason.to_owned(),
    });
    v1::RotationStatus {
        phase: rotation.phase.name().to_owned(),
        from: root(&rotation.from),
        to: root(&rotation.to),
        masters: count(masters.all),
        masters_done: count(masters.done),
        workers: count(workers.all),
        workers_done: count(workers.done),
        waiting_for: waiting_for.collect(),
        id: rotation.id.0,
    }
}

/// Converts the issuers whose keys a master holds.
pub(crate) fn held_issuers(held: HeldIssuers) -> v1::HoldsIssuerKeyResponse {
    let HeldIssuers { digest, other, trust_version, root } = held;
    v1::HoldsIssuerKeyResponse {
        digest: digest.into(),
        other: other.into(),
        trust_version,
        root: root.into(),
    }
}

/// Converts what the cluster trusts.
pub(crate) fn roots(view: TrustView) -> v1::Roots {
    let TrustView { record, added, dropped, issuing, renew_within_ms } = view;
    let endorsement = record.rotation.as_ref().map(|rotation| rotation.issuing().0);
    v1::Roots {
        version: record.index.0,
        added,
        dropped,
        issuing: issuing.unwrap_or_default(),
        endorsement: endorsement.map(|of| of.endorsement.clone()).unwrap_or_default(),
        renew_within_ms,
        pem: record.roots,
    }
}

/// Reads a step of a change of the authority.
pub(crate) fn rotation_order(
    message: v1::RotateAuthorityRequest,
) -> Result<RotationOrder, Problem> {
    let malformed =
        |detail: &str| Problem::new(ErrorKind::Malformed, detail).with_outcome(Outcome::Rejected);
    let v1::RotateAuthorityRequest { step, issuer, force, rotation } = message;
    let meant = |step| RotationOrder::Step { rotation: LogIndex(rotation), step, force };
    match v1::RotationStep::try_from(step) {
        Ok(v1::RotationStep::Begin) => {
            let issuer = issuer.ok_or_else(|| malformed("/issuer: is missing"))?;
            Ok(RotationOrder::Begin(new_issuer(issuer)))
        }
        Ok(v1::RotationStep::Proceed) => Ok(meant(NextStep::Proceed)),
        Ok(v1::RotationStep::Finish) => Ok(meant(NextStep::Finish)),
        Ok(v1::RotationStep::Abort) => Ok(meant(NextStep::Abort)),
        Ok(v1::RotationStep::Unspecified) | Err(_) => Err(malformed("/step: is no step")),
    }
}

fn authority(one: credentials::Description) -> v1::AuthorityCertificate {
    v1::AuthorityCertificate {
        subject: one.subject,
        digest: one.digest,
        not_after: humantime::format_rfc3339_seconds(one.not_after).to_string(),
    }
}
