//! Operators change the membership by command, under load, while leaders are killed.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::event_stream::EventStream;
use cluster_tests::load::{Load, Plan};
use eventually::{eventually, require};
use serde_json::Value;

/// Time for one change, with an election and a restart in its midst.
const PATIENCE: Duration = Duration::from_secs(60);
/// Handing leadership over and leaving take milliseconds: this is for a machine that does other work
/// too.
const GAP_MAX: Duration = Duration::from_secs(3);
/// Exit code of a master that does not belong to its cluster any more.
const EXPELLED: i32 = 3;

async fn members(cluster: &Cluster) -> Vec<Value> {
    let list = cluster.clusterctl(&["member", "list", "-o", "json"]).await.expect(0).json();
    list["members"].as_array().unwrap().clone()
}

/// Gives an order until it is carried out. The first time, the leader is killed meanwhile.
async fn order_while_the_leader_dies(cluster: &mut Cluster, args: &[&str]) {
    let leader = cluster.leader().await;
    let endpoints = cluster.grpc_addresses();
    let ordered = cluster_tests::clusterctl::clusterctl(&endpoints, args);
    let (outcome, ()) = tokio::join!(ordered, async {
        cluster.master_mut(leader).kill();
        cluster.master_mut(leader).restart();
    });
    if outcome.code != 0 {
        eprintln!("{args:?} in an election: {}", outcome.stderr.trim_end());
    }

    eventually(&format!("{args:?}"), PATIENCE, async || {
        let outcome = cluster.clusterctl(args).await;
        // A master that was removed the first time is not found any more.
        let is_done = outcome.code == 0 || (args[1] == "remove" && outcome.code == 3);
        require(is_done, || outcome.stderr)
    })
    .await;
}

