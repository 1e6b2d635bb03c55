//! A machine for each master and worker: a host of its own, and for masters a disk whose power can
//! be cut and a clock that can be wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::network::Network;
use crate::shims::Shims;

/// Enough for some hours of a test's log, snapshots and history.
const DISK_MEBIBYTES: u64 = 2_048;
/// Hosts that are made beside those of the first workers, for the ones that a test adds.
const SPARE_HOSTS: usize = 2;

/// The machines of one cluster.
#[derive(Debug)]
pub struct Machines {
    // Dropped first: nobody is reached there any more.
    network: Network,
    disks: BTreeMap<String, Disk>,
    shims: BTreeMap<String, Shims>,
}

/// Machine and network of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// The network namespace, as a file; this process's own when absent.
    pub(super) namespace: Option<PathBuf>,
    /// Variables for its environment.
    pub(super) environment: Vec<(String, String)>,
}

impl Machines {
    /// Makes them for that many masters and workers.
    ///
    /// # Errors
    ///
    /// With the reason, where this machine cannot hold others.
    pub(super) fn build(dir: &Path, masters: u64, workers: usize) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("only root may make hosts and disks".to_owned());
        }
        let masters = (1..=masters).map(master_name).collect::<Vec<_>>();
        let workers = (1..=workers + SPARE_HOSTS).map(worker_name);
        let hosts = masters.iter().cloned().chain(workers).collect::<Vec<_>>();
        let mut machines = Self {
            network: Network::build(&hosts)?,
            disks: BTreeMap::new(),
            shims: BTreeMap::new(),
        };
        for name in masters {
            let disk = Disk::mount(&dir.join(format!("{name}-disk")), DISK_MEBIBYTES)?;
            machines.disks.insert(name.clone(), disk);
            let shims = Shims::prepare(dir, &name)?;
            machines.shims.insert(name, shims);
        }
        Ok(machines)
    }

    /// The network between them.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The disk of a master.
    #[must_use]
    pub fn disk(&self, master: u64) -> &Disk {
        &self.disks[&master_name(master)]
    }

    /// The clock and the speed of the disk of a master.
    #[must_use]
    pub fn shims(&self, master: u64) -> &Shims {
        &self.shims[&master_name(master)]
    }

    pub(super) fn place(&self, name: &str) -> Place {
        let environment = self.shims.get(name).map(Shims::environment).unwrap_or_default();
        Place { namespace: Some(self.network.namespace_file(name)), environment }
    }
}

/// The name of a master, also as a host.
pub(super) fn master_name(id: u64) -> String {
    format!("master-{id}")
}

/// The name of a worker, also as a host.
pub(super) fn worker_name(number: usize) -> String {
    format!("worker-{number}")
}
