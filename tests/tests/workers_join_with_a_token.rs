//! Workers that no operator has registered come in with a token, and not without.

use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::{eventually, require, throughout};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_admits_until_it_is_revoked() {
    let mut cluster = Cluster::builder().start().await;
    let mut client = cluster.client();
    let create = ["-o", "json", "token", "create", "fleet", "--ttl", "1h"];
    let created = cluster.clusterctl(&create).await.expect(0).json();
    let token = created["token"].as_str().unwrap().to_owned();

    let masters = cluster.grpc_addresses().join(",");
    let first = start_with(&mut cluster, &masters, &token);
    client.await_worker_that_joins(&first, CONNECT_PATIENCE).await;
    let listed = cluster.clusterctl(&["-o", "json", "token", "list"]).await.expect(0);
    let secret = token.split_once('.').unwrap().1;
    assert!(listed.stdout.contains("fleet") && !listed.stdout.contains(secret), "{listed:?}");

    cluster.clusterctl(&["token", "revoke", "fleet"]).await.expect(0);
    let second = start_with(&mut cluster, &masters, &token);
    let path = format!("/api/workers/{second}");
    throughout("the next is not let in", Duration::from_secs(3), async || {
        let answer = client.get(&path).await;
        require(answer.status.as_u16() == 404, || answer.text())
    })
    .await;
    // The first stays: it is registered, and comes back without the token's help.
    cluster.worker_mut(&first).process().kill();
    cluster.worker_mut(&first).start();
    eventually("the first is back", CONNECT_PATIENCE, async || {
        let worker = client.worker(&first).await;
        let is_back = worker["epoch"] == 2 && worker["is_active"] == true;
        require(is_back, || worker.to_string())
    })
    .await;
    let log = cluster.worker_mut(&second).process().log();
    assert!(!log.contains(secret), "the worker logs its token: {log}");
}

fn start_with(cluster: &mut Cluster, masters: &str, token: &str) -> String {
    let name = cluster.new_worker();
    let worker = cluster.worker_mut(&name);
    worker.set_masters(masters);
    worker.add_arg("--join-token", token);
    worker.start();
    name
}
