//! GPUs that are known by their device files only: where there is no management library.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Sighting, Source, SourceError};

/// The files of NVIDIA's driver below a root.
#[derive(Debug)]
pub(super) struct DeviceFiles {
    root: PathBuf,
}

impl DeviceFiles {
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns the numbers of the GPUs: of the devices that can be opened, of which a container has
    /// fewer than the driver knows, or of those that the driver knows, because their files may appear on
    /// first use only.
    fn numbers(&self) -> Vec<u32> {
        let devices = self.names("dev");
        let devices = devices.iter().filter_map(|name| name.strip_prefix("nvidia")?.parse().ok());
        let mut numbers = devices.collect::<Vec<u32>>();
        if numbers.is_empty() {
            numbers = (0..).zip(self.names("proc/driver/nvidia/gpus")).map(|(n, _)| n).collect();
        }
        numbers.sort_unstable();
        numbers
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(dir)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Source for DeviceFiles {
    fn look(&self) -> Result<Vec<Sighting>, SourceError> {
        Ok(self.numbers().into_iter().map(|number| Sighting::numbered(number, None)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_the_devices_or_what_the_driver_knows() {
        let root = tempfile::tempdir().unwrap();
        let numbers = || DeviceFiles::below(root.path()).numbers();
        assert_eq!(numbers(), [0_u32; 0]);
        for name in ["0000:01:00.0", "0000:02:00.0"] {
            fs::create_dir_all(root.path().join("proc/driver/nvidia/gpus").join(name)).unwrap();
        }
        assert_eq!(numbers(), [0, 1]);

        fs::create_dir(root.path().join("dev")).unwrap();
        for name in ["nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"] {
            fs::write(root.path().join("dev").join(name), "").unwrap();
        }
        assert_eq!(numbers(), [2, 10]);
    }
}
