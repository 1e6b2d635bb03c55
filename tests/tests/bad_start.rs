//! A master or worker that must not start says why in one line, and changes nothing on disk.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cluster_tests::cluster::Cluster;
use cluster_tests::process::binary;
use cluster_tests::tree::{copy, fingerprint};
use tempfile::TempDir;

/// Arguments of a master that would start, with its data in `dir`.
fn master_args(dir: &Path) -> Vec<String> {
    let dir = dir.display();
    let args = format!(
        "--node-id 1 --cluster-name test --initial-cluster 1=127.0.0.1:10901 --data-dir {dir} \
         --grpc-listen 127.0.0.1:10901 --http-listen 127.0.0.1:10902"
    );
    args.split(' ').map(str::to_owned).collect()
}

fn worker_args(dir: &Path) -> Vec<String> {
    let dir = dir.display();
    let args = format!("--worker-id worker-1 --listen 127.0.0.1:10903 --data-dir {dir}");
    args.split(' ').map(str::to_owned).collect()
}

fn with(mut args: Vec<String>, flag: &str, value: &str) -> Vec<String> {
    match args.iter().position(|arg| arg == flag) {
        Some(at) => args[at + 1] = value.to_owned(),
        None => args.extend([flag.to_owned(), value.to_owned()]),
    }
    args
}

/// Runs it to its end, which must be a refusal. Returns its exit code and its one line.
fn refusal(program: &str, args: &[String]) -> (i32, String) {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "20"]).arg(binary(program)).args(args);
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success(), "{program} {args:?} ended well: {stderr}");
    let code = status.code().unwrap_or_else(|| panic!("{program} had to be killed: {stderr}"));
    let complaints = stderr
        .lines()
        .filter(|line| line.starts_with(&format!("{program}: ")) || line.starts_with("error: "))
        .collect::<Vec<_>>();
    assert_eq!(complaints.len(), 1, "not one line of complaint: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    (code, complaints.concat())
}

fn assert_refused(program: &str, args: &[String], code: i32, names: &[&str]) {
    let (found, line) = refusal(program, args);
    assert_eq!(found, code, "{line}");
    for name in names {
        assert!(line.contains(name), "it does not name '{name}': {line}");
    }
}

#[test]
fn wrong_flags_and_settings_are_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let config = dir.path().join("config.toml");
    fs::write(&config, "[raft]\nheartbeat_intervall = \"1s\"\n").unwrap();
    let config = config.display().to_string();
    let master = || master_args(&data);
    let worker = || worker_args(&data);

    assert_refused("master", &with(master(), "--no-such-flag", "1"), 2, &["--no-such-flag"]);
    assert_refused("worker", &with(worker(), "--no-such-flag", "1"), 2, &["--no-such-flag"]);
    let unknown_key = ["heartbeat_intervall", "config.toml"];
    assert_refused("master", &with(master(), "--config", &config), 2, &unknown_key);
    fs::write(&config, "cpus = 3\n").unwrap();
    assert_refused("worker", &with(worker(), "--config", &config), 2, &["cpus", "config.toml"]);
    assert_refused("master", &with(master(), "--node-id", "4"), 2, &["initial_cluster", "4"]);
    assert_refused("master", &with(master(), "--worker-lease", "long"), 2, &["worker", "long"]);
    let exposed = with(master(), "--http-listen", "0.0.0.0:10902");
    assert_refused("master", &exposed, 2, &["http_listen", "0.0.0.0:10902", "insecure"]);
    let exposed = with(worker(), "--listen", "0.0.0.0:10903");
    assert_refused("worker", &exposed, 2, &["listen", "0.0.0.0:10903", "insecure"]);
    assert!(!data.exists(), "a refused start made {}", data.display());
}

#[test]
fn a_port_in_use_is_named_before_anything_is_written() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--grpc-listen", "--http-listen"] {
        let mut args = with(master_args(&data), flag, &address);
        args = with(args, "--initial-cluster", "1=127.0.0.1:10901");
        args = with(args, "--grpc-advertise", "127.0.0.1:10901");
        assert_refused("master", &args, 1, &[&address, "in use"]);
    }
    let args = with(worker_args(&data), "--listen", &address);
    assert_refused("worker", &args, 1, &[&address, "in use"]);
    assert!(!data.exists(), "a refused start made {}", data.display());
}

