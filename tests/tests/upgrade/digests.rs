//! Compares the states of masters at equal positions, while the log goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use futures_util::future::join_all;
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use tonic::Request;
use tonic::transport::Channel;

/// Positions at which all masters are to have been seen.
const POSITIONS: usize = 3;
/// Questions between two counts.
const ROUND: usize = 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// One master, asked as its peers ask it.
struct Replica {
    id: u64,
    /// Its log, as Raft knows it.
    node: u64,
    client: RaftServiceClient<Channel>,
    cluster_id: String,
}

impl Replica {
    /// Returns a position and the digest of the state there.
    async fn digest(&self) -> Result<(u64, u64), String> {
        let mut question = Request::new(v1::NodeStatusRequest { with_digest: true });
        let (id, node) = (self.id, self.node.to_string());
        let headers =
            [("cluster-name", "test"), ("cluster-id", &self.cluster_id), ("to-node", &node)];
        for (name, value) in headers {
            question.metadata_mut().insert(name, value.parse().unwrap());
        }
        let answer = self.client.clone().node_status(question).await;
        let status = answer.map_err(|error| format!("master {id}: {error}"))?.into_inner();
        Ok((status.applied_index, status.state_digest.unwrap()))
    }
}

/// The masters of a cluster.
pub(super) struct Replicas(Vec<Replica>);

impl Replicas {
    /// Returns all of them.
    pub(super) async fn of(cluster: &Cluster) -> Self {
        let mut replicas = Vec::new();
        for master in cluster.masters() {
            let status = cluster.status(master.id()).await;
            let cluster_id = status["cluster_id"].as_str().unwrap().to_owned();
            let channel = proto::channel::Dialer::plain().connect_lazily(master.grpc()).unwrap();
            let mut client = RaftServiceClient::new(channel);
            let introduced = client.introduce(v1::IntroduceRequest::default()).await.unwrap();
            // The log of a master of release 0.2.0 has its number.
            let node = introduced.into_inner().master.map_or(master.id(), |known| known.node);
            replicas.push(Replica { id: master.id(), node, client, cluster_id });
        }
        Self(replicas)
    }

    /// Panics when two masters have different states at one position. Waits until all of them were
    /// seen at some.
    pub(super) async fn assert_same(&self) {
        let mut seen = BTreeMap::<u64, BTreeMap<u64, u64>>::new();
        let what = "all masters were seen at the same positions";
        let last = eventually(what, PATIENCE, async || {
            for _ in 0..ROUND {
                let answers = join_all(self.0.iter().map(Replica::digest)).await;
                for (replica, answer) in self.0.iter().zip(answers) {
                    let (position, digest) = answer?;
                    seen.entry(position).or_default().insert(replica.id, digest);
                }
            }
            let shared = seen.values().filter(|digests| digests.len() == self.0.len()).count();
            // A log that stands still has one position only.
            let is_enough = shared >= POSITIONS.min(seen.len());
            require(is_enough, || format!("{shared} of {} positions", seen.len()))?;
            Ok(seen.len())
        })
        .await;

        assert!(last > 0, "nothing was seen");
        for (position, digests) in seen {
            let mut values = digests.values();
            let first = values.next();
            assert!(values.all(|digest| Some(digest) == first), "at {position}: {digests:?}");
        }
    }
}
