//! Sees to it that this master holds the key of the cluster's issuer: from its own files, or from
//! another master.

use std::time::Duration;

use cluster_state::IssuerRecord;
use credentials::Secret;
use proto::certificate_client::CertificateClient;
use proto::channel::Dialer;
use raft_store::{Member, Node};
use tokio_util::sync::CancellationToken;

use super::{Held, Issuer, KeyError};

/// Pause between two looks: an issuer is adopted once in years, and masters should be able to issue
/// soon after.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Looks without success after which that is logged again: once in five minutes.
const LOOKS_PER_WARNING: u32 = 300;
/// Looks without success before it is logged: others may be about to get the key.
const LOOKS_BEFORE_WARNING: u32 = 5;

/// Compares what is held with the issuer that the cluster has adopted, until `stop`.
pub(crate) async fn keep_key(issuer: Issuer, node: Node, stop: CancellationToken) {
    let mut missed = 0_u32;
    loop {
        let is_held = tokio::select! {
            () = stop.cancelled() => return,
            is_held = issuer.look(&node) => is_held,
        };
        match is_held {
            Ok(true) => missed = 0,
            Ok(false) => {
                if missed % LOOKS_PER_WARNING == LOOKS_BEFORE_WARNING {
                    tracing::warn!(
                        "this master lacks the key of the cluster's issuer, and no other gives it: it \
                         issues no certificates; give it again with clusterctl tls adopt"
                    );
                }
                missed = missed.wrapping_add(1);
            }
            Err(error) => {
                if missed.is_multiple_of(LOOKS_PER_WARNING) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the key of the issuer cannot be kept");
                }
                missed = missed.wrapping_add(1);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_PAUSE) => {}
        }
    }
}

impl Issuer {
    /// Makes sure that the key of the cluster's issuer is held. Returns false if it cannot be found.
    pub(crate) async fn look(&self, node: &Node) -> Result<bool, KeyError> {
        let record = node.reader().with(|state| state.issuer().cloned());
        // Without certificates of its own a master would have to fetch the key in clear text.
        let Some(record) = record.filter(|_| self.credentials().is_some()) else {
            return Ok(true);
        };
        if self.held_of(&record.digest).is_some() {
            return Ok(true);
        }
        if let Some(held) = self.find(&record).await? {
            self.put(held);
            tracing::info!("this master holds the key of the cluster's issuer");
            return Ok(true);
        }
        for member in node.members().into_iter().filter(|member| member.name != node.id()) {
            let Some(key) = fetch(node.dialer(), &member, &record).await else { continue };
            // Whatever another master says is believed only if it fits the certificate.
            let Ok(held) = Held::open(&record, key) else { continue };
            self.keep(held).await?;
            tracing::info!(from = %member.name, "the key of the cluster's issuer was fetched");
            return Ok(true);
        }
        Ok(false)
    }

    async fn find(&self, record: &IssuerRecord) -> Result<Option<Held>, KeyError> {
        let (files, record) = (self.files().clone(), record.clone());
        let found = tokio::task::spawn_blocking(move || files.find(&record)).await;
        // A look that was cut short by the end of the process finds nothing.
        found.unwrap_or(Ok(None))
    }

    async fn keep(&self, held: Held) -> Result<(), KeyError> {
        let (files, key) = (self.files().clone(), held.key.clone());
        let written = tokio::task::spawn_blocking(move || files.write(&key)).await;
        written.unwrap_or(Ok(()))?;
        self.put(held);
        Ok(())
    }
}

/// Asks another master for the key.
async fn fetch(dialer: &Dialer, member: &Member, record: &IssuerRecord) -> Option<Secret> {
    let client = CertificateClient::new(dialer, &member.address).ok()?;
    match client.fetch_key(&record.digest).await {
        Ok(key) => Some(Secret::new(key)),
        Err(refusal) => {
            tracing::debug!(master = %member.name, %refusal, "it does not give the issuer's key");
            None
        }
    }
}
