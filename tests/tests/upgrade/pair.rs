//! Two releases that follow each other, and what tells their levels apart.

use cluster_state::Level;
use cluster_tests::cluster::{Cluster, Release};
use eventually::{PATIENCE, eventually};
use serde_json::json;

/// Labels of a worker that this release's level refuses and the next one allows, in two requests.
const LABELS: [usize; 2] = [40, 80];

/// A release, and the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) older: Release,
    pub(super) newer: Release,
    pub(super) older_level: Level,
    pub(super) newer_level: Level,
}

impl Pair {
    /// This release and the next one.
    pub(super) const NEXT: Self = Self {
        older: Release::This,
        newer: Release::Next,
        older_level: Level::NEWEST,
        newer_level: Level(Level::NEWEST.0 + 1),
    };

    /// The release before this one, and this one.
    pub(super) const BUILT: Self = Self {
        older: Release::Before,
        newer: Release::This,
        older_level: Level(Level::NEWEST.0 - 1),
        newer_level: Level::NEWEST,
    };

    /// Returns what a leader logs when it first uses what came with the newer level.
    pub(super) fn sign(self) -> &'static str {
        match self.newer {
            Release::Next => "a notice was posted",
            Release::This => "this master's configuration became the settings of the cluster",
            Release::Before => panic!("nothing is older"),
        }
    }

    /// Panics unless the masters decide by the older level: both releases decide alike.
    pub(super) async fn assert_refused(self, cluster: &Cluster) {
        let problem = self.try_what_is_new(cluster).await;
        // A master of release 0.2.0 does not know the path.
        let expected = match self.newer {
            Release::Next => ["limit-reached"].as_slice(),
            Release::This => ["conflict", "not-found"].as_slice(),
            Release::Before => panic!("nothing is older"),
        };
        assert!(problem.as_deref().is_some_and(|kind| expected.contains(&kind)), "{problem:?}");
    }

    /// Panics unless the masters decide by the newer level.
    pub(super) async fn assert_accepted(self, cluster: &Cluster) {
        eventually("what came with the level is there", PATIENCE, async || {
            self.try_what_is_new(cluster).await.map_or(Ok(()), Err)
        })
        .await;
    }

    async fn try_what_is_new(self, cluster: &Cluster) -> Option<String> {
        match self.newer {
            Release::Next => label_beyond_this_level(cluster).await,
            Release::This => read_settings(cluster).await,
            Release::Before => panic!("nothing is older"),
        }
    }
}

/// Gives a worker more labels than this release's level allows.
async fn label_beyond_this_level(cluster: &Cluster) -> Option<String> {
    let mut problem = None;
    for (from, to) in [0, LABELS[0]].into_iter().zip(LABELS) {
        let labels = (from..to).map(|number| (format!("label-{number}"), json!("1")));
        let body = json!({"set": labels.collect::<serde_json::Map<_, _>>()});
        let answer = cluster.client().post("/api/workers/worker-1/labels", &body).await.unwrap();
        assert!(answer.status.is_success() || to == LABELS[1], "{}", answer.text());
        problem = answer.problem();
    }
    problem
}

/// Asks for the settings, which a cluster of level 1 does not have.
async fn read_settings(cluster: &Cluster) -> Option<String> {
    cluster.client().get("/api/cluster/config").await.problem()
}
