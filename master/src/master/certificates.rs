//! The certificates of a master.

use credentials::{Credentials, Identity, Role};

use super::StartError;
use crate::config::Config;

/// Reads this master's certificates, if it has any. They must be in its own name, because others
/// believe what they say.
pub(super) async fn load(config: &Config) -> Result<Option<Credentials>, StartError> {
    let Some(files) = config.tls.files() else { return Ok(None) };
    let loaded = tokio::task::spawn_blocking(move || Credentials::load(files)).await;
    let credentials = loaded.map_err(|error| StartError::Process(error.to_string()))??;
    let id = config.node_id;
    let is_own =
        |holder: &Identity| holder.role() == Role::Master && holder.name() == id.to_string();
    match credentials.identity().filter(|holder| !is_own(holder)) {
        Some(holder) => Err(StartError::OtherHolder { found: holder.to_string(), id }),
        None => Ok(Some(credentials)),
    }
}
