//! Surveys the other masters: steers log time by their wall clocks, reports clocks that are off, and
//! raises the cluster's feature level when all masters can run the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::MasterId;
use raft_store::{ClockSurvey, Node, PeerStatuses, ProposeError, is_astray};
use tokio::time::Instant;

use super::duty::{Duty, Wait};
use crate::metrics::{Metrics, seconds};
use crate::settings::SettingsInForce;

/// Interval between two surveys. Quartz drifts by a millisecond meanwhile, and an operator who has
/// corrected a clock soon sees the effect.
const SURVEY_INTERVAL: Duration = Duration::from_secs(10);

/// Surveys the wall clocks while this master leads.
#[derive(Debug)]
pub(super) struct Timekeeper {
    node: Node,
    metrics: Metrics,
    settings: SettingsInForce,
    astray: Astray,
}

impl Timekeeper {
    /// Returns the timekeeper of one term.
    #[must_use]
    pub(super) fn new(node: Node, metrics: Metrics, settings: SettingsInForce) -> Self {
        Self { node, metrics, settings, astray: Astray::default() }
    }

    async fn raise_level(&self, peers: &PeerStatuses) -> Result<(), ProposeError> {
        if self.node.reader().with(|state| self.settings.of(state).upgrade.hold) {
            return Ok(());
        }
        if let Some(level) = self.node.raise_level(peers).await? {
            tracing::info!(%level, "the feature level of the cluster was raised");
        }
        Ok(())
    }

    fn on_survey(&mut self, clocks: &ClockSurvey) {
        // Without the clocks of a quorum nobody can tell which one is off.
        let Some(median) = clocks.median_at(Instant::now()) else { return };
        self.node.clock().steer(median);
        let offsets = self.node.by_name(clocks.offsets());
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

impl Duty for Timekeeper {
    const NAME: &'static str = "timekeeper";
    const RESTS: bool = false;
    type Error = ProposeError;

    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        let (peers, clocks) = self.node.survey().await;
        self.on_survey(&clocks);
        self.raise_level(&peers).await?;
        Ok(Wait::for_time(Instant::now() + SURVEY_INTERVAL))
    }
}

/// Masters whose clocks were off at the last survey.
#[derive(Debug, Default)]
struct Astray(BTreeSet<MasterId>);

/// Changes since the last survey.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    strayed: Vec<(MasterId, i64)>,
    returned: Vec<MasterId>,
}

impl Astray {
    /// Takes in a survey. A master that did not answer keeps its standing.
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
