//! Follows what the cluster trusts. Masters say its version with each answer to a heartbeat; where that is
//! another one than the worker has, it asks, keeps the answer and says so with the next heartbeat.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use credentials::{ClusterTrust, Credentials, replace_file, retry_pause};
use proto::certificate_client::CertificateClient;
use proto::channel::Dialer;
use proto::v1;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;

/// Longest wait before the worker asks: a fleet hears of a change within one interval of heartbeats.
const SPREAD: Duration = Duration::from_secs(1);
/// Mode of a file of certificates.
const MODE: u32 = 0o644;

/// Versions of what the cluster trusts. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustVersions {
    told: Arc<watch::Sender<u64>>,
    applied: Arc<AtomicU64>,
}

impl TrustVersions {
    /// A master has said which version the cluster has; zero if it issues no certificates.
    pub(crate) fn on_told(&self, version: u64) {
        self.told.send_if_modified(|told| std::mem::replace(told, version) != version);
    }

    /// Returns the version that this worker trusts; zero while it has not asked.
    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }
}

/// An early renewal: the certificate is to be of another root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EarlyRenewal {
    /// Moment of this worker.
    pub(crate) at: SystemTime,
    /// SHA-256 of that root.
    pub(crate) root: [u8; 32],
}

/// Place where the worker keeps what the cluster trusts.
#[derive(Debug, Clone)]
enum Kept {
    /// In the file that it wrote when it joined.
    Whole(PathBuf),
    /// Beside the file that its configuration names.
    Beside(PathBuf),
}

/// Follows what the cluster trusts.
#[derive(Debug)]
pub(crate) struct TrustFollower {
    masters: Vec<String>,
    credentials: Credentials,
    dialer: Dialer,
    kept: Kept,
    versions: TrustVersions,
    renewal: watch::Sender<Option<EarlyRenewal>>,
    /// Master to ask first.
    turn: usize,
}

impl TrustFollower {
    /// Creates it for the certificates of a worker.
    pub(crate) fn new(
        config: &Config,
        credentials: Credentials,
        versions: TrustVersions,
        renewal: watch::Sender<Option<EarlyRenewal>>,
    ) -> Self {
        let kept = match config.managed_files() {
            Some(managed) => Kept::Whole(managed.files().trusted),
            None => Kept::Beside(config.trusted_beside()),
        };
        Self {
            masters: config.masters.clone(),
            dialer: Dialer::secured(credentials.clone()),
            credentials,
            kept,
            versions,
            renewal,
            turn: 0,
        }
    }

    /// Asks whenever there is something new, until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut told = self.versions.told.subscribe();
        let mut failures = 0_u32;
        let mut pause = SPREAD.mul_f64(rand::random());
        loop {
            let is_new = |version: &u64| *version != 0 && *version != self.versions.applied();
            tokio::select! {
                () = stop.cancelled() => return,
                // The sender lives as long as this does.
                found = told.wait_for(is_new) => drop(found),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.follow().await {
                Ok(()) => {
                    failures = 0;
                    pause = SPREAD.mul_f64(rand::random());
                }
                Err(reason) => {
                    pause = retry_pause(failures);
                    failures = failures.saturating_add(1);
                    warn!(reason, ?pause, "this worker has not learnt what the cluster trusts");
                }
            }
        }
    }

    /// Asks one master, the next one each time.
    async fn follow(&mut self) -> Result<(), String> {
        let master = self.masters.get(self.turn % self.masters.len().max(1));
        let master = master.cloned().ok_or("no master is known")?;
        self.turn = self.turn.wrapping_add(1);
        let client = CertificateClient::new(&self.dialer, &master).map_err(text)?;
        let roots = client.roots().await;
        let roots = roots.map_err(|refusal| format!("master at {master}: {refusal}"))?;
        let (kept, credentials) = (self.kept.clone(), self.credentials.clone());
        let of_cluster = roots.clone();
        let used = spawn_blocking(move || -> Result<(), String> {
            if keep(&kept, of_cluster).map_err(text)? {
                credentials.refresh().map_err(text)?;
                info!("what the cluster trusts has changed");
            }
            Ok(())
        });
        used.await.map_err(text)??;
        self.plan_renewal(&roots);
        self.versions.applied.store(roots.version, Ordering::Relaxed);
        Ok(())
    }

    /// Has the certificate renewed soon, while the authority changes and it is of the other one.
    fn plan_renewal(&self, roots: &v1::Roots) {
        let issuing = digest(&roots.issuing).filter(|_| !roots.endorsement.is_empty());
        let own = self.credentials.root();
        let early = issuing.filter(|issuing| own != Some(*issuing)).and_then(|root| {
            let window = Duration::from_millis(roots.renew_within_ms);
            let place = self.credentials.certificate()?.place_within(window);
            Some(EarlyRenewal { at: credentials::now().checked_add(place)?, root })
        });
        self.renewal.send_replace(early);
    }
}

/// Writes what the cluster trusts. Returns true if that has changed anything.
fn keep(kept: &Kept, roots: v1::Roots) -> std::io::Result<bool> {
    let v1::Roots { pem, added, dropped, .. } = roots;
    match kept {
        Kept::Beside(path) => ClusterTrust { added, dropped }.keep(path),
        Kept::Whole(path) => {
            let is_new = std::fs::read_to_string(path).map_or(true, |known| known != pem);
            if is_new {
                replace_file(path, &pem, MODE)?;
            }
            Ok(is_new)
        }
    }
}

/// Reads a SHA-256 of hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes().chunks_exact(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    bytes.collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
