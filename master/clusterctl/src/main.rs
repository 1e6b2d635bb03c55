//! The `clusterctl` binary: reads the command line, runs the command, exits with its code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clusterctl::args::Args;
use clusterctl::commands;

// One thread: most commands are one call.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match Box::pin(commands::run(args)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.message() {
                // If standard error is closed, nobody can be told.
                drop(writeln!(std::io::stderr(), "clusterctl: {text}"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
