//! Measures how fast tasks go from submission to completion.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use proto::client::Client;
use proto::convert::parse_rfc3339;
use proto::v1;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Latencies, per_second, small_task};

/// Tasks in one call.
const BATCH: usize = 1_000;
/// Calls under way at once.
const CALLS_SIDE_BY_SIDE: usize = 8;
/// Pause between two looks at what is left: short beside the seconds that are measured.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The label by which the tasks of one run are told from others.
const RUN_LABEL: &str = "bench";

/// Tasks that are all submitted at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DispatchLoad {
    pub(crate) tasks: u32,
    /// Over how many different requests for resources they are spread.
    pub(crate) classes: u32,
    /// Give up after so long.
    pub(crate) patience: Duration,
}

/// Result of the measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DispatchReport {
    /// Tasks completed.
    pub(crate) tasks: u32,
    /// Seconds until the last one was accepted.
    pub(crate) submitted_seconds: f64,
    /// Seconds until the last one was completed.
    pub(crate) completed_seconds: f64,
    /// Tasks per second from the first submission to the last completion.
    pub(crate) tasks_per_second: f64,
}

/// Latencies of single tasks on an idle cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LatencyReport {
    /// Tasks measured.
    pub(crate) tasks: u64,
    /// Median from the accepted submission to the confirmed start, by the leader's clock.
    pub(crate) start_p50_micros: u128,
    /// The same, for 99 of 100.
    pub(crate) start_p99_micros: u128,
    /// Median from the call that submits to the answer that it is finished, by the client's clock.
    pub(crate) finish_p50_micros: u128,
    /// The same, for 99 of 100.
    pub(crate) finish_p99_micros: u128,
}

impl DispatchLoad {
    /// Submits all of the tasks and waits until the last one is finished.
    pub(crate) async fn run(&self, client: &Client) -> anyhow::Result<DispatchReport> {
        let run = Uuid::new_v4().to_string();
        let others = live_tasks(client).await?;
        let started = Instant::now();
        self.submit(client, &run).await?;
        let submitted = started.elapsed();
        let deadline = started + self.patience;
        while live_tasks(client).await? > others || is_live(client, &run).await? {
            if Instant::now() >= deadline {
                anyhow::bail!("the tasks were not finished in time");
            }
            sleep(LOOK_INTERVAL).await;
        }
        let completed = started.elapsed();
        Ok(DispatchReport {
            tasks: self.tasks,
            submitted_seconds: submitted.as_secs_f64(),
            completed_seconds: completed.as_secs_f64(),
            tasks_per_second: per_second(u64::from(self.tasks), completed),
        })
    }

    async fn submit(&self, client: &Client, run: &str) -> anyhow::Result<()> {
        let task = labeled_task(run);
        let batches = (0..self.tasks).step_by(BATCH).map(|first| {
            let numbers = (first..self.tasks).take(BATCH);
            let classes = numbers.map(|number| number % self.classes.max(1));
            classes.map(|class| of_class(class, &task)).collect::<Vec<_>>()
        });
        let calls = batches.map(|batch| client.submit(batch, None));
        stream::iter(calls)
            .buffer_unordered(CALLS_SIDE_BY_SIDE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        Ok(())
    }

    /// Submits `count` tasks, each after the one before is finished.
    pub(crate) async fn latency(client: &Client, count: u32) -> anyhow::Result<LatencyReport> {
        let task = labeled_task(&Uuid::new_v4().to_string());
        let mut to_start = Latencies::default();
        let mut to_finish = Latencies::default();

        for _ in 0..count {
            let sent = Instant::now();
            let accepted = client.submit(vec![task.clone()], None).await?;
            let Some(accepted) = accepted.first() else {
                anyhow::bail!("a submission was answered without a task");
            };
            let finished = client.wait(&accepted.task_id, None).await?;
            to_finish.record(sent.elapsed());
            if let Some(waited) = submitted_to_started(&finished) {
                to_start.record(waited);
            }
        }

        Ok(LatencyReport {
            tasks: to_finish.count(),
            start_p50_micros: to_start.median().as_micros(),
            start_p99_micros: to_start.per_mille(990).as_micros(),
            finish_p50_micros: to_finish.median().as_micros(),
            finish_p99_micros: to_finish.per_mille(990).as_micros(),
        })
    }
}

/// The task with a request for resources that no other class has. All of them ask for the same
/// processors, which bound how many fit side by side, so that this is not what is measured.
fn of_class(class: u32, task: &v1::TaskSpec) -> v1::TaskSpec {
    let resources = v1::Resources {
        memory_mb: Some(u64::from(1 + class % 400)),
        storage_mb: Some(u64::from(class / 400)),
        ..task.resources.clone().unwrap_or_default()
    };
    v1::TaskSpec { resources: Some(resources), ..task.clone() }
}

fn labeled_task(run: &str) -> v1::TaskSpec {
    v1::TaskSpec { labels: [(RUN_LABEL.to_owned(), run.to_owned())].into(), ..small_task(None) }
}

fn submitted_to_started(task: &v1::Task) -> Option<Duration> {
    let submitted = parse_rfc3339(&task.submitted_at).ok()?;
    let started = parse_rfc3339(task.started_at.as_deref()?).ok()?;
    Some(started.since(submitted))
}

/// Returns the number of unfinished tasks as one master counts them, which costs nothing but may be
/// behind.
async fn live_tasks(client: &Client) -> anyhow::Result<u64> {
    let counts = client.status().await?.tasks;
    Ok(counts.values().sum())
}

/// Returns true if a task of the run is unfinished, by a linearizable read.
async fn is_live(client: &Client, run: &str) -> anyhow::Result<bool> {
    for state in v1::TaskState::live() {
        let request = v1::ListTasksRequest {
            state: Some(state.into()),
            label: Some(format!("{RUN_LABEL}={run}")),
            limit: 1,
            ..v1::ListTasksRequest::default()
        };
        if !client.tasks(request).await?.tasks.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_classes_ask_for_the_same() {
        let task = small_task(None);
        assert_eq!(of_class(0, &task).resources.unwrap().cpu, task.resources.clone().unwrap().cpu);
        let asked = (0..100_000).map(|class| format!("{:?}", of_class(class, &task).resources));
        assert_eq!(asked.collect::<BTreeSet<_>>().len(), 100_000);
    }
}
