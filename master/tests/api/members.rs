//! Members of the cluster: shown, and changed as far as one master alone can be.
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on should panic")]

use proto::v1;
use proto::v1::cluster_service_client::ClusterServiceClient;
use serde_json::{Value, json};

use crate::one_master::{Answer, OneMaster};

const PATH: &str = "/api/cluster/members";

/// Panics unless the request was refused so, with nothing changed.
fn assert_refused(answer: &Answer, status: u16, kind: &str, detail: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    let problem = answer.json();
    let told = [&problem["type"], &problem["outcome"], &problem["detail"]];
    let expected = [format!("urn:cloudai:error:{kind}"), "rejected".to_owned(), detail.to_owned()];
    assert_eq!(told.map(|text| text.as_str().unwrap_or_default().to_owned()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_master_is_the_leader_of_its_members() {
    let master = OneMaster::start().await;
    let list = master.get(PATH).await.json();
    let member = &list["members"][0];
    let shown = ["name", "role", "grpc_address", "http_address", "reachable", "lag"];
    let shown = shown.map(|field| member[field].clone());
    let expected =
        json!(["1", "leader", master.grpc().to_string(), master.http().to_string(), true, 0]);
    assert_eq!(Value::from(shown.to_vec()), expected);
    assert!(member["match_index"].as_u64().unwrap() > 0, "{list}");
    assert_eq!(list["members"].as_array().unwrap().len(), 1);

    let mut client =
        ClusterServiceClient::connect(format!("http://{}", master.grpc())).await.unwrap();
    let same = client.list_members(v1::ListMembersRequest {}).await.unwrap().into_inner();
    assert_eq!(same.members[0].id, member["id"].as_str().unwrap());
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_already_is_done_well() {
    let master = OneMaster::start().await;
    let promoted = master.post(&format!("{PATH}/1/promote"), &json!({})).await;
    assert_eq!(promoted.status, 200, "{}", promoted.body);
    let promoted = promoted.json();
    assert_eq!((&promoted["changed"], &promoted["warnings"]), (&json!(false), &json!([])));
    assert_eq!(promoted["member"]["name"], "1");

    let address = master.grpc().to_string();
    let added = master.post(PATH, &json!({"name": 1, "address": address})).await;
    assert_eq!((added.status, added.json()["changed"].clone()), (200, json!(false)));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_voter_stays() {
    let master = OneMaster::start().await;
    let only = "master 1 is the only voter: a cluster needs one";
    let removed = master.ask("DELETE", &format!("{PATH}/1"), &[], "").await;
    assert_refused(&removed, 409, "conflict", only);
    let forced = master.ask("DELETE", &format!("{PATH}/1?force=true"), &[], "").await;
    assert_refused(&forced, 409, "conflict", only);
    let nobody = "there is no master 7 in this cluster";
    let removed = master.ask("DELETE", &format!("{PATH}/7"), &[], "").await;
    assert_refused(&removed, 404, "not-found", nobody);
    let replaced = master.post(&format!("{PATH}/1/replace"), &json!({"new": "7"})).await;
    assert_refused(&replaced, 404, "not-found", nobody);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_added_who_is_not_there_or_is_another() {
    let master = OneMaster::start().await;
    let add = |name: &str, address: String| json!({"name": name, "address": address});
    let nowhere = "127.0.0.1:1".to_owned();
    let silent =
        "no master answers at 127.0.0.1:1: start master 4 there, with an empty data directory";
    assert_refused(&master.post(PATH, &add("4", nowhere)).await, 409, "conflict", silent);

    let own = master.grpc().to_string();
    let other = "master 1 answers there, not master 4";
    assert_refused(&master.post(PATH, &add("4", own.clone())).await, 409, "conflict", other);

    let stranger = OneMaster::start().await;
    let theirs = stranger.grpc().to_string();
    let elsewhere = "master 1 there belongs to another cluster named 'cloudai': move its data directory \
                     away and start it empty";
    assert_refused(&master.post(PATH, &add("1", theirs)).await, 409, "conflict", elsewhere);
    stranger.stop().await;

    let unnamed = master.post(PATH, &add("four", own)).await;
    assert_eq!(
        (unnamed.status, unnamed.json()["errors"][0]["pointer"].clone()),
        (422, json!("/name"))
    );
    master.stop().await;
}
