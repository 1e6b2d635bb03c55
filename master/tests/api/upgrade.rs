//! The state of an upgrade, and the hold on the feature level.

use cluster_state::Level;
use proto::v1;
use proto::v1::cluster_service_client::ClusterServiceClient;
use serde_json::{Value, json};

use crate::one_master::{Answer, OneMaster};

const PATH: &str = "/api/cluster/upgrade";

async fn put(master: &OneMaster, body: &Value) -> Answer {
    master.ask("PUT", PATH, &[("content-type", "application/json")], &body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_holds_the_level_and_lets_it_rise() {
    let master = OneMaster::start().await;
    // The cluster has settings from here on.
    master.get("/api/cluster/config").await.json();
    let status = master.get(PATH).await.json();
    assert_eq!((&status["level"], &status["hold"]), (&json!(Level::NEWEST.0), &json!(false)));
    assert_eq!(status["level_possible"], Level::NEWEST.0);
    assert_eq!(status["masters"][0]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["masters"][0]["restart_safe"], false);
    assert!(status["masters"][0]["reason"].as_str().unwrap().contains("only voter"), "{status}");
    assert_eq!(status["next_step"], "nothing is left to do");

    let held = put(&master, &json!({"hold": true})).await;
    assert_eq!((held.status, &held.json()["hold"]), (200, &json!(true)), "{}", held.body);
    let config = master.get("/api/cluster/config").await.json();
    let settings = config["settings"].as_array().unwrap();
    let hold = settings.iter().find(|setting| setting["key"] == "upgrade.hold").unwrap();
    assert_eq!((&hold["value"], &hold["source"]), (&json!("true"), &json!("operator")));

    let mut client =
        ClusterServiceClient::connect(format!("http://{}", master.grpc())).await.unwrap();
    let released = client.set_upgrade(v1::SetUpgradeRequest { hold: false }).await.unwrap();
    assert_eq!(released.into_inner().hold, Some(false));
    let problem =
        put(&master, &json!({"hold": true, "nam": 2})).await.problem(400, "unknown-field");
    assert!(problem["detail"].as_str().unwrap().contains("nam"), "{problem}");
    master.stop().await;
}
