//! `tls adopt`, `tls status` and `tls revoke`: certificates that the cluster issues.

use std::path::Path;

use credentials::Role;
use proto::v1;

use super::Context;
use crate::args::RotateArgs;
use crate::authority::{AuthorityDir, ROOT};
use crate::failure::Failure;
use crate::output;

/// Gives the cluster the issuer of an authority.
pub(super) async fn adopt(context: &Context, dir: &Path, force: bool) -> Result<(), Failure> {
    if context.trust.is_none() {
        return Err(Failure::KeyInClearText);
    }
    let authority = AuthorityDir::open(dir)?;
    let (certificate, key) = AuthorityDir::issuer(dir)?;
    let request = v1::AdoptIssuerRequest {
        roots: authority.root().to_owned(),
        certificate,
        key: key.reveal().to_owned(),
        force,
    };
    context.client()?.adopt_issuer(request).await?;
    context.output.message(format_args!(
        "the cluster issues certificates now; create join tokens for workers anew: clusterctl token create"
    ));
    Ok(())
}

/// Changes the authority, step by step.
pub(super) async fn rotate(context: &Context, args: &RotateArgs) -> Result<(), Failure> {
    let RotateArgs { dir, proceed, finish, abort: _, force } = args;
    let (step, said) = if let Some(dir) = dir {
        let issuer = issuer_of(context, dir)?;
        let request = v1::RotateAuthorityRequest {
            step: v1::RotationStep::Begin.into(),
            issuer: Some(issuer),
            ..v1::RotateAuthorityRequest::default()
        };
        context.client()?.rotate_authority(request).await?;
        context.output.message(format_args!(
            "the cluster begins to trust both authorities; clusterctl tls status shows how far it is"
        ));
        return Ok(());
    } else if *proceed {
        (v1::RotationStep::Proceed, "the new authority issues certificates now")
    } else if *finish {
        (v1::RotationStep::Finish, "the authority before is gone; create join tokens anew")
    } else {
        (v1::RotationStep::Abort, "the cluster goes back to the authority before")
    };
    // Somebody else may turn the change around meanwhile: the order is about the one that is seen here.
    let client = context.client()?;
    let rotation = client.certificate_status().await?.rotation.map(|rotation| rotation.id);
    let rotation = rotation.unwrap_or_default();
    let request =
        v1::RotateAuthorityRequest { step: step.into(), issuer: None, force: *force, rotation };
    client.rotate_authority(request).await?;
    context.output.message(format_args!("{said}"));
    Ok(())
}

/// Reads the issuer of the authority to come. Whoever sends it must believe masters that it certifies.
fn issuer_of(context: &Context, dir: &Path) -> Result<v1::AdoptIssuerRequest, Failure> {
    let trusted = context.trust.as_ref().ok_or(Failure::KeyInClearText)?.trusted.clone();
    let authority = AuthorityDir::open(dir)?;
    let known = std::fs::read_to_string(&trusted)
        .map_err(|source| Failure::ReadFile { path: trusted.clone(), source })?;
    if credentials::root_of_digest(&known, &authority.authority().digest()).is_none() {
        return Err(Failure::TrustsOldOnly { root: dir.join(ROOT), trusted });
    }
    let (certificate, key) = AuthorityDir::issuer(dir)?;
    let (roots, key) = (authority.root().to_owned(), key.reveal().to_owned());
    Ok(v1::AdoptIssuerRequest { roots, certificate, key, force: false })
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
