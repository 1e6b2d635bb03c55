//! One worker process.

use std::path::{Path, PathBuf};

use crate::ports;
use crate::process::{Launch, Process};

/// Group ids of workers begin here when a firewall has to tell them apart.
const GROUP_BASE: u32 = 62_000;

/// A worker, started or not.
#[derive(Debug)]
pub struct Worker {
    name: String,
    address: String,
    data_dir: PathBuf,
    launch: Launch,
    process: Option<Process>,
}

impl Worker {
    pub(super) fn new(number: usize, dir: &Path, is_cuttable: bool, args: &[String]) -> Self {
        let name = format!("worker-{number}");
        let [port] = ports::free();
        let address = format!("127.0.0.1:{port}");
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
        let args = own.chain(args.iter().cloned()).collect();
        let mut launch = Launch::of("worker", &name, dir, args);
        launch.group = is_cuttable.then(|| GROUP_BASE + u32::try_from(number).unwrap());
        Self { name, address, data_dir, launch, process: None }
    }

    /// Its name in the registry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
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

    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn group(&self) -> Option<u32> {
        self.launch.group
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
