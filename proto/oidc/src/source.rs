//! Places where an issuer's keys are found.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use crate::https::{DOCUMENT_BYTES_MAX, HttpError, HttpsClient};
use crate::jwks::{InvalidKeys, KeySet};
use crate::url::{InvalidUrl, Url};

/// Place where an issuer's keys are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file on this machine.
    File(PathBuf),
    /// An address that answers with them.
    Url(Url),
    /// The issuer, whose configuration names their address (OpenID Connect Discovery).
    Issuer {
        /// Issuer, exactly as its tokens name it.
        issuer: String,
        /// Address of its configuration.
        configuration: Url,
    },
}

/// Reason that keys cannot be had from there.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The file is too large.
    #[error("{} is larger than {DOCUMENT_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    /// They cannot be fetched.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The document holds no keys.
    #[error("{place}: {source}")]
    Keys { place: String, source: InvalidKeys },
    /// The configuration of the issuer is something else.
    #[error("{url} is not the configuration of an issuer")]
    Configuration { url: String },
    /// It is the configuration of another issuer.
    #[error("{url} is the configuration of another issuer")]
    OtherIssuer { url: String },
    /// It names an address that is not called.
    #[error("{url} names an address of its keys that cannot be used")]
    Address { url: String, source: InvalidUrl },
}

/// Part of the configuration of an issuer.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// Returns the place that a text names, a file or a URL; empty, the issuer says it.
    ///
    /// # Errors
    ///
    /// When the URL, or that of the issuer, is not called.
    pub fn named(text: &str, issuer: &str) -> Result<Self, InvalidUrl> {
        if text.is_empty() {
            let base = issuer.trim_end_matches('/');
            let configuration = format!("{base}/.well-known/openid-configuration").parse()?;
            return Ok(Self::Issuer { issuer: issuer.to_owned(), configuration });
        }
        if text.contains("://") {
            Ok(Self::Url(text.parse()?))
        } else {
            Ok(Self::File(text.into()))
        }
    }

    /// Returns the time between two looks, after one that succeeded and after one that did not.
    pub(crate) const fn intervals(&self) -> (Duration, Duration) {
        match self {
            // A file costs nothing, and whoever replaces it looks whether that is noticed.
            Self::File(_) => (Duration::from_secs(5), Duration::from_secs(5)),
            // Issuers announce keys a day ahead; a quarter of an hour is often enough for that.
            Self::Url(_) | Self::Issuer { .. } => {
                (Duration::from_secs(15 * 60), Duration::from_secs(30))
            }
        }
    }

    /// Returns the shortest time between two looks, whoever asks for them.
    pub(crate) const fn gap(&self) -> Duration {
        match self {
            Self::File(_) => Duration::from_secs(1),
            Self::Url(_) | Self::Issuer { .. } => Duration::from_secs(30),
        }
    }

    /// Reads the keys.
    pub(crate) async fn keys(&self, client: &HttpsClient) -> Result<KeySet, SourceError> {
        let (document, place) = match self {
            Self::File(path) => (file(path).await?, path.display().to_string()),
            Self::Url(url) => (client.get(url).await?, url.to_string()),
            Self::Issuer { issuer, configuration } => {
                let url = keys_of(client, issuer, configuration).await?;
                (client.get(&url).await?, url.to_string())
            }
        };
        KeySet::parse(&document).map_err(|source| SourceError::Keys { place, source })
    }
}

async fn file(path: &Path) -> Result<Bytes, SourceError> {
    let unreadable = |source| SourceError::File { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let limit = u64::try_from(DOCUMENT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut document = Vec::new();
    let mut file = file.take(limit.saturating_add(1));
    let bytes = file.read_to_end(&mut document).await.map_err(unreadable)?;
    if bytes > DOCUMENT_BYTES_MAX {
        return Err(SourceError::TooLarge { path: path.to_owned() });
    }
    Ok(document.into())
}

/// Asks an issuer for the address of its keys.
async fn keys_of(
    client: &HttpsClient,
    issuer: &str,
    configuration: &Url,
) -> Result<Url, SourceError> {
    let url = configuration.to_string();
    let document = client.get(configuration).await?;
    let Ok(found) = serde_json::from_slice::<Configuration>(&document) else {
        return Err(SourceError::Configuration { url });
    };
    if found.issuer != issuer {
        return Err(SourceError::OtherIssuer { url });
    }
    found.jwks_uri.parse().map_err(|source| SourceError::Address { url, source })
}
