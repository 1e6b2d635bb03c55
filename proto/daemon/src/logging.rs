//! Log lines of a daemon: on standard error, for people or for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Parts that tell of every message they handle, in words that only their authors need; a
/// directive of the operator's for one of them wins.
const QUIET: &str = "openraft=error,h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn";

/// Level, or directives such as `info,openraft=warn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The process logs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logging is set up already")]
pub struct Taken;

impl LogFilter {
    /// Reads a level or a list of directives.
    ///
    /// # Errors
    ///
    /// If the text is neither. Directives are ASCII here: tracing-subscriber 0.3.23 panics on some
    /// texts that are not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_filter = text.is_ascii() && EnvFilter::try_new(text).is_ok();
        if !is_filter {
            return Err(format!("'{text}' is neither a level nor a list of directives"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the filter as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// Sends log lines to standard error from now on.
pub fn start(filter: &LogFilter, format: LogFormat) -> Result<(), Taken> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{QUIET},{}", filter.0)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| Taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_directives_in_ascii() {
        for filter in ["info", "info,openraft=warn", "master::leader=debug"] {
            assert_eq!(LogFilter::parse(filter).unwrap().as_str(), filter);
        }
        for other in ["=", "info,master=loud", "h\u{f6}rbar=info"] {
            let refused = LogFilter::parse(other).unwrap_err();
            assert!(refused.contains(other), "{refused}");
        }
    }
}
