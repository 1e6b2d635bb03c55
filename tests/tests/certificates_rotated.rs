//! The authority is changed under load: both are trusted for a while, and nobody is left behind unless
//! an operator says so.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cluster_tests::certificates::Certificates;
use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use cluster_tests::clusterctl::{Outcome, clusterctl};
use cluster_tests::load::{Load, Plan};
use eventually::{eventually, require};
use serde_json::{Value, json};

/// Time for one part of a change: heartbeats, a renewal, and a look each second.
const PART_PATIENCE: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_changed_under_load() {
    let mut cluster = Cluster::builder().secured().master_switch("--tls-renew").start().await;
    let own = cluster.certificates().unwrap().clone();
    let next = Certificates::init(cluster.dir().join("next"), "test");
    cluster.adopt_issuer().await;
    let before = token(&cluster, "before").await;
    let workers = [cluster.joining_worker(&before), cluster.joining_worker(&before)];
    for name in &workers {
        cluster.worker_mut(name).start();
        cluster.client().await_worker_that_joins(name, CONNECT_PATIENCE).await;
    }

    // Whoever trusts the old root alone would believe no master afterwards.
    let rotate = ["tls", "rotate-ca", &dir(&next)];
    let said = ctl(&cluster, &rotate).await.expect(2).stderr;
    assert!(said.contains("does not hold the new root"), "{said}");
    cluster.use_certificates(own.clone().trusting(&both(&cluster, [&own, &next])));
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(10).await;

    // The leader dies right after the begin; the next one goes on once everybody is there.
    let leader = cluster.leader().await;
    ctl(&cluster, &rotate).await.expect(0);
    cluster.master_mut(leader).kill();
    cluster.leader_among(&cluster.others(leader)).await;
    let left = format!("master/{leader}");
    eventually("the dead master is named", PART_PATIENCE, async || {
        let status = rotation(&cluster).await;
        let waiting = status["waiting_for"].as_array().into_iter().flatten();
        let is_named = waiting.clone().any(|one| one["holder"] == left.as_str());
        require(is_named && status["phase"] == "trusting", || status.to_string())
    })
    .await;
    ctl(&cluster, &["tls", "rotate-ca", "--finish"]).await.expect(4);
    let said = ctl(&cluster, &["tls", "rotate-ca", "--proceed"]).await.expect(4).stderr;
    assert!(said.contains(&left) && said.contains("would be cut off"), "{said}");
    cluster.master_mut(leader).restart();
    await_part(&cluster, "issuing").await;

    // A token that names the root before is good until it is gone.
    let late = cluster.joining_worker(&before);
    cluster.worker_mut(&late).start();
    cluster.client().await_worker_that_joins(&late, CONNECT_PATIENCE).await;
    await_part(&cluster, "issuing").await;
    load.progress(10).await;
    // Its clients show certificates of the authority before.
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    ctl(&cluster, &["tls", "rotate-ca", "--finish"]).await.expect(0);

    // The authority before counts no longer, neither for people nor in tokens.
    eventually("no master believes the certificate of before", PART_PATIENCE, async || {
        let shown = ctl(&cluster, &["--timeout", "3s", "status"]).await;
        // A master that breaks the connection off may be faster than its reason.
        require(matches!(shown.code, 5 | 6), || format!("{}: {}", shown.code, shown.stderr))
    })
    .await;
    cluster.use_certificates(next);
    let stranger = cluster.joining_worker(&before);
    cluster.worker_mut(&stranger).start();
    await_log(&mut cluster, &stranger, "of another cluster than the join token").await;
    let after = token(&cluster, "after").await;
    let name = cluster.joining_worker(&after);
    cluster.worker_mut(&name).start();
    let mut client = cluster.client();
    client.await_worker_that_joins(&name, CONNECT_PATIENCE).await;
    for name in &workers {
        client.await_worker(name, "active", CONNECT_PATIENCE).await;
        let trusted = cluster.worker(name).data_dir().join("tls/ca.crt");
        eventually("the worker trusts the new root alone", PART_PATIENCE, async || {
            let roots = fs::read_to_string(&trusted).unwrap();
            require(roots.matches("BEGIN CERTIFICATE").count() == 1, || roots)
        })
        .await;
    }
    let task = client.submit(&json!({ "command": ["true"] })).await;
    assert_eq!(client.await_end(&task).await["state"], "completed");
    cluster.check_history().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_offline_is_named_before_it_is_locked_out() {
    let builder = Cluster::builder().secured().short_lease().masters(1);
    let mut cluster = builder.master_switch("--tls-renew").start().await;
    let own = cluster.certificates().unwrap().clone();
    let next = Certificates::init(cluster.dir().join("next"), "test");
    cluster.adopt_issuer().await;
    let before = token(&cluster, "before").await;
    let name = cluster.joining_worker(&before);
    cluster.worker_mut(&name).start();
    cluster.client().await_worker_that_joins(&name, CONNECT_PATIENCE).await;
    cluster.worker_mut(&name).process().kill();
    cluster.client().await_worker(&name, "inactive", CONNECT_PATIENCE).await;
    cluster.use_certificates(own.clone().trusting(&both(&cluster, [&own, &next])));

    // It is waited for, and the change is taken back.
    let rotate = ["tls", "rotate-ca", &dir(&next)];
    ctl(&cluster, &rotate).await.expect(0);
    let holder = format!("worker/{name}");
    eventually("the master is done", PART_PATIENCE, async || {
        let status = rotation(&cluster).await;
        let only = status["masters_done"] == 1 && status["waiting_for"][0]["holder"] == holder;
        require(only && status["phase"] == "trusting", || status.to_string())
    })
    .await;
    ctl(&cluster, &["tls", "adopt", &dir(&own)]).await.expect(4);
    ctl(&cluster, &["tls", "rotate-ca", "--abort"]).await.expect(0);
    assert_eq!(rotation(&cluster).await, Value::Null);

    // An operator goes on without it.
    ctl(&cluster, &rotate).await.expect(0);
    eventually("the master trusts both", PART_PATIENCE, async || {
        let status = rotation(&cluster).await;
        let only = status["masters_done"] == 1 && status["waiting_for"][0]["holder"] == holder;
        require(only && status["phase"] == "trusting", || status.to_string())
    })
    .await;
    ctl(&cluster, &["tls", "rotate-ca", "--proceed"]).await.expect(0);
    eventually("the master has a new certificate", PART_PATIENCE, async || {
        let status = rotation(&cluster).await;
        require(status["masters_done"] == 1 && status["phase"] == "issuing", || status.to_string())
    })
    .await;
    let said = ctl(&cluster, &["tls", "rotate-ca", "--finish"]).await.expect(4).stderr;
    assert!(said.contains(&holder), "{said}");
    ctl(&cluster, &["tls", "rotate-ca", "--finish", "--force"]).await.expect(0);

    // It believes nobody, until it has a token that names the new root.
    cluster.use_certificates(next);
    cluster.worker_mut(&name).start();
    await_log(&mut cluster, &name, "nobody whom we trust has issued it").await;
    cluster.worker_mut(&name).process().kill();
    fs::remove_file(cluster.worker(&name).data_dir().join("tls/worker.crt")).unwrap();
    let after = token(&cluster, "after").await;
    cluster.worker_mut(&name).set_arg("--join-token", &after);
    cluster.worker_mut(&name).start();
    cluster.client().await_worker_that_joins(&name, CONNECT_PATIENCE).await;
}

/// Writes a file with the roots of both.
fn both(cluster: &Cluster, of: [&Certificates; 2]) -> std::path::PathBuf {
    let path = cluster.dir().join("both.crt");
    let roots = of.map(|one| fs::read_to_string(one.authority()).unwrap());
    fs::write(&path, roots.concat()).unwrap();
    path
}

fn dir(of: &Certificates) -> String {
    of.authority().parent().map(Path::display).unwrap().to_string()
}

async fn ctl(cluster: &Cluster, args: &[&str]) -> Outcome {
    let connection = cluster.certificates().unwrap().connection("admin", "tester");
    let connection = connection.iter().map(String::as_str);
    let args = connection.chain(args.iter().copied()).collect::<Vec<_>>();
    clusterctl(&cluster.grpc_addresses(), &args).await
}

async fn rotation(cluster: &Cluster) -> Value {
    let shown = ctl(cluster, &["-o", "json", "tls", "status"]).await;
    // There may be no leader for a moment.
    if shown.code == 0 { shown.json()["rotation"].clone() } else { json!(shown.stderr) }
}

/// Waits until everybody is done with that part of the change.
async fn await_part(cluster: &Cluster, phase: &str) {
    eventually(&format!("everybody is done with {phase}"), PART_PATIENCE, async || {
        let status = rotation(cluster).await;
        let is_done = status["phase"] == phase
            && status["masters_done"] == status["masters"]
            && status["workers_done"] == status["workers"];
        require(is_done, || status.to_string())
    })
    .await;
}

/// Creates a join token that names the root under which certificates are issued.
async fn token(cluster: &Cluster, name: &str) -> String {
    let create = ["-o", "json", "token", "create", name];
    let created = ctl(cluster, &create).await.expect(0).json();
    created["token"].as_str().unwrap().to_owned()
}

async fn await_log(cluster: &mut Cluster, worker: &str, said: &str) {
    eventually(&format!("{worker} says why"), CONNECT_PATIENCE, async || {
        let log = cluster.worker_mut(worker).process().log();
        require(log.contains(said), || log)
    })
    .await;
}
