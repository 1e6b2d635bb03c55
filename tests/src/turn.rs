//! One cluster at a time on this machine: timing claims mean nothing when two compete for the
//! processors.

use std::fs::File;

/// Held while a cluster runs; the next one begins when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    pub(crate) async fn wait() -> Self {
        let path = std::env::temp_dir().join("cloudai-cluster-tests.lock");
        let wait = move || {
            let file = File::options().create(true).truncate(false).write(true).open(path)?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        };
        Self { _lock: tokio::task::spawn_blocking(wait).await.unwrap().unwrap() }
    }
}
