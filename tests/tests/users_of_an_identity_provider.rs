//! Users call with tokens of an identity provider, on every master and after the loss of the leader, and
//! its keys are replaced.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use fake_idp::{Signer, claims, jwks};
use reqwest::Method;
use serde_json::json;

const ISSUER: &str = "https://id.example.com/realm";
const PATIENCE: Duration = Duration::from_secs(15);

fn token(signer: &Signer, name: &str, groups: &[&str]) -> String {
    let mut claims = claims(ISSUER, "cloudai", name);
    claims["realm"] = json!({"groups": groups});
    signer.sign(&claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_an_identity_provider_call_every_master() {
    let (old, new) = (Signer::new("2026-1"), Signer::new("2026-2"));
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), jwks(&[&old]).to_string()).unwrap();
    let mut cluster = Cluster::builder()
        .master_arg("--access-anonymous", "none")
        .master_arg("--access-oidc-issuer", ISSUER)
        .master_arg("--access-oidc-audience", "cloudai")
        .master_arg("--access-oidc-jwks", keys.path().to_str().unwrap())
        .master_arg("--access-oidc-role-claim", "realm.groups")
        .master_arg("--access-oidc-roles", "ops=operator,staff=viewer")
        .start()
        .await;

    let ada = token(&old, "ada", &["staff", "ops"]);
    let file = cluster.dir().join("ada.token");
    std::fs::write(&file, &ada).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let args =
        ["--token-file", file.to_str().unwrap(), "config", "set", "scheduler.strategy", "binpack"];
    // A new cluster has settings a moment after it has a leader.
    eventually("the settings are changed", PATIENCE, async || {
        let outcome = cluster.clusterctl(&args).await;
        require(outcome.code == 0, || outcome.stderr.clone())
    })
    .await;

    // The leader answers in the place of a follower, which has checked the token.
    let look = async |cluster: &Cluster, master: u64, token: &str| {
        let value = format!("Bearer {token}");
        let headers = [("authorization", value.as_str())];
        let mut client = cluster.client_of(master);
        client.send(Method::GET, "/api/cluster/members", &headers, None).await.unwrap().status
    };
    let eve = token(&old, "eve", &["guests"]);
    let mallory = token(&Signer::new("2026-1"), "ada", &["ops"]);
    for master in cluster.master_ids() {
        assert_eq!(look(&cluster, master, &ada).await, 200);
        assert_eq!(look(&cluster, master, &eve).await, 403);
        assert_eq!(look(&cluster, master, &mallory).await, 401);
    }
    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    let others = cluster.others(leader);
    let settings = ["--token-file", file.to_str().unwrap(), "-o", "json", "config", "get"];
    let shown = cluster.clusterctl(&settings).await.expect(0).stdout;
    assert!(shown.contains("user:oidc/ada"), "{shown}");

    // Keys that are replaced are used without a restart, and those before them no longer.
    std::fs::write(keys.path(), jwks(&[&new]).to_string()).unwrap();
    let ada_again = token(&new, "ada", &["ops"]);
    for master in &others {
        eventually(&format!("master {master} has the new key"), PATIENCE, async || {
            let (new, old) =
                (look(&cluster, *master, &ada_again).await, look(&cluster, *master, &ada).await);
            require(new == 200 && old == 401, || format!("{new} {old}"))
        })
        .await;
    }
    for master in &others {
        let log = cluster.master(*master).log();
        assert!(log.contains("its signature is wrong"), "the log says why a token was refused");
        let secrets = [&ada, &ada_again, &eve, &mallory];
        let parts = secrets.iter().flat_map(|token| token.split('.').skip(1));
        assert_eq!(parts.filter(|part| log.contains(part)).count(), 0, "a token is in the log");
    }
}
