//! Opens what the worker's attempts share of the machine: devices and control groups.

use std::sync::Arc;

use super::AgentError;
use crate::cgroups::Cgroups;
use crate::config::{CgroupUse, Config, ExecutorKind};
use crate::devices::{self, Devices};
use crate::processes::HomeId;

/// Looks for devices.
pub(super) async fn open_devices(config: &Config) -> Devices {
    let listed = config.devices.iter().map(|(kind, ids)| (kind.to_owned(), ids.to_vec()));
    devices::open(listed.collect(), config.gpu).await
}

/// Divides the worker's control group, if attempts are to have some.
pub(super) async fn open_cgroups(
    config: &Config,
    home: HomeId,
) -> Result<Option<Arc<Cgroups>>, AgentError> {
    match (config.cgroups, config.executor) {
        (CgroupUse::On, ExecutorKind::Process) => {
            let opened = tokio::task::spawn_blocking(move || Cgroups::open(home)).await??;
            Ok(Some(Arc::new(opened)))
        }
        (CgroupUse::Off, _) | (_, ExecutorKind::Noop) => Ok(None),
    }
}
