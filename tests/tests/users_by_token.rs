//! Users call with tokens, on every master and after the loss of the leader, because anonymous callers
//! have no rights.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_tests::client::Answer;
use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use reqwest::Method;

/// Token of the file that each master has.
const FIRST: &str = "4f1c0a6be2d94b7c8a35d1e07f9264bb";
const PATIENCE: Duration = Duration::from_secs(15);

/// A user, with the file of the token.
struct User {
    file: PathBuf,
    token: String,
}

impl User {
    fn new(dir: &Path, name: &str, token: &str) -> Self {
        let file = dir.join(format!("{name}.token"));
        write_owned(&file, token);
        Self { file, token: token.to_owned() }
    }

    /// Runs `clusterctl` as this user.
    async fn run(&self, cluster: &Cluster, args: &[&str], code: i32) -> String {
        let file = ["--token-file", self.file.to_str().unwrap()];
        let outcome = cluster.clusterctl(&[&file, args].concat()).await.expect(code);
        assert!(!outcome.stderr.contains(&self.token), "{}", outcome.stderr);
        outcome.stdout.trim().to_owned()
    }

    /// Creates a token as an admin may.
    async fn create(&self, cluster: &Cluster, name: &str, role: &str) -> Self {
        let file = self.file.to_str().unwrap();
        let args = ["--token-file", file, "user", "token", "create", name, "--role", role];
        // A new cluster reaches the level that has users a moment after it has a leader.
        let token = eventually("the token is created", PATIENCE, async || {
            let outcome = cluster.clusterctl(&args).await;
            require(outcome.code == 0, || outcome.stderr.clone())?;
            Ok(outcome.stdout)
        })
        .await;
        Self::new(cluster.dir(), name, token.trim())
    }

    /// Reads the members on one master, which asks the leader for them.
    async fn look(&self, cluster: &Cluster, master: u64) -> Answer {
        let value = format!("Bearer {}", self.token);
        let headers = [("authorization", value.as_str())];
        let mut client = cluster.client_of(master);
        client.send(Method::GET, "/api/cluster/members", &headers, None).await.unwrap()
    }

    /// Waits until each of the masters answers with that status.
    async fn await_status(&self, cluster: &Cluster, masters: &[u64], status: u16) {
        for master in masters {
            eventually(&format!("master {master} answers {status}"), PATIENCE, async || {
                let answer = self.look(cluster, *master).await;
                require(answer.status.as_u16() == status, || answer.text())
            })
            .await;
        }
    }
}

fn write_owned(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_call_with_tokens_on_every_master() {
    let first = tempfile::NamedTempFile::new().unwrap();
    write_owned(first.path(), &format!("root admin {FIRST}\n"));
    let file = first.path().to_str().unwrap();
    let mut cluster = Cluster::builder()
        .master_arg("--access-anonymous", "none")
        .master_arg("--access-token-file", file)
        .start()
        .await;

    // Without a token, and with one that others may read.
    cluster.clusterctl(&["status"]).await.expect(5);
    let root = User::new(cluster.dir(), "root", FIRST);
    let exposed = cluster.dir().join("exposed");
    std::fs::write(&exposed, FIRST).unwrap();
    std::fs::set_permissions(&exposed, std::fs::Permissions::from_mode(0o644)).unwrap();
    let args = ["--token-file", exposed.to_str().unwrap(), "status"];
    let refused = cluster.clusterctl(&args).await.expect(2);
    assert!(refused.stderr.contains("chmod 600"), "{}", refused.stderr);

    let admin = root.create(&cluster, "ada", "admin").await;
    let viewer = admin.create(&cluster, "vi", "viewer").await;
    let submitter = admin.create(&cluster, "sue", "submitter").await;
    // Each master knows each token at once, however far behind it is.
    for master in cluster.master_ids() {
        assert_eq!(viewer.look(&cluster, master).await.status.as_u16(), 200);
    }
    // The file is for the time before the first admin.
    root.await_status(&cluster, &cluster.master_ids(), 401).await;

    viewer.run(&cluster, &["task", "submit", "--", "true"], 5).await;
    submitter.run(&cluster, &["task", "submit", "--", "true"], 0).await;
    viewer.run(&cluster, &["task", "list"], 0).await;
    // A worker has a join token and needs no other.
    let join_token = admin.run(&cluster, &["token", "create", "fleet"], 0).await;
    let masters = cluster.grpc_addresses().join(",");
    let worker = cluster.new_worker();
    let worker = cluster.worker_mut(&worker);
    worker.set_masters(&masters);
    worker.add_arg("--join-token", &join_token);
    worker.start();
    submitter.run(&cluster, &["task", "submit", "--wait", "--", "true"], 0).await;

    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    let others = cluster.others(leader);
    submitter.run(&cluster, &["task", "submit", "--", "true"], 0).await;
    let id = submitter.token.split('_').nth(1).unwrap();
    admin.run(&cluster, &["user", "token", "revoke", id], 0).await;
    submitter.await_status(&cluster, &others, 401).await;
    submitter.run(&cluster, &["task", "submit", "--", "true"], 5).await;

    cluster.master_mut(leader).restart();
    cluster.await_ready(leader).await;
    submitter.await_status(&cluster, &cluster.master_ids(), 401).await;
    viewer.await_status(&cluster, &cluster.master_ids(), 200).await;
    for master in cluster.master_ids() {
        let log = cluster.master(master).log();
        let secrets = [&viewer, &submitter, &admin, &root];
        assert!(secrets.iter().all(|user| !log.contains(&user.token)), "a token is in the log");
    }
}
