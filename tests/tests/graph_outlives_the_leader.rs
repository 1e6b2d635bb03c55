//! The leader dies in the middle of a graph: each task starts after all that it waits for, and only then.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use serde_json::{Value, json};

const WIDTH: usize = 10;
const DEPTH: usize = 30;

/// Returns the names of the tasks before the one at a place: two of the layer before.
fn before(layer: usize, column: usize) -> Vec<String> {
    match layer.checked_sub(1) {
        Some(layer) => [column, (column + 1) % WIDTH].map(|column| name(layer, column)).to_vec(),
        None => Vec::new(),
    }
}

fn name(layer: usize, column: usize) -> String {
    format!("layer-{layer}.{column}")
}

fn with(mut task: Value, more: &Value) -> Value {
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_of_hundreds_runs_in_order_under_two_leaders() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    cluster.clusterctl(&["upgrade", "finish"]).await.expect(0);
    let mut client = cluster.client();
    let mut graph = Vec::new();
    for layer in 0..DEPTH {
        for column in 0..WIDTH {
            let name = name(layer, column);
            let task = cluster.effects().lasting(&name, Duration::from_millis(100));
            let more = json!({"local_name": name, "after": before(layer, column)});
            graph.push(with(task, &more));
        }
    }
    // A branch that breaks, and a task that does not care.
    let broken = cluster.effects().script("broken", "exit 1");
    graph.push(with(broken, &json!({"local_name": "broken", "max_attempts": 1})));
    for number in 0..20 {
        let name = format!("lost-{number}");
        let before = if number == 0 { "broken".to_owned() } else { format!("lost-{}", number - 1) };
        let task = cluster.effects().task(&name);
        graph.push(with(task, &json!({"local_name": name, "after": [before]})));
    }
    let mourner = cluster.effects().task("mourner");
    graph.push(with(mourner, &json!({"after_any": ["lost-19", name(0, 0)]})));

    let accepted = client.post("/api/tasks", &json!(graph)).await.unwrap().expect(201).json();
    let ids = accepted.as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap());
    let ids = ids.map(str::to_owned).collect::<Vec<_>>();
    let names = graph.iter().map(|task| task["name"].as_str().unwrap().to_owned());
    let by_name = names.zip(ids.iter().cloned()).collect::<BTreeMap<_, _>>();
    let last = &by_name[&name(DEPTH - 1, 0)];
    let waiting = cluster.clusterctl(&["task", "show", last]).await.expect(0).stdout;
    assert!(waiting.contains("blocked") && waiting.contains("waiting for"), "{waiting}");

    eventually("a third of the tasks have run", Duration::from_secs(60), async || {
        let count = cluster.effects().all().len();
        require(count > WIDTH * DEPTH / 3, || format!("{count} have"))
    })
    .await;
    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    for id in &ids {
        client.await_end(id).await;
    }

    let mut states = BTreeMap::<String, usize>::new();
    for (name, id) in &by_name {
        let task = client.task(id).await;
        *states.entry(task["state"].as_str().unwrap().to_owned()).or_default() += 1;
        if name == "lost-3" {
            let reason = format!("its dependency {} was aborted", by_name["lost-2"]);
            assert_eq!(task["reason"], reason, "{task}");
        }
    }
    let expected = [("aborted", 20), ("completed", WIDTH * DEPTH + 1), ("failed", 1)];
    let expected = expected.map(|(state, count)| (state.to_owned(), count));
    assert_eq!(states.into_iter().collect::<Vec<_>>(), expected);

    // A task leaves its line when it starts, and those after it start when it is over.
    let lines = cluster.effects().all();
    let first_line = |id: &str| lines.iter().position(|line| line.task == id);
    for layer in 0..DEPTH {
        for column in 0..WIDTH {
            let own = first_line(&by_name[&name(layer, column)]);
            for before in before(layer, column) {
                let other = first_line(&by_name[&before]);
                assert!(other.is_some() && other < own, "{layer}.{column} began before {before}");
            }
        }
    }
    assert_eq!(first_line(&by_name["lost-0"]), None);

    cluster.master_mut(leader).restart();
    cluster.await_ready(leader).await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}
