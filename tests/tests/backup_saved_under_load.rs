//! A backup that is taken under load comes from a follower, and is known for what is wrong with it.

use std::fs;

use cluster_tests::cluster::Cluster;
use cluster_tests::clusterctl::clusterctl;
use cluster_tests::load::{Load, Plan};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_saved_and_inspected_while_clients_submit() {
    let cluster = Cluster::builder().workers(2).start().await;
    cluster.await_converged().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;
    let leader = cluster.leader().await;
    let before = cluster.own_status(leader).await["commit_index"].as_u64().unwrap();

    let file = cluster.path("a.backup");
    let name = file.to_str().unwrap();
    let save = ["-o", "json", "snapshot", "save", name];
    let saved = cluster.clusterctl(&save).await.expect(0).json();
    assert!(saved["index"].as_u64().unwrap() >= before, "{saved}");
    assert_ne!(saved["master"], leader, "{saved}");
    assert_eq!(saved["bytes"], fs::metadata(&file).unwrap().len(), "{saved}");
    load.progress(20).await;

    let shown = clusterctl(&[], &["-o", "json", "snapshot", "inspect", name]).await;
    let shown = shown.expect(0).json();
    for key in ["index", "term", "cluster_id", "sha256", "taken_at", "tasks"] {
        assert_eq!((key, &shown[key]), (key, &saved[key]));
    }
    assert_eq!(shown["workers"], 2, "{shown}");
    assert_eq!(shown["members"].as_array().map(Vec::len), Some(3), "{shown}");

    cluster.clusterctl(&save).await.expect(4);
    cluster.clusterctl(&[&save[..], &["--force"]].concat()).await.expect(0);
    let left = fs::read_dir(cluster.dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let left = left.filter(|name| name.to_string_lossy().contains("partial")).collect::<Vec<_>>();
    assert_eq!(left, [""; 0]);

    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_a_backup_is_named() {
    let cluster = Cluster::builder().masters(1).start().await;
    let file = cluster.path("a.backup");
    let name = file.to_str().unwrap();
    let saved = cluster.clusterctl(&["snapshot", "save", name]).await.expect(0);
    assert!(saved.stdout.contains("from master 1 to"), "{saved:?}");
    let whole = fs::read(&file).unwrap();

    let inspect = async |bytes: &[u8], code| {
        fs::write(&file, bytes).unwrap();
        let shown = clusterctl(&[], &["snapshot", "inspect", name]).await.expect(code);
        if code == 0 { shown.stdout } else { shown.stderr }
    };
    assert!(inspect(&whole, 0).await.contains("checksums:  all verified"));
    let cut = inspect(&whole[..whole.len() - 1], 9).await;
    assert!(cut.contains("the backup is cut short"), "{cut}");
    let mut altered = whole.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let altered = inspect(&altered, 9).await;
    assert!(altered.contains("the backup is damaged at byte"), "{altered}");
    let other = inspect(b"something else", 1).await;
    assert!(other.contains("this is not a backup of a cluster"), "{other}");
    clusterctl(&[], &["snapshot", "inspect", "/nonexistent"]).await.expect(1);

    let unwritable = cluster.clusterctl(&["snapshot", "save", "/nonexistent/file"]).await;
    assert!(unwritable.expect(1).stderr.contains("cannot write /nonexistent/file"));
    let piped = cluster.clusterctl(&["snapshot", "save", "-"]).await.expect(0);
    assert!(piped.stdout.starts_with("cloudai-backup 1\n"), "{}", piped.stdout);
}
