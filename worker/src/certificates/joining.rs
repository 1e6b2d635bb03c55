//! Gets the first certificate: the join token says by what the cluster is known. What the cluster
//! trusts is asked over a connection that proves nothing, and believed if its digest is that of the
//! token. Only a master that this root vouches for hears the token.

use std::time::Duration;

use credentials::{
    Credentials, CredentialsError, Disbelief, IssueError, TrustFiles, endorsed_root, joined_roots,
    request, root_of_digest,
};
use proto::certificate_client::{self, CertificateClient, CertificateOrder};
use proto::channel::Dialer;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::config::Config;
use crate::join_token::JoinToken;
use crate::managed_files::{FilesError, ManagedFiles};

/// Pauses after all masters have refused: they may not be there yet, and an operator may have to do
/// something.
const PAUSE_BASE: Duration = Duration::from_millis(500);
const PAUSE_CAP: Duration = Duration::from_secs(30);

/// A worker cannot have a certificate, whatever masters say.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// Its files cannot be used.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The files that it has are not what they should be.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// No request can be made with its key.
    #[error("the key of this worker: {0}")]
    Key(#[from] IssueError),
    /// A part panicked.
    #[error("a part of the worker failed")]
    Part(#[from] tokio::task::JoinError),
}

/// A master did not give a certificate.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Call(#[from] certificate_client::Refusal),
    #[error(
        "it is of another cluster than the join token: no root of the digest that the token names"
    )]
    OtherCluster,
    #[error("what it issued is not believed: {0}")]
    Disbelieved(#[from] Disbelief),
    #[error("it issued a certificate to {0}")]
    OtherHolder(String),
    #[error(transparent)]
    Own(#[from] EnrollError),
}

/// Gets a certificate, if the worker is to keep its own and has none that is good. Asks until it has
/// one.
///
/// # Errors
///
/// When the worker's own files cannot be used.
pub async fn enroll(config: &Config) -> Result<(), EnrollError> {
    let Some(files) = config.managed_files() else { return Ok(()) };
    let token = config.join_token.as_ref().filter(|token| token.root_digest().is_some());
    let held = files.clone();
    let loaded =
        spawn_blocking(move || held.exist().then(|| Credentials::load(held.files()))).await?;
    let token = match (loaded, token) {
        (Some(Ok(_)), _) => return Ok(()),
        (
            Some(Err(
                error @ (CredentialsError::Expired { .. } | CredentialsError::Untrusted { .. }),
            )),
            Some(token),
        ) => {
            warn!(%error, "this worker joins anew");
            token
        }
        (Some(Err(error)), _) => return Err(error.into()),
        (None, Some(token)) => token,
        (None, None) => return Ok(()),
    };

    let joining = Joining { config, files, token };
    let mut backoff = Backoff::new(PAUSE_BASE, PAUSE_CAP);
    loop {
        for master in &config.masters {
            match joining.ask(master).await {
                Ok(()) => {
                    info!(master, "this worker was issued a certificate");
                    return Ok(());
                }
                Err(Refusal::Own(error)) => return Err(error),
                Err(refusal) => warn!(master, %refusal, "no certificate yet"),
            }
        }
        tokio::time::sleep(backoff.on_failed(rand::random())).await;
    }
}

struct Joining<'a> {
    config: &'a Config,
    files: ManagedFiles,
    token: &'a JoinToken,
}

impl Joining<'_> {
    /// Asks one master.
    async fn ask(&self, master: &str) -> Result<(), Refusal> {
        let digest = self.token.root_digest().unwrap_or_default();
        // Anybody may answer this.
        let said = CertificateClient::new(&Dialer::unverified(), master)?.roots().await?;
        let root = root_of_digest(&said.pem, digest).ok_or(Refusal::OtherCluster)?;
        // While the authority changes, masters may have certificates of the one after.
        let next = endorsed_root(&root, (&said.endorsement, &said.pem), credentials::now());
        let root = next.map_or_else(|| root.clone(), |next| joined_roots(&root, &next));

        let files = self.files.clone();
        let prepared = spawn_blocking(move || -> Result<_, EnrollError> {
            let key = files.key()?;
            files.pin(&root)?;
            let pinned = Credentials::load(TrustFiles {
                trusted: files.pinned(),
                own: None,
                cluster: None,
            })?;
            Ok((request(&key)?, pinned))
        });
        let (request, pinned) = prepared.await.map_err(EnrollError::from)??;
        let order = CertificateOrder {
            request,
            worker: self.config.worker_id.to_string(),
            join_token: self.token.reveal(),
        };
        let client = CertificateClient::new(&Dialer::secured(pinned.clone()), master)?;
        let (chain, roots) = client.issue(order).await?;
        root_of_digest(&roots, digest).ok_or(Refusal::OtherCluster)?;
        let holder = pinned.check_chain(&chain)?.identity;
        if holder.role() != credentials::Role::Worker
            || holder.name() != self.config.worker_id.as_str()
        {
            return Err(Refusal::OtherHolder(holder.to_string()));
        }
        let files = self.files.clone();
        let written = spawn_blocking(move || files.write(&chain, &roots)).await;
        written.map_err(EnrollError::from)?.map_err(EnrollError::from)?;
        Ok(())
    }
}
