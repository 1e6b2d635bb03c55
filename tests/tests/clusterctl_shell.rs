//! The interactive prompt, driven through a pipe against real masters.

use std::process::Stdio;
use std::time::Duration;

use cluster_tests::cluster::Cluster;
use cluster_tests::process::binary;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// No line of these tests takes longer, with a leader change in it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A prompt under our control.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    fn open(endpoints: &[String], args: &[&str]) -> Self {
        let mut child = Command::new(binary("clusterctl"))
            .env("CLUSTERCTL_ENDPOINTS", endpoints.join(","))
            .args(args)
            .arg("shell")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    async fn type_line(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line that it prints.
    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
        line.unwrap().unwrap().unwrap_or_else(|| panic!("it has ended"))
    }

    /// Everything up to the line that ends with `end`.
    async fn until(&mut self, end: &str) -> Vec<String> {
        let mut lines = vec![self.line().await];
        while !lines.last().unwrap().ends_with(end) {
            lines.push(self.line().await);
        }
        lines
    }

    /// Closes its input and returns its exit code.
    async fn close(mut self) -> i32 {
        drop(self.input);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap().unwrap().code().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_at_the_prompt_what_the_reference_shows() {
    let cluster = Cluster::builder().workers(1).start().await;
    let mut shell = Shell::open(&cluster.grpc_addresses(), &[]);

    shell.type_line("register worker-9 127.0.0.1:9").await;
    assert_eq!(shell.line().await, "✅ Worker worker-9 registered with address 127.0.0.1:9");
    assert_eq!(shell.line().await, "(offline, will reconnect automatically)");

    shell.type_line("workers").await;
    let shown = shell.until("╚").await;
    assert_eq!(shown[0], "╔ Registered Workers", "{shown:#?}");
    let of = |name: &str| {
        let start = shown.iter().position(|line| line == &format!("║ {name}")).unwrap();
        shown[start + 1..start + 5].to_vec()
    };
    let online = of("worker-1");
    assert_eq!(online[0], "║   Status: 🟢 Active");
    assert!(online[1].starts_with("║   IP: 127.0.0.1:"), "{online:?}");
    assert!(online[2].starts_with("║   Resources: CPU="), "{online:?}");
    assert_eq!(online[3], "║   Running Tasks: 0");
    assert_eq!(of("worker-9")[0], "║   Status: 🔴 Inactive");

    shell.type_line("task submit --wait -- sh -c 'exit 0'").await;
    assert!(shell.line().await.starts_with('t'));
    shell.type_line("unregister worker-9").await;
    assert_eq!(shell.line().await, "✅ Worker worker-9 unregistered");
    assert_eq!(shell.close().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_a_prompt_is_that_of_the_last_failure() {
    let cluster = Cluster::builder().start().await;
    let mut shell = Shell::open(&cluster.grpc_addresses(), &["-o", "json"]);
    shell.type_line("nonsense").await;
    shell.type_line("worker show nobody").await;
    shell.type_line("# the end").await;
    shell.type_line("leader").await;
    assert_eq!(shell.line().await, "{", "errors belong on stderr");
    assert_eq!(shell.close().await, 3);

    let mut shell = Shell::open(&cluster.grpc_addresses(), &[]);
    shell.type_line("exit").await;
    shell.type_line("nonsense").await;
    assert_eq!(shell.close().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_outlives_the_leader_and_a_cluster_without_one() {
    let mut cluster = Cluster::builder().start().await;
    let leader = cluster.leader().await;
    let mut shell = Shell::open(&cluster.grpc_addresses(), &["--timeout", "10s"]);
    shell.type_line("register later 127.0.0.1:9").await;
    shell.until("(offline, will reconnect automatically)").await;

    cluster.master_mut(leader).kill();
    shell.type_line("workers").await;
    assert!(shell.until("╚").await.contains(&"║ later".to_owned()));

    let survivors = cluster.others(leader);
    cluster.master_mut(survivors[0]).kill();
    shell.type_line("cordon later --timeout 1s").await;
    // Which is answered without a leader, once the line before has failed.
    shell.type_line("status").await;
    assert!(shell.line().await.starts_with("cluster:"));
    cluster.master_mut(leader).restart();
    shell.type_line("workers").await;
    assert!(shell.until("╚").await.contains(&"║ later".to_owned()));
    let code = shell.close().await;
    assert!(matches!(code, 6 | 7), "{code}");
}