/// Waits until all masters but one are voters, and that one has ended.
async fn is_removed(cluster: &mut Cluster, id: u64) {
    let status = cluster.master_mut(id).wait(PATIENCE).await;
    assert_eq!(status.code(), Some(EXPELLED));
    cluster.forget_master(id);
    cluster.await_voters().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_becomes_three_then_five_then_three_again_while_leaders_are_killed() {
    let mut cluster = Cluster::builder().masters(1).workers(1).start().await;
    for goal in [3, 5] {
        let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
        load.progress(20).await;
        while cluster.masters().count() < goal {
            let id = cluster.add_master();
            let (name, address) = (id.to_string(), cluster.master(id).grpc().to_owned());
            order_while_the_leader_dies(&mut cluster, &["member", "add", &name, &address]).await;
            order_while_the_leader_dies(&mut cluster, &["member", "promote", &name]).await;
            cluster.await_voters().await;
            load.progress(20).await;
        }
        load.stop().await;
    }

    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;
    for _ in 0..2 {
        let leader = cluster.leader().await;
        let leaving = cluster.others(leader)[0];
        let name = leaving.to_string();
        order_while_the_leader_dies(&mut cluster, &["member", "remove", &name]).await;
        is_removed(&mut cluster, leaving).await;
        load.progress(20).await;
    }
    load.stop().await;
    assert_eq!(members(&cluster).await.len(), 3);
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_or_replaced_hands_over_first() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let new = cluster.add_master();
    let joined = format!("master {new} is a member that has caught up");
    eventually(&joined, PATIENCE, async || {
        let members = members(&cluster).await;
        let name = new.to_string();
        let member = members.iter().find(|member| member["name"] == *name);
        let is_close =
            member.is_some_and(|member| member["lag"].as_u64().is_some_and(|lag| lag < 100));
        require(is_close, || format!("{members:?}"))
    })
    .await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(50).await;

    // Any master is asked, and passes the order on.
    let old = cluster.leader().await;
    let words = ["member", "replace", &old.to_string(), &new.to_string(), "-o", "json"];
    let replaced = cluster.clusterctl(&words).await.expect(0).json();
    assert_eq!(
        (&replaced["changed"], &replaced["member"]["name"]),
        (&true.into(), &new.to_string().into())
    );
    is_removed(&mut cluster, old).await;
    load.progress(20).await;

    let old = cluster.leader().await;
    let removed = cluster.clusterctl(&["member", "remove", &old.to_string()]).await.expect(0);
    let warning = "warning: 2 voters are no safer than 1";
    assert!(removed.stderr.contains(warning), "{}", removed.stderr);
    is_removed(&mut cluster, old).await;
    load.progress(20).await;

    let tally = load.stop().await;
    println!("longest gap between two acknowledgments: {:?}", tally.longest_gap());
    assert!(tally.longest_gap() < GAP_MAX, "nobody was served for {:?}", tally.longest_gap());
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_autopilot_goes_by_the_settings_and_its_promotions_are_told() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    cluster.clusterctl(&["config", "set", "autopilot.enabled", "false"]).await.expect(0);
    let id = cluster.add_master();
    let name = id.to_string();
    let own = async |cluster: &Cluster| {
        let members = members(cluster).await;
        members.into_iter().find(|member| member["name"] == name).unwrap_or_default()
    };
    eventually("it has caught up", PATIENCE, async || {
        let member = own(&cluster).await;
        require(member["lag"] == 0, || member.to_string())
    })
    .await;
    assert_eq!(own(&cluster).await["role"], "learner");
    let leader = cluster.leader().await;
    assert_eq!(cluster.status(leader).await["autopilot"], Value::Null);

    let words = ["config", "set", "autopilot.enabled", "true", "autopilot.stable_for", "1s"];
    cluster.clusterctl(&words).await.expect(0);
    cluster.await_voters().await;
    let added =
        cluster.clusterctl(&["member", "add", &name, cluster.master(id).grpc()]).await.expect(0);
    assert!(added.stderr.contains("there was nothing to do"), "{}", added.stderr);
    assert!(added.stderr.contains("warning: 4 voters go on without 1"), "{}", added.stderr);
    let metrics = cluster.client_of(leader).get("/metrics").await.expect(200).text();
    for line in ["leader\"} 1", "follower\"} 3", "learner\"} 0"] {
        let line = format!("cloudai_members{{role=\"{line}");
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }

    let mut events = EventStream::open(cluster.master(leader).http(), &["cluster"], 0).await;
    let is_promoted =
        |event: &Value| event["name"] == name.as_str() && event["event"] == "promoted";
    let told = events.until(is_promoted).await;
    assert_eq!(told.last().unwrap()["by"], "autopilot");
    let is_added = |event: &Value| event["name"] == name.as_str() && event["event"] == "added";
    assert!(told.iter().any(is_added), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_master_of_three_is_replaced_by_an_empty_machine_in_turn() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;
    for id in cluster.master_ids() {
        let log_before = log_of(&cluster, id).await;
        cluster.wipe_master(id);
        eventually(&format!("master {id} has a vote for its new log"), PATIENCE, async || {
            let log = log_of(&cluster, id).await;
            let is_new = log.is_some() && log != log_before;
            require(is_new, || format!("{log:?}"))
        })
        .await;
        cluster.await_voters().await;
        load.progress(20).await;
    }
    load.stop().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

/// Returns the log with which a master votes, if it is the only one of that name.
async fn log_of(cluster: &Cluster, id: u64) -> Option<String> {
    let mut members = members(cluster).await;
    let name = id.to_string();
    members.retain(|member| member["name"] == *name);
    match members.as_slice() {
        [one] if one["role"] != "learner" => one["id"].as_str().map(str::to_owned),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_masters_move_at_once() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;
    load.stop().await;
    cluster.move_masters();
    cluster.await_voters().await;

    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;
    load.stop().await;
    let addresses = cluster.grpc_addresses();
    eventually("the membership says where they are", PATIENCE, async || {
        let members = members(&cluster).await;
        let recorded = members.iter().map(|member| member["grpc_address"].as_str().unwrap());
        let is_right = recorded.eq(addresses.iter().map(String::as_str));
        require(is_right, || format!("{members:?}"))
    })
    .await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}
