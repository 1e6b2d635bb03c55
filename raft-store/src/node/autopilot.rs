//! Keeps the membership in order while this master leads: completes what another leader left half
//! done, and gives votes to masters that have caught up.

mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::AutopilotSettings;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::plan::Thought;
use self::plan::{Candidate, View};
use super::{Force, Membership, MembershipError, Node};
use crate::leadership::Leadership;
use crate::log_node::{NodeId, VoteGiver};
use crate::membership::LAG_MAX;
use crate::rarely::Rarely;

/// Interval between looks: short beside the time that a master must stay close.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Watches the members and changes the membership, one step at a time.
pub(crate) struct Autopilot {
    node: Node,
    config: watch::Receiver<AutopilotSettings>,
    thought: watch::Sender<Option<Thought>>,
    history: History,
    said: Rarely,
}

/// Times since when members have been close or silent, as this leader has seen it.
#[derive(Debug, Default)]
struct History {
    since: Option<Instant>,
    close_since: BTreeMap<NodeId, Instant>,
    heard_at: BTreeMap<NodeId, Instant>,
}

impl Autopilot {
    pub(crate) fn new(
        node: Node,
        config: watch::Receiver<AutopilotSettings>,
        thought: watch::Sender<Option<Thought>>,
    ) -> Self {
        Self { node, config, thought, history: History::default(), said: Rarely::default() }
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            let is_leading = matches!(*self.node.leadership().borrow(), Leadership::Leading { .. });
            if !is_leading {
                self.history = History::default();
                self.think(None);
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    async fn look(&mut self) {
        // A change that is half done is not one that another leader has left.
        if self.node.is_changing_membership() {
            return;
        }
        let membership = self.node.membership();
        let view = self.view(&membership);
        let thought = plan::plan(&view, &self.config.borrow());
        let Some(thought) = thought else { return self.think(None) };
        self.think(Some(thought.clone()));
        let Some(step) = &thought.step else { return };

        tracing::info!(reason = thought.reason, "changing the membership");
        let by = VoteGiver::Autopilot;
        match self.node.change_membership_by(by, &membership, step, Force::No).await {
            Ok(()) => tracing::info!(reason = thought.reason, "changed the membership"),
            Err(MembershipError::NotLeader | MembershipError::InProgress) => {}
            Err(error) => {
                let error = error.to_string();
                if self.said.is_due(&error) {
                    tracing::warn!(error, reason = thought.reason, "the membership stays as it is");
                }
            }
        }
    }

    /// Describes the members as this leader has seen them up to now.
    fn view(&mut self, membership: &Membership) -> View {
        let now = Instant::now();
        let me = self.node.node_id();
        let History { since, close_since, heard_at } = &mut self.history;
        let leads_since = *since.get_or_insert(now);
        close_since.retain(|node, _| membership.get(*node).is_some());
        heard_at.retain(|node, _| membership.get(*node).is_some());

        let members = membership.members.iter().map(|member| {
            let node = member.node;
            let is_answering = node == me || self.node.has_answered(node, LOOK_INTERVAL * 2);
            if is_answering {
                heard_at.insert(node, now);
            }
            let lag = if node == me { Some(0) } else { self.node.lag_of(node) };
            let is_close = is_answering && lag.is_some_and(|lag| lag <= LAG_MAX);
            if is_close {
                close_since.entry(node).or_insert(now);
            } else {
                close_since.remove(&node);
            }
            Candidate {
                node,
                name: member.name,
                is_voter: member.is_voter,
                zone: member.zone.clone(),
                close_for: close_since.get(&node).map(|since| now - *since),
                silent_for: now - *heard_at.get(&node).unwrap_or(&leads_since),
            }
        });
        let members = members.collect();
        View { is_joint: membership.is_joint, leads_for: now - leads_since, members }
    }

    fn think(&self, thought: Option<Thought>) {
        self.thought.send_if_modified(|last| {
            let is_news = *last != thought;
            *last = thought;
            is_news
        });
    }
}

impl Node {
    /// Changes the bounds of what the autopilot does.
    pub fn steer_autopilot(&self, config: AutopilotSettings) {
        self.inner.autopilot.send_replace(config);
    }

    /// Returns, on a leader, what the autopilot does next, or waits for.
    #[must_use]
    pub fn autopilot_thought(&self) -> Option<Thought> {
        self.inner.thought.borrow().clone()
    }

    /// Returns the bounds of what the autopilot does.
    #[must_use]
    pub fn autopilot(&self) -> AutopilotSettings {
        *self.inner.autopilot.borrow()
    }
}
