//! Answers say on which state they are based, over gRPC as over REST, and on followers too.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use cluster_state::MasterId;
use eventually::{PATIENCE, eventually};
use futures_util::future::join_all;
use master::config::Config;
use master::master::Master;
use proto::v1;
use proto::v1::task_service_client::TaskServiceClient;
use raft_store::Leadership;
use tempfile::TempDir;
use tonic::metadata::MetadataMap;

use crate::one_master::{OneMaster, free_address, open};

/// Three masters of one cluster, with their directories.
async fn three_masters() -> Vec<(Master, TempDir)> {
    let addresses = join_all((1..=3).map(|_| free_address())).await;
    let members = (1..).map(MasterId).zip(addresses).collect::<Vec<_>>();
    let started = members.iter().map(async |(id, address)| {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            node_id: *id,
            initial_cluster: members.iter().cloned().collect(),
            data_dir: dir.path().to_owned(),
            grpc_listen: address.clone(),
            grpc_advertise: address.clone(),
            http_listen: "127.0.0.1:0".to_owned(),
            access: open(),
            ..Config::default()
        };
        (Master::start(config).await.unwrap(), dir)
    });
    join_all(started).await
}

/// Returns the follower's part of the cluster: the address of its gRPC server, and its leader.
async fn follower(masters: &[(Master, TempDir)]) -> (String, MasterId) {
    eventually("a master follows another", PATIENCE, async || {
        // A follower learns the cluster's id a moment after its leader.
        let named = masters.iter().filter(|(one, _)| one.node().cluster_id().is_some());
        let seen = named.map(|(one, _)| (one, *one.node().leadership().borrow()));
        let mut following = seen.filter_map(|(master, leadership)| match leadership {
            Leadership::Following { leader, .. } => Some((master.grpc_address(), leader)),
            Leadership::Leading { .. } | Leadership::Leaderless { .. } => None,
        });
        let (address, leader) = following.next().ok_or("nobody follows")?;
        Ok((format!("http://{address}"), leader))
    })
    .await
}

fn number(metadata: &MetadataMap, key: &str) -> u64 {
    metadata.get(key).unwrap().to_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_follower_over_grpc_has_a_mark() {
    let masters = three_masters().await;
    let (address, leader) = follower(&masters).await;
    let mut client = TaskServiceClient::connect(address).await.unwrap();

    let spec = v1::TaskSpec { command: vec!["true".to_owned()], ..v1::TaskSpec::default() };
    let request = v1::SubmitRequest { tasks: vec![spec], idempotency_key: Some("k".to_owned()) };
    let submitted = client.submit(request).await.unwrap();
    let written = number(submitted.metadata(), "x-cluster-index");
    let task_id = submitted.get_ref().tasks[0].task_id.clone();

    let read = |consistency: v1::Consistency| v1::GetTaskRequest {
        task_id: task_id.clone(),
        consistency: consistency.into(),
    };
    let shown = client.get(read(v1::Consistency::Linearizable)).await.unwrap();
    let mark = shown.metadata();
    assert!(number(mark, "x-cluster-index") >= written, "{mark:?}");
    assert!(number(mark, "x-cluster-term") > 0, "{mark:?}");
    assert_eq!(number(mark, "x-cluster-leader"), leader.0);
    assert_eq!(mark.get("x-cluster-known-leader").unwrap(), "true");
    assert_eq!(mark.get("x-cluster-last-contact-ms"), None);
    assert_eq!(mark.get("x-cluster-id"), submitted.metadata().get("x-cluster-id"));

    let stale = client.get(read(v1::Consistency::Stale)).await.unwrap();
    assert!(stale.metadata().get("x-cluster-last-contact-ms").is_some(), "{:?}", stale.metadata());
    for (master, _) in masters {
        master.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_rest_put_the_same_mark_on_an_answer() {
    let master = OneMaster::start().await;
    let task_id = master.submit("true").await;
    let over_rest = master.get(&format!("/api/tasks/{task_id}")).await;
    let mut client = TaskServiceClient::connect(format!("http://{}", master.grpc())).await.unwrap();
    let request = v1::GetTaskRequest { task_id, ..v1::GetTaskRequest::default() };
    let over_grpc = client.get(request).await.unwrap();

    for key in ["id", "index", "term", "leader", "known-leader"] {
        let key = format!("x-cluster-{key}");
        let value = over_grpc.metadata().get(&key).map(|value| value.to_str().unwrap());
        assert_eq!(value, Some(over_rest.header(&key)), "{key}");
    }
    master.stop().await;
}
