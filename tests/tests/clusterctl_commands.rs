//! The command line against a running cluster: what it prints, and its exit codes.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::clusterctl::clusterctl;
use eventually::{eventually, require};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_runs_tasks_and_learns_from_exit_codes() {
    let cluster = Cluster::builder().workers(1).start().await;

    let hello = ["task", "submit", "--wait", "--logs", "--", "echo", "hello"];
    let done = cluster.clusterctl(&hello).await.expect(0);
    assert!(done.stdout.contains("hello"), "{done:?}");
    let failing = ["task", "submit", "--wait", "--max-attempts", "1", "--", "false"];
    cluster.clusterctl(&failing).await.expect(8);
    let submit = ["-o", "json", "task", "submit", "--name", "named", "--", "sleep", "300"];
    let submitted = cluster.clusterctl(&submit).await.expect(0).json();
    let id = task_id(&submitted);
    cluster.clusterctl(&["--timeout", "300ms", "task", "wait", &id]).await.expect(7);
    let shown = cluster.clusterctl(&["-o", "json", "task", "show", &id]).await.expect(0).json();
    assert_eq!(shown["name"], "named", "{shown}");
    let table = cluster.clusterctl(&["task", "list"]).await.expect(0);
    assert!(table.stdout.contains(&id) && table.stdout.contains("named"), "{}", table.stdout);
    cluster.clusterctl(&["task", "cancel", &id]).await.expect(0);
    cluster.client().await_state(&id, "cancelled").await;
    cluster.clusterctl(&["task", "cancel", &id]).await.expect(4);

    let missing = cluster.clusterctl(&["task", "show", "t999999"]).await.expect(3);
    assert_eq!(missing.stdout, "", "messages belong on stderr");
    assert!(missing.stderr.contains("t999999"), "{missing:?}");
    cluster.clusterctl(&["no-such-command"]).await.expect(2);
    cluster.clusterctl(&["task", "submit"]).await.expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_and_moves_the_leader_and_keeps_the_registry() {
    let cluster = Cluster::builder().workers(1).start().await;
    let leader = cluster.leader().await;

    let shown = cluster.clusterctl(&["-o", "json", "leader"]).await.expect(0).json();
    assert_eq!(shown["leader_id"], leader, "{shown}");
    let to = cluster.others(leader).pop().unwrap();
    let transfer = ["leader", "transfer", "--to", &to.to_string()];
    cluster.clusterctl(&transfer).await.expect(0);
    assert_eq!(cluster.leader().await, to);
    let status = cluster.clusterctl(&["-o", "json", "status"]).await.expect(0).json();
    assert_eq!(status["healthy"], true, "{status}");
    assert_eq!(status["members"].as_array().unwrap().len(), 3, "{status}");
    let table = cluster.clusterctl(&["status"]).await.expect(0);
    assert!(table.stdout.contains("leader"), "{}", table.stdout);

    cluster.clusterctl(&["worker", "register", "later", "127.0.0.1:9"]).await.expect(0);
    let workers = cluster.clusterctl(&["workers"]).await.expect(0).stdout;
    assert!(workers.contains("worker-1") && workers.contains("later"), "{workers}");
    let worker = cluster.clusterctl(&["-o", "json", "worker", "show", "later"]).await.expect(0);
    assert_eq!(worker.json()["is_active"], false, "{}", worker.stdout);
    cluster.clusterctl(&["worker", "unregister", "later"]).await.expect(0);
    cluster.clusterctl(&["worker", "show", "later"]).await.expect(3);

    let frozen = cluster.others(to).pop().unwrap();
    cluster.master(frozen).freeze();
    let transfer = ["leader", "transfer", "--to", &frozen.to_string()];
    let refused = cluster.clusterctl(&transfer).await.expect(4);
    let reason = format!("master {frozen} does not answer: this master leads on");
    assert!(refused.stderr.contains(&reason), "{refused:?}");
    assert_eq!(cluster.leader().await, to);
    cluster.master(frozen).thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_kept_by_command() {
    let cluster = Cluster::builder().workers(1).start().await;
    let help = cluster.clusterctl(&["schedule", "create", "--help"]).await.expect(0).stdout;
    assert!(help.contains("--cron") && !help.contains("--idempotency-key"), "{help}");
    let create = |cron: &'static str| {
        let zone = "Europe/Berlin";
        ["schedule", "create", "nightly", "--cron", cron, "--time-zone", zone, "--", "true"]
    };
    eventually("the level allows a schedule", Duration::from_secs(60), async || {
        let created = cluster.clusterctl(&create("30 2 * * MON-FRI")).await;
        require(created.code == 0, || format!("{created:?}"))
    })
    .await;
    cluster.clusterctl(&create("30 2 * * MON-FRI")).await.expect(4);
    let refused = cluster.clusterctl(&create("0 0 30 2 *")).await.expect(1);
    assert!(refused.stderr.contains("it never comes"), "{refused:?}");

    let list = cluster.clusterctl(&["schedule", "list"]).await.expect(0).stdout;
    assert!(list.contains("nightly") && list.contains("active"), "{list}");
    let next = cluster.clusterctl(&["schedule", "next", "nightly", "-n", "2"]).await.expect(0);
    assert_eq!(next.stdout.lines().count(), 3, "{}", next.stdout);
    cluster.clusterctl(&["schedule", "pause", "nightly"]).await.expect(0);
    let run = ["-o", "json", "schedule", "run", "nightly"];
    let task = cluster.clusterctl(&run).await.expect(0).json();
    let id = task["task_id"].as_str().unwrap();
    cluster.client().await_state(id, "completed").await;
    let shown = cluster.clusterctl(&["schedule", "show", "nightly"]).await.expect(0).stdout;
    assert!(shown.contains("paused") && shown.contains(id), "{shown}");
    cluster.clusterctl(&["schedule", "resume", "nightly"]).await.expect(0);
    cluster.clusterctl(&["schedule", "delete", "nightly"]).await.expect(0);
    cluster.clusterctl(&["schedule", "show", "nightly"]).await.expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_it_says_so_and_still_shows_the_status() {
    let mut cluster = Cluster::builder().start().await;
    cluster.await_converged().await;
    let leader = cluster.leader().await;
    for id in cluster.others(leader) {
        cluster.master_mut(id).kill();
    }
    let submit = ["--timeout", "8s", "task", "submit", "--", "true"];
    cluster.clusterctl(&submit).await.expect(6);
    let status = cluster.clusterctl(&["-o", "json", "status"]).await.expect(0).json();
    assert_eq!(status["healthy"], false, "{status}");
    let nobody = clusterctl(&["127.0.0.1:9".to_owned()], &["--timeout", "1s", "leader"]).await;
    assert_ne!(nobody.code, 0, "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_task_survives_a_leader_change() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let leader = cluster.leader().await;
    let endpoints = cluster.grpc_addresses();
    let gate = cluster.path("gate");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let command = ["task", "submit", "--wait", "--", "/bin/sh", "-c", &script];

    let waiting = clusterctl(&endpoints, &command);
    let breaking = async {
        let mut client = cluster.client();
        let running = async || match client.tasks().await.as_slice() {
            [task] if task["state"] == "running" => Ok(()),
            other => Err(format!("{other:?}")),
        };
        let patience = Duration::from_secs(10);
        eventually("it runs", patience, running).await;
        cluster.master_mut(leader).kill();
        cluster.leader_among(&cluster.others(leader)).await;
        std::fs::write(&gate, "").unwrap();
    };
    let (outcome, ()) = tokio::join!(waiting, breaking);

    outcome.expect(0);
}

fn task_id(submitted: &Value) -> String {
    let one = submitted.as_array().and_then(|list| list.first()).unwrap_or(submitted);
    one["task_id"].as_str().unwrap_or_else(|| panic!("no task_id: {submitted}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_come_from_files_of_all_forms_or_none_does() {
    let cluster = Cluster::builder().masters(1).workers(0).start().await;
    let file = |name: &str, text: &str| {
        let path = cluster.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let yaml =
        file("a.yaml", "tasks:\n- &a {name: a, command: [sleep, '9']}\n- {<<: *a, name: b}\n");
    let toml =
        file("b.toml", "name = \"c\"\ncommand = [\"sleep\", \"9\"]\nlabels = { run = \"1\" }\n");
    let submit = ["task", "submit", "-f", &yaml, "-f", &toml];
    let flags = ["-o", "name", "--label", "run=7", "--priority", "80"];
    let submitted = cluster.clusterctl(&[&submit[..], &flags].concat()).await.expect(0);
    let ids = submitted.stdout.lines().collect::<Vec<_>>();
    assert_eq!(ids.len(), 3, "{submitted:?}");
    for (id, name) in ids.iter().zip(["a", "b", "c"]) {
        let task = cluster.client().task(id).await;
        let seen = [&task["name"], &task["labels"]["run"], &task["priority"]];
        assert_eq!(seen, [&json!(name), &json!("7"), &json!(80)], "{task}");
    }

    let broken = file("c.yaml", "- command: ['true']\n- comand: ['true']\n");
    let refused =
        cluster.clusterctl(&["task", "submit", "-f", &toml, "-f", &broken]).await.expect(1);
    let told = format!("{broken}:2:3: [1].comand: unknown key; did you mean command?");
    assert!(refused.stderr.contains(&told), "{refused:?}");
    let listed = ["-o", "name", "task", "list", "--state", "queued,running", "--label", "run=7"];
    let listed = cluster.clusterctl(&listed).await.expect(0).stdout;
    assert_eq!(listed.lines().rev().collect::<Vec<_>>(), ids);
    let table = cluster.clusterctl(&["task", "list", "--name-prefix", "b"]).await.expect(0).stdout;
    assert!(table.lines().count() == 2 && table.contains("AGE"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_bounds_a_queue_and_its_tasks_run_one_after_the_other() {
    let cluster = Cluster::builder().workers(1).start().await;
    let set = ["queue", "set", "night", "--weight", "2", "--max-running", "1", "--rate", "100/1m"];
    eventually("the level allows a queue", Duration::from_secs(60), async || {
        let set = cluster.clusterctl(&set).await;
        require(set.code == 0, || format!("{set:?}"))
    })
    .await;
    let listed = cluster.clusterctl(&["queue", "list"]).await.expect(0).stdout;
    assert!(listed.contains("night") && listed.contains("default"), "{listed}");
    cluster.clusterctl(&["queue", "set", "night", "--rate", "none"]).await.expect(0);
    let show = ["-o", "json", "queue", "show", "night"];
    let shown = cluster.clusterctl(&show).await.expect(0).json();
    let bounds = json!([shown["weight"], shown["max_running"], shown["rate"]]);
    assert_eq!(bounds, json!([2, 1, null]), "what no flag names stays");

    cluster.clusterctl(&["queue", "pause", "night"]).await.expect(0);
    let submit =
        ["-o", "json", "task", "submit", "--queue", "night", "--cpu", "0.1", "--", "sleep", "300"];
    let first = task_id(&cluster.clusterctl(&submit).await.expect(0).json());
    let second = task_id(&cluster.clusterctl(&submit).await.expect(0).json());
    let explain = cluster.clusterctl(&["task", "explain", &first]).await.expect(0).stdout;
    assert!(explain.contains("its queue night is paused"), "{explain}");

    cluster.clusterctl(&["queue", "resume", "night"]).await.expect(0);
    cluster.client().await_state(&first, "running").await;
    let explain = cluster.clusterctl(&["task", "explain", &second]).await.expect(0).stdout;
    assert!(explain.contains("runs 1 tasks, its max_running"), "{explain}");
    cluster.clusterctl(&["task", "cancel", &first]).await.expect(0);
    cluster.client().await_state(&second, "running").await;

    cluster.clusterctl(&["queue", "delete", "night"]).await.expect(4);
    let missing = ["task", "submit", "--queue", "day", "--", "true"];
    let missing = cluster.clusterctl(&missing).await.expect(1);
    assert!(missing.stderr.contains("queue 'day'"), "{missing:?}");
    cluster.clusterctl(&["queue", "show", "day"]).await.expect(3);
}
