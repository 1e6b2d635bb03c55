//! Keeps log time by the masters' wall clocks, and tells whose clock is off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::MasterId;
use raft_store::{ClockSurvey, Node, is_astray};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Metrics, seconds};

/// Between two looks at the wall clocks. Quartz drifts by a millisecond meanwhile, and an operator
/// who has mended a clock need not wait long to see it.
const SURVEY_INTERVAL: Duration = Duration::from_secs(10);

/// Looks at the wall clocks for as long as this master leads.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    node: Node,
    metrics: Metrics,
    astray: Astray,
}

impl Timekeeper {
    /// The timekeeper of one term of leadership.
    #[must_use]
    pub(crate) fn new(node: Node, metrics: Metrics) -> Self {
        Self { node, metrics, astray: Astray::default() }
    }

    /// Runs until cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let looking = async {
            loop {
                let (_, clocks) = self.node.survey().await;
                self.on_survey(&clocks);
                tokio::time::sleep(SURVEY_INTERVAL).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = looking => {}
        }
    }

    fn on_survey(&mut self, clocks: &ClockSurvey) {
        // Without a quorum's clocks nobody can say which of them is off.
        let Some(median) = clocks.median_at(Instant::now()) else { return };
        self.node.clock().steer(median);
        let offsets = clocks.offsets();
        self.metrics.on_clock_offsets(&offsets);

        let news = self.astray.on_offsets(&offsets);
        for (master, offset) in news.strayed {
            let offset_seconds = seconds(offset);
            tracing::warn!(%master, offset_seconds, "a master's clock is off the median");
        }
        for master in news.returned {
            tracing::info!(%master, "a master's clock is right again");
        }
    }
}

/// Whose clock was off at the last look.
#[derive(Debug, Default)]
struct Astray(BTreeSet<MasterId>);

/// What has changed since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    strayed: Vec<(MasterId, i64)>,
    returned: Vec<MasterId>,
}

impl Astray {
    /// A master that does not answer is where it was.
    fn on_offsets(&mut self, offsets: &BTreeMap<MasterId, i64>) -> News {
        let mut news = News::default();
        for (master, offset) in offsets {
            if is_astray(*offset) {
                if self.0.insert(*master) {
                    news.strayed.push((*master, *offset));
                }
            } else if self.0.remove(master) {
                news.returned.push(*master);
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_of_once_until_it_is_right_again() {
        let mut astray = Astray::default();
        let (one, two) = (MasterId(1), MasterId(2));
        let off = BTreeMap::from([(one, 0), (two, -6_000)]);
        let right = BTreeMap::from([(one, 0), (two, 10)]);

        let strayed = News { strayed: vec![(two, -6_000)], ..News::default() };
        assert_eq!(astray.on_offsets(&off), strayed);
        assert_eq!(astray.on_offsets(&off), News::default());
        assert_eq!(astray.on_offsets(&BTreeMap::from([(one, 0)])), News::default());
        let returned = News { returned: vec![two], ..News::default() };
        assert_eq!(astray.on_offsets(&right), returned);
        assert_eq!(astray.on_offsets(&right), News::default());
        assert_eq!(astray.on_offsets(&off), strayed);
    }
}
