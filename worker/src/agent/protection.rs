//! Certificates of the worker, and connections with them.

use cluster_state::WorkerId;
use credentials::{Acceptor, Callers, Credentials, CredentialsError, Identity, Protocol, Role};
use proto::channel::Dialer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::AgentError;
use crate::certificates::{Renewal, TrustFollower, TrustVersions};
use crate::config::Config;

/// The worker's certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    /// The files are not what they should be.
    #[error(transparent)]
    Files(#[from] CredentialsError),
    /// The certificate is somebody else's.
    #[error("the certificate is that of {found}, and this is worker {worker}")]
    OtherHolder { found: String, worker: WorkerId },
}

/// Both directions of a worker's connections.
#[derive(Debug)]
pub(super) struct Protection {
    /// Opens connections to masters.
    pub(super) dialer: Dialer,
    /// Admits masters, where there are certificates.
    pub(super) acceptor: Option<Acceptor>,
    /// Versions of what the cluster trusts.
    pub(super) trust: TrustVersions,
}

impl Protection {
    /// Reads the certificates, if the worker has any, and begins to look for new ones. They must be
    /// in its own name, because masters look for it by that.
    pub(super) async fn load(
        config: &Config,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, AgentError> {
        let trust = TrustVersions::default();
        let (Some(files), Some(for_load)) = (config.files(), config.trust_files()) else {
            return Ok(Self { dialer: Dialer::plain(), acceptor: None, trust });
        };
        let loaded = tokio::task::spawn_blocking(move || Credentials::load(for_load)).await?;
        let credentials = loaded.map_err(ProtectionError::from)?;
        let is_own = |holder: &Identity| {
            holder.role() == Role::Worker && holder.name() == config.worker_id.as_str()
        };
        if let Some(holder) = credentials.identity().filter(|holder| !is_own(holder)) {
            let (found, worker) = (holder.to_string(), config.worker_id.clone());
            return Err(ProtectionError::OtherHolder { found, worker }.into());
        }
        tasks.spawn(credentials.clone().watch(stop.clone()));
        let (early, planned) = watch::channel(None);
        let follower = TrustFollower::new(config, credentials.clone(), trust.clone(), early);
        tasks.spawn(follower.run(stop.clone()));
        if config.renews() {
            let renewal = Renewal::new(config, credentials.clone(), (files, planned));
            tasks.spawn(renewal.run(stop.clone()));
        }
        let acceptor = Acceptor::new(credentials.clone(), Callers::Masters, Protocol::Grpc);
        Ok(Self { dialer: Dialer::secured(credentials), acceptor: Some(acceptor), trust })
    }
}
