//! The certificates of a master.

use credentials::{Acceptor, Callers, Credentials, Identity, Protocol, Role, TrustFiles};
use proto::channel::Dialer;
use raft_store::Loops;

use super::StartError;
use crate::config::Config;
use crate::connections;
use crate::issuer::{Issuer, KeyFiles, keep_key};
use crate::operations::Operations;
use crate::renewal::{OwnFiles, renew_own};
use crate::rotation::advance;

/// Name of the file in the data directory with what the cluster says about trust.
const TRUSTED: &str = "trusted.crt";

/// Certificates of this master, if it has any.
#[derive(Debug, Clone)]
pub(super) struct Certificates(Option<Credentials>);

impl Certificates {
    /// Returns the certificates.
    pub(super) const fn credentials(&self) -> Option<&Credentials> {
        self.0.as_ref()
    }

    /// Returns what opens connections.
    pub(super) fn dialer(&self) -> Dialer {
        self.0.clone().map_or_else(Dialer::plain, Dialer::secured)
    }

    /// Returns what admits connections.
    pub(super) fn acceptor(&self, protocol: Protocol) -> Option<Acceptor> {
        // People with tokens hold no certificate.
        self.0.clone().map(|held| Acceptor::new(held, Callers::Anyone, protocol))
    }

    /// Returns the issuer of certificates, as far as it is on this master.
    pub(super) fn issuer(&self, config: &Config) -> Issuer {
        Issuer::new(KeyFiles::of(&config.data_dir), self.0.clone(), config.issuing.life)
    }

    /// Starts to look for new ones, to keep the issuer's key, and to renew this master's certificate.
    pub(super) fn start(&self, config: &Config, operations: &Operations, loops: &Loops) {
        let (issuer, node) = (operations.issuer().clone(), operations.node().clone());
        loops.spawn("keeper of the issuer's key", |stop| keep_key(issuer, node, stop));
        let Some(credentials) = self.0.clone() else { return };
        let (rotating, of_rotation) = (operations.clone(), "change of the authority");
        loops.spawn(of_rotation, |stop| advance(rotating, stop));
        let reader = operations.node().reader().clone();
        credentials.refuse_revoked(move |certificate| {
            let shown = connections::shown(certificate);
            shown.is_some_and(|shown| reader.with(|state| state.is_revoked(&shown)))
        });
        let watched = credentials.clone();
        loops.spawn("watch over certificates", |stop| watched.watch(stop));
        if let Some(files) = config.tls.files().filter(|_| config.tls.renew) {
            let (operations, files) = (operations.clone(), OwnFiles::from(files));
            loops.spawn("renewal of the certificate", |stop| {
                renew_own(operations, credentials, files, stop)
            });
        }
    }
}

/// Reads this master's certificates, if it has any. They must be in its own name, because others
/// believe what they say.
pub(super) async fn load(config: &Config) -> Result<Certificates, StartError> {
    let Some(files) = config.tls.files() else { return Ok(Certificates(None)) };
    let cluster = Some(config.data_dir.join(TRUSTED));
    let files = TrustFiles { cluster, ..files.into() };
    let loaded = tokio::task::spawn_blocking(move || Credentials::load(files)).await;
    let credentials = loaded.map_err(|error| StartError::Process(error.to_string()))??;
    let id = config.node_id;
    let is_own =
        |holder: &Identity| holder.role() == Role::Master && holder.name() == id.to_string();
    match credentials.identity().filter(|holder| !is_own(holder)) {
        Some(holder) => Err(StartError::OtherHolder { found: holder.to_string(), id }),
        None => Ok(Certificates(Some(credentials))),
    }
}
