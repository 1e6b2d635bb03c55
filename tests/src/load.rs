//! Clients that submit tasks while the cluster is being broken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eventually::{eventually, require};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::effects::Effects;

/// Treatment of a submission that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// With the same idempotency key, as often as it takes.
    SameKey,
    /// Never.
    Never,
}

/// Plan of the clients.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Number of clients.
    pub clients: usize,
    /// Between an answer and the next submission of the same client.
    pub pause: Duration,
    /// Treatment of a failure.
    pub retry: Retry,
}

impl Plan {
    /// As much as two processors can run beside the cluster itself.
    pub const STEADY: Self =
        Self { clients: 4, pause: Duration::from_millis(25), retry: Retry::SameKey };
}

/// Result of the load.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// When each acknowledgment came.
    accepted_at: Vec<Instant>,
    /// Failed submissions, each with its reason.
    pub failures: Vec<String>,
}

impl Tally {
    /// Returns the number of acknowledged submissions.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted_at.len()
    }

    /// The longest time between two acknowledgments to any client.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        let mut times = self.accepted_at.clone();
        times.sort_unstable();
        let gaps = times.iter().zip(times.iter().skip(1)).map(|(early, late)| *late - *early);
        gaps.max().unwrap_or_default()
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<()>,
    stop: CancellationToken,
    tally: Arc<Mutex<Tally>>,
}

impl Load {
    /// Starts them. Each task's name is its idempotency key.
    #[must_use]
    pub fn start(client: &Client, effects: &Effects, plan: Plan) -> Self {
        let (stop, tally) = (CancellationToken::new(), Arc::new(Mutex::new(Tally::default())));
        let mut clients = JoinSet::new();
        for number in 0..plan.clients {
            let (client, effects) = (client.sibling(number), effects.clone());
            let submitter = Submitter { client, effects, plan, tally: Arc::clone(&tally) };
            clients.spawn(submitter.work_until(stop.clone()));
        }
        Self { clients, stop, tally }
    }

    /// Returns the number of submissions acknowledged so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.tally.lock().accepted()
    }

    /// Returns the longest time between two acknowledgments so far.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.tally.lock().longest_gap()
    }

    /// Waits until so many more were acknowledged.
    pub async fn progress(&self, more: usize) {
        let goal = self.accepted() + more;
        let what = format!("{more} more submissions are acknowledged");
        eventually(&what, Duration::from_secs(30), async || {
            let accepted = self.accepted();
            require(accepted >= goal, || format!("{accepted} of {goal}"))
        })
        .await;
    }

    /// Lets each client finish what it is doing, and counts.
    pub async fn stop(mut self) -> Tally {
        self.stop.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let tally = self.tally.lock();
        tally.clone()
    }
}

/// One client.
struct Submitter {
    client: Client,
    effects: Effects,
    plan: Plan,
    tally: Arc<Mutex<Tally>>,
}

impl Submitter {
    /// A submission that is under way is not broken off: its outcome belongs into the history.
    async fn work_until(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let key = uuid::Uuid::new_v4().to_string();
            let task = self.effects.task(&key);
            let submitted = match self.plan.retry {
                Retry::SameKey => self.client.submit_under(&task, &key).await,
                Retry::Never => self.client.try_submit(&task, &key).await,
            };
            if let Ok(id) = &submitted {
                self.client.look_for(id).await;
            }
            self.count(&key, submitted);
            tokio::time::sleep(self.plan.pause).await;
        }
    }

    fn count(&self, key: &str, submitted: anyhow::Result<String>) {
        let mut tally = self.tally.lock();
        match submitted {
            Ok(_) => tally.accepted_at.push(Instant::now()),
            Err(error) => tally.failures.push(format!("{key}: {error:#}")),
        }
    }
}
