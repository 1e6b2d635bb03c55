//! Renews the worker's certificate in its place, after two thirds of its life.

use std::path::Path;
use std::time::{Duration, SystemTime};

use credentials::{Credentials, Files, Secret, replace_file, request, retry_pause};
use humantime::format_rfc3339_seconds;
use proto::certificate_client::{CertificateClient, CertificateOrder};
use proto::channel::Dialer;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::trust::EarlyRenewal;
use crate::config::Config;

/// Interval at which is looked whether it is time: lives have days.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Mode of a file of certificates.
const MODE: u32 = 0o644;

/// Renews one worker's certificate.
#[derive(Debug)]
pub(crate) struct Renewal {
    worker: String,
    masters: Vec<String>,
    credentials: Credentials,
    dialer: Dialer,
    files: Files,
    /// An early renewal, if one is planned.
    early: watch::Receiver<Option<EarlyRenewal>>,
    /// Master to ask first.
    turn: usize,
}

impl Renewal {
    /// Creates it for the certificate of these files.
    pub(crate) fn new(
        config: &Config,
        credentials: Credentials,
        (files, early): (Files, watch::Receiver<Option<EarlyRenewal>>),
    ) -> Self {
        Self {
            worker: config.worker_id.to_string(),
            masters: config.masters.clone(),
            dialer: Dialer::secured(credentials.clone()),
            credentials,
            files,
            early,
            turn: 0,
        }
    }

    /// Renews whenever it is time, until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0_u32;
        loop {
            let mut pause = LOOK_PAUSE;
            if self.is_due() {
                match self.renew().await {
                    Ok(until) => {
                        failures = 0;
                        let until = format_rfc3339_seconds(until);
                        info!(%until, "the certificate of this worker was renewed");
                    }
                    Err(reason) => {
                        pause = retry_pause(failures);
                        failures = failures.saturating_add(1);
                        warn!(reason, ?pause, "the certificate of this worker was not renewed");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Tells whether it is time, by the certificate's life or because another authority issues.
    fn is_due(&self) -> bool {
        let (now, early) = (credentials::now(), *self.early.borrow());
        let is_early = early
            .is_some_and(|early| early.at <= now && self.credentials.root() != Some(early.root));
        is_early || self.credentials.certificate().is_some_and(|held| held.renewed_at() <= now)
    }

    /// Asks one master, the next one each time. Returns the end of the new certificate.
    async fn renew(&mut self) -> Result<SystemTime, String> {
        let master = self.masters.get(self.turn % self.masters.len().max(1));
        let master = master.cloned().ok_or("no master is known")?;
        self.turn = self.turn.wrapping_add(1);
        let key = self.files.key.clone();
        let request = spawn_blocking(move || request_of(&key)).await.map_err(text)??;
        let order =
            CertificateOrder { request, worker: self.worker.clone(), join_token: String::new() };
        let client = CertificateClient::new(&self.dialer, &master).map_err(text)?;
        let issued = client.issue(order).await;
        // What is trusted comes from the follower alone: this master may be behind the one that it asked.
        let (chain, _) = issued.map_err(|refusal| format!("master at {master}: {refusal}"))?;

        let held = self.credentials.certificate().ok_or("there is no certificate")?;
        let new = self.credentials.check_chain(&chain).map_err(text)?;
        if new.identity != held.identity {
            return Err(format!("master at {master} issued a certificate to {}", new.identity));
        }
        let (path, credentials) = (self.files.certificate.clone(), self.credentials.clone());
        let used = spawn_blocking(move || {
            replace_file(&path, &chain, MODE).map_err(text)?;
            credentials.refresh().map(drop).map_err(text)
        });
        used.await.map_err(text)??;
        Ok(new.not_after)
    }
}

fn request_of(key: &Path) -> Result<Vec<u8>, String> {
    let key = std::fs::read_to_string(key)
        .map_err(|error| format!("cannot read {}: {error}", key.display()))?;
    request(&Secret::new(key)).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
