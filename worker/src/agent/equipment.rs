//! Opens what the worker's attempts share of the machine: devices and control groups.

use std::sync::Arc;

use tokio::task::JoinError;

use super::AgentError;
use crate::cgroups::Cgroups;
use crate::config::{CgroupUse, Config, ExecutorKind};
use crate::devices::{self, Devices};
use crate::processes::HomeId;

/// Looks for devices, aside because that may block.
pub(super) async fn open_devices(config: &Config) -> Result<Devices, JoinError> {
    let (lists, gpu) = (config.devices.clone(), config.gpu);
    let opening = move || Devices::open(devices::find(lists.iter(), gpu));
    tokio::task::spawn_blocking(opening).await
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
