//! One worker process.

use std::path::{Path, PathBuf};

use super::machines::{Place, worker_name};
use crate::certificates::Certificates;
use crate::ports;
use crate::process::{Launch, Process};

/// Group ids of workers begin here when a firewall has to tell them apart.
const GROUP_BASE: u32 = 62_000;
/// Port of a worker that has a host of its own.
const HOST_PORT: u16 = 50_052;

/// A worker, started or not.
#[derive(Debug)]
pub struct Worker {
    number: usize,
    name: String,
    address: String,
    data_dir: PathBuf,
    launch: Launch,
    process: Option<Process>,
}

impl Worker {
    /// The worker of that number, on a host of its own or on a free port of this one.
    pub(super) fn new(
        number: usize,
        dir: &Path,
        host: Option<(String, Place)>,
        certificates: Option<&Certificates>,
        args: &[String],
    ) -> Self {
        let name = worker_name(number);
        let is_exposed = host.is_some();
        let (address, place) = match host {
            Some((ip, place)) => (format!("{ip}:{HOST_PORT}"), place),
            None => {
                let [port] = ports::free();
                (format!("127.0.0.1:{port}"), Place::default())
            }
        };
        let data_dir = dir.join(&name);
        let own = [
            ("--worker-id", name.clone()),
            ("--listen", address.clone()),
            ("--data-dir", data_dir.display().to_string()),
            ("--cpu", "4".to_owned()),
            ("--memory-mb", "8192".to_owned()),
            ("--storage-mb", "1024".to_owned()),
            ("--gpu", "0".to_owned()),
        ];
        let own = own.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        let protection = match certificates {
            Some(certificates) => certificates.flags("worker", &name),
            None if is_exposed => vec!["--insecure".to_owned()],
            None => Vec::new(),
        };
        let args = own.chain(protection).chain(args.iter().cloned()).collect();
        let mut launch = Launch::of("worker", &name, dir, args);
        launch.namespace = place.namespace;
        launch.env = place.environment;
        Self { number, name, address, data_dir, launch, process: None }
    }

    /// Lets a firewall tell its packets from those of others.
    pub(super) fn set_cuttable(&mut self, is_cuttable: bool) {
        self.launch.group = is_cuttable.then(|| GROUP_BASE + u32::try_from(self.number).unwrap());
    }

    /// Sets the program of its first start.
    pub(super) fn set_program(&mut self, program: PathBuf) {
        self.launch.program = program;
    }

    /// Its name in the registry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A flag for it from its next start on.
    pub fn add_arg(&mut self, flag: &str, value: &str) {
        self.launch.args.extend([flag.to_owned(), value.to_owned()]);
        if let Some(process) = &mut self.process {
            process.launch_mut().args.clone_from(&self.launch.args);
        }
    }

    /// Another value of a flag that it has, from its next start on.
    pub fn set_arg(&mut self, flag: &str, value: &str) {
        let at = self.launch.args.iter().position(|arg| arg == flag).unwrap();
        value.clone_into(self.launch.args.get_mut(at + 1).unwrap());
        if let Some(process) = &mut self.process {
            process.launch_mut().args.clone_from(&self.launch.args);
        }
    }

    pub(crate) fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn group(&self) -> Option<u32> {
        self.launch.group
    }

    /// Another process that takes itself for this worker, on the host of another one.
    #[must_use]
    pub fn double_on(&self, host: &Self, masters: &str) -> Process {
        let mut launch = host.launch.clone();
        launch.name = format!("{}-double", self.name);
        launch.log = launch.log.with_file_name(format!("{}.log", launch.name));
        for arg in &mut launch.args {
            if *arg == host.name {
                arg.clone_from(&self.name);
            }
        }
        launch.args.extend(["--masters".to_owned(), masters.to_owned()]);
        Process::start(launch)
    }

    /// Makes it register with these masters by itself from its first start on.
    pub fn set_masters(&mut self, addresses: &str) {
        self.launch.args.extend(["--masters".to_owned(), addresses.to_owned()]);
    }

    /// Starts it, for the first time or again.
    pub fn start(&mut self) {
        match &mut self.process {
            Some(process) => process.restart(),
            None => self.process = Some(Process::start(self.launch.clone())),
        }
    }

    /// Its process, once it was started.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }
}
