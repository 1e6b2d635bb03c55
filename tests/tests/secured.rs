//! A cluster with certificates: it works as one without, and lets nobody in who has none.

use std::time::Duration;

use cluster_tests::certificates::Certificates;
use cluster_tests::client::{Client, Web};
use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use cluster_tests::clusterctl::{Outcome, clusterctl};
use cluster_tests::history::History;
use cluster_tests::load::{Load, Plan};
use eventually::{eventually, require};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_over_a_leader_change_and_a_new_certificate() {
    let mut cluster = Cluster::builder().secured().workers(2).start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    let next = cluster.leader_among(&cluster.others(leader)).await;
    cluster.master_mut(leader).restart();
    cluster.await_ready(leader).await;

    // The next leader and a worker get new certificates under open connections.
    let certificates = cluster.certificates().unwrap().clone();
    for (role, name) in [("master", next.to_string()), ("worker", "worker-1".to_owned())] {
        certificates.issue(role, &name);
    }
    let log = cluster.dir().join(format!("master-{next}.log"));
    eventually("the new certificate is in use", Duration::from_secs(20), async || {
        let text = std::fs::read_to_string(&log).unwrap();
        require(text.contains("new certificates are in use"), || text)
    })
    .await;
    load.progress(20).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
    assert_eq!(cluster.leader().await, next, "nobody has lost its leader over a certificate");
    let status = cluster.clusterctl(&["-o", "json", "status"]).await.expect(0).json();
    assert_eq!(status["members"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_a_certificate_that_is_believed() {
    let cluster = Cluster::builder().secured().masters(1).start().await;
    let own = cluster.certificates().unwrap();
    let foreign = Certificates::init(cluster.dir().join("foreign"), "test");
    let status = async |connection: Vec<String>| run(&cluster, &connection, &["status"]).await;

    assert_eq!(status(own.connection("viewer", "v")).await.code, 0);
    // Without TLS nothing is understood; the deadline ends the search for somebody who does.
    let plain = run(&cluster, &[], &["--timeout", "2s", "status"]).await;
    assert_ne!(plain.code, 0, "{plain:?}");
    let said = status(foreign.connection("admin", "mallory")).await.expect(5).stderr;
    assert!(said.contains("nobody whom we trust has issued it"), "{said}");

    // A certificate of ours under another authority of the same name.
    let (certificate, key) = foreign.issue("admin", "mallory");
    let mixed = [("--cacert", own.authority()), ("--cert", certificate), ("--key", key)];
    let mixed = mixed.map(|(flag, path)| [flag.to_owned(), path.display().to_string()]).concat();
    let said = run(&cluster, &mixed, &["status"]).await.expect(1).stderr;
    assert!(said.contains("is not vouched for by"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_what_the_certificate_says() {
    let cluster = Cluster::builder().secured().workers(1).start().await;
    let own = cluster.certificates().unwrap();
    let submit = ["task", "submit", "--", "true"];
    let viewer = own.connection("viewer", "v");
    let said = run(&cluster, &viewer, &submit).await.expect(5).stderr;
    assert!(said.contains("viewer"), "{said}");
    run(&cluster, &own.connection("submitter", "s"), &submit).await.expect(0);

    // A worker is nobody who gives orders, and nobody at all is no viewer.
    let said = run(&cluster, &own.connection("worker", "worker-9"), &["status"]).await.expect(5);
    assert!(said.stderr.contains("worker"), "{said:?}");
    let nobody = ["--cacert".to_owned(), own.authority().display().to_string()];
    run(&cluster, &nobody, &["status"]).await.expect(5);

    // REST: the probes are open to everybody, and nothing else.
    let mut web = web(&cluster, own);
    web.get("/readyz").await.expect(200);
    web.get("/api/tasks").await.expect(401);
    web.get("/metrics").await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_text_is_told_to_use_tls() {
    let cluster = Cluster::builder().secured().masters(1).start().await;
    let mut plain = Client::new(Web::plain(), cluster.http_addresses(), History::default());
    let answer = plain.get("/api/cluster").await.expect(400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_cannot_act_for_another() {
    let mut cluster = Cluster::builder().secured().workers(1).start().await;
    let own = cluster.certificates().unwrap().clone();
    let mut client = cluster.client();

    // Under its own name, with the certificate of another: it does not even start.
    let name = cluster.new_worker();
    let (certificate, key) = own.issue("worker", "worker-1");
    for flag in own.flags_of((&certificate, &key)).chunks(2) {
        cluster.worker_mut(&name).set_arg(&flag[0], &flag[1]);
    }
    cluster.worker_mut(&name).start();
    let said = ended(&mut cluster, &name).await;
    assert!(said.contains("spiffe://test/worker/worker-1, and this is worker worker-2"), "{said}");
    let worker = client.worker("worker-1").await;
    assert_eq!((&worker["is_active"], &worker["epoch"]), (&json!(true), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_obeys_masters_of_its_own_authority_only() {
    let mut cluster = Cluster::builder().secured().start().await;
    let foreign = Certificates::init(cluster.dir().join("foreign"), "test");
    let name = cluster.register_worker().await;
    for flag in foreign.flags("worker", &name).chunks(2) {
        cluster.worker_mut(&name).set_arg(&flag[0], &flag[1]);
    }
    cluster.worker_mut(&name).start();
    eventually("the worker has refused the leader", CONNECT_PATIENCE, async || {
        let log = cluster.worker_mut(&name).process().log();
        require(log.contains("a caller was not let in"), || log)
    })
    .await;
    let worker = cluster.client().worker(&name).await;
    assert_eq!(worker["is_active"], json!(false));
}

async fn run(cluster: &Cluster, connection: &[String], args: &[&str]) -> Outcome {
    let connection = connection.iter().map(String::as_str);
    let args = connection.chain(args.iter().copied()).collect::<Vec<_>>();
    clusterctl(&cluster.grpc_addresses(), &args).await
}

/// A session of somebody without a certificate.
fn web(cluster: &Cluster, certificates: &Certificates) -> Client {
    let web = Web::trusting(&certificates.authority());
    Client::new(web, cluster.http_addresses(), History::default())
}

/// Waits until a worker's process has ended, and returns its log.
async fn ended(cluster: &mut Cluster, name: &str) -> String {
    eventually("the worker has ended", CONNECT_PATIENCE, async || {
        let process = cluster.worker_mut(name).process();
        let log = process.log();
        process.exit_status().map(|_| log.clone()).ok_or(log)
    })
    .await
}

/// A restoration finds the masters that it would end, and takes a refusal to tell for a sign of life.
#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_asks_the_masters_with_certificates() {
    let cluster = Cluster::builder().secured().masters(1).start().await;
    let backup = cluster.path("a.backup").display().to_string();
    cluster.clusterctl(&["snapshot", "save", &backup]).await.expect(0);
    let dir = cluster.path("restored").display().to_string();
    let members = format!("1={}", cluster.master(1).grpc());
    let restore = ["snapshot", "restore", &backup, "--data-dir", &dir, "--node-id", "1"];
    let restore =
        [&restore[..], &["--cluster-name", "test", "--initial-cluster", &members]].concat();

    let own = cluster.certificates().unwrap();
    for (role, name, told) in [
        ("master", "1", "leads in term"),
        ("admin", "ada", "to nobody without a master's certificate"),
    ] {
        let refused = run(&cluster, &own.connection(role, name), &restore).await.expect(4);
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
}

/// Strangers are counted, and do not fill the disk with lines about them; workers say when their own
/// certificates end.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_counted_and_certificates_of_workers_are_watched() {
    let cluster = Cluster::builder().secured().masters(1).workers(1).start().await;
    let master = cluster.master(1);
    for _ in 0..30 {
        let mut stranger = TcpStream::connect(master.grpc()).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    }
    let counted = "cloudai_connections_closed_total{port=\"grpc\",reason=\"handshake\"} 30";
    let left = "cloudai_worker_certificate_expiry_seconds ";
    eventually("strangers and the certificate are counted", CONNECT_PATIENCE, async || {
        let metrics = cluster.client().get("/metrics").await.text();
        let is_watched = metrics.lines().any(|line| line.starts_with(left));
        require(metrics.contains(counted) && is_watched, || metrics)
    })
    .await;
    let lines = master.log().matches("a connection was not admitted").count();
    assert!((1..=2).contains(&lines), "{lines} lines, and one a minute is due");

    let end = cluster.client().worker("worker-1").await["certificate_not_after"].clone();
    assert!(end.is_string(), "{end}");
}
