//! Users of an identity provider: their tokens are signed by it, and this cluster stores nothing of them.

mod mapping;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oidc::{
    Expected, HttpError, HttpsClient, InvalidUrl, KeySource, Look, Rejected, SourceError, Verifier,
};
use raft_store::{Loops, WallClock};

use self::mapping::{Mapping, Unmapped};
use super::Principal;
use crate::config::OidcConfig;
use crate::metrics::Metrics;

/// Reason that the identity provider of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// An address is not called.
    #[error("access.oidc.jwks, or access.oidc.issuer without it")]
    Url(#[from] InvalidUrl),
    /// Certificates cannot be used.
    #[error("access.oidc.ca")]
    Client(#[from] HttpError),
    /// A file of keys cannot be used.
    #[error("access.oidc.jwks")]
    Keys(#[from] SourceError),
}

/// Reason that the bearer of a token is not admitted.
#[derive(Debug)]
pub(super) enum NotAdmitted {
    /// The token is not good.
    Rejected(Rejected),
    /// The token is good, and its bearer nobody here.
    Unmapped(Unmapped),
}

/// The identity provider whose tokens are good here. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Federation {
    verifier: Verifier,
    mapping: Arc<Mapping>,
    wall: Arc<dyn WallClock>,
}

impl Federation {
    /// Returns the provider of a configuration, if there is one.
    pub(crate) async fn open(
        config: &OidcConfig,
        wall: Arc<dyn WallClock>,
        metrics: Metrics,
    ) -> Result<Option<Self>, FederationError> {
        if config.issuer.is_empty() {
            return Ok(None);
        }
        let expected = Expected {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway: config.leeway,
        };
        let source = KeySource::named(&config.jwks, &config.issuer)?;
        let ca = Some(config.ca.as_path()).filter(|path| *path != Path::new(""));
        let client = HttpsClient::new(ca)?;
        let issuer = config.issuer.clone();
        let observer = Arc::new(move |look: Look| {
            metrics.on_issuer_asked(&issuer, look.keys, look.has_failed);
        });
        let verifier = Verifier::new(expected, source, client, observer).await?;
        let mapping = Arc::new(Mapping::of(config));
        tracing::info!(issuer = config.issuer, "tokens of an identity provider are good here");
        Ok(Some(Self { verifier, mapping, wall }))
    }

    /// Starts to keep the keys of the issuer up to date.
    pub(crate) fn start_watch(&self, loops: &Loops) {
        let verifier = self.verifier.clone();
        loops.spawn("watch over keys of the issuer", |stop| verifier.watch(stop));
    }

    /// Returns the bearer of a token. An unknown key is looked for at the issuer if `may_look` is true.
    pub(super) async fn user(
        &self,
        token: &str,
        may_look: bool,
    ) -> Result<Arc<Principal>, NotAdmitted> {
        let now = Duration::from_millis(self.wall.now().0);
        let claims = self.verifier.verify(token, now, may_look).await;
        let claims = claims.map_err(NotAdmitted::Rejected)?;
        self.mapping.principal(&claims).map(Arc::new).map_err(NotAdmitted::Unmapped)
    }
}
