//! Runs a cluster of processes on this machine: started in order, watched, stopped in reverse.

mod certificates;
mod data_dir;
mod layout;
mod process;
mod readiness;

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use credentials::{Connector, CredentialsError, Expected, Files, Protocol};
use futures_util::stream::{FuturesUnordered, StreamExt};
use proto::channel::Dialer;
use proto::client::{Client, ClientError, ClientOptions};
use proto::v1;
use tokio::time::{Instant, sleep};

use certificates::Certificates;
use data_dir::DataDir;
pub use layout::{Layout, Role};
pub use process::{Exit, Process};

use crate::authority::AuthorityError;

/// Time that a process has to become ready; a loaded machine elects slowly.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that a process has to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Reason that a local cluster does not run.
#[derive(Debug, thiserror::Error)]
pub enum LocalClusterError {
    /// A program is missing.
    #[error("there is no program {}: build the whole workspace first", path.display())]
    ProgramMissing {
        /// Path at which it was expected.
        path: PathBuf,
    },
    /// The directory of this program is unknown.
    #[error("cannot tell where this program is")]
    OwnPath(#[source] io::Error),
    /// A port is taken.
    #[error("port {port}, where {role} would listen, is in use: choose another --base-port")]
    PortInUse {
        port: u16,
        /// Process that needs the port.
        role: Role,
        source: io::Error,
    },
    /// A directory cannot be made or deleted.
    #[error("cannot make or delete the directory {}", path.display())]
    DataDir { path: PathBuf, source: io::Error },
    /// A process cannot be started.
    #[error("cannot start {role}")]
    Spawn { role: Role, source: io::Error },
    /// A process ended while it was needed.
    #[error("{exit}; the end of its log:\n{log_tail}")]
    Ended {
        exit: Exit,
        /// Last lines of its log.
        log_tail: String,
    },
    /// A process is not ready in time.
    #[error("{role} is not ready after {} s; its log is {}", READY_TIMEOUT.as_secs(), log.display())]
    NotReady {
        role: Role,
        /// Log that says why.
        log: PathBuf,
    },
    /// The cluster has no such process.
    #[error("there is no {0}")]
    NoSuchProcess(Role),
    /// A process cannot be signaled or watched.
    #[error("cannot control {role}")]
    Control { role: Role, source: io::Error },
    /// Its certificates cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Its certificates cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The running cluster does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Processes of one cluster. They are killed when it is dropped; [`LocalCluster::stop`] is the
/// orderly way.
#[derive(Debug)]
pub struct LocalCluster {
    layout: Layout,
    programs: PathBuf,
    processes: Vec<Process>,
    certificates: Option<Certificates>,
    dialer: Dialer,
    connector: Option<Connector>,
    // Last, so that it is removed when no process uses it any more.
    data_dir: DataDir,
}

impl LocalCluster {
    /// Checks that the cluster can be started, and starts nothing. The programs are expected in the
    /// directory `programs`; without `data_dir`, data is kept until the cluster is dropped.
    pub fn prepare(
        layout: Layout,
        programs: &Path,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, LocalClusterError> {
        for role in layout.roles() {
            let path = programs.join(role.program());
            if !path.is_file() {
                return Err(LocalClusterError::ProgramMissing { path });
            }
            for port in layout.ports(role) {
                TcpListener::bind(("127.0.0.1", port))
                    .map_err(|source| LocalClusterError::PortInUse { port, role, source })?;
            }
        }
        let data_dir = DataDir::open(data_dir)?;
        let certificates = layout.is_secured.then(|| Certificates::open(data_dir.path()));
        let certificates = certificates.transpose()?;
        let held = certificates.as_ref().map(Certificates::credentials).transpose()?;
        let connector = held.clone();
        let connector =
            connector.map(|held| Connector::new(held, Expected::Master, Protocol::Http));
        let dialer = held.map_or_else(Dialer::plain, Dialer::secured);
        let (programs, processes) = (programs.to_owned(), Vec::new());
        Ok(Self { layout, programs, processes, certificates, dialer, connector, data_dir })
    }

    /// Returns the directory of the programs that were built together with this one.
    pub fn sibling_programs() -> Result<PathBuf, LocalClusterError> {
        let own = std::env::current_exe().map_err(LocalClusterError::OwnPath)?;
        Ok(own.parent().map(Path::to_owned).unwrap_or_default())
    }

    /// Returns the layout of the cluster.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the directory of data and logs.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Returns the processes started so far, masters first.
    #[must_use]
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Creates a client of all its masters.
    pub fn client(&self, options: ClientOptions) -> Result<Client, LocalClusterError> {
        let options = ClientOptions { dialer: self.dialer.clone(), ..options };
        Ok(Client::new(self.layout.endpoints(), options)?)
    }

    /// Returns what opens connections to its masters.
    #[must_use]
    pub const fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Returns the files with which its user is known to it, if it has certificates.
    #[must_use]
    pub fn own_files(&self) -> Option<&Files> {
        self.certificates.as_ref().map(Certificates::own)
    }

    /// Starts a process, or restarts it with its data. A master beyond those of the layout joins
    /// them.
    pub fn start(&mut self, role: Role) -> Result<(), LocalClusterError> {
        let dir = self.data_dir.path();
        let mut arguments = self.layout.arguments(role, dir);
        if let Some(certificates) = &self.certificates {
            arguments.extend(certificates.arguments(role)?);
        }
        let process = Process::start(
            role,
            &self.programs.join(role.program()),
            arguments,
            dir.join(format!("{role}.log")),
        )
        .map_err(|source| LocalClusterError::Spawn { role, source })?;
        self.processes.retain(|process| process.role() != role);
        self.processes.push(process);
        self.processes.sort_by_key(Process::role);
        Ok(())
    }

    /// Waits until a process serves.
    pub async fn ready(&mut self, role: Role) -> Result<(), LocalClusterError> {
        let address = self.layout.readiness_address(role);
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let process = self.process(role)?;
            if let Some(exit) = process.exited().map_err(|source| control(role, source))? {
                return Err(LocalClusterError::Ended { exit, log_tail: process.log_tail() });
            }
            if readiness::is_ready(role, &address, self.connector.as_ref()).await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let log = self.process(role)?.log().to_owned();
                return Err(LocalClusterError::NotReady { role, log });
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Registers a worker and waits until it is active.
    pub async fn register(&self, client: &Client, worker: Role) -> Result<(), LocalClusterError> {
        let request = v1::RegisterRequest {
            worker_id: worker.to_string(),
            address: Some(self.layout.grpc_address(worker)),
            ..v1::RegisterRequest::default()
        };
        let mut known = client.register_worker(request).await?;
        let deadline = Instant::now() + READY_TIMEOUT;
        while !known.is_active {
            if Instant::now() >= deadline {
                let log = self.data_dir.path().join(format!("{worker}.log"));
                return Err(LocalClusterError::NotReady { role: worker, log });
            }
            sleep(POLL_INTERVAL).await;
            known =
                client.worker(&known.worker_id, proto::consistency::Consistency::default()).await?;
        }
        Ok(())
    }

    /// Kills a process without warning, as a power cut would, and waits until it is gone.
    pub async fn kill(&mut self, role: Role) -> Result<(), LocalClusterError> {
        let process = self.process(role)?;
        process.kill().await.map_err(|source| control(role, source))
    }

    /// Stops a process in good order, or else by force.
    pub async fn stop_one(&mut self, role: Role) -> Result<(), LocalClusterError> {
        self.process(role)?.stop(STOP_TIMEOUT).await;
        Ok(())
    }

    /// Waits until a process has ended.
    pub async fn ended(&mut self, role: Role) -> Result<Exit, LocalClusterError> {
        Ok(self.process(role)?.wait().await)
    }

    /// Deletes the data of a process that does not run.
    pub fn wipe(&mut self, role: Role) -> Result<(), LocalClusterError> {
        let path = self.data_dir.path().join(role.to_string());
        match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LocalClusterError::DataDir { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Waits until one of the running processes ends; forever when none runs.
    pub async fn next_exit(&mut self) -> Exit {
        let running = self.processes.iter_mut().filter(|process| process.is_running());
        let mut exits = running.map(Process::wait).collect::<FuturesUnordered<_>>();
        match exits.next().await {
            Some(exit) => exit,
            None => std::future::pending().await,
        }
    }

    /// Stops the workers and then the masters, each in good order or else by force.
    pub async fn stop(&mut self) {
        for is_worker in [true, false] {
            let chosen = self.processes.iter_mut().filter(|process| {
                matches!(process.role(), Role::Worker(_)) == is_worker && process.is_running()
            });
            let stops = chosen.map(|process| process.stop(STOP_TIMEOUT));
            stops.collect::<FuturesUnordered<_>>().collect::<()>().await;
        }
    }

    fn process(&mut self, role: Role) -> Result<&mut Process, LocalClusterError> {
        self.processes
            .iter_mut()
            .find(|process| process.role() == role)
            .ok_or(LocalClusterError::NoSuchProcess(role))
    }
}

const fn control(role: Role, source: io::Error) -> LocalClusterError {
    LocalClusterError::Control { role, source }
}

#[cfg(test)]
mod tests;
