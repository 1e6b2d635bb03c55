//! The cluster issues certificates by itself: it adopts an issuer, workers join with a token alone, a
//! name is nobody else's, and what is revoked is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cluster_tests::certificates::Certificates;
use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::{eventually, require, throughout};
use serde_json::{Value, json};

/// Time in which every master holds the key: they look once a second.
const KEY_PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_joins_with_a_token_alone() {
    let mut cluster = Cluster::builder().secured().start().await;
    adopt(&cluster).await;
    let token = token(&cluster).await;
    let mut client = cluster.client();

    let name = cluster.joining_worker(&token);
    cluster.worker_mut(&name).start();
    client.await_worker_that_joins(&name, CONNECT_PATIENCE).await;
    let task = client.submit(&json!({ "command": ["true"] })).await;
    assert_eq!(client.await_end(&task).await["state"], "completed");

    // Its key is its own, and at its next start it needs no token.
    let dir = cluster.worker(&name).data_dir().join("tls");
    let mode = fs::metadata(dir.join("worker.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let certificate = fs::read_to_string(dir.join("worker.crt")).unwrap();
    cluster.clusterctl(&["token", "revoke", "fleet"]).await.expect(0);
    cluster.worker_mut(&name).process().kill();
    cluster.worker_mut(&name).start();
    eventually("it is back", CONNECT_PATIENCE, async || {
        let worker = client.worker(&name).await;
        require(worker["epoch"] == 2 && worker["is_active"] == true, || worker.to_string())
    })
    .await;
    assert_eq!(fs::read_to_string(dir.join("worker.crt")).unwrap(), certificate);

    // The revoked token gets nobody else a certificate.
    let late = cluster.joining_worker(&token);
    cluster.worker_mut(&late).start();
    let said = "no certificate yet";
    refused(&mut cluster, &late, said, "unknown, revoked or expired").await;
    assert!(!cluster.worker_mut(&late).process().log().contains(secret_of(&token)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_belongs_to_whoever_has_its_certificate() {
    let mut cluster = Cluster::builder().secured().short_lease().start().await;
    adopt(&cluster).await;
    let token = token(&cluster).await;
    let mut client = cluster.client();
    let name = cluster.joining_worker(&token);
    cluster.worker_mut(&name).start();
    client.await_worker_that_joins(&name, CONNECT_PATIENCE).await;
    cluster.clusterctl(&["worker", "forget", &name]).await.expect(4);

    // Another machine with the same token and name gets no certificate, also when the first is gone.
    cluster.worker_mut(&name).process().kill();
    client.await_worker(&name, "inactive", CONNECT_PATIENCE).await;
    let rival = cluster.joining_worker(&token);
    cluster.worker_mut(&rival).set_arg("--worker-id", &name);
    cluster.worker_mut(&rival).start();
    refused(&mut cluster, &rival, "no certificate yet", "is taken").await;

    // An operator frees it. The first one's certificate is refused from then on.
    cluster.clusterctl(&["worker", "forget", &name]).await.expect(0);
    client.await_worker_that_joins(&name, CONNECT_PATIENCE).await;
    cluster.worker_mut(&name).start();
    refused(&mut cluster, &name, "revoked", "revoked").await;
    let worker = client.worker(&name).await;
    assert_eq!(worker["address"], cluster.worker(&rival).address());
    let status = cluster.clusterctl(&["-o", "json", "tls", "status"]).await.expect(0).json();
    assert_eq!(status["revoked"], json!([format!("worker/{name}")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_reaches_every_master_and_outlives_the_leader() {
    let mut cluster = Cluster::builder().secured().start().await;
    let leader = cluster.leader().await;
    adopt(&cluster).await;
    cluster.master_mut(leader).kill();
    let next = cluster.leader_among(&cluster.others(leader)).await;
    // It is on no other disk than in the files of the key.
    for id in cluster.others(leader) {
        let path = cluster.master(id).data_dir().join("issuer.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let token = token(&cluster).await;
    let name = cluster.joining_worker(&token);
    cluster.worker_mut(&name).start();
    let mut client = cluster.client_of(next);
    client.await_worker_that_joins(&name, CONNECT_PATIENCE).await;

    // A master that has lost its disk fetches the key again.
    cluster.wipe_master(leader);
    cluster.await_ready(leader).await;
    await_keys(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_masters_do_not_believe_is_not_adopted() {
    let cluster = Cluster::builder().secured().masters(1).start().await;
    let foreign = Certificates::init(cluster.dir().join("foreign"), "test");
    let dir = foreign.authority().parent().unwrap().display().to_string();
    let said = cluster.clusterctl(&["tls", "adopt", &dir]).await.expect(1).stderr;
    assert!(said.contains("its root must be among those of their tls.ca"), "{said}");
    let status = cluster.clusterctl(&["-o", "json", "tls", "status"]).await.expect(0).json();
    assert_eq!(status["issuer"], Value::Null);
    // An operator may not, either.
    let own = cluster.certificates().unwrap();
    let dir = own.authority().parent().unwrap().display().to_string();
    let connection = own.connection("operator", "o");
    let connection = connection.iter().map(String::as_str);
    let args = connection.chain(["tls", "adopt", &dir]).collect::<Vec<_>>();
    cluster_tests::clusterctl::clusterctl(&cluster.grpc_addresses(), &args).await.expect(5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_not_join_another_cluster() {
    let mut cluster = Cluster::builder().secured().masters(1).start().await;
    adopt(&cluster).await;
    let token = token(&cluster).await;
    // Its name and secret are right; it says that the cluster is known by another root.
    let (named, digest) = token.rsplit_once('.').unwrap();
    let other = digest.chars().rev().collect::<String>();
    let name = cluster.joining_worker(&format!("{named}.{other}"));
    cluster.worker_mut(&name).start();
    refused(&mut cluster, &name, "no certificate yet", "of another cluster than the join token")
        .await;
    throughout("it has no certificate", Duration::from_secs(2), async || {
        let has = cluster.worker(&name).data_dir().join("tls/worker.crt").exists();
        require(!has, || "it has one".to_owned())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_whose_certificate_is_revoked_is_nobody() {
    let cluster = Cluster::builder().secured().masters(1).start().await;
    let own = cluster.certificates().unwrap();
    let connection = own.connection("viewer", "eve");
    let run = async |args: &[&str]| {
        let connection = connection.iter().map(String::as_str);
        let args = connection.chain(args.iter().copied()).collect::<Vec<_>>();
        cluster_tests::clusterctl::clusterctl(&cluster.grpc_addresses(), &args).await
    };
    run(&["status"]).await.expect(0);
    cluster.clusterctl(&["tls", "revoke", "viewer", "eve"]).await.expect(0);
    let said = run(&["status"]).await.expect(5).stderr;
    assert!(said.contains("the certificate was revoked"), "{said}");

    // Over HTTP, too.
    let files = own.authority().with_file_name("viewer-eve.crt");
    let web = cluster_tests::client::Web::showing(
        &own.authority(),
        (&files, &files.with_extension("key")),
    );
    let history = cluster_tests::history::History::default();
    let mut web = cluster_tests::client::Client::new(web, cluster.http_addresses(), history);
    web.get("/api/cluster").await.expect(401);
    web.get("/readyz").await.expect(200);
}

/// Gives the cluster the issuer of its own authority, and waits until every master has the key.
async fn adopt(cluster: &Cluster) {
    cluster.adopt_issuer().await;
    await_keys(cluster).await;
}

async fn await_keys(cluster: &Cluster) {
    eventually("every master holds the issuer's key", KEY_PATIENCE, async || {
        let status = cluster.clusterctl(&["-o", "json", "tls", "status"]).await.expect(0).json();
        let masters = status["masters"].as_array().unwrap();
        let is_complete = masters.len() == cluster.master_ids().len()
            && masters.iter().all(|master| master["holds_key"] == true);
        require(is_complete, || status.to_string())
    })
    .await;
}

/// Creates a join token by which a worker knows the cluster.
async fn token(cluster: &Cluster) -> String {
    let create = ["-o", "json", "token", "create", "fleet"];
    let created = cluster.clusterctl(&create).await.expect(0).json();
    let token = created["token"].as_str().unwrap().to_owned();
    assert_eq!(token.split('.').nth(2).map(str::len), Some(64), "{token}");
    token
}

fn secret_of(token: &str) -> &str {
    token.split('.').nth(1).unwrap()
}

/// Waits until a worker has said so, with that reason.
async fn refused(cluster: &mut Cluster, worker: &str, said: &str, reason: &str) {
    eventually(&format!("{worker} was refused"), CONNECT_PATIENCE, async || {
        let log = cluster.worker_mut(worker).process().log();
        require(log.contains(said) && log.contains(reason), || log)
    })
    .await;
}
