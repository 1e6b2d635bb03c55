//! Writes the trail into a file of this master: what the state says, in the order of the log.

use std::time::Duration;

use cluster_state::{ClusterId, LogIndex};
use daemon::signals::{StopSignal, StopSignals};
use raft_store::Node;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::file::{Layout, TrailFile};
use super::refusals::Refused;
use super::{Trail, line};
use crate::config::Config;
use crate::metrics::Metrics;

/// Records that are written at a time.
const BATCH_MAX: usize = 256;
/// Pause between two looks at the state: the log moves all the time, and orders are rare.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Time for which refusals are gathered.
const REFUSALS_PERIOD: Duration = Duration::from_secs(10);
/// Pause before a failed write is repeated.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// The file of the trail cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("audit.file {path}")]
pub struct TrailFileError {
    path: String,
    source: std::io::Error,
}

/// Writes the trail, unless no file is configured.
#[derive(Debug)]
pub(crate) struct TrailWriter {
    /// Gone while it is being written, and for good when this process ends meanwhile.
    file: Option<TrailFile>,
    node: Node,
    trail: Trail,
    metrics: Metrics,
    is_failing: bool,
    refusals_due: Instant,
    /// Refusals that are not written yet.
    refused: Vec<Refused>,
}

impl TrailWriter {
    /// Opens the configured file; none without one.
    pub(crate) fn open(
        config: &Config,
        (node, trail, metrics): (&Node, &Trail, &Metrics),
    ) -> Result<Option<Self>, TrailFileError> {
        if config.audit.file.as_os_str().is_empty() {
            return Ok(None);
        }
        let path = config.data_dir.join(&config.audit.file);
        let layout = Layout {
            path: path.clone(),
            bytes_max: config.audit.file_bytes.as_u64(),
            keep: config.audit.file_keep,
            cluster: config.cluster_name.clone(),
            master: config.node_id,
        };
        let failed = |source| TrailFileError { path: path.display().to_string(), source };
        let file = Some(TrailFile::open(layout).map_err(failed)?);
        let (node, trail, metrics) = (node.clone(), trail.clone(), metrics.clone());
        let refusals_due = Instant::now() + REFUSALS_PERIOD;
        let refused = Vec::new();
        Ok(Some(Self { file, node, trail, metrics, is_failing: false, refusals_due, refused }))
    }

    /// Writes until the master stops, and then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut hangups = StopSignals::listen([StopSignal::Hangup]).ok();
        let mut applied = self.node.reader().watch_applied();
        loop {
            applied.borrow_and_update();
            let is_stopping = stop.is_cancelled();
            let has_more = self.write(is_stopping).await;
            if is_stopping {
                return;
            }
            if has_more {
                continue;
            }
            let pause = if self.is_failing { FAILURE_PAUSE } else { LOOK_PAUSE };
            let (failing, due) = (self.is_failing, self.refusals_due);
            let news = async {
                tokio::time::sleep(pause).await;
                tokio::select! {
                    _ = applied.changed(), if !failing => {}
                    () = tokio::time::sleep_until(due), if !failing => {}
                    () = std::future::ready(()), if failing => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = news => {}
                () = hangup(&mut hangups) => self.reopen().await,
            }
        }
    }

    /// Writes what is new. Returns true if there may be more.
    async fn write(&mut self, is_stopping: bool) -> bool {
        // Before this master belongs to a cluster there is nothing to write.
        let cluster = self.node.reader().with(|state| state.meta().cluster);
        let Some(cluster) = cluster else { return false };
        if !self.follow(cluster).await {
            return false;
        }
        let Some(file) = self.file.as_ref() else { return false };
        let after = file.after();
        let records = self
            .node
            .reader()
            .with(|state| state.trail_after(after).take(BATCH_MAX).cloned().collect::<Vec<_>>());
        let up_to = records.last().map_or(after, |record| record.index);
        let mut lines = records.iter().map(|record| line::record(record)).collect::<String>();

        let is_due = is_stopping || Instant::now() >= self.refusals_due;
        if is_due && self.refused.is_empty() {
            self.refusals_due = Instant::now() + REFUSALS_PERIOD;
            self.refused = self.trail.take_refusals();
        }
        lines.extend(self.refused.iter().map(|refused| line::refusal(refused, up_to)));
        if lines.is_empty() {
            return false;
        }
        let is_written = self.append(lines, cluster, up_to).await;
        if is_written {
            self.refused.clear();
        }
        is_written && records.len() == BATCH_MAX
    }

    /// Has the file go on with the trail of the cluster.
    async fn follow(&mut self, cluster: ClusterId) -> bool {
        let followed = match self.file.as_mut() {
            Some(file) if file.is_of_another(cluster) => {
                tracing::warn!("the file of the trail is of an earlier cluster: it is put aside");
                self.with_file(move |file| file.follow(cluster)).await
            }
            Some(_) => return true,
            None => return false,
        };
        self.on_result("the file of the trail cannot be put aside", &followed)
    }

    async fn append(&mut self, lines: String, cluster: ClusterId, up_to: LogIndex) -> bool {
        let written = self.with_file(move |file| file.append(&lines, cluster, up_to)).await;
        self.on_result("the file of the trail cannot be written", &written)
    }

    async fn reopen(&mut self) {
        let reopened = self.with_file(TrailFile::reopen).await;
        if self.on_result("the file of the trail cannot be opened again", &reopened) {
            tracing::info!("the file of the trail is opened again");
        }
    }

    async fn with_file(
        &mut self,
        work: impl FnOnce(&mut TrailFile) -> std::io::Result<()> + Send + 'static,
    ) -> std::io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let worked = tokio::task::spawn_blocking(move || {
            let worked = work(&mut file);
            (file, worked)
        });
        let (file, worked) = worked.await.map_err(std::io::Error::other)?;
        self.file = Some(file);
        worked
    }

    /// Counts a failure, and tells of the first and of the end of a row of them.
    fn on_result(&mut self, what: &'static str, result: &std::io::Result<()>) -> bool {
        let was_failing = std::mem::replace(&mut self.is_failing, result.is_err());
        match result {
            Err(error) => {
                self.metrics.on_trail_failed();
                if !was_failing {
                    tracing::warn!(%error, "{what}: the cluster goes on, and the file is tried again");
                }
            }
            Ok(()) if was_failing => tracing::info!("the file of the trail is written again"),
            Ok(()) => {}
        }
        result.is_ok()
    }
}

/// Waits for the order to open the file again.
async fn hangup(hangups: &mut Option<StopSignals>) {
    match hangups {
        Some(hangups) => drop(hangups.next().await),
        None => std::future::pending().await,
    }
}
