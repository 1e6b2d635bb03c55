//! `snapshot restore`: becomes the program that knows what a data directory looks like.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::args::{Format, RestoreArgs};
use crate::commands::Context;
use crate::failure::Failure;
use crate::local_cluster::LocalCluster;

pub(super) fn run(context: &Context, args: &RestoreArgs) -> Result<(), Failure> {
    let program = LocalCluster::sibling_programs()?.join("master");
    let mut command = Command::new(&program);
    command
        .arg("restore")
        .arg(&args.file)
        .arg("--data-dir")
        .arg(&args.data_dir)
        .args(["--node-id", &args.node_id.to_string()])
        .args(["--cluster-name", &args.cluster_name])
        .args(["--initial-cluster", &args.initial_cluster]);
    if let Some(generation) = args.generation {
        command.args(["--generation", &generation.to_string()]);
    }
    if args.force {
        command.arg("--force");
    }
    for (flag, file) in context.master_flags() {
        command.arg(flag).arg(file);
    }
    if context.output.format() == Format::Json {
        command.arg("--json");
    }
    // It returns only when the program cannot be started.
    Err(Failure::Program { path: program, source: command.exec() })
}
