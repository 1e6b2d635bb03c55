//! The `master` binary.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use daemon::config::InvocationError;
use daemon::exit::{USAGE, abort_on_panic, complain};
use daemon::{logging, open_files};
use master::config::{self, Config, Invocation};
use master::master as composition;
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};

/// A leader of ten thousand workers spends a tenth less of a processor with it than with glibc's
/// allocator (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROGRAM: &str = "master";
/// Exit code of a master that does not belong to its cluster any more.
const EXPELLED: u8 = 3;
/// Longest wait for tasks that still run when everything has stopped.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // Log, state and backups are for nobody else on this machine; restorations write them, too.
    umask(Mode::from_bits_truncate(0o077));
    let invocation = config::parse(std::env::args(), |name| std::env::var(name).ok());
    let outcome = match invocation {
        Ok(Invocation::Run(config)) => serve(*config).map(|()| ExitCode::SUCCESS),
        Ok(Invocation::Check(text)) => std::io::stdout()
            .write_all(text.as_bytes())
            .map(|()| ExitCode::SUCCESS)
            .context("cannot print the configuration"),
        Ok(Invocation::Offline(order)) => return order.run(PROGRAM),
        Err(InvocationError::Usage(usage)) => usage.exit(),
        Err(error) => return complain(PROGRAM, &error, USAGE),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => complain(PROGRAM, &*error, exit_code(&error)),
    }
}

/// Returns the exit code for an error: one of its own for a master that no new start helps.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<composition::StartError>() {
        Some(composition::StartError::Expelled(_)) => EXPELLED,
        Some(_) | None => 1,
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    logging::start(&config.log.level, config.log.format)?;
    abort_on_panic();
    if let Err(error) = open_files::raise() {
        tracing::warn!(%error, "limit of open files not raised");
    }
    forgo_huge_pages();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let ran = runtime.block_on(composition::run(config));
    // The database must be closed before the process exits: whoever still holds it is dropped here.
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    Ok(ran?)
}

/// A huge page stays as long as one object in it does. What thousands of workers that come at once
/// leave behind was twice as much with them, and nothing was slower without (docs/benchmarks.md).
fn forgo_huge_pages() {
    if let Err(error) = prctl::set_thp_disable(true) {
        tracing::warn!(%error, "transparent huge pages not disabled, more memory is used");
    }
}
