//! One part of a running master: started, and stopped within its patience.

use std::time::Duration;

use raft_store::Loops;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Something that runs until it is told to stop, and that a master cannot do without.
#[derive(Debug)]
pub(super) struct Part {
    name: &'static str,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Part {
    pub(super) fn spawn<F>(
        loops: &Loops,
        name: &'static str,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let loops = loops.apart();
        let running = loops.spawn(name, run);
        Self { name, stop: loops.stop().clone(), running }
    }

    pub(super) async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        let how = match tokio::time::timeout(patience, &mut self.running).await {
            Ok(Ok(())) => "in good order",
            Ok(Err(_)) => "by a panic",
            Err(_) => {
                self.running.abort();
                "with requests under way"
            }
        };
        tracing::info!(part = self.name, how, "stopped");
    }
}
