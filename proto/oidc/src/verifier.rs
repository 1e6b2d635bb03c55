//! Checks tokens of one issuer.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::claims::{Claims, Expected};
use crate::https::HttpsClient;
use crate::issuer::{IssuerKeys, Observer};
use crate::jwks::KeySet;
use crate::source::{KeySource, SourceError};
use crate::token::{Rejected, Unverified};

/// Checks tokens of one issuer for one audience. Clones share everything.
#[derive(Debug, Clone)]
pub struct Verifier {
    expected: Arc<Expected>,
    keys: IssuerKeys,
}

impl Verifier {
    /// Makes a verifier. It has no keys of an address until [`watch`](Self::watch) runs, and those of a
    /// file at once.
    ///
    /// # Errors
    ///
    /// When the keys are in a file that cannot be used.
    pub async fn new(
        expected: Expected,
        source: KeySource,
        client: HttpsClient,
        observer: Observer,
    ) -> Result<Self, SourceError> {
        let keys = IssuerKeys::open(source, client, observer).await?;
        Ok(Self { expected: Arc::new(expected), keys })
    }

    /// Keeps the keys up to date until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        self.keys.watch(stop).await;
    }

    /// Checks a token at a time, given since 1970, and returns its claims. If its key is not known and
    /// `may_look` is true, the keys are looked for once more, at most twice a minute.
    ///
    /// # Errors
    ///
    /// Says why the token is refused.
    pub async fn verify(
        &self,
        token: &str,
        now: Duration,
        may_look: bool,
    ) -> Result<Claims, Rejected> {
        let unverified = Unverified::read(token)?;
        let mut keys = self.keys.current();
        if !keys.contains(&unverified.key_id) && may_look {
            self.keys.look_again().await;
            keys = self.keys.current();
        }
        verify_with(&keys, &unverified, &self.expected, now)
    }
}

/// Checks a token with keys: its signature first, and then what it says.
fn verify_with(
    keys: &KeySet,
    token: &Unverified<'_>,
    expected: &Expected,
    now: Duration,
) -> Result<Claims, Rejected> {
    let Unverified { algorithm, key_id, message, signature, .. } = token;
    if !keys.contains(key_id) {
        return Err(Rejected::UnknownKey);
    }
    if !keys.verifies(key_id, *algorithm, message, signature) {
        return Err(Rejected::Signature);
    }
    Claims::read(&token.payload()?, expected, now)
}

#[cfg(test)]
mod rsa_tests;
#[cfg(test)]
mod tests;
