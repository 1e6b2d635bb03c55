//! Ends of a daemon: one line on standard error, an exit code, and no life after a panic.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

/// Exit code for a command line or a configuration that cannot be used.
pub const USAGE: u8 = 2;

/// Writes one line with every cause of the error, and returns the exit code.
pub fn complain(program: &str, error: &dyn Error, code: u8) -> ExitCode {
    let line = line(program, error);
    // When standard error is gone there is nobody to tell.
    std::io::stderr().write_all(line.as_bytes()).ok();
    ExitCode::from(code)
}

/// Ends the process when any part of it panics: a daemon that is half dead is worse than none.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "panicked: this process ends");
        std::process::abort();
    }));
}

fn line(program: &str, error: &dyn Error) -> String {
    let mut line = format!("{program}: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        // Some errors of libraries repeat their cause.
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = next.source();
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layered {
        text: &'static str,
        source: Option<Box<Layered>>,
    }

    fn error(text: &'static str, source: Option<Layered>) -> Layered {
        Layered { text, source: source.map(Box::new) }
    }

    #[test]
    fn every_cause_is_told_once() {
        let cause = error("disk full", None);
        let repeats = error("cannot write: disk full", Some(cause));
        let whole = error("cannot start", Some(repeats));
        assert_eq!(line("worker", &whole), "worker: cannot start: cannot write: disk full\n");
    }
}
