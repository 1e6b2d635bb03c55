//! Certificates as messages.

use cluster_state::HolderId;
use credentials::{CertificateRequest, Secret};
use proto::convert::{self, Invalid};
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;

use crate::ids;
use crate::operations::{CertificateOrder, CertificateView, IssuedChain, NewIssuer};

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
    let v1::AdoptIssuerRequest { roots, certificate, key } = message;
    NewIssuer { roots, certificate, key: Secret::new(key) }
}

/// Reads the holder whose certificates are revoked.
pub(crate) fn holder(message: &v1::RevokeCertificatesRequest) -> Result<HolderId, Problem> {
    let text = format!("{}/{}", message.role, message.name);
    let parsed: Result<HolderId, Invalid> = convert::id("/name", &text);
    Ok(parsed?)
}

/// Converts the state of certificates.
pub(crate) fn certificate_status(view: CertificateView) -> v1::CertificateStatus {
    let CertificateView { issuer, masters, holders, revoked } = view;
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
    }
}

fn authority(one: credentials::Description) -> v1::AuthorityCertificate {
    v1::AuthorityCertificate {
        subject: one.subject,
        digest: one.digest,
        not_after: humantime::format_rfc3339_seconds(one.not_after).to_string(),
    }
}
