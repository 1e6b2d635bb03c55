//! Records to which cluster the results and the output in the data directory belong. Task ids begin
//! at 1 in each cluster, so files of another cluster must never be taken for ours.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cluster_state::ClusterId;
use tracing::warn;

/// Directories whose content belongs to one cluster.
const OWNED: [&str; 3] = ["spool", "tasks", "logs"];
/// File in each of them that names the cluster.
const TAG: &str = "cluster";

/// Marks the directories as the cluster's, and moves those of another cluster away. Before a
/// cluster is known, everything that is marked belongs to another one.
pub(super) fn claim(data_dir: &Path, ours: Option<ClusterId>) -> io::Result<()> {
    for name in OWNED {
        let dir = data_dir.join(name);
        match (owner(&dir)?, ours) {
            (Some(theirs), Some(ours)) if theirs == ours.to_string() => {}
            (Some(theirs), _) => {
                put_aside(&dir, &theirs)?;
                tag(&dir, ours)?;
            }
            (None, _) => tag(&dir, ours)?,
        }
    }
    Ok(())
}

fn owner(dir: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(dir.join(TAG)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn tag(dir: &Path, ours: Option<ClusterId>) -> io::Result<()> {
    let Some(ours) = ours else { return Ok(()) };
    fs::create_dir_all(dir)?;
    let new_path = dir.join("cluster.new");
    let mut file = File::create(&new_path)?;
    writeln!(file, "{ours}")?;
    file.sync_all()?;
    fs::rename(&new_path, dir.join(TAG))?;
    File::open(dir)?.sync_all()
}

fn put_aside(dir: &Path, theirs: &str) -> io::Result<()> {
    // A directory that was only marked, by a start that was interrupted, is not worth keeping.
    if fs::read_dir(dir)?.count() <= 1 {
        return fs::remove_file(dir.join(TAG));
    }
    // The text may be anything: it is a name only if it is an id.
    let theirs = theirs.parse::<ClusterId>().map_or("unknown".to_owned(), |id| id.to_string());
    let aside = vacant(dir, &theirs);
    warn!(from = %dir.display(), to = %aside.display(), cluster = theirs,
        "belongs to another cluster, moved away");
    fs::rename(dir, aside)
}

/// Returns an unused name: the worker may have come from that cluster before.
fn vacant(dir: &Path, theirs: &str) -> PathBuf {
    let mut aside = dir.with_extension(format!("of-{theirs}"));
    let mut number = 1_u32;
    while aside.exists() {
        number += 1;
        aside = dir.with_extension(format!("of-{theirs}.{number}"));
    }
    aside
}
