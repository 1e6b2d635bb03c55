//! Certificates with a short life are renewed under load, and no call fails.

use std::fs;
use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use cluster_tests::load::{Load, Plan};
use eventually::{eventually, require};

/// Life of the certificates of this test; they are renewed after two thirds of it.
const LIFE: &str = "15s";
/// Each certificate is renewed a few times within it.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_under_load() {
    let cluster = Cluster::builder().secured().master_arg("--issuing-life", LIFE);
    let mut cluster = cluster.master_switch("--tls-renew").start().await;
    cluster.adopt_issuer().await;
    let create = ["-o", "json", "token", "create", "fleet"];
    let created = cluster.clusterctl(&create).await.expect(0).json();
    let token = created["token"].as_str().unwrap().to_owned();
    let workers = [cluster.joining_worker(&token), cluster.joining_worker(&token)];
    for name in &workers {
        cluster.worker_mut(name).start();
        cluster.client().await_worker_that_joins(name, CONNECT_PATIENCE).await;
    }
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    // One of a master is near its end, too.
    let leader = cluster.leader().await.to_string();
    let (own, _) = cluster.certificates().unwrap().issue_with("master", &leader, &["--life", LIFE]);
    let of_workers = workers
        .iter()
        .map(|name| (name.clone(), cluster.worker(name).data_dir().join("tls/worker.crt")));
    let renewed = of_workers.chain([(format!("master-{leader}"), own)]).collect::<Vec<_>>();
    for (name, path) in &renewed {
        for turn in 1..=2 {
            let before = fs::read_to_string(path).unwrap();
            let what = format!("{name} has renewed its certificate, {turn}");
            eventually(&what, PATIENCE, async || {
                require(fs::read_to_string(path).unwrap() != before, String::new)
            })
            .await;
        }
    }
    load.progress(20).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert_eq!(cluster.leader().await.to_string(), leader, "nobody has lost its leader over it");
    for name in &workers {
        let worker = cluster.client().worker(name).await;
        assert_eq!((&worker["is_active"], &worker["epoch"]), (&true.into(), &1.into()), "{worker}");
        let log = cluster.worker_mut(name).process().log();
        assert!(!log.contains("was not renewed"), "{log}");
    }
    cluster.check_history().await;
}