/// The data directory of a master that has worked and was stopped, to be copied and spoiled.
struct Used {
    dir: TempDir,
}

impl Used {
    async fn make() -> Self {
        let mut cluster = Cluster::builder().masters(1).start().await;
        let mut client = cluster.client();
        for number in 0..50 {
            client.submit(&cluster.effects().task(&format!("task-{number}"))).await;
        }
        let dir = TempDir::new().unwrap();
        cluster.master_mut(1).kill();
        copy(cluster.master(1).data_dir(), &dir.path().join("original"));
        Self { dir }
    }

    fn copy(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        copy(&self.dir.path().join("original"), &to);
        to
    }
}

fn assert_untouched_refusal(data: &Path, args: &[String], names: &[&str]) {
    let before = fingerprint(data);
    assert_refused("master", args, 1, names);
    let after = fingerprint(data);
    assert!(before == after, "changed: {:?}", changes(&before, &after));
}

fn changes<V: PartialEq>(
    before: &std::collections::BTreeMap<PathBuf, V>,
    after: &std::collections::BTreeMap<PathBuf, V>,
) -> Vec<PathBuf> {
    let paths = before.keys().chain(after.keys());
    paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_not_its_own_or_not_whole_is_left_alone() {
    let used = Used::make().await;

    let data = used.copy("other-node");
    let mut args = with(master_args(&data), "--node-id", "2");
    args = with(args, "--initial-cluster", "2=127.0.0.1:10901");
    assert_untouched_refusal(&data, &args, &["master 1", "master 2"]);

    let data = used.copy("newer-format");
    let format = fs::read_to_string(data.join("format")).unwrap().replace('1', "99");
    fs::write(data.join("format"), format).unwrap();
    assert_untouched_refusal(&data, &master_args(&data), &["format 99", "newer-format"]);

    let data = used.copy("missing-log");
    fs::remove_dir_all(data.join("log")).unwrap();
    assert_untouched_refusal(&data, &master_args(&data), &["missing-log/log", "missing"]);

    let data = used.copy("damaged-guard");
    let guard = fs::read(data.join("guard")).unwrap();
    fs::write(data.join("guard"), vec![0x5A; guard.len()]).unwrap();
    assert_untouched_refusal(&data, &master_args(&data), &["guard", "damaged"]);

    let data = used.copy("lost-tail");
    for wal in files_ending(&data.join("log"), ".log") {
        fs::write(wal, "").unwrap();
    }
    assert_untouched_refusal(&data, &master_args(&data), &["log"]);

    let data = used.copy("damaged-log");
    for wal in files_ending(&data.join("log"), ".log") {
        let mut bytes = fs::read(&wal).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xFF;
        fs::write(wal, bytes).unwrap();
    }
    assert_untouched_refusal(&data, &master_args(&data), &["log"]);

    let data = used.dir.path().join("foreign");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("thesis.txt"), "do not lose").unwrap();
    assert_untouched_refusal(&data, &master_args(&data), &["foreign"]);

    let file = used.dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_refused("master", &master_args(&file), 1, &["not a directory"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_not_shared() {
    let cluster = Cluster::builder().masters(1).workers(1).start().await;
    let data = cluster.master(1).data_dir().to_owned();
    assert_refused("master", &master_args(&data), 1, &["locked"]);
    let data = cluster.worker("worker-1").data_dir().to_owned();
    assert_refused("worker", &worker_args(&data), 1, &["another"]);
    let mut client = cluster.client();
    let id = client.submit(&cluster.effects().task("unharmed")).await;
    client.await_state(&id, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_refuses_the_directory_of_another() {
    let mut cluster = Cluster::builder().masters(1).workers(1).start().await;
    cluster.worker_mut("worker-1").process().kill();
    let data = cluster.worker("worker-1").data_dir().to_owned();
    let before = fingerprint(&data);
    let args = with(worker_args(&data), "--worker-id", "worker-2");
    assert_refused("worker", &args, 1, &["worker-1", "worker-2"]);
    assert!(before == fingerprint(&data), "it changed the directory");
}

fn files_ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let found =
        entries.filter(|path| path.display().to_string().ends_with(end)).collect::<Vec<_>>();
    assert!(!found.is_empty(), "no file in {} ends with {end}", dir.display());
    found
}
