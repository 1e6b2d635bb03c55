//! Renews the certificate of this master in its place, where the configuration says so.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cluster_state::RotationPhase;
use credentials::{
    CertificateRequest, Credentials, Files, Host, Secret, describe, replace_file, request,
    retry_pause,
};
use proto::problem::{ErrorKind, Problem};
use tokio_util::sync::CancellationToken;

use crate::operations::Operations;

/// Interval at which is looked whether it is time: lives have days.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Mode of a file of certificates.
const MODE: u32 = 0o644;

/// The files that are renewed.
#[derive(Debug, Clone)]
pub(crate) struct OwnFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl From<Files> for OwnFiles {
    fn from(Files { certificate, key, .. }: Files) -> Self {
        Self { certificate, key }
    }
}

/// Renews this master's certificate whenever it is time, until `stop`.
pub(crate) async fn renew_own(
    operations: Operations,
    credentials: Credentials,
    files: OwnFiles,
    stop: CancellationToken,
) {
    let mut failures = 0_u32;
    loop {
        let has_ended =
            credentials.certificate().is_some_and(|held| held.renewed_at() <= credentials::now());
        let is_due = has_ended || is_left_behind(&operations, &credentials);
        let mut pause = LOOK_PAUSE;
        if is_due {
            match renew(&operations, &credentials, &files).await {
                Ok(until) => {
                    failures = 0;
                    let until = humantime::format_rfc3339_seconds(until);
                    tracing::info!(%until, "the certificate of this master was renewed");
                }
                Err(problem) => {
                    pause = retry_pause(failures);
                    failures = failures.saturating_add(1);
                    tracing::warn!(%problem, ?pause, "the certificate of this master was not renewed");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Tells whether the certificate is of an authority that will be gone, and the other one issues.
fn is_left_behind(operations: &Operations, credentials: &Credentials) -> bool {
    let rotation = operations.issuer_record().ok().and_then(|record| record.rotation);
    let issuing = rotation.filter(|rotation| rotation.phase == RotationPhase::Issuing);
    issuing.is_some_and(|rotation| credentials.root() == Some(rotation.from.root.digest))
}

async fn renew(
    operations: &Operations,
    credentials: &Credentials,
    files: &OwnFiles,
) -> Result<SystemTime, Problem> {
    let failed =
        |error: &dyn std::fmt::Display| Problem::new(ErrorKind::Internal, error.to_string());
    let held = credentials.certificate().ok_or_else(|| failed(&"there is no certificate"))?;
    let read = files.clone();
    let read = tokio::task::spawn_blocking(move || {
        let texts =
            (std::fs::read_to_string(&read.certificate), std::fs::read_to_string(&read.key));
        (texts.0, texts.1.map(Secret::new))
    });
    let (chain, key) = read.await.map_err(|error| failed(&error))?;
    let (chain, key) =
        (chain.map_err(|error| failed(&error))?, key.map_err(|error| failed(&error))?);
    let described = describe(&chain).map_err(|error| failed(&error))?;
    let hosts = described.into_iter().next().map(|own| own.hosts).unwrap_or_default();
    let hosts = hosts.iter().map(|host| host.parse()).collect::<Result<Vec<Host>, _>>();
    let hosts = hosts.map_err(|error| failed(&error))?;
    let request = request(&key).and_then(|request| CertificateRequest::read(&request));
    let request = request.map_err(|error| failed(&error))?;

    let issued = operations.renew_own_certificate(&held, &hosts, &request).await?;
    // A file that nobody believes would be in the way of the next start.
    let believed = credentials.check_chain(&issued.chain).map_err(|error| failed(&error))?;
    if believed.identity != held.identity {
        return Err(failed(&format!("it was issued to {}", believed.identity)));
    }
    let path = files.certificate.clone();
    let written = tokio::task::spawn_blocking(move || replace_file(&path, &issued.chain, MODE));
    written.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let seen = credentials.clone();
    let refreshed = tokio::task::spawn_blocking(move || seen.refresh()).await;
    refreshed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    credentials.certificate().map(|held| held.not_after).ok_or_else(|| failed(&"it is gone"))
}
