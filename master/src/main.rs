//! The `master` binary.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use master::config::{self, Config, Invocation, InvocationError};
use master::{master as composition, telemetry};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A leader of ten thousand workers spends a tenth less of a processor with it than with glibc's
/// allocator (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line or the configuration is not usable.
const USAGE: u8 = 2;
/// What is still running when everything has stopped is not waited for longer than this.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let invocation = config::parse(std::env::args(), |name| std::env::var(name).ok());
    let outcome = match invocation {
        Ok(Invocation::Run(config)) => serve(*config),
        Ok(Invocation::Check(text)) => std::io::stdout()
            .write_all(text.as_bytes())
            .map(|()| ExitCode::SUCCESS)
            .context("cannot print the configuration"),
        Err(InvocationError::Usage(usage)) => usage.exit(),
        Err(error) => return complain(&error, USAGE),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => complain(&*error, 1),
    }
}

fn serve(config: Config) -> anyhow::Result<ExitCode> {
    if let Err(error) = telemetry::start(&config.log) {
        return Ok(complain(&error, USAGE));
    }
    telemetry::abort_on_panic();
    raise_file_limit();
    forgo_huge_pages();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let ran = runtime.block_on(composition::run(config));
    // The database must be closed before the process exits: whoever still holds it is dropped here.
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    ran?;
    Ok(ExitCode::SUCCESS)
}

/// Each worker takes up to two connections; the soft limit is often too low for thousands.
fn raise_file_limit() {
    let raise = || {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard)
    };
    match raise() {
        Ok(limit) => tracing::debug!(limit, "limit of open files raised"),
        Err(error) => tracing::warn!(%error, "limit of open files not raised"),
    }
}

/// A huge page stays as long as one object in it does. What thousands of workers that come at once
/// leave behind was twice as much with them, and nothing was slower without (docs/benchmarks.md).
fn forgo_huge_pages() {
    if let Err(error) = prctl::set_thp_disable(true) {
        tracing::warn!(%error, "transparent huge pages not disabled, more memory is used");
    }
}

/// One line, with every cause in it.
fn complain(error: &dyn Error, code: u8) -> ExitCode {
    let mut line = format!("master: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = next.source();
    }
    line.push('\n');
    // When standard error is gone there is nobody to tell.
    std::io::stderr().write_all(line.as_bytes()).ok();
    ExitCode::from(code)
}
