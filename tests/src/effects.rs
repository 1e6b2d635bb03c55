//! Records the effects of tasks: each start of an attempt leaves a line in a file, so that a second
//! run shows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

/// One start of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    pub task: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Worker that ran it.
    pub worker: String,
}

/// The file that tasks write to.
#[derive(Debug, Clone)]
pub struct Effects {
    path: PathBuf,
}

impl Effects {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { path: dir.join("effects") }
    }

    /// A small task that leaves a line and ends well.
    #[must_use]
    pub fn task(&self, name: &str) -> Value {
        self.script(name, "")
    }

    /// A small task that leaves a line, goes on for that long, and ends well.
    #[must_use]
    pub fn lasting(&self, name: &str, span: Duration) -> Value {
        self.script(name, &format!("sleep {}", span.as_secs_f64()))
    }

    /// A small task that leaves a line and then does what the shell script says.
    #[must_use]
    pub fn script(&self, name: &str, then: &str) -> Value {
        // One write of a short line to a file opened for appending is never torn.
        let line = r#""$CLOUDAI_TASK_ID $CLOUDAI_ATTEMPT $CLOUDAI_WORKER_ID""#;
        let script = format!("echo {line} >> {}\n{then}", self.path.display());
        json!({
            "name": name,
            "command": ["/bin/sh", "-c", script],
            "resources": {"cpu": 0.01, "memory_mb": 1},
        })
    }

    /// A task whose first attempt stays until it is ended, while later ones end well. The first
    /// one's process is [`Self::first_process`].
    #[must_use]
    pub fn endless_at_first(&self, name: &str) -> Value {
        let pid_file = self.pid_file(name);
        let path = pid_file.display();
        // Written aside and moved, so that nobody reads half a number.
        let then = format!(
            "if [ $CLOUDAI_ATTEMPT = 1 ]; then echo $$ > {path}.new; mv {path}.new {path}; \
             exec sleep 600; fi"
        );
        self.script(name, &then)
    }

    /// The process of the first attempt of an [`Self::endless_at_first`] task; `None` before its
    /// start and after its end.
    #[must_use]
    pub fn first_process(&self, name: &str) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file(name)).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // What has ended and was not waited for is not alive.
        let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
        (state != 'Z').then_some(pid)
    }

    fn pid_file(&self, name: &str) -> PathBuf {
        self.path.with_file_name(format!("{name}.pid"))
    }

    /// Every line so far.
    #[must_use]
    pub fn all(&self) -> Vec<Effect> {
        fs::read_to_string(&self.path).unwrap_or_default().lines().map(parse).collect()
    }

    /// Those of one task.
    #[must_use]
    pub fn of(&self, task: &str) -> Vec<Effect> {
        self.all().into_iter().filter(|effect| effect.task == task).collect()
    }

    /// Returns the number of starts of each attempt.
    pub(crate) fn counts(&self) -> BTreeMap<(String, u32), usize> {
        let mut counts = BTreeMap::new();
        for effect in self.all() {
            *counts.entry((effect.task, effect.attempt)).or_default() += 1;
        }
        counts
    }
}

fn parse(line: &str) -> Effect {
    let mut words = line.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap();
    Effect { task: word(), attempt: word().parse().unwrap(), worker: word() }
}
