//! Sees to it that this master holds the keys that the cluster issues with, from its own files or from
//! another master, and trusts what the cluster does.

use std::time::Duration;

use cluster_state::IssuerRecord;
use credentials::Secret;
use proto::certificate_client::CertificateClient;
use proto::channel::Dialer;
use raft_store::{Member, Node};
use tokio_util::sync::CancellationToken;

use super::{Held, Issuer, KeyError, Wanted};

/// Pause between two looks: an issuer is adopted once in years, and masters should be able to issue
/// soon after.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Looks without success after which that is logged again: once in five minutes.
const LOOKS_PER_WARNING: u32 = 300;
/// Looks without success before it is logged: others may be about to get the key.
const LOOKS_BEFORE_WARNING: u32 = 5;

/// Compares what is held and trusted with what the cluster says, until `stop`.
pub(crate) async fn keep_key(issuer: Issuer, node: Node, stop: CancellationToken) {
    let mut missed = 0_u32;
    loop {
        let look = async {
            let _turn = issuer.adopting().await;
            issuer.look(&node).await
        };
        let is_held = tokio::select! {
            () = stop.cancelled() => return,
            is_held = look => is_held,
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
    /// Makes sure that the keys are held that the cluster issues with, and that what it trusts is
    /// trusted here. Returns false if a key cannot be found. The caller has its turn: see
    /// [`Self::adopting`].
    pub(crate) async fn look(&self, node: &Node) -> Result<bool, KeyError> {
        let record = node.reader().with(|state| state.issuer().cloned());
        if record.as_ref().is_none_or(|record| record.rotation.is_none()) {
            self.clean().await?;
        }
        // Without certificates of its own a master would have to fetch the key in clear text.
        let Some(record) = record.filter(|_| self.credentials().is_some()) else {
            return Ok(true);
        };
        self.keep_trust(&record).await?;
        let wanted = Wanted::of(&record);
        self.forget_but(&wanted);
        let mut has_all = true;
        for one in &wanted {
            has_all &= self.held_of(&one.digest).is_some() || self.get(node, one).await?;
        }
        self.settle(&record, &wanted).await?;
        Ok(has_all)
    }

    /// Gets a key that is not held. Returns false if it cannot be found.
    async fn get(&self, node: &Node, wanted: &Wanted) -> Result<bool, KeyError> {
        let (files, one) = (self.files().clone(), wanted.clone());
        let found = tokio::task::spawn_blocking(move || files.find(&one)).await;
        // A look that was cut short by the end of the process finds nothing.
        if let Some(held) = found.unwrap_or(Ok(None))? {
            self.put(held);
            tracing::info!("this master holds the key of the cluster's issuer");
            return Ok(true);
        }
        for member in node.members().into_iter().filter(|member| member.name != node.id()) {
            let Some(key) = fetch(node.dialer(), &member, wanted).await else { continue };
            // Whatever another master says is believed only if it fits the certificate.
            let Ok(held) = Held::open(wanted, key) else { continue };
            self.put(held);
            tracing::info!(from = %member.name, "the key of the cluster's issuer was fetched");
            return Ok(true);
        }
        Ok(false)
    }

    /// Has the files hold the keys that are held, where that has changed.
    async fn settle(&self, record: &IssuerRecord, wanted: &[Wanted]) -> Result<(), KeyError> {
        let held = wanted.iter().map(|one| self.held_of(&one.digest)).collect::<Vec<_>>();
        let order = held.iter().flatten().map(|held| held.digest).collect::<Vec<_>>();
        if *self.shared.settled.lock() == order {
            return Ok(());
        }
        let files = self.files().clone();
        let keys = held.into_iter().map(|held| held.map(|held| held.key)).collect::<Vec<_>>();
        let is_rotating = record.rotation.is_some();
        let written = tokio::task::spawn_blocking(move || {
            let current = keys.first().and_then(Option::as_ref);
            let other = keys.get(1).and_then(Option::as_ref).filter(|_| is_rotating);
            files.settle(current, other)
        });
        written.await.unwrap_or(Ok(()))?;
        *self.shared.settled.lock() = order;
        Ok(())
    }

    /// Removes a key that was handed over and not adopted, or belongs to an authority that is gone.
    async fn clean(&self) -> Result<(), KeyError> {
        let files = self.files().clone();
        let cleaned = tokio::task::spawn_blocking(move || files.clean(credentials::now())).await;
        if cleaned.unwrap_or(Ok(false))? {
            tracing::info!("the key of an issuer that the cluster does not have was removed");
        }
        Ok(())
    }
}

/// Asks another master for the key.
async fn fetch(dialer: &Dialer, member: &Member, wanted: &Wanted) -> Option<Secret> {
    let client = CertificateClient::new(dialer, &member.address).ok()?;
    match client.fetch_key(&wanted.digest).await {
        Ok(key) => Some(Secret::new(key)),
        Err(refusal) => {
            tracing::debug!(master = %member.name, %refusal, "it does not give the issuer's key");
            None
        }
    }
}
