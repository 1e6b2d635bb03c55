//! Whoever watches tasks sees the whole way of each, once, whatever master dies and wherever the reader
//! goes.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::event_source::EventSource;
use cluster_tests::process::binary;
use eventually::{eventually, require};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const TASKS: usize = 60;
/// Events that the reader takes before it goes elsewhere.
const STAY: usize = 7;
const PATIENCE: Duration = Duration::from_secs(60);

/// `clusterctl watch` in the background, writing to a file.
fn watch(cluster: &Cluster, from_index: u64) -> (Child, std::path::PathBuf) {
    let path = cluster.dir().join("watched");
    let child = Command::new(binary("clusterctl"))
        .env("CLUSTERCTL_ENDPOINTS", cluster.grpc_addresses().join(","))
        .args(["watch", "--subscribe", "tasks", "--from-index", &from_index.to_string()])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&path).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (child, path)
}

/// Returns the number of tasks that have ended.
fn ended(events: &[Value]) -> usize {
    let is_end = |event: &&Value| event["state"] == "completed";
    events.iter().filter(is_end).count()
}

/// Reads a few events here and a few there until each task has ended.
async fn read_everywhere(masters: Vec<String>, from_index: u64) -> EventSource {
    let mut source = EventSource::new("subscribe=tasks", from_index);
    for master in masters.iter().cycle() {
        // One that is dead or dies has the others' events, too.
        if source.connect(master).await.is_ok() {
            source.read(STAY.min(left(&source))).await.ok();
        }
        if ended(source.events()) >= TASKS {
            break;
        }
    }
    source
}

/// Returns the number of events that come at least: each task has its end before it.
fn left(source: &EventSource) -> usize {
    (TASKS - ended(source.events())).max(1)
}

fn key(event: &Value) -> (u64, String, String) {
    let text = |field: &str| event[field].as_str().unwrap().to_owned();
    (event["index"].as_u64().unwrap(), text("task_id"), text("state"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_is_seen_once_and_as_a_whole() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let start = cluster.client().get("/api/workers").await.index().unwrap();
    let leader = cluster.leader().await;
    let [_, witness] = cluster.others(leader)[..] else { panic!("not three masters") };
    let (mut watching, watched) = watch(&cluster, start);
    let reading = read_everywhere(cluster.http_addresses(), start);

    let mut client = cluster.client();
    let submitting = async {
        let mut submitted = Vec::new();
        for number in 0..TASKS {
            if number == TASKS / 2 {
                cluster.master_mut(leader).kill();
            }
            let task = json!({"command": ["true"], "name": format!("task-{number}")});
            submitted.push(client.submit(&task).await);
        }
        submitted
    };
    let both = async { tokio::join!(reading, submitting) };
    let (source, submitted) = tokio::time::timeout(PATIENCE, both).await.unwrap();

    // A master that was there from the beginning tells the same in one go.
    let mut replay = EventSource::new("subscribe=tasks", start);
    replay.connect(cluster.master(witness).http()).await.unwrap();
    while replay.events().len() < source.events().len() {
        replay.read(1).await.unwrap();
    }
    let seen = source.events().iter().map(key).collect::<Vec<_>>();
    assert_eq!(seen, replay.events().iter().map(key).collect::<Vec<_>>());

    let mut ways = BTreeMap::<String, Vec<String>>::new();
    for (_, task, state) in &seen {
        ways.entry(task.clone()).or_default().push(state.clone());
    }
    assert_eq!(ways.len(), TASKS);
    for task in &submitted {
        let way = &ways[task];
        assert_eq!(way.first().unwrap(), "queued", "{way:?}");
        assert_eq!(way.last().unwrap(), "completed", "{way:?}");
        assert!(way.windows(2).all(|pair| pair[0] != pair[1]), "twice: {way:?}");
    }

    let lines = eventually("clusterctl has printed the last event", PATIENCE, async || {
        let text = std::fs::read_to_string(&watched).unwrap();
        let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
        require(lines.len() >= seen.len(), || format!("{} lines", lines.len()))?;
        Ok::<_, String>(lines)
    })
    .await;
    let printed = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(printed.collect::<Vec<_>>(), replay.events());
    kill(Pid::from_raw(watching.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
    let status = tokio::time::timeout(PATIENCE, watching.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "Ctrl-C ends it in good order");
    let refused = cluster.clusterctl(&["watch", "--subscribe", "weather"]).await.expect(1);
    assert!(refused.stderr.contains("unknown variant `weather`"), "{}", refused.stderr);
}
