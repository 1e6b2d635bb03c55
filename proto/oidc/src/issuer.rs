//! The keys of an issuer: in use, looked for again from time to time, and kept when they cannot be had.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::https::{EXCHANGE_TIMEOUT, HttpsClient};
use crate::jwks::KeySet;
use crate::source::{KeySource, SourceError};

/// Time that a token waits for a look that it has asked for: the two exchanges that it may take.
const LOOK_PATIENCE: Duration = EXCHANGE_TIMEOUT.saturating_mul(2);

/// Outcome of one look for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Number of keys that are in use after it.
    pub keys: usize,
    /// True if the keys could not be had, so that those from before stay.
    pub has_failed: bool,
}

/// Observer of looks.
pub type Observer = Arc<dyn Fn(Look) + Send + Sync>;

/// Keys of an issuer. Clones share them.
#[derive(Clone)]
pub(crate) struct IssuerKeys {
    shared: Arc<Shared>,
}

struct Shared {
    source: KeySource,
    client: HttpsClient,
    observer: Observer,
    current: Mutex<Arc<KeySet>>,
    /// End of the last look.
    looked_at: Mutex<Option<Instant>>,
    /// Somebody has met a key that is not known.
    wanted: Notify,
    /// Number of looks.
    looks: watch::Sender<u64>,
}

impl IssuerKeys {
    /// Has no keys until [`watch`](Self::watch) runs, except those of a file.
    pub(crate) async fn open(
        source: KeySource,
        client: HttpsClient,
        observer: Observer,
    ) -> Result<Self, SourceError> {
        let first = match source {
            KeySource::File(_) => source.keys(&client).await?,
            KeySource::Url(_) | KeySource::Issuer { .. } => KeySet::default(),
        };
        let shared = Shared {
            source,
            client,
            observer,
            current: Mutex::new(Arc::new(first)),
            looked_at: Mutex::new(None),
            wanted: Notify::new(),
            looks: watch::Sender::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the keys in use.
    pub(crate) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.shared.current.lock())
    }

    /// Asks for a look at the source and waits for it, unless the last one was a moment ago: then nobody
    /// asks the issuer again, however many tokens with made-up keys come in.
    pub(crate) async fn look_again(&self) {
        if self.is_fresh() {
            return;
        }
        let mut looks = self.shared.looks.subscribe();
        self.shared.wanted.notify_one();
        // A look that takes longer comes too late for this token, and not for the next one.
        drop(tokio::time::timeout(LOOK_PATIENCE, looks.changed()).await);
    }

    fn is_fresh(&self) -> bool {
        let looked_at = *self.shared.looked_at.lock();
        looked_at.is_some_and(|at| at.elapsed() < self.shared.source.gap())
    }

    /// Looks for keys now, from time to time, and when asked to, until `stop`.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let mut trouble = None;
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.shared.source.keys(&self.shared.client) => looked,
            };
            let has_failed = looked.is_err();
            self.on_looked(looked, &mut trouble);

            let (interval, interval_after_failure) = self.shared.source.intervals();
            let pause = if has_failed { interval_after_failure } else { interval };
            let next = Instant::now() + pause;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep_until(next) => break,
                    () = self.shared.wanted.notified() => if !self.is_fresh() { break },
                }
            }
        }
    }

    /// Takes new keys into use. Tells of trouble once for each reason, and of its end.
    fn on_looked(&self, looked: Result<KeySet, SourceError>, trouble: &mut Option<String>) {
        let has_failed = looked.is_err();
        match looked {
            Ok(found) => {
                let before = self.current();
                if *before != found {
                    tracing::info!(keys = found.len(), "new keys of the issuer are in use");
                    *self.shared.current.lock() = Arc::new(found);
                } else if trouble.is_some() {
                    tracing::info!("the keys of the issuer can be had again");
                }
                *trouble = None;
            }
            Err(error) => {
                let reason = explained(&error);
                if trouble.as_ref() != Some(&reason) {
                    tracing::warn!(
                        reason,
                        "the keys of the issuer cannot be had: those from before stay"
                    );
                }
                *trouble = Some(reason);
            }
        }
        *self.shared.looked_at.lock() = Some(Instant::now());
        (self.shared.observer)(Look { keys: self.current().len(), has_failed });
        self.shared.looks.send_modify(|looks| *looks = looks.wrapping_add(1));
    }
}

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKeys").field("source", &self.shared.source).finish_non_exhaustive()
    }
}

/// Returns an error with its causes.
fn explained(error: &SourceError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
