//! One master process.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use super::machines::{Machines, master_name};
use crate::certificates::Certificates;
use crate::process::{Launch, Process};

/// Group ids of masters begin here when a firewall has to tell them apart.
const GROUP_BASE: u32 = 61_000;

/// Addresses of one master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) grpc: String,
    pub(super) http: String,
}

/// Parts that all first masters of a cluster have in common.
pub(super) struct Setup<'a> {
    pub(super) program: PathBuf,
    /// Flags beside those that each has of its own.
    pub(super) args: &'a [String],
    pub(super) machines: Option<&'a Machines>,
    pub(super) certificates: Option<&'a Certificates>,
    pub(super) is_cuttable: bool,
}

/// A master.
#[derive(Debug)]
pub struct Master {
    id: u64,
    addresses: Addresses,
    data_dir: PathBuf,
    process: Process,
}

impl Master {
    pub(super) fn start(id: u64, dir: &Path, members: &[Addresses], setup: &Setup<'_>) -> Self {
        let Setup { machines, certificates, is_cuttable, .. } = *setup;
        let position = usize::try_from(id).unwrap().saturating_sub(1);
        let addresses = members.get(position).unwrap().clone();
        let name = master_name(id);
        let data_dir = match machines {
            // Beside what the file system itself keeps there.
            Some(machines) => machines.disk(id).path().join("data"),
            None => dir.join(&name),
        };
        let own = own_args(id, &addresses, &data_dir, members);
        let protection = match (certificates, machines) {
            (Some(certificates), _) => certificates.flags("master", &id.to_string()),
            (None, Some(_)) => vec!["--insecure".to_owned()],
            (None, None) => Vec::new(),
        };
        let args = own.into_iter().chain(protection).chain(setup.args.iter().cloned()).collect();
        let mut launch = Launch::of("master", &name, dir, args);
        launch.program.clone_from(&setup.program);
        if let Some(machines) = machines {
            let place = machines.place(&name);
            launch.namespace = place.namespace;
            launch.env = place.environment;
        }
        launch.group = is_cuttable.then(|| group(id));
        Self { id, addresses, data_dir, process: Process::start(launch) }
    }

    /// Starts one more, which joins the cluster of the others.
    pub(super) fn join(id: u64, dir: &Path, addresses: Addresses, through: &[String]) -> Self {
        let name = master_name(id);
        let data_dir = dir.join(&name);
        let args = args(id, &addresses, &data_dir, ("--join", through.join(",")));
        let process = Process::start(Launch::of("master", &name, dir, args));
        Self { id, addresses, data_dir, process }
    }

    /// Gives it other addresses, and other first members; it is to be started again.
    pub(super) fn move_to(&mut self, addresses: Addresses, members: &str) {
        let args = &mut self.process.launch_mut().args;
        for (flag, value) in [
            ("--grpc-listen", addresses.grpc.as_str()),
            ("--http-listen", addresses.http.as_str()),
            ("--initial-cluster", members),
        ] {
            let at = args.iter().position(|arg| arg == flag).unwrap();
            value.clone_into(args.get_mut(at + 1).unwrap());
        }
        self.addresses = addresses;
    }

    /// Its number, from 1.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns its HTTP address.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.addresses.http
    }

    /// Returns its gRPC address.
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.addresses.grpc
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn grpc_port(&self) -> u16 {
        self.addresses.grpc.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn group(&self) -> u32 {
        group(self.id)
    }
}

impl Deref for Master {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Master {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn group(id: u64) -> u32 {
    GROUP_BASE + u32::try_from(id).unwrap()
}

fn own_args(id: u64, addresses: &Addresses, data_dir: &Path, members: &[Addresses]) -> Vec<String> {
    let members = members.iter().zip(1..).map(|(member, id)| format!("{id}={}", member.grpc));
    let members = members.collect::<Vec<_>>().join(",");
    args(id, addresses, data_dir, ("--initial-cluster", members))
}

fn args(
    id: u64,
    addresses: &Addresses,
    data_dir: &Path,
    others: (&'static str, String),
) -> Vec<String> {
    let args = [
        ("--node-id", id.to_string()),
        ("--cluster-name", "test".to_owned()),
        others,
        ("--data-dir", data_dir.display().to_string()),
        ("--grpc-listen", addresses.grpc.clone()),
        ("--http-listen", addresses.http.clone()),
    ];
    args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
}
