//! Makes the leader's configuration that of a cluster that has no settings yet.

use std::time::Duration;

use cluster_state::{Command, Settings, Term};
use raft_store::{Node, ProposeError};
use tokio::time::Instant;

use super::duty::{Duty, Wait};
use crate::settings::SettingsInForce;

/// Pause between two looks. The settings are missing once, and the log moves all the time.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Records the settings of the cluster, once.
#[derive(Debug)]
pub(super) struct Seeder {
    node: Node,
    term: Term,
    settings: SettingsInForce,
}

impl Seeder {
    /// Returns the seeder of one term.
    #[must_use]
    pub(super) const fn new(node: Node, term: Term, settings: SettingsInForce) -> Self {
        Self { node, term, settings }
    }
}

impl Duty for Seeder {
    const NAME: &'static str = "seeder";
    type Error = ProposeError;

    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        let lacks = |state: &cluster_state::State| {
            state.meta().level >= Settings::LEVEL && state.settings().is_none()
        };
        if self.node.reader().with(lacks) {
            let command = Command::SeedSettings(self.settings.seed(self.term, self.node.id()));
            self.node.propose_as_leader(self.term, &command).await?;
            tracing::info!("this master's configuration became the settings of the cluster");
        }
        Ok(Wait::for_change_after(Instant::now() + LOOK_PAUSE))
    }
}
