//! `tls adopt`, `tls status` and `tls revoke`: certificates that the cluster issues.

use std::path::Path;

use credentials::Role;
use proto::v1;

use super::Context;
use crate::authority::AuthorityDir;
use crate::failure::Failure;
use crate::output;

/// Gives the cluster the issuer of an authority.
pub(super) async fn adopt(context: &Context, dir: &Path) -> Result<(), Failure> {
    if context.trust.is_none() {
        return Err(Failure::KeyInClearText);
    }
    let authority = AuthorityDir::open(dir)?;
    let (certificate, key) = AuthorityDir::issuer(dir)?;
    let request = v1::AdoptIssuerRequest {
        roots: authority.root().to_owned(),
        certificate,
        key: key.reveal().to_owned(),
    };
    context.client()?.adopt_issuer(request).await?;
    context.output.message(format_args!(
        "the cluster issues certificates now; create join tokens for workers anew: clusterctl token create"
    ));
    Ok(())
}

/// Shows the issuer, the masters that hold its key, and what is revoked.
pub(super) async fn status(context: &Context) -> Result<(), Failure> {
    let status = context.client()?.certificate_status().await?;
    context.output.data(&status, output::certificates)
}

/// Revokes what a holder has.
pub(super) async fn revoke(context: &Context, role: Role, name: String) -> Result<(), Failure> {
    let holder = format!("{role}/{name}");
    let request = v1::RevokeCertificatesRequest { role: role.to_string(), name };
    context.client()?.revoke_certificates(request).await?;
    context.output.message(format_args!("the certificates of {holder} are revoked"));
    Ok(())
}
