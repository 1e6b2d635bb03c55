//! Computes the addresses and arguments of each process. Pure.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

/// One process of the cluster; numbers count from 1. Masters sort before workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A master.
    Master(u16),
    /// A worker.
    Worker(u16),
}

impl Role {
    /// Returns the name of its binary.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Master(_) => "master",
            Self::Worker(_) => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master(number) => write!(f, "master-{number}"),
            Self::Worker(number) => write!(f, "worker-{number}"),
        }
    }
}

/// Number of processes, and the first of their ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Number of masters.
    pub masters: u16,
    /// Number of workers.
    pub workers: u16,
    /// First port.
    pub base_port: u16,
    /// Executor of the workers; their default when absent.
    pub executor: Option<String>,
    /// True if masters and workers get certificates.
    pub is_secured: bool,
}

/// Distance from a master's gRPC port to its HTTP port.
const HTTP_OFFSET: u16 = 100;
/// Name of the executor that starts no processes.
const NOOP: &str = "noop";
/// Resources of a worker that starts no processes: it needs no memory, whatever tasks say, so that
/// only processors bound the number of its tasks, whether their requests are equal or different.
const NOOP_OFFER: [&str; 4] = ["--memory-mb", "1048576", "--storage-mb", "1048576"];
/// Distance from the base port to the workers' ports.
const WORKER_OFFSET: u16 = 200;

impl Layout {
    /// Iterates over all processes, masters first.
    pub fn roles(&self) -> impl Iterator<Item = Role> + use<> {
        self.master_roles().chain(self.worker_roles())
    }

    /// Iterates over the masters.
    pub fn master_roles(&self) -> impl Iterator<Item = Role> + use<> {
        (1..=self.masters).map(Role::Master)
    }

    /// Iterates over the workers.
    pub fn worker_roles(&self) -> impl Iterator<Item = Role> + use<> {
        (1..=self.workers).map(Role::Worker)
    }

    /// Returns the gRPC address of each master.
    pub fn endpoints(&self) -> impl Iterator<Item = String> {
        self.master_roles().map(|master| self.grpc_address(master))
    }

    /// Iterates over the ports on which a process listens.
    pub fn ports(&self, role: Role) -> impl Iterator<Item = u16> + use<> {
        let http = match role {
            Role::Master(_) => Some(self.http_port(role)),
            Role::Worker(_) => None,
        };
        std::iter::once(self.grpc_port(role)).chain(http)
    }

    /// Returns the address on which a process serves gRPC.
    #[must_use]
    pub fn grpc_address(&self, role: Role) -> String {
        local(self.grpc_port(role))
    }

    /// Returns the address on which a master serves HTTP; workers do not.
    #[must_use]
    pub fn http_address(&self, role: Role) -> Option<String> {
        match role {
            Role::Master(_) => Some(local(self.http_port(role))),
            Role::Worker(_) => None,
        }
    }

    /// Returns the address that tells whether a process is ready.
    pub(super) fn readiness_address(&self, role: Role) -> String {
        self.http_address(role).unwrap_or_else(|| self.grpc_address(role))
    }

    /// Returns the command line of a process that keeps its data below `dir`.
    pub(super) fn arguments(&self, role: Role, dir: &Path) -> Vec<OsString> {
        let own_dir = dir.join(role.to_string()).into_os_string();
        match role {
            Role::Master(number) => vec![
                "--node-id".into(),
                number.to_string().into(),
                "--cluster-name".into(),
                "dev".into(),
                if self.is_first(role) { "--initial-cluster" } else { "--join" }.into(),
                self.way_in(role).into(),
                "--data-dir".into(),
                own_dir,
                "--grpc-listen".into(),
                self.grpc_address(role).into(),
                "--http-listen".into(),
                local(self.http_port(role)).into(),
            ],
            Role::Worker(_) => {
                let mut arguments = vec![
                    "--worker-id".into(),
                    role.to_string().into(),
                    "--listen".into(),
                    self.grpc_address(role).into(),
                    "--data-dir".into(),
                    own_dir,
                ];
                if let Some(executor) = &self.executor {
                    arguments.extend(["--executor".into(), executor.into()]);
                    if executor == NOOP {
                        arguments.extend(NOOP_OFFER.map(Into::into));
                    }
                }
                arguments
            }
        }
    }

    /// Returns true for the masters that found the cluster; any other joins it.
    const fn is_first(&self, role: Role) -> bool {
        matches!(role, Role::Master(number) if number <= self.masters)
    }

    /// Returns the list of the first masters, with their numbers for one of them.
    fn way_in(&self, role: Role) -> String {
        let is_first = self.is_first(role);
        let member = |number| {
            let address = self.grpc_address(Role::Master(number));
            if is_first { format!("{number}={address}") } else { address }
        };
        (1..=self.masters).map(member).collect::<Vec<_>>().join(",")
    }

    fn grpc_port(&self, role: Role) -> u16 {
        match role {
            Role::Master(number) => self.base_port.saturating_add(number),
            Role::Worker(number) => {
                self.base_port.saturating_add(WORKER_OFFSET).saturating_add(number)
            }
        }
    }

    fn http_port(&self, role: Role) -> u16 {
        self.grpc_port(role).saturating_add(HTTP_OFFSET)
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            masters: 3,
            workers: 2,
            base_port: 7_000,
            executor: Some("noop".to_owned()),
            is_secured: false,
        }
    }

    #[test]
    fn every_process_has_its_ports() {
        let layout = layout();
        let ports = |role| layout.ports(role).collect::<Vec<_>>();
        assert_eq!(ports(Role::Master(1)), [7_001, 7_101]);
        assert_eq!(ports(Role::Master(3)), [7_003, 7_103]);
        assert_eq!(ports(Role::Worker(2)), [7_202]);
        assert_eq!(layout.roles().count(), 5);
    }

    #[test]
    fn a_master_is_told_who_the_others_are() {
        let arguments = layout().arguments(Role::Master(2), Path::new("/d"));
        let expected = "--node-id 2 --cluster-name dev \
            --initial-cluster 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003 \
            --data-dir /d/master-2 --grpc-listen 127.0.0.1:7002 --http-listen 127.0.0.1:7102";
        assert_eq!(arguments, expected.split(' ').collect::<Vec<_>>());
    }

    #[test]
    fn a_master_beyond_the_first_ones_joins_them() {
        let arguments = layout().arguments(Role::Master(4), Path::new("/d"));
        let expected = "--node-id 4 --cluster-name dev \
            --join 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 \
            --data-dir /d/master-4 --grpc-listen 127.0.0.1:7004 --http-listen 127.0.0.1:7104";
        assert_eq!(arguments, expected.split(' ').collect::<Vec<_>>());
    }

    #[test]
    fn a_worker_is_told_where_to_listen() {
        let arguments = layout().arguments(Role::Worker(1), Path::new("/d"));
        let expected = "--worker-id worker-1 --listen 127.0.0.1:7201 --data-dir /d/worker-1 \
            --executor noop --memory-mb 1048576 --storage-mb 1048576";
        assert_eq!(arguments, expected.split(' ').collect::<Vec<_>>());
    }
}
