//! Real processes, started and stopped.

use std::collections::BTreeMap;

use cluster_state::OnDisconnect;

use super::*;
use crate::ledger::attempt_ref;
use crate::logs::Follow;

const A: AttemptRef = attempt_ref(1, 2);

struct Bench {
    executor: ProcessExecutor,
    ended: mpsc::UnboundedReceiver<FinishedAttempt>,
    logs: Logs,
    dir: tempfile::TempDir,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::new(dir.path().join("tasks"), 1 << 20);
    let records = ProcessRecords::open(&dir.path().join("running")).unwrap();
    let (ended_tx, ended) = mpsc::unbounded_channel();
    let environment = Environment { worker_id: "w1".parse().unwrap(), incarnation: Incarnation(7) };
    let executor = ProcessExecutor::new(environment, logs.clone(), records, ended_tx);
    Bench { executor, ended, logs, dir }
}

fn launch(command: &[&str]) -> Launch {
    Launch {
        attempt: A,
        command: command.iter().map(|&word| word.to_owned()).collect(),
        env: BTreeMap::new(),
        working_dir: None,
        on_disconnect: OnDisconnect::Keep,
    }
}

fn shell(script: &str) -> Launch {
    launch(&["/bin/sh", "-c", script])
}

impl Bench {
    async fn outcome(&mut self) -> AttemptOutcome {
        let ended = self.ended.recv().await.unwrap();
        assert_eq!(ended.attempt, A);
        self.executor.running().idle().await;
        ended.outcome
    }

    async fn run(&mut self, launch: Launch) -> AttemptOutcome {
        self.executor.start(launch);
        self.outcome().await
    }

    async fn output(&self, stream: Stream) -> String {
        let mut reader = self.logs.open(A, &[stream], Follow::Yes, None).unwrap();
        let mut text = Vec::new();
        while let Some((_, bytes)) = reader.next_chunk().await.unwrap() {
            text.extend(bytes);
        }
        String::from_utf8(text).unwrap()
    }

    /// Waits until the process has printed something, so that its traps are set.
    async fn printed(&self) {
        let mut reader = self.logs.open(A, &Stream::ALL, Follow::Yes, None).unwrap();
        assert!(reader.next_chunk().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_exit_code_and_the_output_are_kept() {
    let mut bench = bench();

    let outcome = bench.run(shell("echo out; echo err >&2; exit 3")).await;

    assert_eq!(outcome, AttemptOutcome::Exited { code: 3 });
    assert_eq!(bench.output(Stream::Stdout).await, "out\n");
    assert_eq!(bench.output(Stream::Stderr).await, "err\n");
}

#[tokio::test]
async fn a_process_knows_which_attempt_it_is() {
    let mut bench = bench();
    let script = "echo $CLOUDAI_TASK_ID $CLOUDAI_ATTEMPT $CLOUDAI_WORKER_ID $GREETING; pwd";
    let env = [("GREETING", "hello"), ("CLOUDAI_TASK_ID", "t99")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();

    bench.run(Launch { env, ..shell(script) }).await;

    let own_dir = bench.logs.dir(A).canonicalize().unwrap();
    let expected = format!("t1 2 w1 hello\n{}\n", own_dir.display());
    assert_eq!(bench.output(Stream::Stdout).await, expected);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let mut bench = bench();
    let no_program = bench.run(launch(&["/no/such/program"])).await;
    let no_command = bench.run(launch(&[])).await;
    let working_dir = Some(bench.dir.path().join("missing"));
    let no_dir = bench.run(Launch { working_dir, ..launch(&["/bin/true"]) }).await;

    for (outcome, words) in [
        (no_program, "/no/such/program: No such file"),
        (no_command, "there is no command"),
        (no_dir, "missing does not exist"),
    ] {
        let AttemptOutcome::StartFailed { detail } = outcome else { panic!("{outcome}") };
        assert!(detail.contains(words), "{detail}");
    }
}

#[tokio::test]
async fn term_ends_a_process_that_obeys() {
    let mut bench = bench();
    bench.executor.start(shell("echo up; exec sleep 600"));
    bench.printed().await;

    bench.executor.running().stop(A, Stop::Terminate(Duration::from_secs(600)));

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 15 });
}

#[tokio::test]
async fn what_is_stopped_before_its_turn_never_starts() {
    let mut bench = bench();
    bench.executor.start(shell("touch started"));

    bench.executor.running().stop(A, Stop::Kill);

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 9 });
    assert!(!bench.logs.dir(A).join("started").exists());
}

#[tokio::test]
async fn kill_follows_term_after_the_grace() {
    let mut bench = bench();
    bench.executor.start(shell("trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done"));
    bench.printed().await;

    let asked_at = Instant::now();
    bench.executor.running().stop(A, Stop::Terminate(Duration::from_millis(300)));

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 9 });
    assert!(asked_at.elapsed() >= Duration::from_millis(300));
    assert_eq!(bench.output(Stream::Stdout).await, "up\nasked\n");
}

#[tokio::test]
async fn what_a_process_leaves_in_its_group_is_killed() {
    let mut bench = bench();

    let started_at = Instant::now();
    let outcome = bench.run(shell("sleep 600 & echo $!")).await;

    assert_eq!(outcome, AttemptOutcome::Exited { code: 0 });
    assert!(started_at.elapsed() < OUTPUT_GRACE, "the pipe was closed by the kill");
    let child = bench.output(Stream::Stdout).await;
    let stat = format!("/proc/{}/stat", child.trim());
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_process_that_leaves_its_group_does_not_hold_up_the_result() {
    let mut bench = bench();

    let outcome = bench.run(shell("setsid sleep 4 & exit 5")).await;

    assert_eq!(outcome, AttemptOutcome::Exited { code: 5 });
}

#[tokio::test]
async fn a_running_process_is_on_record_until_it_ends() {
    let mut bench = bench();
    bench.executor.start(shell("echo up; exec sleep 600"));
    bench.printed().await;
    let record = bench.dir.path().join("running").join("t1.2");
    assert!(record.exists());

    bench.executor.running().stop(A, Stop::Kill);

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 9 });
    assert!(!record.exists());
}
