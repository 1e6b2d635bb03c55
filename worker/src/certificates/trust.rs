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
                    warn!(reason, ?pause, "this worker has not learned what the cluster trusts");
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
        spawn_blocking(move || apply(&kept, &credentials, of_cluster)).await.map_err(text)??;
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

/// Keeps what the cluster trusts, and uses it from now on. It fails while anything else is in use: the
/// masters count on what the worker says.
fn apply(kept: &Kept, credentials: &Credentials, roots: v1::Roots) -> Result<(), String> {
    let v1::Roots { pem, added, dropped, .. } = roots;
    let (trust, is_new) = match kept {
        Kept::Beside(path) => {
            let trust = ClusterTrust { added, dropped };
            let is_new = trust.keep(path).map_err(text)?;
            (trust, is_new)
        }
        Kept::Whole(path) => {
            let is_new = std::fs::read_to_string(path).map_or(true, |known| known != pem);
            if is_new {
                replace_file(path, &pem, MODE).map_err(text)?;
            }
            (ClusterTrust { added: pem, dropped }, is_new)
        }
    };
    // The files may be those of an earlier time that could not be used then.
    credentials.refresh().map_err(text)?;
    if !credentials.follow(&trust) {
        return Err("what the cluster trusts is not in use here".to_owned());
    }
    if is_new {
        info!("what the cluster trusts has changed");
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use credentials::{Authority, Files, Identity, NewAuthority, Role, TrustFiles};

    use super::*;

    /// A worker with a certificate under a root, and the text of another root.
    struct Fleet {
        dir: tempfile::TempDir,
        root: String,
        next: String,
    }

    impl Fleet {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let now = credentials::now();
            let NewAuthority { root, issuer, issuer_key, .. } =
                Authority::create("prod", now).unwrap();
            let authority = Authority::open(&root, &issuer, &issuer_key).unwrap();
            let holder = Identity::new("prod", Role::Worker, "w1").unwrap();
            let issued = authority.issue(&holder, &[], Duration::from_secs(600), now).unwrap();
            let fleet = Self { dir, next: Authority::create("prod", now).unwrap().root, root };
            let Files { trusted, certificate, key } = fleet.files();
            replace_file(&trusted, &fleet.root, MODE).unwrap();
            replace_file(&certificate, &issued.chain, MODE).unwrap();
            replace_file(&key, issued.key.reveal(), 0o600).unwrap();
            fleet
        }

        fn files(&self) -> Files {
            let path = |name| self.dir.path().join(name);
            Files { trusted: path("ca.crt"), certificate: path("w.crt"), key: path("w.key") }
        }

        fn said(&self, of: &[&String], dropped: &[&str]) -> v1::Roots {
            let pem = of.iter().map(|root| root.as_str()).collect::<String>();
            let dropped = dropped.iter().map(|&digest| digest.to_owned()).collect();
            v1::Roots { added: pem.clone(), pem, dropped, ..v1::Roots::default() }
        }
    }

    #[test]
    fn what_the_cluster_trusts_counts_as_followed_once_it_is_in_use() {
        let fleet = Fleet::new();
        let files = fleet.files();
        let credentials = Credentials::load(files.clone()).unwrap();
        let kept = Kept::Whole(files.trusted.clone());
        let both = fleet.said(&[&fleet.root, &fleet.next], &[]);

        // A certificate that is being replaced: nothing can be read until it is there, however often
        // the worker tries.
        let chain = fs::read_to_string(&files.certificate).unwrap();
        fs::write(&files.certificate, "half").unwrap();
        for _ in 0..2 {
            apply(&kept, &credentials, both.clone()).unwrap_err();
        }
        assert_eq!(fs::read_to_string(&files.trusted).unwrap(), both.pem);
        replace_file(&files.certificate, &chain, MODE).unwrap();
        apply(&kept, &credentials, both.clone()).unwrap();
        let next = credentials::describe(&fleet.next).unwrap().remove(0).digest;
        assert!(credentials.trusts(&digest(&next).unwrap()));

        // A root that would leave the worker's own certificate without anybody to vouch for it.
        apply(&kept, &credentials, fleet.said(&[&fleet.next], &[])).unwrap_err();
    }

    #[test]
    fn a_root_that_is_dropped_must_be_gone() {
        let fleet = Fleet::new();
        let beside = fleet.dir.path().join("trusted.crt");
        let next = credentials::describe(&fleet.next).unwrap().remove(0).digest;
        let Files { trusted, certificate, key } = fleet.files();
        let files = Files { trusted, certificate, key };
        let with_file = TrustFiles { cluster: Some(beside.clone()), ..files.clone().into() };
        let credentials = Credentials::load(with_file).unwrap();
        let kept = Kept::Beside(beside);
        apply(&kept, &credentials, fleet.said(&[&fleet.root, &fleet.next], &[])).unwrap();
        apply(&kept, &credentials, fleet.said(&[&fleet.root], &[&next])).unwrap();

        // This one does not look at the file that it is to keep: whatever it writes is not in use.
        replace_file(&files.trusted, &format!("{}{}", fleet.root, fleet.next), MODE).unwrap();
        let deaf = Credentials::load(files).unwrap();
        apply(&kept, &deaf, fleet.said(&[&fleet.root], &[&next])).unwrap_err();
    }
}
