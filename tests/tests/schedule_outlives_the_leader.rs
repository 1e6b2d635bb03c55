//! The leader dies at the moment at which a schedule is due: each of its times has its run, and only one.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use proto::convert::parse_rfc3339;
use serde_json::{Value, json};

const INTERVAL: Duration = Duration::from_secs(2);
/// Kills of the leader, unless the environment says otherwise.
const KILLS_DEFAULT: usize = 4;
const KILLS: &str = "CLOUDAI_SCHEDULE_KILLS";
/// Times of the kills, from a moment before a run is due to the time of its commit and after it.
const OFFSETS_MS: [i64; 8] = [0, -2, 1, 3, -10, 6, 12, 30];
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the moment so far from the next time of the schedule but one.
#[expect(clippy::disallowed_methods, reason = "the moment is one of the machine's clock")]
async fn moment(offset_ms: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let interval = i64::try_from(INTERVAL.as_millis()).unwrap();
    let now_ms = i64::try_from(now.as_millis()).unwrap();
    let at = (now_ms / interval + 2) * interval + offset_ms;
    tokio::time::sleep(Duration::from_millis(u64::try_from(at - now_ms).unwrap())).await;
}

/// Returns the number of tasks of each nominal time, in seconds since the epoch.
async fn runs(cluster: &Cluster) -> BTreeMap<u64, Vec<String>> {
    let mut client = cluster.client();
    let page = client.get("/api/tasks?label=cloudai.schedule=tick&limit=1000").await.expect(200);
    let page = page.json();
    assert_eq!(page["next_cursor"], Value::Null, "more runs than this test looks at");
    let mut runs = BTreeMap::<u64, Vec<String>>::new();
    for task in page["tasks"].as_array().unwrap() {
        let id = task["task_id"].as_str().unwrap();
        let task = client.task(id).await;
        let at = task["env"]["CLOUDAI_SCHEDULED_AT"].as_str().unwrap();
        let at = parse_rfc3339(at).unwrap();
        runs.entry(at.0 / 1_000).or_default().push(id.to_owned());
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_of_a_schedule_has_one_run_whatever_leader_dies() {
    let kills = std::env::var(KILLS).map_or(KILLS_DEFAULT, |count| count.parse().unwrap());
    let mut cluster = Cluster::builder().start().await;
    let schedule = json!({
        "name": "tick", "cron": "@every 2s", "overlap": "allow", "catch_up_window": "10m",
        "task": {"command": ["true"]},
    });
    eventually("the level allows a schedule", PATIENCE, async || {
        let created = cluster.client().post("/api/schedules", &schedule).await;
        let created = created.map_err(|error| error.to_string())?;
        require(created.status == 201, || created.text())
    })
    .await;

    let mut last = 0;
    for kill in 0..kills {
        let leader = cluster.leader().await;
        moment(OFFSETS_MS[kill % OFFSETS_MS.len()]).await;
        cluster.master_mut(leader).kill();
        let survivors = cluster.others(leader);
        cluster.leader_among(&survivors).await;
        cluster.master_mut(leader).restart();
        cluster.await_ready(leader).await;
        last = eventually("the next leader goes on", PATIENCE, async || {
            let shown = cluster.client().get("/api/schedules/tick").await.expect(200).json();
            let started = shown["started"].as_u64().unwrap();
            require(started > last + 1, || shown.to_string()).map(|()| started)
        })
        .await;
    }
    let paused = cluster.client().post("/api/schedules/tick/pause", &Value::Null).await.unwrap();
    let schedule = paused.expect(200).json();

    let runs = runs(&cluster).await;
    let (first, last) = (*runs.keys().next().unwrap(), *runs.keys().next_back().unwrap());
    let step = INTERVAL.as_secs();
    let expected = (first..=last).step_by(usize::try_from(step).unwrap()).collect::<Vec<_>>();
    assert_eq!(runs.keys().copied().collect::<Vec<_>>(), expected, "times are missing");
    let twice = runs.iter().filter(|(_, tasks)| tasks.len() > 1).collect::<Vec<_>>();
    assert!(twice.is_empty(), "run more than once: {twice:?}");
    assert_eq!(schedule["started"], runs.len(), "{schedule}");
    assert_eq!([&schedule["missed"], &schedule["skipped"]], [&json!(0), &json!(0)]);
    println!("{kills} leaders killed, {} runs", runs.len());
    cluster.check_replicas_agree().await;
}
