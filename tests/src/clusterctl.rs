//! Runs the command line as a person would.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::process::binary;

/// No command of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Panics unless the exit code is the one expected.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Returns the standard output as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.stdout))
    }
}

/// Runs `clusterctl` against these endpoints.
pub async fn clusterctl(endpoints: &[String], args: &[&str]) -> Outcome {
    let mut command = Command::new(binary("clusterctl"));
    command
        .env("CLUSTERCTL_ENDPOINTS", endpoints.join(","))
        .env("NO_COLOR", "1")
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}
