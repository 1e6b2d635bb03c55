//! Programs that are run to their end.

use anyhow::ensure;
use clusterctl::local_cluster::LocalCluster;
use tokio::process::Command;

/// Returns a call of the `clusterctl` that was built together with this program.
pub(crate) fn clusterctl() -> anyhow::Result<Command> {
    Ok(Command::new(LocalCluster::sibling_programs()?.join("clusterctl")))
}

/// Runs a program to its end.
pub(crate) async fn finish(mut command: Command) -> anyhow::Result<()> {
    let output = command.kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?}: {said}", command.as_std());
    Ok(())
}
