//! Runs the loops without which a master is only half alive: one that ends by itself ends the
//! process.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fatal::Fatal;

/// Runs loops that must not end before they are stopped. A panic ends the process in its hook.
#[derive(Debug, Clone)]
pub struct Loops {
    tasks: TaskTracker,
    stop: CancellationToken,
    fatal: Fatal,
}

impl Loops {
    /// Creates a group of loops that `stop` stops, and that are awaited through `tasks`.
    #[must_use]
    pub const fn new(tasks: TaskTracker, stop: CancellationToken, fatal: Fatal) -> Self {
        Self { tasks, stop, fatal }
    }

    /// Returns a group with a stop of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { stop: CancellationToken::new(), ..self.clone() }
    }

    /// Returns the token that stops them.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a loop until it is stopped.
    pub fn spawn<F>(
        &self,
        name: &'static str,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, fatal) = (self.stop.clone(), self.fatal.clone());
        let running = run(stop.clone());
        self.tasks.spawn(async move {
            running.await;
            if !stop.is_cancelled() {
                fatal.raise(&format!("the {name} has ended"));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loops() -> Loops {
        Loops::new(TaskTracker::new(), CancellationToken::new(), Fatal::default())
    }

    #[tokio::test]
    async fn a_loop_that_ends_by_itself_is_fatal() {
        let loops = loops();
        loops.spawn("asker", async |_| {}).await.unwrap();
        assert_eq!(loops.fatal.reason().as_deref(), Some("the asker has ended"));
    }

    #[tokio::test]
    async fn a_loop_that_is_stopped_is_not() {
        let loops = loops();
        let apart = loops.apart();
        let running = apart.spawn("asker", async |stop| stop.cancelled().await);

        loops.stop().cancel();
        assert!(!running.is_finished());
        apart.stop().cancel();
        running.await.unwrap();
        assert_eq!(loops.fatal.reason(), None);
    }
}
