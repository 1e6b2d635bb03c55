//! A master's disk dies: its process ends as a whole, and says why in one line.

use std::time::Duration;

use cluster_tests::client;
use cluster_tests::cluster::Cluster;
use cluster_tests::disk::Disk;
use cluster_tests::tree::copy;
use serde_json::json;

/// Text that a master logs when it ends itself.
const LAST_WORDS: &str = "this master cannot go on";

#[tokio::test(flavor = "multi_thread")]
async fn a_master_whose_disk_dies_ends_with_one_line_and_is_alive_to_nobody() {
    let mut cluster = Cluster::builder().masters(1).start().await;
    cluster.master_mut(1).kill();
    let data = cluster.master(1).data_dir().to_owned();
    let aside = cluster.path("aside");
    std::fs::rename(&data, &aside).unwrap();
    let disk = match Disk::mount(&data, 256) {
        Ok(disk) => disk,
        Err(obstacle) => {
            eprintln!("SKIPPED: no disk can die here: {obstacle}");
            return;
        }
    };
    copy(&aside, &data);
    cluster.master_mut(1).restart();
    cluster.await_ready(1).await;
    let said_before = cluster.master(1).log().len();

    disk.cut_power();
    let mut client = cluster.client();
    // What it has to write ends it; nobody knows what becomes of the task.
    let task = json!({"command": ["true"]});
    let submitted = async { client.post("/api/tasks", &task).await.ok() };
    let probed = async {
        let probe = format!("http://{}/livez", cluster.master(1).http());
        loop {
            let has_ended = cluster.master(1).log().contains(LAST_WORDS);
            let answer = client::http().get(&probe).send().await;
            let is_alive = answer.is_ok_and(|answer| answer.status().is_success());
            assert!(!(has_ended && is_alive), "it is alive after its last words");
            if !is_alive {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(submitted, probed) })
        .await
        .unwrap();

    let status = cluster.master_mut(1).wait(Duration::from_secs(30)).await;
    assert!(!status.success(), "it ended well: {status}");
    let log = cluster.master(1).log();
    let errors = log[said_before..].lines().filter(|line| line.contains("ERROR"));
    let errors = errors.collect::<Vec<_>>();
    assert_eq!(errors.len(), 1, "not one line: {log}");
    assert!(errors[0].contains(LAST_WORDS), "{errors:?}");
    assert!(errors[0].contains("Input/output error"), "it does not say why: {errors:?}");
}
