//! Masters with certificates behind a load balancer: one that ends TLS, and one that passes it on.

use std::time::Duration;

use cluster_tests::client::{Client, Web};
use cluster_tests::cluster::Cluster;
use cluster_tests::clusterctl::clusterctl;
use cluster_tests::history::History;
use cluster_tests::load::{Load, Plan, Retry};
use cluster_tests::proxy::{self, Proxy};
use eventually::{eventually, require};
use reqwest::Method;
use serde_json::json;

/// A client that gives up at once.
const NAIVE: Plan = Plan { retry: Retry::Never, ..Plan::STEADY };
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks a probe, looks at the cluster and submits a task.
async fn statuses(web: Web, frontend: &str) -> [u16; 3] {
    let mut client = Client::new(web, vec![frontend.to_owned()], History::default());
    let headers = [("content-type", "application/json")];
    let task = json!({"command": ["true"]}).to_string().into_bytes();
    let probe = client.send(Method::GET, "/readyz", &[], None).await.unwrap();
    let look = client.send(Method::GET, "/api/cluster", &[], None).await.unwrap();
    let submit = client.send(Method::POST, "/api/tasks", &headers, Some(task)).await.unwrap();
    [probe, look, submit].map(|answer| answer.status.as_u16())
}

async fn token(cluster: &Cluster, role: &str) -> String {
    let args = ["user", "token", "create", role, "--role", role];
    // A new cluster reaches the level that has users a moment after it has a leader.
    eventually("the token is created", PATIENCE, async || {
        let outcome = cluster.clusterctl(&args).await;
        require(outcome.code == 0, || outcome.stderr.clone())?;
        Ok(outcome.stdout.trim().to_owned())
    })
    .await
}

async fn lose_a_leader(cluster: &mut Cluster, load: &Load) {
    load.progress(50).await;
    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    load.progress(50).await;
    cluster.master_mut(leader).restart();
    cluster.await_ready(leader).await;
    load.progress(50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tls_ends_at_the_balancer_tokens_say_who_calls() {
    if proxy::program().is_none() {
        eprintln!("SKIPPED: there is no haproxy here");
        return;
    }
    let mut cluster = Cluster::builder().secured().workers(1).start().await;
    let authority = cluster.certificates().unwrap().authority();
    let tls = format!("ssl ca-file {} verify required", authority.display());
    let proxy = Proxy::start_with(&cluster, &[("MASTER_TLS", &tls)]).await;
    let [viewer, submitter] = [token(&cluster, "viewer").await, token(&cluster, "submitter").await];

    for frontend in [proxy.all(), proxy.leader()] {
        assert_eq!(statuses(Web::plain(), frontend).await, [200, 401, 401]);
        let wrong = Web::plain().with_token("clu_000000000000_wrong");
        assert_eq!(statuses(wrong, frontend).await, [200, 401, 401]);
        let viewer = Web::plain().with_token(&viewer);
        assert_eq!(statuses(viewer, frontend).await, [200, 200, 403]);
        let submitter = Web::plain().with_token(&submitter);
        assert_eq!(statuses(submitter, frontend).await, [200, 200, 201]);
    }

    let web = Web::plain().with_token(&submitter);
    let client = Client::new(web, vec![proxy.all().to_owned()], cluster.history().clone());
    let load = Load::start(&client, cluster.effects(), NAIVE);
    lose_a_leader(&mut cluster, &load).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}\n{}", tally.failures, proxy.log());
    cluster.check_history().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tls_passes_certificates_say_who_calls() {
    if proxy::program().is_none() {
        eprintln!("SKIPPED: there is no haproxy here");
        return;
    }
    let mut cluster = Cluster::builder().secured().workers(1).start().await;
    let proxy = Proxy::start_passthrough(&cluster).await;
    let own = cluster.certificates().unwrap().clone();
    let showing = |role| {
        let (certificate, key) = own.issue(role, "ada");
        Web::showing(&own.authority(), (&certificate, &key))
    };

    for frontend in [proxy.all(), proxy.leader()] {
        let nobody = Web::trusting(&own.authority());
        assert_eq!(statuses(nobody, frontend).await, [200, 401, 401]);
        assert_eq!(statuses(showing("viewer"), frontend).await, [200, 200, 403]);
        assert_eq!(statuses(showing("submitter"), frontend).await, [200, 200, 201]);
    }
    let connection = own.connection("viewer", "vi");
    let args = connection.iter().map(String::as_str).chain(["status"]).collect::<Vec<_>>();
    clusterctl(&[proxy.grpc().to_owned()], &args).await.expect(0);

    // Nobody repeats for the client what broke: it does so itself.
    let client = cluster.client_at(vec![proxy.all().to_owned()]);
    let load = Load::start(&client, cluster.effects(), Plan::STEADY);
    lose_a_leader(&mut cluster, &load).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}\n{}", tally.failures, proxy.log());
    cluster.check_history().await;
}
