//! Secret variables reach the process of a task, also after an attempt has failed, and nothing else: no
//! log at its most talkative level, no answer, and no file of the worker.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cluster_tests::cluster::Cluster;
use cluster_tests::clusterctl::clusterctl;

/// Value of the secret variable.
const SECRET: &str = "hunter2-correct-horse";

/// Fails unless its variables are as they should be, and at the first attempt in any case.
const SCRIPT: &str = "[ \"$MODE\" = fast ] && [ $(expr length \"$PASSWORD\") = 21 ] || exit 9; \
    case $PASSWORD in hunter2-*) ;; *) exit 8;; esac; [ $CLOUDAI_ATTEMPT = 2 ]";

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(below).collect()
}

fn holds_secret(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_process_and_nobody_else() {
    let builder = Cluster::builder().workers(1).worker_arg("--log-level", "trace");
    let cluster = builder.master_arg("--log-level", "debug").start().await;
    let file = cluster.dir().join("password");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let mut client = cluster.client();
    let read_from = format!("PASSWORD=@{}", file.display());
    let submit = ["task", "submit", "--wait", "--env", "MODE=fast", "--secret-env", &read_from];
    let submit = [&submit[..], &["--", "sh", "-c", SCRIPT]].concat();
    // A new cluster reaches the level that has secrets a moment after it has a leader.
    let level = ["upgrade", "finish"];
    clusterctl(&cluster.grpc_addresses(), &level).await.expect(0);
    let done = clusterctl(&cluster.grpc_addresses(), &submit).await.expect(0);
    assert!(!done.stdout.contains(SECRET) && !done.stderr.contains(SECRET), "{done:?}");

    let shown =
        clusterctl(&cluster.grpc_addresses(), &["task", "show", "t1"]).await.expect(0).stdout;
    assert!(shown.contains("MODE=fast") && shown.contains("PASSWORD"), "{shown}");
    assert_eq!(client.task("t1").await["attempts"].as_array().unwrap().len(), 2);
    for answer in
        [shown, client.get("/api/tasks").await.text(), client.get("/metrics").await.text()]
    {
        assert!(!answer.contains(SECRET), "{answer}");
    }
    cluster.check_replicas_agree().await;
    fs::remove_file(&file).unwrap();
    let of_masters =
        cluster.masters().map(|master| master.data_dir().to_owned()).collect::<Vec<_>>();
    let told = files(cluster.dir())
        .into_iter()
        .filter(|path| fs::metadata(path).is_ok_and(|file| file.size() > 0))
        .filter(|path| !of_masters.iter().any(|dir| path.starts_with(dir)))
        .filter(|path| holds_secret(path));
    assert_eq!(told.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    assert!(
        of_masters.iter().flat_map(|dir| files(dir)).any(|path| holds_secret(&path)),
        "in the log"
    );
}
