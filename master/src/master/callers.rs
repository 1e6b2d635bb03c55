//! Those who may call a master, as its configuration says.

use std::sync::Arc;

use cluster_state::Role;
use raft_store::{Loops, Node, WallClock};

use super::StartError;
use crate::access::{Federation, Gate, Policy, Rules, TokenFile};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::trail::Trail;

/// Callers of a master, and their rights.
#[derive(Debug)]
pub(super) struct Callers(Rules);

impl Callers {
    /// Reads who may call.
    pub(super) async fn load(
        config: &Config,
        wall: &Arc<dyn WallClock>,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let tokens = TokenFile::read(&config.access.token_file)?;
        let policy = Policy::of(config);
        let anonymous = policy.anonymous.map_or("none", Role::name);
        tracing::info!(
            anonymous,
            tokens = tokens.len(),
            "role of callers without a token, and tokens of the file"
        );
        let (wall, metrics) = (Arc::clone(wall), metrics.clone());
        let federation = Federation::open(&config.access.oidc, wall, metrics).await?;
        let requests_per_second = config.limits.requests_of_caller();
        Ok(Self(Rules { policy, tokens, federation, requests_per_second }))
    }

    /// Returns the gate through which they come, and starts to keep up with the identity provider, if
    /// there is one.
    pub(super) fn gate(
        self,
        node: Node,
        (metrics, trail): (Metrics, Trail),
        loops: &Loops,
    ) -> Gate {
        let Self(rules) = self;
        if let Some(federation) = &rules.federation {
            federation.start_watch(loops);
        }
        Gate::new(rules, node, (metrics, trail))
    }
}
